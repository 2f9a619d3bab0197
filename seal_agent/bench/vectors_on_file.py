"""An embedder that remembers: texts embedded once are read from a file the next time.

For measuring, where the same texts are embedded run after run and the embedder's time is not what is measured.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seal_agent.errors import UsageError
from seal_agent.protocols import Embedder, Vectors
from seal_agent.types import Progress, ProgressCallback, silent

PORTION = 256
"""Texts embedded between two reports of progress."""


class VectorsOnFile:
    """Wraps an embedder, which is asked for what is not known yet. Call `save` to keep what is known."""

    def __init__(self, embedder: Embedder, file: Path | None = None, progress: ProgressCallback = silent) -> None:
        """Raise `UsageError` for a file that is not one of ours, or holds another embedder's vectors."""
        self._embedder = embedder
        self._file = file
        self._progress = progress
        self._known: dict[str, Vectors] = {}
        if file is not None and file.exists():
            self._known = read(file, embedder.id)

    @property
    def id(self) -> str:
        return self._embedder.id

    @property
    def dim(self) -> int:
        return self._embedder.dim

    def embed(self, texts: Sequence[str]) -> Vectors:
        keys = [key_of(text) for text in texts]
        missing = [text for key, text in dict(zip(keys, texts, strict=True)).items() if key not in self._known]
        # longest first, so that the embedder's batches hold texts of a length
        missing.sort(key=len, reverse=True)
        for start in range(0, len(missing), PORTION):
            portion = missing[start : start + PORTION]
            self._known.update(zip(map(key_of, portion), self._embedder.embed(portion), strict=True))
            self._progress(Progress(stage="embed", done=start + len(portion), total=len(missing)))
        return np.stack([self._known[key] for key in keys]) if keys else np.zeros((0, self.dim), dtype=np.float32)

    def save(self) -> None:
        """Write what is known to the file, whole or not at all."""
        if self._file is None or not self._known:
            return
        part = self._file.with_name(f"{self._file.name}.part")
        with part.open("wb") as stream:
            np.savez(stream, embedder=self.id, keys=np.array(list(self._known)), vectors=np.stack(list(self._known.values())))
        part.replace(self._file)


def key_of(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def read(file: Path, embedder_id: str) -> dict[str, Vectors]:
    try:
        with np.load(file, allow_pickle=False) as held:
            name, keys, vectors = str(held["embedder"]), held["keys"].tolist(), held["vectors"]
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{file} holds no vectors ({error}); name another file, or remove it.") from error
    if name != embedder_id:
        raise UsageError(f"{file} holds vectors of {name!r}, not of {embedder_id!r}; name another file.")
    return dict(zip(keys, vectors, strict=True))
