"""The scan finds what is there, in whatever form, and nothing that is not."""

import json
from pathlib import Path

import numpy as np
import pytest

from seal_agent.forgetting.byte_scan import (
    CHUNK,
    FEW,
    Needle,
    excerpts,
    needles_of_ids,
    needles_of_text,
    needles_of_vector,
    scan,
    telling_pieces,
)

SECRET = "Ana's passport number is XQ-77 and she lives at 4 Harbour Lane, Leeds; ring twice – never before nine."


def never(_: object) -> bool:
    return False


def found(folder: Path, needles: list[Needle]) -> tuple[str, ...]:
    return scan(folder, needles).hits


@pytest.mark.parametrize(
    "written",
    [SECRET.encode(), json.dumps({"text": SECRET}).encode(), b"\0" * 5000 + SECRET.encode()[:60], SECRET.encode()[-45:]],
    ids=["raw", "json", "its beginning", "its end"],
)
def test_a_text_is_found_whole_or_in_part_and_as_json_spells_it(tmp_path: Path, written: bytes) -> None:
    needles, shared = needles_of_text(SECRET, never)
    (tmp_path / "file").write_bytes(written)
    assert found(tmp_path, needles) == ("text in file",)
    assert shared == 0


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"Ana's passport is nobody's business " * 1000)
    assert found(tmp_path, needles_of_text(SECRET, never)[0]) == ()


@pytest.mark.parametrize("many", [False, True], ids=["one by one", "all at once"])
def test_a_needle_is_found_at_every_offset_and_across_chunks(tmp_path: Path, many: bool) -> None:
    needle = Needle(kind="id", bytes=b"0123456789abcdef")
    others = [Needle(kind="id", bytes=f"unrelated-{n:06}".encode()) for n in range(FEW if many else 0)]
    for place in (0, 1, 7, 8, 13, CHUNK - 9):
        (tmp_path / "file").write_bytes(b"." * place + needle.bytes + b".." * 9)
        assert found(tmp_path, [needle, *others]) == ("id in file",), place


def test_a_vector_is_found_as_given_and_normalised(tmp_path: Path) -> None:
    vector = np.linspace(1, 2, 64, dtype=np.float32)
    needles, _ = needles_of_vector(vector.tobytes(), never)
    for stored in (vector, vector / np.float32(np.linalg.norm(vector))):
        (tmp_path / "file").write_bytes(b"x" * 3 + stored.tobytes()[:44])
        assert found(tmp_path, needles) == ("vector in file",)


def test_a_vector_with_nearly_empty_ends_counts_as_a_whole() -> None:
    vector = np.zeros(64, dtype=np.float32)
    vector[[0, 30]] = 1
    assert telling_pieces(vector.tobytes()) == [vector.tobytes()]
    assert telling_pieces(bytes(64)) == []


def test_what_stays_elsewhere_proves_nothing_and_is_counted() -> None:
    assert needles_of_text(SECRET, lambda _: True) == ([], 3)
    vector = np.ones(64, dtype=np.float32).tobytes()
    needles, shared = needles_of_vector(vector, lambda _: True)
    assert (needles, shared > 0) == ([], True)


def test_what_is_too_short_is_not_looked_for() -> None:
    assert (excerpts("hi"), needles_of_ids(["f1"])) == ([], [])
    assert len(excerpts("ä" * 200)) == 1
    assert all(len(part.encode()) <= 80 for part in excerpts("ä" * 100 + "b" * 100))


def test_links_are_not_followed_and_folders_are_entered(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"0123456789")
    inner = tmp_path / "brain" / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "link").symlink_to(outside)
    (inner / "file").write_bytes(b"--0123456789--")
    seen = scan(tmp_path / "brain", [Needle(kind="id", bytes=b"0123456789")])
    assert (seen.hits, seen.files, seen.bytes) == (("id in a/b/file",), 1, 14)
