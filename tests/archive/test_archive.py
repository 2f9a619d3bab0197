"""A brain goes into one file and comes back whole, from a brain that is in use; what was forgotten stays forgotten."""

import io
import json
import sqlite3
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from seal_agent.archive.container import MANIFEST
from seal_agent.errors import ArchiveError, NewerSchemaError, StoreError
from seal_agent.ledger.steps import MIGRATIONS
from seal_agent.memory import Memory
from tests.brains import BrokenEmbedder, learn, open_brain
from tests.waiting import wait_until

LESSON = {"What may Ana eat?": "No meat."}


def fill(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    ana.add([{"role": "user", "content": "I'm vegetarian."}, {"role": "assistant", "content": "Noted."}], id="e1", session="s1")
    fact = ana.remember("Ana is vegetarian.", kind="preference")
    memory.scope().add("The agent speaks Dutch.", id="e2")
    learn(memory, ana, LESSON, facts=[fact])


def contents(memory: Memory) -> object:
    ana = memory.scope(user="ana")
    with memory._parts.ledger.read() as connection:
        rows = connection.exec_driver_sql("SELECT id, text, embedder, hex(vector) FROM entries ORDER BY id").all()
    adapters = [(adapter.name, adapter.live, adapter.fact_ids) for adapter in ana.adapters.list()]
    return ([tuple(row) for row in rows], [(fact.text, fact.state, fact.learned_by) for fact in ana.facts()], adapters, memory.scopes())


@pytest.fixture
def saved(tmp_path: Path) -> dict[str, Path]:
    with open_brain(tmp_path / "from") as memory:
        fill(memory)
        (memory.folder / "seal.toml").write_text("[retrieval]\nk = 3\n")
        return {"export": memory.export(tmp_path / "brain.tar").path, "backup": memory.backup(tmp_path / "copy.tar").path}


@pytest.mark.parametrize("kind", ["export", "backup"])
def test_a_restored_brain_holds_what_the_saved_one_held(tmp_path: Path, saved: dict[str, Path], kind: str) -> None:
    Memory.restore(saved[kind], tmp_path / "to")
    with open_brain(tmp_path / "from") as before, open_brain(tmp_path / "to") as after:
        assert contents(after) == contents(before)
        assert after.settings.retrieval.k == 3
        assert after.scope(user="ana").ask("What may Ana eat?", use="weights").text == "No meat."
        assert [hit.text for hit in after.scope(user="ana").search("vegetarian", k=1)] != []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["brain.tar", "copy.tar", "from", "to"]


def test_an_import_into_a_new_brain_is_the_same_again(tmp_path: Path, saved: dict[str, Path]) -> None:
    with open_brain(tmp_path / "from") as before, open_brain(tmp_path / "to") as after:
        report = after.import_archive(saved["export"])
        assert report.added == {"episodes": 2, "facts": 1, "tombstones": 0, "adapters": 1}
        assert contents(after) == contents(before)
        again = after.import_archive(saved["backup"])
        assert (sum(again.added.values()), again.known) == (0, {"episodes": 2, "facts": 1})
        assert contents(after) == contents(before)


def test_an_import_needs_no_model(tmp_path: Path, saved: dict[str, Path]) -> None:
    with open_brain(tmp_path / "to", embedder=BrokenEmbedder()) as memory:
        memory.import_archive(saved["export"])
        assert memory.stats().not_embedded == 0


def test_what_is_there_stays_and_what_is_new_is_added(tmp_path: Path, saved: dict[str, Path]) -> None:
    with open_brain(tmp_path / "to") as memory:
        memory.scope(user="ben").add("I eat anything.", id="b1")
        own = memory.scope(user="ana").remember("Ana lives in Ghent.")
        learn(memory, memory.scope(user="ana"), {"Where does Ana live?": "Ghent."}, facts=[own])
        report = memory.import_archive(saved["export"])
        assert report.left_out == {"adapters of a scope that has its own": 1}
        texts = {fact.text: fact.state for fact in memory.scope(user="ana").facts()}
        assert texts == {"Ana lives in Ghent.": "learned", "Ana is vegetarian.": "active"}
        assert memory.stats().episodes == 3


def test_what_was_forgotten_here_does_not_come_back(tmp_path: Path, saved: dict[str, Path]) -> None:
    with open_brain(tmp_path / "to") as memory:
        memory.import_archive(saved["export"])
        memory.scope(user="ana").forget("e1")
        report = memory.import_archive(saved["export"])
        assert (report.added["episodes"], report.left_out["forgotten"]) == (0, 1)
        assert memory.scope(user="ana").search("vegetarian") == [] or "I'm vegetarian." not in {
            hit.text for hit in memory.scope(user="ana").search("vegetarian")
        }


def test_what_was_forgotten_there_does_not_come_here_later(tmp_path: Path) -> None:
    with open_brain(tmp_path / "from") as memory:
        fill(memory)
        before = memory.export(tmp_path / "before.tar").path
        memory.scope(user="ana").forget("e1")
        after = memory.export(tmp_path / "after.tar").path
    assert b"I'm vegetarian." not in after.read_bytes()
    with open_brain(tmp_path / "to") as memory:
        assert memory.import_archive(after).added["tombstones"] >= 1
        assert memory.import_archive(before).left_out["forgotten"] == 1
        assert memory.stats().episodes == 1


def test_a_contradiction_imports_nothing(tmp_path: Path, saved: dict[str, Path]) -> None:
    with open_brain(tmp_path / "to") as memory:
        memory.scope(user="ana").add("Something else altogether.", id="e1")
        before = contents(memory)
        with pytest.raises(ArchiveError, match="contradict each other; nothing imported"):
            memory.import_archive(saved["export"])
        assert contents(memory) == before
        assert not list((memory.folder / "adapters").glob("*"))


def test_saving_goes_on_beside_adding(tmp_path: Path) -> None:
    with open_brain(tmp_path / "from") as memory:
        stop = threading.Event()
        added: list[str] = []

        def add() -> None:
            while not stop.is_set():
                added.append(memory.scope(user="ana").add(f"Note {len(added)} of many.", id=f"n{len(added)}").id)

        adding = threading.Thread(target=add)
        adding.start()
        try:
            wait_until(lambda: len(added) >= 5)
            known = len(added)
            files = [memory.backup(tmp_path / "copy.tar").path, memory.export(tmp_path / "brain.tar").path]
        finally:
            stop.set()
            adding.join()
    for number, file in enumerate(files):
        Memory.restore(file, tmp_path / f"to{number}")
        with open_brain(tmp_path / f"to{number}") as copy:
            assert known <= copy.stats().episodes <= len(added)


def test_an_archive_is_never_replaced_and_is_for_its_owner_alone(tmp_path: Path, saved: dict[str, Path]) -> None:
    with open_brain(tmp_path / "from") as memory, pytest.raises(StoreError, match="exists; name a file"):
        memory.export(saved["export"])
    assert saved["export"].stat().st_mode & 0o077 == 0


def test_a_brain_is_not_restored_over_another(tmp_path: Path, saved: dict[str, Path]) -> None:
    with pytest.raises(StoreError, match="not empty"):
        Memory.restore(saved["export"], tmp_path / "from")
    (tmp_path / "empty").mkdir()
    Memory.restore(saved["export"], tmp_path / "empty")


def test_an_export_holds_no_api_key(tmp_path: Path) -> None:
    with open_brain(tmp_path / "from") as memory:
        memory.scope(user="ana").add("hello")
        memory.export(tmp_path / "brain.tar")
    with tarfile.open(tmp_path / "brain.tar") as tar:
        names = tar.getnames()
    assert "tables/episodes.jsonl" in names
    assert not any("api_key" in name or "lease" in name or "generation" in name for name in names)


def rewrite(archive: Path, change: Callable[[dict[str, bytes]], None], *, honest: bool) -> Path:
    """Write the archive again with changed members; an honest one has a manifest that fits them."""
    import hashlib

    with tarfile.open(archive) as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]  # all are files
    change(members)
    if honest:
        manifest = json.loads(members[MANIFEST])
        manifest["members"] = {n: [len(d), hashlib.sha256(d).hexdigest()] for n, d in members.items() if n != MANIFEST}
        members[MANIFEST] = json.dumps(manifest).encode()
    target = archive.with_name("changed.tar")
    with tarfile.open(target, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return target


def edit(name: str, old: bytes, new: bytes) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        assert old in members[name]
        members[name] = members[name].replace(old, new)

    return change


def put(name: str, data: bytes) -> Callable[[dict[str, bytes]], None]:
    return lambda members: members.update({name: data})


def take(name: str) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        del members[name]

    return change


BAD = [
    ("a changed turn", edit("tables/entries.jsonl", b"vegetarian", b"carnivorous"), False, "not what its manifest says"),
    ("a changed turn with a new manifest", edit("tables/entries.jsonl", b"I'm vegetarian", b"I'm carnivoran"), True, "not whole"),
    ("a member too many", put("tables/more.jsonl", b"{}"), False, "not what its manifest says"),
    ("a table that is none", put("tables/more.jsonl", b"{}\n"), True, "does not have"),
    ("a path upwards", put("../evil", b"x"), True, "names a member '../evil'"),
    ("an absolute path", put("/tmp/evil", b"x"), True, "names a member"),
    ("a path within adapters upwards", put("adapters/../evil", b"x"), True, "names a member"),
    ("a missing table", take("tables/episodes.jsonl"), False, "lacks 1 of its members"),
    ("a missing table with a new manifest", take("tables/episodes.jsonl"), True, "refers to a row"),
    ("a line that is no JSON", put("tables/facts.jsonl", b"{not json\n"), True, "line 1 of facts.jsonl"),
    ("nested JSON", put("tables/facts.jsonl", b"[" * 100_000 + b"\n"), True, "line 1 of facts.jsonl"),
    (
        "an unknown column",
        put("tables/facts.jsonl", b'{"evil); DROP TABLE facts; --": 1}\n'),
        True,
        "columns that the ledger does not know",
    ),
    ("a row that the ledger refuses", put("tables/tombstones.jsonl", b'{"digest": "short", "at": "x", "kind": "y"}\n'), True, "refused"),
    ("no manifest", take(MANIFEST), False, "does not begin with MANIFEST"),
    ("another format", edit(MANIFEST, b"seal-agent archive", b"another's archive!"), False, "says it is"),
    ("two ledgers", put("seal.db", b"x"), True, "no ledger, or two"),
]


@pytest.mark.parametrize(("change", "honest", "said"), [bad[1:] for bad in BAD], ids=[bad[0] for bad in BAD])
def test_what_is_not_as_it_should_be_is_refused_and_nothing_written(
    tmp_path: Path, saved: dict[str, Path], change: Callable[[dict[str, bytes]], None], honest: bool, said: str
) -> None:
    bad = rewrite(saved["export"], change, honest=honest)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ArchiveError, match=said):
        Memory.restore(bad, tmp_path / "to")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_archive_of_a_newer_seal_agent_is_refused(tmp_path: Path, saved: dict[str, Path]) -> None:
    schema = f'"schema": {len(MIGRATIONS)}'.encode()
    for change in (edit(MANIFEST, schema, b'"schema": 999'), edit(MANIFEST, b'"format_version": 1', b'"format_version": 2')):
        with pytest.raises(NewerSchemaError, match="pip install --upgrade"):
            Memory.restore(rewrite(saved["export"], change, honest=False), tmp_path / "to")


def hostile(tmp_path: Path, member: tarfile.TarInfo) -> Path:
    manifest = {
        "format": "seal-agent archive", "format_version": 1, "kind": "export", "schema": 1, "seal_agent": "0", "counts": {},
        "created_at": "2026-01-01T00:00:00+00:00", "members": {"seal.toml": [member.size, "0" * 64]},
    }  # fmt: skip
    data = json.dumps(manifest).encode()
    path = tmp_path / "hostile.tar"
    with tarfile.open(path, "w") as tar:
        head = tarfile.TarInfo(MANIFEST)
        head.size = len(data)
        tar.addfile(head, io.BytesIO(data))
        tar.addfile(member)
    return path


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("seal.toml")
    member.type, member.linkname = kind, "/etc/passwd"
    with pytest.raises(ArchiveError):
        Memory.restore(hostile(tmp_path, member), tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_a_member_larger_than_the_file_is_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("seal.toml")
    member.size = 10**12
    path = hostile(tmp_path, member)
    with pytest.raises(ArchiveError, match="smaller than that"):
        Memory.restore(path, tmp_path / "to")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 a zip", b"\x1f\x8b\x08 gzip", b"x" * 5000])
def test_what_is_no_tar_is_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "brain.tar"
    file.write_bytes(data)
    with pytest.raises(ArchiveError, match="no archive of seal-agent's"):
        Memory.restore(file, tmp_path / "to")


def test_a_truncated_archive_is_refused(tmp_path: Path, saved: dict[str, Path]) -> None:
    data = saved["backup"].read_bytes()
    cut = tmp_path / "cut.tar"
    for share in (0.3, 0.6, 0.9):
        cut.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(ArchiveError):
            Memory.restore(cut, tmp_path / "to")


def test_an_export_of_an_older_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    from seal_agent.archive.rows import load

    tables = tmp_path / "tables"
    tables.mkdir()
    names = ("id", "tenant", "agent", "user", "scope_key", "at", "source", "sha256")
    said = ("e1", "t", "a", "u", "t/a/u", "2026-01-01T00:00:00.000000+00:00", "agent", "0" * 64)
    episode = dict(zip(names, said, strict=True)) | {"session": None, "outcome": None, "extracted_at": None}
    (tables / "episodes.jsonl").write_text(json.dumps(episode) + "\n")
    load(tables, 1, tmp_path / "seal.db")
    with sqlite3.connect(tmp_path / "seal.db") as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
        assert connection.execute("SELECT id, metadata FROM episodes").fetchall() == [("e1", None)]
    connection.close()
