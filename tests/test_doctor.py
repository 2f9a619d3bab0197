"""The doctor names what is wrong and the way out, and changes nothing."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from seal_agent import doctor
from seal_agent.config import GateSettings, Settings
from seal_agent.doctor import Finding, examine_machine, file_system_of
from seal_agent.errors import VectorIndexError
from seal_agent.ledger.generations import begin_generation, make_current
from seal_agent.memory import Memory
from tests.brains import BrokenEmbedder, learn, open_brain

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:35 / /srv rw,relatime shared:5 master:2 - nfs4 server:/export rw
41 40 8:2 / /srv/local\\040disk rw - xfs /dev/sdb1 rw
"""


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with open_brain(tmp_path / "brain") as opened:
        yield opened


def named(findings: list[Finding], name: str) -> Finding:
    return next(finding for finding in findings if finding.name == name)


def test_a_healthy_brain_has_no_findings(memory: Memory) -> None:
    memory.scope(user="ana").add("Hello")
    learn(memory, memory.scope(user="ana"), {"Tea?": "yes"})
    findings = memory.doctor()
    assert [finding for finding in findings if not finding.ok] == []
    assert {finding.exit_code for finding in findings} == {0}
    assert [finding.name for finding in findings] == [
        "versions", "folder", "disk", "file system", "settings",
        "ledger", "lexical index", "embeddings", "index", "model", "embedder", "adapters",
    ]  # fmt: skip


def test_a_damaged_live_adapter_is_an_integrity_problem(memory: Memory) -> None:
    adapter = learn(memory, memory.scope(user="ana"), {"Tea?": "yes"})
    (memory.folder / adapter.path / "adapter_config.json").write_text("{}")
    found = named(memory.doctor(), "adapters")
    assert (found.level, found.exit_code) == ("problem", 4)
    assert adapter.name in found.text
    assert "rollback" in found.way_out


def test_texts_that_wait_for_vectors_are_counted(tmp_path: Path) -> None:
    with open_brain(tmp_path, embedder=BrokenEmbedder()) as memory:
        memory.scope(user="ana").add("Hello")
        found = named(memory.doctor(), "embeddings")
    assert (found.level, found.text.split()[0]) == ("warning", "1")


def test_weights_that_would_have_to_be_downloaded_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEAL_CACHE", str(tmp_path / "cache"))
    with open_brain(tmp_path / "brain", model=None, embedder=None) as memory:
        learn(memory, memory.scope(user="ana"), {"Tea?": "yes"})
        findings = memory.doctor()
    assert [named(findings, name).level for name in ("model", "embedder", "adapters")] == ["warning"] * 3
    assert not (tmp_path / "cache").exists()


def test_a_local_folder_without_weights_is_a_warning(tmp_path: Path) -> None:
    with open_brain(tmp_path / "brain", model=None, settings=Settings.load(None, model={"id": str(tmp_path)})) as memory:
        assert "no config.json" in named(memory.doctor(), "model").text


def test_an_index_that_is_gone_is_a_warning(memory: Memory) -> None:
    with memory._parts.ledger.write() as conn:
        make_current(conn, begin_generation(conn, "hash-64").number, {})
    assert named(memory.doctor(), "index").level == "warning"


def test_an_index_that_fails_its_probe_is_a_warning(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: Path, expected: object, should_stop: object) -> None:
        raise VectorIndexError(f"{folder} failed its probe: torn.")

    with memory._parts.ledger.write() as conn:
        generation = begin_generation(conn, "hash-64")
        make_current(conn, generation.number, {})
    (memory.folder / generation.path).mkdir(parents=True)
    monkeypatch.setattr(doctor, "probe", fail)
    found = named(memory.doctor(), "index")
    assert (found.level, "torn" in found.text, "--repair" in found.way_out) == ("warning", True, True)
    monkeypatch.setattr(doctor, "probe", lambda *_: None)
    assert named(memory.doctor(), "index").text.endswith("of 0 scopes is whole")


def test_a_damaged_ledger_is_an_integrity_problem(tmp_path: Path) -> None:
    with open_brain(tmp_path) as memory:
        for number in range(200):
            memory.scope(user="ana").add(f"message {number} " + "x" * 500)
    with sqlite3.connect(tmp_path / "seal.db") as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'episodes_by_scope'").fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    with (tmp_path / "seal.db").open("r+b") as database:
        database.seek((page - 1) * size + 100)
        database.write(b"\xff" * (size - 200))
    with open_brain(tmp_path) as memory:
        found = doctor.examine_ledger(memory._parts)
    assert (found.level, found.exit_code) == ("problem", 4)
    assert "backup" in found.way_out


def test_broken_settings_are_a_problem(tmp_path: Path) -> None:
    (tmp_path / "seal.toml").write_text("[gate]\nmin_gian = 0.2\n")
    found = named(examine_machine(tmp_path), "settings")
    assert (found.level, found.exit_code) == ("problem", 2)
    assert "min_gian" in found.text


@pytest.mark.parametrize(
    ("mode", "text", "level"),
    [
        (0o644, '[server]\nupstream_key = "sk-1"\n', "warning"),
        (0o640, '[server]\nupstream_key = "sk-1"\n', "warning"),
        (0o600, '[server]\nupstream_key = "sk-1"\n', "ok"),
        (0o644, "[server]\nport = 1\n", "ok"),
    ],
)
def test_a_settings_file_with_a_key_that_others_may_read_is_a_warning(tmp_path: Path, mode: int, text: str, level: str) -> None:
    (tmp_path / "seal.toml").write_text(text)
    (tmp_path / "seal.toml").chmod(mode)
    found = named(examine_machine(tmp_path), "settings")
    assert found.level == level
    assert "sk-1" not in found.text


@pytest.mark.parametrize(
    "lax",
    [
        {"min_gain": 0.0},
        {"max_general_drop": 1.0},
        {"max_retention_drop": 0.9},
        {"max_perplexity_ratio": 1e9},
        {"max_kl": 99.0},
        {"max_probe_drop": 1.0},
        {"max_context_drop": 1.0},
        {"intruder_facts": 0},
    ],
    ids=str,
)
def test_a_gate_that_lets_anything_pass_is_a_warning(lax: dict[str, float]) -> None:
    assert doctor.lax_thresholds(GateSettings.model_validate(lax))[0].startswith(next(iter(lax)))
    assert doctor.lax_thresholds(GateSettings()) == []


def test_a_file_in_place_of_the_folder_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "brain").write_text("")
    assert named(examine_machine(tmp_path / "brain"), "folder").level == "problem"


def test_a_folder_that_does_not_exist_yet_is_judged_by_its_parent(tmp_path: Path) -> None:
    assert named(examine_machine(tmp_path / "a" / "b"), "folder").ok
    assert list(tmp_path.iterdir()) == []


def test_little_room_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_FREE", 10**18)
    assert named(examine_machine(tmp_path), "disk").level == "warning"


def test_a_missing_package_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ("torch", "no-such-package"))
    found = named(examine_machine(tmp_path), "versions")
    assert (found.exit_code, found.text) == (2, "not installed: no-such-package")


@pytest.mark.parametrize(
    ("path", "kind"), [("/home/ana", "ext4"), ("/srv/brain", "nfs4"), ("/srv/local disk/brain", "xfs"), ("/srvx", "ext4")]
)
def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path, path: str, kind: str) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    assert file_system_of(Path(path), tmp_path / "mountinfo") == kind


def test_a_network_file_system_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "file_system_of", lambda _: "nfs4")
    assert named(examine_machine(tmp_path), "file system").level == "warning"


def test_where_the_system_does_not_tell_the_file_system_is_taken_for_local(tmp_path: Path) -> None:
    assert file_system_of(tmp_path, tmp_path / "absent") is None
