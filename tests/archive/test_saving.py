"""What is saved can be restored, whatever became of an adapter's files; and an export holds no key."""

import json
import resource
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from seal_agent.adapters.artefact import remove
from seal_agent.adapters.manifest import WEIGHTS
from seal_agent.archive.saving import save
from seal_agent.cli import main
from seal_agent.errors import StoreError, StoreFullError, TargetExistsError, UsageError
from seal_agent.ledger.ledger import Ledger
from seal_agent.memory import Memory
from tests.brains import START, learn, open_brain

ASKED = "What may Ana eat?"


def damage(folder: Path) -> None:
    weights = folder / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")


SPOILT = [
    pytest.param("export", damage, id="exported, damaged"),
    pytest.param("export", remove, id="exported, gone", marks=pytest.mark.slow),
    pytest.param("backup", damage, id="backed up, damaged", marks=pytest.mark.slow),
    pytest.param("backup", remove, id="backed up, gone", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("kind", "spoil"), SPOILT)
def test_a_spoilt_live_adapter_makes_no_archive_that_can_not_be_restored(
    tmp_path: Path, kind: str, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    with open_brain(tmp_path / "from") as memory:
        ana = memory.scope(user="ana")
        fact = ana.remember("Ana is vegetarian.", kind="preference")
        whole = learn(memory, ana, {ASKED: "No meat."}, facts=[fact])
        spoilt = learn(memory, ana, {ASKED: "No fish."}, facts=[fact])
        spoil(memory.folder / spoilt.path)
        report = getattr(memory, kind)(tmp_path / "brain.tar")
    assert report.left_out == (spoilt.name,)
    Memory.restore(tmp_path / "brain.tar", tmp_path / "to")
    assert f"{whole.name} answers instead" in caplog.text
    with open_brain(tmp_path / "to") as restored, open_brain(tmp_path / "imported") as imported:
        imported.import_archive(tmp_path / "brain.tar")
        for memory in (restored, imported):
            ana = memory.scope(user="ana")
            assert ana.ask(ASKED, use="weights").text == "No meat."
            assert [(known.state, known.learned_by) for known in ana.facts()] == [("learned", whole.name)]


@pytest.mark.slow
def test_without_any_adapter_that_is_whole_the_base_answers_and_the_facts_are_to_be_learnt(tmp_path: Path) -> None:
    with open_brain(tmp_path / "from") as memory:
        ana = memory.scope(user="ana")
        only = learn(memory, ana, {ASKED: "No meat."}, facts=[ana.remember("Ana is vegetarian.", kind="preference")])
        remove(memory.folder / only.path)
        memory.backup(tmp_path / "brain.tar")
    Memory.restore(tmp_path / "brain.tar", tmp_path / "to")
    with open_brain(tmp_path / "to") as memory:
        ana = memory.scope(user="ana")
        assert ana.adapters.live is None
        assert [fact.state for fact in ana.facts()] == ["active"]
        assert memory.doctor()[-1].text == "none is live; the base answers"


SECRET = "sk-upstream-0123456789"
WITH_KEY = [
    pytest.param(f'[server]\nupstream_key = "{SECRET}"\nport = 9000\n', 9000, id="section"),
    pytest.param(f'server.upstream_key = "{SECRET}"\nserver.port = 9000\n', 9000, id="dotted", marks=pytest.mark.slow),
    pytest.param(f'[server]\nport = 9000\nupstream_key = """\n{SECRET}"""\n', 8848, id="over two lines"),
    pytest.param(f'server = {{port = 9000, "upstream_key" = "{SECRET}"}}\n', 8848, id="inline", marks=pytest.mark.slow),
]
"""Settings with a key, and the port after a restore: the whole file stays behind where the key can't be cut out of it."""


@pytest.mark.parametrize(("settings", "port"), WITH_KEY)
def test_an_export_holds_no_key_of_the_upstream_and_a_backup_does(tmp_path: Path, settings: str, port: int) -> None:
    brain = tmp_path / "from"
    with Ledger.open(brain) as ledger:
        (brain / "seal.toml").write_text(settings)
        for kind in ("export", "backup"):
            save(ledger, tmp_path / f"{kind}.tar", kind, at=START, version="0")
    assert SECRET.encode() not in (tmp_path / "export.tar").read_bytes()
    assert SECRET.encode() in (tmp_path / "backup.tar").read_bytes()
    Memory.restore(tmp_path / "export.tar", tmp_path / "to")
    with open_brain(tmp_path / "to") as memory:
        assert (memory.settings.server.port, memory.settings.server.upstream_key.get_secret_value()) == (port, "")


def test_a_file_that_goes_while_it_is_saved_is_named_and_no_archive_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_brain(tmp_path / "from") as memory:
        only = learn(memory, memory.scope(user="ana"), {ASKED: "No meat."})

        def whole_and_gone(folder: Path, adapter: object) -> bool:
            remove(folder)
            return True

        monkeypatch.setattr("seal_agent.archive.saving._has_its_weights", whole_and_gone)
        with pytest.raises(StoreError, match=rf"{only.name}.*save again"):
            memory.backup(tmp_path / "brain.tar")
    assert [path.name for path in tmp_path.iterdir()] == ["from"]


def test_wrong_names_are_wrong_usage_and_make_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_brain(tmp_path / "from") as memory:
        taken = memory.export(tmp_path / "brain.tar").path
        with pytest.raises(TargetExistsError):
            memory.export(taken)
        with pytest.raises(UsageError, match="no archive"):
            memory.import_archive(tmp_path / "absent.tar")
    before = sorted(tmp_path.rglob("*"))
    for wrong in (["import", "absent.tar"], ["import", str(tmp_path)], ["restore", "absent.tar"]):
        capsys.readouterr()
        assert main([*wrong, "--brain", str(tmp_path / "new"), "--json"]) == UsageError.exit_code
        assert json.loads(capsys.readouterr().out)["error"]["type"] == "UsageError"
    assert main(["restore", str(taken), "--brain", str(tmp_path / "from")]) == UsageError.exit_code
    assert sorted(tmp_path.rglob("*")) == before
    with tarfile.open(taken) as tar:
        assert tar.getnames()


@contextmanager
def full_disk() -> Iterator[None]:
    """No file grows beyond a few bytes; Python ignores the signal, so that writing fails as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_told_as_that_and_leaves_everything_as_it_was(tmp_path: Path) -> None:
    with open_brain(tmp_path / "from") as memory:
        ana = memory.scope(user="ana")
        fact = ana.remember("Ana is vegetarian.", kind="preference")
        adapter = learn(memory, ana, {ASKED: "No meat."}, facts=[fact])
        for write in (
            lambda: memory.backup(tmp_path / "brain.tar"),
            lambda: memory.export(tmp_path / "brain.tar"),
            lambda: ana.adapters.export(adapter.name, tmp_path / "out"),
            lambda: ana.forget(fact.id, dry_run=True),
            lambda: ana.forget(fact.id),
        ):
            with full_disk(), pytest.raises(StoreFullError):
                write()
        assert [path.name for path in tmp_path.iterdir() if path.name != "out" or any(path.iterdir())] == ["from"]
        assert [known.state for known in ana.facts()] == ["learned"]
        assert ana.forget(fact.id).proven
