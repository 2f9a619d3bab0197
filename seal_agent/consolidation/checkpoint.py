"""What a cycle has done so far, step by step, so that whoever takes it up goes on from there.

Each finished step is a file in `cycles/<id>/` of the brain, and a row of the ledger with its hash. A file without its row, or with another
hash, does not count: the step is done again, and with it all that follow. The folder holds study material, which is personal data: it is
gone when the cycle ends, and `discard` is for whoever forgets.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from seal_agent.consolidation.practising import discard_notebook
from seal_agent.consolidation.reading import discard_readings
from seal_agent.consolidation.run import Run
from seal_agent.errors import StoreFullError
from seal_agent.ledger import cycles
from seal_agent.ledger.ledger import FULL_ERRNOS, Ledger
from seal_agent.types import ScopeId

logger = logging.getLogger(__name__)

CHUNK = 1 << 20
T = TypeVar("T")


class Checkpoint:
    """The finished steps of one cycle."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._passed: list[str] = []
        run.workplace.mkdir(mode=0o700, parents=True, exist_ok=True)

    def kept(self, step: str, kind: TypeAdapter[T], make: Callable[[], T], files: Callable[[T], Iterable[Path]] = lambda _: ()) -> T:
        """Return what the step made before the cycle was interrupted, or make it now and keep it, with the files that belong to it."""
        found = self._read(step, kind)
        if found is None:
            with self._run.write() as conn:
                self._run.check_foundation(conn)
                cycles.drop_steps(conn, self._run.id, keep=self._passed)
            found = make()
            self._write(step, kind.dump_json(found), files(found))
        self._passed.append(step)
        return found

    def _read(self, step: str, kind: TypeAdapter[T]) -> T | None:
        with self._run.backends.ledger.read() as conn:
            sha256 = cycles.step_sha256(conn, self._run.id, step)
        if sha256 is None:
            return None
        try:
            content = self._file(step).read_bytes()
            record = json.loads(content)
            names = record["files"]
            whole = hashlib.sha256(content).hexdigest() == sha256
            if whole and all(hash_of(self._run.workplace / name) == known for name, known in names.items()):
                return kind.validate_json(json.dumps(record["value"]))
        except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
            logger.warning("step %r of cycle %s can't be read, it is done again: %s", step, self._run.id, type(error).__name__)
            return None
        logger.warning("step %r of cycle %s is not what was recorded, it is done again", step, self._run.id)
        return None

    def _write(self, step: str, value: bytes, files: Iterable[Path]) -> None:
        record = {"value": json.loads(value), "files": {str(file.relative_to(self._run.workplace)): hash_of(file) for file in files}}
        content = json.dumps(record).encode()
        # The file inside the transaction: whoever forgets comes before it, and is noticed, or after it, and finds the file.
        with self._run.write() as conn:
            self._run.check_foundation(conn)
            self._write_file(step, content)
            cycles.record_step(conn, self._run.id, step, hashlib.sha256(content).hexdigest(), self._run.clock())

    def _write_file(self, step: str, content: bytes) -> None:
        try:
            write_through(self._file(step), content)
        except OSError as error:
            if error.errno in FULL_ERRNOS:
                raise StoreFullError(
                    f"No space left for the checkpoint of {self._run.scope.key!r}; free some, then consolidate."
                ) from error
            raise

    def _file(self, step: str) -> Path:
        return self._run.workplace / f"{step}.json"


def write_through(file: Path, content: bytes) -> None:
    """Write a file that is whole and on the disk, or not there."""
    draft = file.with_suffix(".tmp")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)


def hash_of(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sweep(run: Run) -> None:
    """Remove what cycles left that have ended: their process died before it could."""
    remove_left_over(run.backends.ledger, run.workplace.parent)


def remove_left_over(ledger: Ledger, workplaces: Path) -> None:
    folders = [path for path in workplaces.glob("c_*") if path.is_dir()]
    if folders:
        with ledger.read() as conn:
            running = {row.id for row in cycles.running_cycles(conn)}
        for folder in folders:
            if folder.name not in running:
                shutil.rmtree(folder, ignore_errors=True)


def discard(ledger: Ledger, folder: Path, scope: ScopeId) -> None:
    """Delete the checkpoints of cycles that see this scope, unfinished or left over: the next one begins anew. For whoever forgets."""
    with ledger.read() as conn:
        ids = [row.id for row in cycles.running_cycles(conn) if row.scope == scope or scope in row.scope.ancestors]
    for cycle_id in ids:
        with ledger.write() as conn:
            cycles.drop_steps(conn, cycle_id, keep=())
        shutil.rmtree(folder / "cycles" / cycle_id, ignore_errors=True)
    discard_notebook(folder)
    discard_readings(folder)
    remove_left_over(ledger, folder / "cycles")
