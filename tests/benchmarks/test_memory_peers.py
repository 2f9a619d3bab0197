"""The load that peers and we are measured under: what is added, what is asked, how it is counted, without any peer."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from benchmarks import memory_peers
from benchmarks.memory_peer import Turn, ask, fill
from benchmarks.memory_peers import FIGURES, label, others, questions_of, summary, turns_of
from seal_agent.bench.locomo import read_locomo

SAID = [{"speaker": "Ana", "dia_id": "D1:1", "text": "I sail."}, {"speaker": "Ben", "dia_id": "D1:2", "text": "Where?"}]
LOCOMO = {
    "conversation": {"speaker_a": "Ana", "speaker_b": "Ben", "session_1_date_time": "1:56 pm on 8 May, 2023", "session_1": SAID},
    "qa": [{"question": "Who sails?", "answer": "Ana", "evidence": ["D1:1"], "category": 4}],
    "observation": {"session_1_observation": {"Ana": [["Ana sails.", "D1:1"]]}},
    "session_summary": {"session_1_summary": "They talk. Ana sails. Ben asks."},
}


class FakeStore:
    """Finds what holds the query's first word; has batches or not."""

    def __init__(self, batches: bool) -> None:
        self.calls: list[int] = []
        self.turns: list[Turn] = []
        self.add_batch: Callable[[Sequence[Turn]], object] | None = self._add_batch if batches else None

    def add(self, turn: Turn) -> None:
        self._add_batch([turn])

    def _add_batch(self, turns: Sequence[Turn]) -> None:
        self.calls.append(len(turns))
        self.turns += turns

    def search(self, user: str, query: str) -> list[str]:
        return [turn["id"] for turn in self.turns if turn["user"] == user and query.split()[0] in turn["text"]]

    def close(self) -> None:
        pass


def some(count: int) -> list[Turn]:
    return [{"id": f"t{number}", "user": "u", "text": f"word{number} more"} for number in range(count)]


def test_the_first_turns_go_one_by_one_and_the_others_in_batches_where_there_is_a_call_for_them(tmp_path: Path) -> None:
    batched, single = FakeStore(True), FakeStore(False)
    for store in (batched, single):
        done = fill(store, some(1250), 150, tmp_path / f"{store is single}.json", time.monotonic() + 60)
        assert [turn["id"] for turn in store.turns] == [f"t{number}" for number in range(1250)]
        assert done["singles"] + done["batched"] == done["turns"] == 1250
    assert batched.calls == [1] * 150 + [1000, 100]
    assert single.calls == [1] * 1250


def test_a_load_that_ran_out_of_time_is_gone_on_with_where_it_stopped(tmp_path: Path) -> None:
    store, progress = FakeStore(False), tmp_path / "progress.json"
    assert fill(store, some(250), 0, progress, time.monotonic() - 1)["turns"] == 0
    progress.write_text(json.dumps({"turns": 200, "singles": 200, "single_s": 2.0, "batched": 0, "batch_s": 0.0}))
    done = fill(store, some(250), 0, progress, time.monotonic() + 60)
    assert (store.turns[0]["id"], len(store.turns)) == ("t200", 50)
    assert (done["singles"], done["single_s"] > 2.0) == (250, True)


def test_recall_is_the_share_of_the_evidence_among_what_is_found() -> None:
    store = FakeStore(True)
    store.turns = some(3)
    found = [{"user": "u", "text": "word1 ?", "evidence": ["t1", "t2"]}, {"user": "nobody", "text": "word1", "evidence": ["t1"]}]
    seconds, recalls = ask(store, found)
    assert (len(seconds), recalls) == (2, [0.5, 0.0])


def test_conversations_are_users_and_what_is_written_about_them_is_others(tmp_path: Path) -> None:
    file = tmp_path / "locomo.json"
    file.write_text(json.dumps([LOCOMO]))
    conversations = read_locomo(file)
    turns = list(turns_of(conversations))
    assert [(turn["user"], turn["id"], turn["role"], turn["text"]) for turn in turns] == [
        ("locomo-0", "0-0-0", "user", "I sail."),
        ("locomo-0", "0-0-1", "assistant", "Where?"),
    ]
    assert label(turns[0]) == "[8 May 2023] Ana: I sail."
    assert conversations[0].sessions[0].at is not None
    assert [turn["text"] for turn in others(file, conversations[0].sessions[0].at)] == ["Ana sails.", "They talk.", "Ben asks."]
    asked = questions_of(conversations, {turn["id"] for turn in turns}, 1, 0)
    assert asked == [{"user": "locomo-0", "text": "Who sails?", "evidence": ["0-0-0"]}]
    assert questions_of(conversations, {"0-0-1"}, 1, 0) == []


def test_medians_and_spread_are_over_the_trials_and_what_a_system_lacks_stays_none() -> None:
    trial: dict[str, float | None] = {**dict.fromkeys(FIGURES, 2.0), "batch_add_per_s": None}
    trials = [trial | {"add_per_s": rate} for rate in (10.0, 12.0, 20.0)]
    medians, spread = summary(trials)
    assert (medians["add_per_s"], spread["add_per_s"]) == (12.0, 0.833)
    assert (medians["batch_add_per_s"], spread["batch_add_per_s"]) == (None, None)


def test_trials_are_run_in_portions_each_in_a_folder_of_its_own_and_none_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[str] = []

    def run(system: str, python: Path, work: Path, folder: Path, limits: tuple[int, float]) -> dict[str, object]:
        runs.append(folder.name)
        turns = 10 if system == "seal_agent" or runs.count(folder.name) > 1 else 4
        return {**dict.fromkeys(FIGURES, float(len(runs))), "batch_add_per_s": None, "turns": turns}

    monkeypatch.setattr(memory_peers, "run", run)
    monkeypatch.setattr(memory_peers, "prepare", lambda *_, **__: (10, 2))
    monkeypatch.setattr(memory_peers, "environment", lambda folder: folder / "python")
    monkeypatch.setattr(memory_peers, "bare_commits", lambda _: 100.0)
    command = ["--data", "x.json", "--systems", "seal_agent,mem0", "--trials", "2", "--folder", str(tmp_path), "--minutes", "1", "--json"]
    assert [memory_peers.main(command) for _ in range(3)] == [2, 2, 0]
    assert runs == ["seal_agent-0", "mem0-0", "mem0-0", "seal_agent-1", "mem0-1", "mem0-1"]
    assert memory_peers.main(command) == 0
    assert len(runs) == 6, "what is whole is not run again"
    assert memory_peers.main([*command, "--seed", "1"]) == 2, "other questions need another folder"


def test_two_trials_have_medians_and_a_spread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rates = iter((10.0, 20.0))
    monkeypatch.setattr(memory_peers, "run", lambda *_: {**dict.fromkeys(FIGURES, next(rates)), "turns": 10})
    monkeypatch.setattr(memory_peers, "prepare", lambda *_, **__: (10, 2))
    monkeypatch.setattr(memory_peers, "environment", lambda folder: folder)
    monkeypatch.setattr(memory_peers, "bare_commits", lambda _: 100.0)
    assert memory_peers.main(["--data", "x.json", "--systems", "mem0", "--trials", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["mem0"]["add_per_s"], told["spread"]["mem0"]["add_per_s"], told["trials"]) == (15.0, 0.667, 2)
