"""The proof on disk: every byte of the brain directory is read and searched for what was removed.

Texts are looked for by excerpts, because SQLite cuts a long one into pages; ids whole; vectors by their first and last numbers, as they
were given and normalised. What stays may hold the same words: such excerpts prove nothing and are left out, and counted.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seal_agent.forgetting.records import ByteScan
from seal_agent.ledger.encoding import VECTOR_DTYPE

EXCERPT = 40
"""Bytes: long enough to be nobody else's words by chance, short enough to lie within one page."""
SHORTEST = 8
"""Bytes; shorter ones occur anywhere by chance."""
FEWEST_NUMBERS = 4
"""Numbers other than zero that make the end of a vector its own."""
CHUNK = 8 << 20
FEW = 48
"""Up to so many needles are searched one after the other; more of them all at once, by their first eight bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needle:
    """A byte string to look for, and what it is."""

    kind: str
    bytes: bytes


def needles_of_text(text: str, is_kept: Callable[[str], bool]) -> tuple[list[Needle], int]:
    """Return excerpts of a text, raw and as JSON spells them, and how many were left out because `is_kept` holds them elsewhere."""
    found: list[Needle] = []
    shared = 0
    for excerpt in excerpts(text):
        if is_kept(excerpt):
            shared += 1
            continue
        raw, spelt = excerpt.encode("utf-8", "replace"), json.dumps(excerpt)[1:-1].encode()
        found += [Needle(kind="text", bytes=form) for form in dict.fromkeys((raw, spelt)) if len(form) >= SHORTEST]
    return found, shared


def excerpts(text: str) -> list[str]:
    """The beginning, the middle and the end of a text, each of about `EXCERPT` bytes; the whole text where it is short."""
    size = len(text.encode("utf-8", "replace"))
    if size <= EXCERPT:
        return [text] if size >= SHORTEST else []
    length = max(1, EXCERPT * len(text) // size)
    starts = (0, (len(text) - length) // 2, len(text) - length)
    return list(dict.fromkeys(text[start : start + length] for start in starts))


def needles_of_vector(blob: bytes, is_kept: Callable[[bytes], bool]) -> tuple[list[Needle], int]:
    """The two ends of a vector's numbers, as stored and of length 1; all of them where the ends are nearly empty."""
    vector = np.frombuffer(blob, VECTOR_DTYPE)
    norm = np.float32(np.linalg.norm(vector))
    forms = dict.fromkeys([blob, (vector / norm).astype(VECTOR_DTYPE).tobytes() if norm > 0 else blob])
    pieces = dict.fromkeys(piece for form in forms for piece in telling_pieces(form))
    new = [Needle(kind="vector", bytes=piece) for piece in pieces if not is_kept(piece)]
    return new, len(pieces) - len(new)


def telling_pieces(blob: bytes) -> list[bytes]:
    """What of a vector's bytes is nobody else's by chance."""
    ends = [blob[:EXCERPT], blob[-EXCERPT:]]
    full = [end for end in ends if np.count_nonzero(np.frombuffer(end, VECTOR_DTYPE)) >= FEWEST_NUMBERS]
    return full or ([blob] if len(blob) >= SHORTEST and any(blob) else [])


def needles_of_ids(ids: Iterable[str]) -> list[Needle]:
    return [Needle(kind="id", bytes=id.encode()) for id in ids if len(id.encode()) >= SHORTEST]


def scan(folder: Path, needles: Sequence[Needle], shared: int = 0) -> ByteScan:
    """Search every regular file below the folder; files that vanish meanwhile are passed over."""
    wanted = {needle.bytes: needle.kind for needle in needles}
    longest = max(map(len, wanted), default=1)
    finder = _finder(list(wanted))
    files = size = 0
    hits: dict[str, None] = {}
    for path in sorted(_files(folder)):
        try:
            for chunk, new in _chunks(path, longest - 1):
                size += new
                hits.update({f"{wanted[found]} in {path.relative_to(folder).as_posix()}": None for found in finder(chunk)})
        except FileNotFoundError:
            continue
        files += 1
    return ByteScan(files=files, bytes=size, needles=len(wanted), hits=tuple(hits), shared=shared)


def _files(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder, followlinks=False):
        for name in names:
            path = Path(root) / name
            if path.is_file() and not path.is_symlink():
                yield path


def _chunks(path: Path, overlap: int) -> Iterator[tuple[bytes, int]]:
    """The file in pieces that overlap, so that nothing is missed between two of them; with the number of bytes that are new."""
    with path.open("rb") as stream:
        tail = b""
        while piece := stream.read(CHUNK):
            yield tail + piece, len(piece)
            tail = (tail + piece)[-overlap:] if overlap else b""


def _finder(wanted: Sequence[bytes]) -> Callable[[bytes], Iterator[bytes]]:
    """How to find which of the byte strings occur in a chunk."""
    if len(wanted) <= FEW:
        return lambda chunk: (needle for needle in wanted if needle in chunk)
    by_head: dict[int, list[bytes]] = {}
    for needle in wanted:
        by_head.setdefault(int.from_bytes(needle[:SHORTEST], "little"), []).append(needle)
    heads = np.array(sorted(by_head), dtype=np.uint64)

    def find(chunk: bytes) -> Iterator[bytes]:
        for offset in range(SHORTEST):
            count = (len(chunk) - offset) // SHORTEST
            if count <= 0:
                return
            words = np.frombuffer(chunk, "<u8", count=count, offset=offset)
            places = np.searchsorted(heads, words)
            places[places == len(heads)] = 0
            for place in np.flatnonzero(heads[places] == words):
                at = offset + int(place) * SHORTEST
                yield from (needle for needle in by_head[int(words[place])] if chunk.startswith(needle, at))

    return find
