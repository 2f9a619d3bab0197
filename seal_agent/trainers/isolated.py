"""Training in a child process, so that the agent never pays for the night: low priority, limits on memory and time, its own crash.

Whatever becomes of the child (out of memory, a segmentation fault, a limit), here it is a `TrainingError` with the reason, and the agent
goes on with the adapter it had. A child whose budget is used up ends by itself with what it has; only one that does not is ended here. The
study material goes to the child through a pipe and never touches the disk. Deliberately imports no torch: `worker.py` is what runs in the
child.
"""

import json
import logging
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil
from pydantic import TypeAdapter

from seal_agent import errors
from seal_agent.config import ModelSettings, TrainingSettings
from seal_agent.errors import CycleInterruptedError, SealAgentError, StoreFullError, TrainingError
from seal_agent.protocols import Trainer
from seal_agent.types import Example, Progress, ProgressCallback, TrainingResult

logger = logging.getLogger(__name__)

# -P: no module is taken from the folder that the host happens to be started in.
WORKER = (sys.executable, "-P", "-m", "seal_agent.trainers.worker")
LOOK_SECONDS = 0.2
"""How often the child is looked at between its messages."""
STOP_SECONDS = 30.0
"""What a child that was asked to stop may take to finish its step."""
START_SECONDS = 300.0
"""Added to the wall-clock limit: the child loads the model first, perhaps from a slow disk."""
LAST_WORDS = 300
"""Characters of the child's last line on stderr that go into the reason."""
MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """All that the child needs to know."""

    model_folder: Path
    model_id: str
    model: ModelSettings
    training: TrainingSettings
    examples: tuple[Example, ...]
    probes: tuple[Example, ...]
    out: Path
    seed: int
    checkpoint: Path | None = None


JOB = TypeAdapter(Job)
PROGRESS = TypeAdapter(Progress)
RESULT = TypeAdapter(TrainingResult)
Message = dict[str, Any]  # Any: one of "progress", "result" and "error", each with its own fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Which base model the child loads."""

    folder: Path
    id: str
    settings: ModelSettings


class IsolatedTrainer:
    """Implements `seal_agent.protocols.Trainer` by a child process; `inner` only estimates."""

    def __init__(
        self,
        inner: Trainer,
        weights: Weights,
        settings: TrainingSettings,
        command: Sequence[str] = WORKER,
        make_room: Callable[[], object] = lambda: None,
    ) -> None:
        """`make_room` is called before the child begins: what the agent's process can do without for minutes should go then."""
        self._make_room = make_room
        self._inner = inner
        self._weights = weights
        self._settings = settings
        self._command = tuple(command)

    def estimate(self, examples: Sequence[Example]) -> tuple[int, float]:
        return self._inner.estimate(examples)

    def train(
        self,
        examples: Sequence[Example],
        *,
        probes: Sequence[Example],
        out: Path,
        seed: int,
        progress: ProgressCallback,
        should_stop: Callable[[], bool],
        checkpoint: Path | None = None,
    ) -> TrainingResult:
        if out.exists():
            raise TrainingError(f"{out} exists already; an adapter is trained into a new folder.")
        self._check_disk(out)
        self._make_room()
        job = Job(
            model_folder=self._weights.folder,
            model_id=self._weights.id,
            model=self._weights.settings,
            training=self._settings,
            examples=tuple(examples),
            probes=tuple(probes),
            out=out,
            seed=seed,
            checkpoint=checkpoint,
        )
        try:
            with tempfile.TemporaryFile() as words, Child(self._command, words) as child:
                child.send(JOB.dump_json(job))
                return self._follow(child, words, progress, should_stop)
        except BaseException:  # Ctrl-C too: half an adapter must not stay
            shutil.rmtree(out, ignore_errors=True)
            raise

    def _check_disk(self, out: Path) -> None:
        out.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(out.parent).free // MEGABYTE
        if free < self._settings.min_free_mb:
            raise StoreFullError(
                f"Only {free} MB are free in {str(out.parent)!r}, training wants {self._settings.min_free_mb} (training.min_free_mb)."
            )

    def _follow(self, child: "Child", words: IO[bytes], progress: ProgressCallback, should_stop: Callable[[], bool]) -> TrainingResult:
        ends = time.monotonic() + self._settings.max_minutes * 60 + START_SECONDS
        looked = 0.0
        while True:
            message = child.receive()
            if should_stop():
                child.stop()
                raise CycleInterruptedError("Training was stopped on request; nothing was promoted.")
            if time.monotonic() - looked >= LOOK_SECONDS:
                self._check_limits(child, ends)
                looked = time.monotonic()
            if message is None:
                if child.is_over:
                    raise TrainingError(obituary(child.ended(), words))
            elif "progress" in message:
                progress(PROGRESS.validate_python(message["progress"]))
            elif "result" in message:
                return RESULT.validate_python(message["result"])
            else:
                raise error_of(message)

    def _check_limits(self, child: "Child", ends: float) -> None:
        if time.monotonic() > ends:
            raise TrainingError(
                f"Training took longer than training.max_minutes={self._settings.max_minutes:g} and did not stop by itself."
            )
        used, limit = child.memory() // MEGABYTE, self._settings.max_memory_mb
        if limit and used > limit:
            raise TrainingError(f"Training used {used} MB, over training.max_memory_mb={limit}; raise it, or lower training.batch_size.")


class Child:
    """A child process that is told one job and answers in lines of JSON. Leaving the block ends it, whatever it is doing."""

    def __init__(self, command: Sequence[str], words: IO[bytes]) -> None:
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        # A session of its own: Ctrl-C in the terminal reaches the agent, which asks the child to stop, and not both at once.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words, env=environment, start_new_session=True
        )
        self._messages: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._over = False
        self._reader = threading.Thread(target=self._read, name="training messages", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        for line in stream:
            try:
                self._messages.put(json.loads(line))
            except ValueError:
                logger.warning("the training process said something that is no message: %r", line[:LAST_WORDS])
        self._messages.put(None)

    def send(self, line: bytes) -> None:
        stream = self._process.stdin
        assert stream is not None
        with suppress(BrokenPipeError, OSError):  # it died: what it left is read by whoever follows it
            stream.write(line + b"\n")
            stream.flush()

    def receive(self) -> Message | None:
        """Return the next message; None when there is none yet, or none will come any more (`is_over`)."""
        try:
            message = self._messages.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            return None
        self._over = self._over or message is None
        return message

    @property
    def is_over(self) -> bool:
        """Whether it has said its last."""
        return self._over

    def ended(self) -> int:
        """Wait for the end of one that has said its last, and return its code; raise `TrainingError` when it does not end."""
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise TrainingError("The training process fell silent and did not end by itself; it was ended.") from error

    def stop(self) -> None:
        """Ask it to stop after its step, and wait for that."""
        self.send(b"stop")
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)

    def memory(self) -> int:
        """Bytes that it holds in memory; 0 when it is gone."""
        try:
            return int(psutil.Process(self._process.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if stream is not None:
                    stream.close()


def error_of(message: Message) -> SealAgentError:
    """The error that the child raised, under its own name if it is one of ours."""
    told = message.get("error", {})
    kind = getattr(errors, str(told.get("type")), None)
    text = str(told.get("message", "the training process said nothing of use"))
    if isinstance(kind, type) and issubclass(kind, SealAgentError):
        return kind(text)
    return TrainingError(f"Training failed: {told.get('type')}: {text}")


def obituary(code: int, words: IO[bytes]) -> str:
    """Why the child ended without a result, as far as it can be told."""
    words.seek(0)
    lines = [line for line in words.read().decode("utf-8", "replace").splitlines() if line.strip()]
    last = f" Its last words: {lines[-1].strip()[:LAST_WORDS]}" if lines else ""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        hint = ", as the system does when memory runs out" if -code == signal.SIGKILL else ""
        return f"The training process was ended by {name}{hint}; the agent goes on with the adapter it had.{last}"
    return f"The training process ended with code {code} and without a result; the agent goes on with the adapter it had.{last}"
