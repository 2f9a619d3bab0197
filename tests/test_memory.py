"""Memory opens what is there, says what it can't open, and lets go of everything."""

import multiprocessing
import os
import subprocess
import sys
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import pytest

from seal_agent.adapters.artefact import new_stage
from seal_agent.config import Settings
from seal_agent.errors import InvalidScopeError, NewerSchemaError, SettingsError, StoreError, StoreLockedError, UsageError
from seal_agent.memory import Memory
from seal_agent.testing import HashEmbedder, ScriptedModel
from seal_agent.types import ScopeId
from tests.brains import learn, open_brain
from tests.waiting import LONG


def test_what_a_killed_publication_left_is_removed_at_the_next_opening(tmp_path: Path) -> None:
    with open_brain(tmp_path):
        pass
    stage = new_stage(tmp_path / "adapters")
    stage.mkdir(parents=True, exist_ok=True)
    (stage / "adapter_model.safetensors").write_bytes(b"half")
    with open_brain(tmp_path):
        assert not stage.exists()


def test_opening_makes_the_folder_and_opening_again_finds_everything(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "brain"
    with open_brain(folder) as memory:
        memory.scope(user="ana").add("Hello")
    with open_brain(folder) as memory:
        assert memory.scopes() == [ScopeId(user="ana")]
        assert memory.scope(user="ana").search("hello")[0].text == "Hello"


def test_an_empty_name_makes_no_brain_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="names no folder"):
        Memory.open("")
    assert list(tmp_path.iterdir()) == []


def test_settings_come_from_the_folders_file(tmp_path: Path) -> None:
    (tmp_path / "seal.toml").write_text("[retrieval]\nk = 1\n")
    with open_brain(tmp_path) as memory:
        ana = memory.scope(user="ana")
        ana.add("one parcel")
        ana.add("two parcels, one parcel")
        assert len(ana.search("parcel")) == 1


def test_settings_that_are_passed_win_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "seal.toml").write_text("[retrieval]\nk = 1\n")
    with open_brain(tmp_path, settings=Settings.load(None, retrieval={"k": 3})) as memory:
        assert memory.settings.retrieval.k == 3


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"[gate]\nmin_gian = 0.2\n", "min_gian"),
        (b"[gate]\nmin_gain = nan\n", "min_gain"),
        (b"[gate]\nmin_gain = -1\n", "min_gain"),
        (b"[gate]\nmax_perplexity_ratio = inf\n", "max_perplexity_ratio"),
        (b"[gate\n", "seal.toml"),
        (b"\xff\xfe", "seal.toml"),
        (b"gate = 3\n", "gate"),
        (b'[nights]\nwindow = "99:99-05:00"\n', "window"),
        (b'[nights]\nwindow = "* * * * *"\n', "window"),
        (b'[nights]\nwindow = "0 0 30 2 *"\n', "window"),
        (b'[nights]\ntime_zone = "Mars/X"\n', "time_zone"),
        (b'[nights]\ntime_zone = "../../etc/passwd"\n', "time_zone"),
        (b"[nights]\nshedule = 1\n", "shedule"),
        (b"[self_edit]\nmax_documents_per_fact = 2\n", "below min_documents_per_fact=4"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_broken_settings_are_named_and_no_brain_is_made(tmp_path: Path, text: bytes, why: str) -> None:
    (tmp_path / "seal.toml").write_bytes(text)
    with pytest.raises(SettingsError, match=why):
        open_brain(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["seal.toml"]


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("SEAL_NIGHTS__WINDOW", "01:00-05:00\n", "window"),
        ("SEAL_GATE__MAX_KL", "nan", "max_kl"),
        ("SEAL_TRAINING__RANK", "8\nSEAL_GATE__MAX_KL=9", "rank"),
        ("SEAL_NIGHTS__TIME_ZONE", "Mars/X", "time_zone"),
    ],
)
def test_a_broken_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, why: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=why):
        Settings.load(None)


def test_a_settings_file_that_is_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "seal.toml").mkdir()
    with pytest.raises(SettingsError, match=r"seal\.toml"):
        open_brain(tmp_path)


def hold(folder: Path, pipe: Pipe) -> None:
    with open_brain(folder):
        pipe.send(os.getpid())
        pipe.recv()


def test_a_second_process_is_told_who_has_the_brain(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=hold, args=(tmp_path, theirs))
    process.start()
    try:
        owner = ours.recv()
        with pytest.raises(StoreLockedError, match=str(owner)):
            open_brain(tmp_path)
    finally:
        ours.send("done")
        process.join(LONG)
    open_brain(tmp_path).close()


def test_a_second_opening_in_the_same_process_is_refused_too(tmp_path: Path) -> None:
    with open_brain(tmp_path), pytest.raises(StoreLockedError):
        open_brain(tmp_path)


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "brain").write_text("not a folder")
    with pytest.raises(StoreError, match="brain"):
        open_brain(tmp_path / "brain")


def test_a_brain_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    import sqlite3

    open_brain(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "seal.db")
    connection.execute("PRAGMA user_version=999")
    connection.close()
    with pytest.raises(NewerSchemaError, match="pip install --upgrade"):
        open_brain(tmp_path)


def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    memory = open_brain(tmp_path)
    memory.scope().remember("I live in Porto.")
    memory.close()
    memory.close()
    with open_brain(tmp_path) as again:
        assert [fact.quote for fact in again.scope().facts()] == ["I live in Porto."]


def test_a_closed_brain_says_so(tmp_path: Path) -> None:
    memory = open_brain(tmp_path)
    memory.close()
    for use in (memory.scope, memory.scopes, memory.stats, memory.doctor):
        with pytest.raises(StoreError, match="closed"):
            use()


def test_an_error_in_the_with_block_closes_too(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), open_brain(tmp_path):
        _ = 1 / 0
    open_brain(tmp_path).close()


@pytest.mark.parametrize(
    "ids", [{"tenant": ""}, {"tenant": "../x"}, {"user": "a\0b"}, {"user": "\uff41"}, {"agent": "x" * 300}, {"user": "a/b"}], ids=str
)
def test_an_id_that_can_not_be_a_scope_is_refused(tmp_path: Path, ids: dict[str, str]) -> None:
    with open_brain(tmp_path) as memory, pytest.raises(InvalidScopeError):
        memory.scope(**ids)


def test_the_counts_are_over_all_scopes(tmp_path: Path) -> None:
    with open_brain(tmp_path) as memory:
        ana, ben = memory.scope(user="ana"), memory.scope(user="ben")
        ana.add("Hello")
        tea = ben.remember("Ben drinks tea.")
        ben.remember("Ben sails.")
        learn(memory, ben, {"Tea?": "yes"}, facts=[tea])
        stats = memory.stats()
    assert (stats.scopes, stats.episodes, stats.facts, stats.adapters, stats.live, stats.cycles, stats.not_embedded) == (
        2,
        1,
        {"learned": 1, "active": 1},
        1,
        1,
        1,
        0,
    )


def test_a_model_that_only_answers_can_not_be_trained_without_a_trainer(tmp_path: Path) -> None:
    with Memory.open(tmp_path, model=ScriptedModel({}), embedder=HashEmbedder()) as memory:
        memory.scope(user="ana").add("I'm vegetarian.")
        with pytest.raises(UsageError, match="pass trainer="):
            memory.scope(user="ana").consolidate()


def test_opening_and_adding_with_fakes_loads_no_backend(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.brains import open_brain; m = open_brain(Path(sys.argv[1]));"
        "s = m.scope(user='ana'); s.add('Hello'); s.search('hello'); s.ask('hello?'); m.doctor(); m.close();"
        "print(sorted({'torch', 'transformers', 'peft', 'chromadb'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
