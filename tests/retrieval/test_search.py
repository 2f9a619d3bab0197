"""Search finds what the scope may see, at once, and goes on when the vector index does not."""

import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seal_agent.errors import UsageError
from seal_agent.ledger import entries as ledger_entries
from seal_agent.ledger import postings
from seal_agent.ledger.episodes import count_episodes
from seal_agent.protocols import Vectors
from seal_agent.retrieval.search import MAX_QUERY_CHARACTERS, Searcher
from seal_agent.retrieval.vector_index import IndexStatus
from seal_agent.types import ScopeId

if TYPE_CHECKING:
    from tests.retrieval.conftest import Brain

ANA = ScopeId(agent="support", user="ana")
BEN = ScopeId(agent="support", user="ben")


def texts(searcher: Searcher, scope: ScopeId, query: str, k: int | None = None) -> list[str]:
    return [found.text for found in searcher.search(scope, query, k)]


class FakeIndex:
    """An index that answers what it is told to, or nothing because it does not serve."""

    def __init__(self, found: Sequence[tuple[str, float]] | None = None) -> None:
        self.found = found
        self.queries = 0
        self.wanted: list[str] = []
        self.late: list[str] = []
        self.rebuilt: list[Sequence[str]] = []
        self.discarded = 0

    def want(self, scope_key: str) -> None:
        self.wanted.append(scope_key)

    def query(self, scope_key: str, vector: Vectors, k: int) -> list[tuple[str, float]] | None:
        self.queries += 1
        return None if self.found is None else list(self.found[:k])

    def embedded_late(self, scope_key: str, ids: Sequence[str]) -> None:
        self.late.extend(ids)

    def status(self) -> IndexStatus:
        return IndexStatus(state="serving", generation=1, watermarks={}, error=None)

    def wait(self, seconds: float) -> IndexStatus:
        return self.status()

    def discard(self) -> None:
        self.discarded += 1

    def rebuild(self, scope_keys: Sequence[str] = ()) -> None:
        self.rebuilt.append(scope_keys)

    def close(self) -> None: ...


def test_a_turn_is_found_with_where_it_comes_from(brain: "Brain") -> None:
    episode_id = brain.record(ANA, "I am vegetarian", "My dog is called Rufus")
    best = brain.searcher().search(ANA, "what is the dog called?")[0]
    assert (best.text, best.source, best.episode_id, best.fact_id, best.role, best.scope) == (
        "My dog is called Rufus",
        "turn",
        episode_id,
        None,
        "user",
        ANA,
    )


def test_a_fact_is_found_as_a_fact(brain: "Brain") -> None:
    fact = brain.tell(ANA, "Ana's order QX-4471 ships to Rotterdam.")
    best = brain.searcher().search(ANA, "qx 4471")[0]
    assert (best.source, best.fact_id, best.episode_id, best.at) == ("fact", fact.id, None, fact.valid_from)


def test_what_was_just_added_is_found_at_once(brain: "Brain") -> None:
    searcher = brain.searcher()
    for number in range(5):
        brain.record(ANA, f"note {number} mentions keyword{number}")
        assert texts(searcher, ANA, f"keyword{number}")[0] == f"note {number} mentions keyword{number}"


def test_what_was_just_added_is_found_by_meaning_alone(brain: "Brain") -> None:
    searcher = brain.searcher(turn_weight=0.0, window_weight=0.0, conversation_weight=0.0)
    brain.record(ANA, "the first thing")
    assert texts(searcher, ANA, "second thing entirely") == ["the first thing"]
    brain.record(ANA, "a second thing entirely")
    assert texts(searcher, ANA, "second thing entirely")[0] == "a second thing entirely"


def test_an_unchanged_scope_is_read_from_the_ledger_once(brain: "Brain", monkeypatch: pytest.MonkeyPatch) -> None:
    brain.record(ANA, "one", "two")
    reads: list[object] = []

    def counted(*given: Any) -> Any:  # Any: passed through
        reads.append(given)
        return postings.vectors_after(*given)

    monkeypatch.setattr("seal_agent.retrieval.exact.vectors_after", counted)
    searcher = brain.searcher()
    searcher.search(ANA, "one")
    first = len(reads)
    searcher.search(ANA, "two")
    brain.record(BEN, "a turn of somebody else")
    searcher.search(ANA, "three")
    assert first > 0
    assert len(reads) == first


def test_a_vector_that_comes_late_is_found_though_another_entry_went(brain: "Brain") -> None:
    old = brain.tell(ANA, "Ana lives in Utrecht.")
    episode_id = brain.record(ANA, "I play the cello")
    brain.tell(ANA, "Ana has two children.")
    with brain.ledger.write() as connection:
        connection.exec_driver_sql(f"UPDATE entries SET vector = NULL, embedder = NULL WHERE episode_id = '{episode_id}'")
    searcher = brain.searcher(turn_weight=0.0, window_weight=0.0, conversation_weight=0.0)
    assert "I play the cello" not in texts(searcher, ANA, "cello")
    with brain.ledger.write() as connection:
        connection.exec_driver_sql(f"DELETE FROM entries WHERE fact_id = '{old.id}'")
        (late,) = ledger_entries.missing_vectors(connection, brain.embedder.id, 9)
        ledger_entries.set_vector(connection, late.seq, brain.embedder.id, brain.embedder.embed(["I play the cello"])[0])
    assert texts(searcher, ANA, "cello")[0] == "I play the cello"


def test_a_superseded_fact_is_not_found(brain: "Brain") -> None:
    old = brain.tell(ANA, "Ana lives in Utrecht.")
    searcher = brain.searcher()
    assert texts(searcher, ANA, "Where does Ana live, Utrecht?") == ["Ana lives in Utrecht."]
    brain.correct(old, "Ana lives in Ghent.")
    assert texts(searcher, ANA, "Where does Ana live, Utrecht?") == ["Ana lives in Ghent."]


def test_facts_of_agent_and_tenant_are_seen_by_the_user(brain: "Brain") -> None:
    brain.tell(ScopeId(agent=None), "The company closes on Sundays.")
    brain.tell(ScopeId(agent="support"), "Refunds on Sundays take a week.")
    brain.record(ScopeId(agent="support"), "Sundays are staffed by two people.")
    assert set(texts(brain.searcher(), ANA, "sundays")) == {
        "The company closes on Sundays.",
        "Refunds on Sundays take a week.",
        "Sundays are staffed by two people.",
    }


def test_nobody_sees_another_user_agent_or_tenant(brain: "Brain") -> None:
    others = [BEN, ScopeId(agent="sales", user="ana"), ScopeId(agent="sales"), ScopeId(tenant="acme", agent="support", user="ana")]
    for scope in others:
        brain.record(scope, f"secret of {scope.key}")
    assert texts(brain.searcher(), ANA, "secret") == []


def test_shared_scopes_do_not_see_the_users_below_them(brain: "Brain") -> None:
    brain.record(ANA, "secret of ana")
    assert texts(brain.searcher(), ScopeId(agent="support"), "secret") == []
    assert texts(brain.searcher(), ScopeId(agent=None), "secret") == []


def test_ids_that_differ_by_case_are_different_people(brain: "Brain") -> None:
    lower, upper = ScopeId(user="a"), ScopeId(user="A")
    brain.record(lower, "secret of lower a")
    brain.record(upper, "secret of upper a")
    assert texts(brain.searcher(), lower, "secret") == ["secret of lower a"]
    assert texts(brain.searcher(), upper, "secret") == ["secret of upper a"]


def test_an_entry_of_another_scope_is_dropped_whatever_the_index_says(brain: "Brain", caplog: pytest.LogCaptureFixture) -> None:
    brain.record(BEN, "secret of ben")
    brain.record(ANA, "a note of ana")
    index = FakeIndex(found=[("episode-0:0", 0.99), ("episode-1:0", 0.5)])
    searcher = brain.searcher(lambda: index, exact_scan_below=1)
    searcher.search(ANA, "something first, that the index is made for")
    assert texts(searcher, ANA, "secret") == ["a note of ana"]
    assert index.queries
    assert "secret of ben" not in caplog.text


def test_the_same_text_is_one_hit(brain: "Brain") -> None:
    for text in ("I love cheese", "i love  CHEESE.", "I love wine"):
        brain.record(ANA, text)
    found = texts(brain.searcher(), ANA, "love cheese")
    assert len(found) == 2
    assert found[1] == "I love wine"


def test_k_limits_the_hits_and_defaults_to_the_settings(brain: "Brain") -> None:
    brain.record(ANA, *[f"cheese number {number}" for number in range(20)])
    assert len(texts(brain.searcher(), ANA, "cheese")) == 8
    assert len(texts(brain.searcher(k=3), ANA, "cheese")) == 3
    assert len(texts(brain.searcher(), ANA, "cheese", 1000)) == 20


def test_hits_come_best_first(brain: "Brain") -> None:
    brain.record(ANA, *[f"cheese number {number}" for number in range(20)])
    scores = [found.score for found in brain.searcher().search(ANA, "cheese number 7")]
    assert scores == sorted(scores, reverse=True)
    assert texts(brain.searcher(), ANA, "cheese number 7")[0] == "cheese number 7"


def test_an_empty_scope_finds_nothing(brain: "Brain") -> None:
    assert brain.searcher().search(ANA, "anything") == []


@pytest.mark.parametrize("query", ["?!…", "🍕", '"', "AND OR NOT NEAR(", "text : *", "a\x00b", "\u202e\u200b.", "café" * 4000])
def test_odd_queries_are_answered(brain: "Brain", query: str) -> None:
    brain.record(ANA, "I love cheese")
    assert texts(brain.searcher(), ANA, query) == ["I love cheese"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(st.text(min_size=1, max_size=80).filter(lambda text: bool(text.strip())))
def test_any_text_can_be_searched_for(brain: "Brain", query: str) -> None:
    with brain.ledger.read() as connection:
        is_first = not count_episodes(connection, ANA)
    if is_first:
        brain.record(ANA, "I love cheese", "So do I", "And he does too", names=("ana", "ben", "cai"))
    assert sorted(texts(brain.searcher(), ANA, query)) == ["And he does too", "I love cheese", "So do I"]


@pytest.mark.parametrize("query", ["", " \n\t", "x" * (MAX_QUERY_CHARACTERS + 1), "a \ud800 b", "\udfff"])
def test_queries_that_ask_nothing_are_refused(brain: "Brain", query: str) -> None:
    with pytest.raises(UsageError):
        brain.searcher().search(ANA, query)


@pytest.mark.parametrize("k", [0, -1, 1001, True, 2.0, "8"])
def test_a_k_out_of_range_is_refused(brain: "Brain", k: Any) -> None:
    with pytest.raises(UsageError, match="k="):
        brain.searcher().search(ANA, "cheese", k)


def test_either_list_can_be_switched_off(brain: "Brain") -> None:
    brain.record(ANA, "I love cheese")
    brain.record(ANA, "unrelated words")
    assert texts(brain.searcher(dense_weight=0.0, near_weight=0.0), ANA, "cheese") == ["I love cheese"]
    assert texts(brain.searcher(turn_weight=0.0, window_weight=0.0, conversation_weight=0.0), ANA, "cheese")[0] == "I love cheese"


def test_a_small_scope_never_makes_the_index(brain: "Brain") -> None:
    def refuse() -> FakeIndex:
        raise AssertionError("the index was made")

    brain.record(ANA, "one", "two")
    searcher = brain.searcher(refuse, exact_scan_below=3)
    searcher.search(ANA, "one")
    brain.record(ANA, "three")
    with pytest.raises(AssertionError, match="the index was made"):
        searcher.search(ANA, "one")


def test_what_the_index_does_not_serve_is_scanned_exactly_and_wanted(brain: "Brain") -> None:
    brain.record(ANA, "I love cheese")
    index = FakeIndex()
    searcher = brain.searcher(lambda: index, exact_scan_below=1, turn_weight=0.0, window_weight=0.0, conversation_weight=0.0)
    assert texts(searcher, ANA, "cheese") == ["I love cheese"]
    assert index.wanted == [ANA.key]


def test_a_rebuild_is_of_the_large_scopes(brain: "Brain") -> None:
    brain.record(ANA, "I love cheese", "I love wine")
    brain.record(BEN, "I love tea")
    index = FakeIndex()
    brain.searcher(lambda: index, exact_scan_below=2).rebuild_index()
    assert index.rebuilt == [[ANA.key]]


def test_discarding_deletes_the_folders_whether_or_not_the_index_was_opened(brain: "Brain") -> None:
    left = brain.ledger.folder / "index" / "gen-3"
    left.mkdir(parents=True)
    index = FakeIndex(found=[("episode-0:0", 0.9)])
    searcher = brain.searcher(lambda: index, exact_scan_below=1)
    searcher.embedded_late(ANA.key, ["nobody-listens:0"])
    searcher.discard_index()
    assert (left.exists(), index.discarded) == (False, 0)
    brain.record(ANA, "I love cheese")
    searcher.search(ANA, "cheese")
    searcher.discard_index()
    searcher.embedded_late(ANA.key, ["episode-0:0"])
    assert (index.discarded, index.late) == (1, ["episode-0:0"])


def test_threads_search_while_others_record(brain: "Brain") -> None:
    searcher = brain.searcher()
    missed: list[str] = []

    def work(user: str) -> None:
        scope = ScopeId(user=user)
        for number in range(8):
            text = f"{user} noted item{number}"
            brain.record(scope, text)
            if texts(searcher, scope, f"item{number}")[0] != text:
                missed.append(text)

    threads = [threading.Thread(target=work, args=(user,)) for user in ("ana", "ben", "cid")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert missed == []


def test_search_does_not_import_chromadb() -> None:
    code = "import sys, seal_agent.retrieval.search, seal_agent.retrieval.context; sys.exit(bool({'chromadb', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
