"""Many interactions at once: all or nothing, in order, once each."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from seal_agent.errors import InvalidTurnError, UsageError
from seal_agent.memory import Memory
from seal_agent.protocols import Vectors
from seal_agent.types import Interaction, MetadataValue
from tests.brains import START, BrokenEmbedder, open_brain


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with open_brain(tmp_path / "brain") as opened:
        yield opened


def test_many_interactions_are_recorded_in_order_and_found(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    given = [Interaction(messages=f"note number{n}", session="s1", at=START, id=f"m-{n}") for n in range(5)]
    recorded = ana.add_many([*given, "a bare string", [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]])
    assert [episode.id for episode in recorded[:5]] == [f"m-{n}" for n in range(5)]
    assert [len(episode.turns) for episode in recorded] == [1, 1, 1, 1, 1, 1, 2]
    assert ana.search("number3")[0].episode_id == "m-3"
    assert memory.stats().not_embedded == 0


def test_many_interactions_are_embedded_in_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = BrokenEmbedder()
    embedder.broken = False
    calls: list[int] = []
    embed = embedder.embed

    def counted(texts: Sequence[str]) -> Vectors:
        calls.append(len(texts))
        return embed(texts)

    monkeypatch.setattr(embedder, "embed", counted)
    with open_brain(tmp_path / "brain", embedder=embedder) as memory:
        memory.scope(user="ana").add_many([f"note {n}" for n in range(50)])
    assert calls == [50]


@pytest.mark.parametrize(
    "bad", [Interaction(messages=""), Interaction(messages="fine", id="x" * 129), Interaction(messages="taken", id="m-1"), []], ids=str
)
def test_one_bad_interaction_and_nothing_is_written(memory: Memory, bad: Any) -> None:
    ana = memory.scope(user="ana")
    ana.add("Hello", id="m-1")
    with pytest.raises(InvalidTurnError):
        ana.add_many(["good", bad, "also good"])
    assert memory.stats().episodes == 1


def test_an_error_says_which_interaction(memory: Memory) -> None:
    with pytest.raises(InvalidTurnError, match=r"Interaction 2: .*Nothing was recorded"):
        memory.scope(user="ana").add_many(["one", "two", " "])


@pytest.mark.parametrize("given", ["a string", Interaction(messages="x"), None, {"role": "user", "content": "x"}], ids=str)
def test_what_is_no_list_is_refused(memory: Memory, given: Any) -> None:
    with pytest.raises(UsageError, match="add_many"):
        memory.scope(user="ana").add_many(given)


def test_no_interactions_are_no_work(memory: Memory) -> None:
    assert memory.scope(user="ana").add_many([]) == []


def test_the_same_ids_again_change_nothing_within_a_batch_and_between_batches(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    batch = [Interaction(messages="Hello", id="m-1", at=START), Interaction(messages="Hello", id="m-1", at=START)]
    first = ana.add_many(batch)
    assert first[0] == first[1]
    assert ana.add_many([Interaction(messages="Hello", id="m-1", at=datetime(2030, 1, 1, tzinfo=UTC))]) == first[:1]
    assert memory.stats().episodes == 1


def test_metadata_is_kept_and_part_of_what_makes_two_episodes_the_same(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    notes: dict[str, MetadataValue] = {"channel": "email", "stars": 4, "paid": True, "score": 0.5}
    episode = ana.add("Hello", id="m-1", metadata=notes, at=START)
    assert ana.add("Hello", id="m-1", metadata=dict(reversed(notes.items()))).metadata == episode.metadata == notes
    with pytest.raises(InvalidTurnError, match="taken"):
        ana.add("Hello", id="m-1", metadata={"channel": "phone"})


@pytest.mark.parametrize(
    "metadata",
    [{"": 1}, {"a b": 1}, {'a"b': 1}, {"session": "x"}, {"n": None}, {"n": [1]}, {"n": float("nan")}, {"n": 2**60}, {"n": "\0"},
     {f"k{n}": n for n in range(33)}, "text", {1: 2}],
    ids=str,
)  # fmt: skip
def test_metadata_that_can_not_be_filtered_by_is_refused(memory: Memory, metadata: Any) -> None:
    with pytest.raises(InvalidTurnError, match="metadata"):
        memory.scope(user="ana").add("Hello", metadata=metadata)
    assert memory.stats().episodes == 0


def test_what_was_recalled_is_not_recorded_again(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    ana.add("I'm vegetarian.")
    block = ana.context("what may she eat?").text
    assert "vegetarian" in block
    prompt = [{"role": "system", "content": block}, {"role": "user", "content": f"{block}\nA dinner idea?"}]
    episode = ana.add([*prompt, {"role": "assistant", "content": "Lentils."}])
    assert [turn.content.strip() for turn in episode.turns] == ["A dinner idea?", "Lentils."]
    with pytest.raises(InvalidTurnError, match="nothing but recalled"):
        ana.add(block)
    assert memory.stats().episodes == 2
