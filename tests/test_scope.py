"""A scope records, finds, tells and answers, for itself and for nobody else."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from seal_agent.config import Settings
from seal_agent.errors import EmbeddingError, InvalidTurnError, StoreError, UsageError
from seal_agent.memory import Memory
from seal_agent.testing import HashEmbedder, ScriptedModel
from seal_agent.types import FactKind, ScopeId
from tests.brains import START, BrokenEmbedder, learn, open_brain
from tests.test_turns import MALFORMED


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with open_brain(tmp_path / "brain", {"capital of France": "Paris", "vegetarian[^?]*cook": "lentils"}) as opened:
        yield opened


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[tuple[Memory, BrokenEmbedder]]:
    embedder = BrokenEmbedder()
    with open_brain(tmp_path / "brain", embedder=embedder) as opened:
        yield opened, embedder


def episodes(memory: Memory) -> int:
    return memory.stats().episodes


def test_what_is_added_is_found_at_once_and_word_for_word(memory: Memory) -> None:
    ana = memory.scope(user="ana", agent="support")
    turns = [{"role": "user", "content": "  I'm vegetarian. "}, {"role": "assistant", "content": "Noted!"}]
    episode = ana.add(turns, session="s1", outcome="solved")
    found = ana.search("vegetarian")[0]
    assert (found.text, found.episode_id, found.role) == ("  I'm vegetarian. ", episode.id, "user")
    assert (episode.session, episode.outcome, episode.scope) == ("s1", "solved", ScopeId(user="ana", agent="support"))


@pytest.mark.parametrize(("messages", "why"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_interaction_writes_nothing(memory: Memory, messages: Any, why: str) -> None:
    with pytest.raises(InvalidTurnError, match=why):
        memory.scope(user="ana").add(messages)
    assert episodes(memory) == 0


@pytest.mark.parametrize(
    "labels",
    [
        {"session": ""},
        {"session": 3},
        {"source": " "},
        {"outcome": "\0"},
        {"id": ""},
        {"id": "x" * 129},
        {"at": datetime(2026, 1, 1)},
        {"at": "now"},
    ],
    ids=str,
)
def test_a_malformed_label_writes_nothing(memory: Memory, labels: dict[str, Any]) -> None:
    with pytest.raises(InvalidTurnError):
        memory.scope(user="ana").add("Hello", **labels)
    assert episodes(memory) == 0


def test_the_same_id_again_changes_nothing_and_returns_what_is_there(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    first = ana.add("Hello", id="m-1", at=START)
    assert ana.add("Hello", id="m-1", at=datetime(2030, 1, 1, tzinfo=UTC)) == first
    assert episodes(memory) == 1


def test_an_id_that_is_taken_by_other_words_is_refused(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    ana.add("Hello", id="m-1")
    with pytest.raises(InvalidTurnError, match="taken"):
        ana.add("Goodbye", id="m-1")
    assert [hit.text for hit in ana.search("Hello")] == ["Hello"]


def test_the_same_words_without_an_id_are_two_episodes(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    assert ana.add("Hello").id != ana.add("Hello").id


def test_one_user_never_sees_another_but_both_see_what_is_shared(memory: Memory) -> None:
    memory.scope(user="ana").add("Ana's secret parcel")
    memory.scope(user="ben").add("Ben's secret parcel")
    memory.scope().add("Every parcel ships on Monday")
    texts = {hit.text for hit in memory.scope(user="ana").search("parcel")}
    assert texts == {"Ana's secret parcel", "Every parcel ships on Monday"}
    assert "Ben" not in memory.scope(user="ana").context("secret parcel").text


def test_a_scope_can_not_be_pointed_elsewhere(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    for name in ("id", "user", "parts"):
        with pytest.raises(AttributeError):
            setattr(ana, name, ScopeId(user="ben"))


def test_words_survive_an_embedder_that_fails_and_are_embedded_later(
    broken: tuple[Memory, BrokenEmbedder], caplog: pytest.LogCaptureFixture
) -> None:
    memory, embedder = broken
    ana = memory.scope(user="ana")
    ana.add("I take the early train to Leeds")
    fact = ana.remember("Ana lives in Leeds.")
    assert memory.stats().not_embedded == 2
    assert "on fire" in caplog.text
    assert {hit.text for hit in ana.search("Leeds train")} == {"I take the early train to Leeds", fact.text}
    embedder.broken = False
    ana.search("Leeds")
    assert memory.stats().not_embedded == 0


class NanEmbedder(HashEmbedder):
    def embed(self, texts: Any) -> Any:
        return np.full((len(texts), self.dim), np.nan, dtype=np.float32)


class ShortEmbedder(HashEmbedder):
    def embed(self, texts: Any) -> Any:
        return super().embed(texts)[:-1]


@pytest.mark.parametrize("embedder", [NanEmbedder(), ShortEmbedder()], ids=["not finite", "one too few"])
def test_words_survive_vectors_that_can_not_be_stored(tmp_path: Path, embedder: HashEmbedder) -> None:
    with open_brain(tmp_path, embedder=embedder) as memory:
        episode = memory.scope(user="ana").add("Hello there")
        assert memory.scope(user="ana").search("hello")[0].episode_id == episode.id
        assert memory.stats().not_embedded == 1


def test_a_bug_in_an_embedder_is_not_swallowed_and_nothing_is_acknowledged(tmp_path: Path) -> None:
    class Buggy(HashEmbedder):
        def embed(self, texts: Any) -> Any:
            raise TypeError("a bug")

    with open_brain(tmp_path, embedder=Buggy()) as memory:
        with pytest.raises(TypeError, match="a bug"):
            memory.scope(user="ana").add("Hello")
        assert episodes(memory) == 0


def test_without_an_embedder_on_the_machine_search_goes_by_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings.load(None, retrieval={"embedder": str(tmp_path / "absent")})
    with open_brain(tmp_path / "brain", embedder=None, settings=settings) as memory:
        ana = memory.scope(user="ana")
        ana.add("I'm vegetarian")
        assert [hit.text for hit in ana.search("vegetarian dinner")] == ["I'm vegetarian"]
    assert "searching by words alone" in caplog.text


@pytest.mark.parametrize(
    ("query", "k"), [("", None), (None, None), ("\ud800", None), ("x", 0), ("x", -1), ("x", 10**9), ("x", True), ("x", 1.5)]
)
def test_what_can_not_be_searched_is_refused(memory: Memory, query: Any, k: Any) -> None:
    with pytest.raises(UsageError):
        memory.scope(user="ana").search(query, k)


def test_a_fact_stated_outright_is_true_from_now_on_and_found(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    fact = ana.remember("Ana's order QX-4471 ships to Rotterdam.", kind="profile")
    assert ana.facts() == [fact]
    assert (fact.quote, fact.kind, fact.state, fact.sources) == (fact.text, "profile", "active", ())
    assert ana.search("QX-4471")[0].fact_id == fact.id


def test_remembering_the_same_again_gives_the_fact_that_is_there(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    assert ana.remember("Ana sails.") == ana.remember("Ana sails.")
    assert ana.remember("Ana sails.", kind="profile") != ana.remember("Ana sails.")


@pytest.mark.parametrize(
    ("text", "kind"), [("", "knowledge"), (None, "knowledge"), ("\0", "knowledge"), ("Ana sails.", "rumour"), (b"x", "event")]
)
def test_what_is_no_fact_is_refused(memory: Memory, text: Any, kind: Any) -> None:
    with pytest.raises(UsageError):
        memory.scope(user="ana").remember(text, kind=kind)
    assert memory.scope(user="ana").facts() == []


def test_facts_are_listed_by_state(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    fact = ana.remember("Ana sails.")
    learn(memory, ana, {"Sails?": "yes"}, facts=[fact])
    assert [f.text for f in ana.facts(["learned"])] == ["Ana sails."]
    assert ana.facts({"active"}) == []
    with pytest.raises(UsageError, match="'known'"):
        ana.facts(["known"])  # type: ignore[list-item]  # the point


def test_the_context_holds_the_profile_whatever_is_asked(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    fact = ana.remember("Ana wants short answers.", kind="preference")
    episode = ana.add("My parcel is late")
    block = ana.context("Where is the parcel?")
    assert block.cited == (fact.id, episode.id)
    assert "Ana wants short answers." in block.text
    assert block.tokens <= 600


@pytest.mark.parametrize("budget", [0, -1, True, "600", 1.5])
def test_a_budget_that_is_no_number_of_tokens_is_refused(memory: Memory, budget: Any) -> None:
    with pytest.raises(UsageError, match="budget"):
        memory.scope(user="ana").context("dinner", budget)


def test_a_context_does_not_cost_a_model(tmp_path: Path) -> None:
    settings = Settings.load(None, model={"id": str(tmp_path / "absent")})
    with open_brain(tmp_path / "brain", model=None, settings=settings) as memory:
        memory.scope(user="ana").add("I'm vegetarian")
        assert "vegetarian" in memory.scope(user="ana").context("vegetarian dinner").text


def test_every_kind_of_fact_can_be_stated(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    assert {ana.remember(f"Ana {kind}.", kind=kind).kind for kind in get_args(FactKind)} == set(get_args(FactKind))


def test_threads_that_add_at_once_lose_nothing(memory: Memory) -> None:
    def add(name: str) -> None:
        scope = memory.scope(user=name)
        for number in range(20):
            scope.add(f"message {number} of {name}", id=f"{name}-{number}")
            scope.search("message")

    threads = [threading.Thread(target=add, args=(name,)) for name in ("ana", "ben", "cleo")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (episodes(memory), memory.stats().not_embedded) == (60, 0)


def test_after_close_every_call_says_so(tmp_path: Path) -> None:
    memory = open_brain(tmp_path)
    ana = memory.scope(user="ana")
    ana.add("Hello")
    memory.close()
    uses: list[Any] = [
        lambda: ana.add("Hello"),
        lambda: ana.remember("Ana sails."),
        lambda: ana.search("Hello"),
        lambda: ana.context("Hello"),
        lambda: ana.ask("Hello?"),
        ana.facts,
        ana.consolidate,
        ana.adapters.list,
        ana.adapters.rollback,
        lambda: ana.adapters.live,
    ]
    for use in uses:
        with pytest.raises(StoreError, match="closed"):
            use()


def test_a_fact_is_recorded_without_the_vector_that_is_refused(tmp_path: Path) -> None:
    with open_brain(tmp_path, embedder=NanEmbedder()) as memory:
        assert memory.scope(user="ana").remember("Ana sails.").text == "Ana sails."
        assert memory.stats().not_embedded == 1


def test_a_model_of_the_callers_is_not_closed_with_the_brain(tmp_path: Path) -> None:
    model = ScriptedModel({"hello": "hi"})
    with open_brain(tmp_path, model=model) as memory:
        memory.scope(user="ana").ask("hello?")
    assert model.count_tokens("still here") == 2


def test_an_embedding_error_while_searching_is_no_error_of_the_search(broken: tuple[Memory, BrokenEmbedder]) -> None:
    memory, embedder = broken
    embedder.broken = False
    memory.scope(user="ana").add("My parcel is late")
    embedder.broken = True
    with pytest.raises(EmbeddingError):
        embedder.embed(["x"])
    assert memory.scope(user="ana").search("parcel")[0].text == "My parcel is late"
