"""Forgetting: what goes, what stays, what is told before, and that no byte and no import brings it back."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from seal_agent.config import Settings
from seal_agent.errors import ForgottenError, UnknownRecordError, UsageError
from seal_agent.ledger.episodes import get_episode
from seal_agent.ledger.items import NewItem
from seal_agent.ledger.migrations import BACKUP_PATTERN
from seal_agent.ledger.tombstones import FORGOTTEN_TURN
from seal_agent.memory import Memory
from seal_agent.retrieval.generation_folders import INDEX
from seal_agent.scope import Scope
from seal_agent.testing import ScriptedModel
from seal_agent.turns import Messages
from tests.brains import START, learn, open_brain
from tests.forgetting.conftest import EMBEDDER

DIET = "I'm a strict vegetarian since 2011."
DOG = "My dog is called Figo."
PASSPORT = "My passport number is XQ-77-4471."


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def conversation(*said: str) -> list[dict[str, str]]:
    return [{"role": "user" if place % 2 == 0 else "assistant", "content": text} for place, text in enumerate(said)]


def test_a_forgotten_fact_is_gone_from_search_facts_and_disk_and_the_receipt_proves_it(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    fact, other = ana.remember(PASSPORT), ana.remember(DOG)
    receipt = ana.forget(fact.id)
    assert receipt.proven
    assert (receipt.facts, receipt.scan.hits, receipt.weights) == ((fact.id,), (), "untouched")
    assert [found.id for found in ana.facts()] == [other.id]
    assert all("passport" not in hit.text for hit in ana.search("passport number"))
    for needle in (PASSPORT.encode(), fact.id.encode(), EMBEDDER.embed([PASSPORT])[0].tobytes()):
        assert needle not in bytes_of(memory.folder)
    assert DOG.encode() in bytes_of(memory.folder)


def test_the_sentence_a_fact_was_drawn_from_goes_and_its_neighbours_stay(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    episode = ana.add(conversation(f"{DIET} {DOG}", "Noted!", PASSPORT))
    drawn = drawn_fact(memory, ana, DIET, episode.id)
    kept = drawn_fact(memory, ana, DOG, episode.id)
    receipt = ana.forget(drawn)
    assert (receipt.facts, receipt.turns, receipt.episodes) == ((drawn,), 1, ())
    with memory._parts.ledger.read() as conn:
        assert [turn.content for turn in get_episode(conn, ana.id, episode.id).turns] == [DOG, "Noted!", PASSPORT]
    assert [fact.id for fact in ana.facts()] == [kept]
    assert b"vegetarian" not in bytes_of(memory.folder)


def drawn_fact(memory: Memory, scope: Scope, quote: str, episode_id: str, turn: int = 0) -> str:
    """A fact as the night draws it."""
    from seal_agent.ledger.facts import add_fact
    from seal_agent.types import Fact, Source

    id = f"f_{abs(hash((quote, episode_id))):016x}"[:18]
    made = Fact(
        id=id,
        scope=scope.id,
        kind="profile",
        text=f"{scope.id.subject} said: {quote}",
        quote=quote,
        sources=(Source(episode_id=episode_id, turn=turn),),
        valid_from=START,
    )
    with memory._parts.ledger.write() as conn:
        add_fact(conn, made, EMBEDDER.embed([quote])[0], EMBEDDER.id)
    return id


def test_the_same_words_elsewhere_in_the_scope_go_too_and_another_user_s_stay(memory: Memory) -> None:
    ana, ben = memory.scope(user="ana"), memory.scope(user="ben")
    fact = ana.remember(DIET)
    ana.add(conversation(f"By the way, {DIET.lower()} {DOG}", "Fine."))
    ana.add(conversation(f"Hello. {DOG}", "Hi.", f"Again: {DIET}"))
    ben.add(DIET)
    receipt = ana.forget(fact.id)
    assert receipt.turns == 2
    assert all("vegetarian" not in hit.text for hit in ana.search("vegetarian", 20))
    assert [hit.text for hit in ben.search("vegetarian")] == [DIET]
    assert receipt.proven
    assert receipt.scan.shared > 0  # Ben's words are the same, so they prove nothing


def test_an_episode_of_which_nothing_said_remains_goes_as_a_whole_with_its_echoes(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    episode = ana.add(conversation(PASSPORT, "Your passport XQ-77-4471 is noted."))
    receipt = ana.forget(ana.remember(PASSPORT).id)
    assert receipt.episodes == (episode.id,)
    assert b"XQ-77" not in bytes_of(memory.folder)
    assert episode.id.encode() not in bytes_of(memory.folder)


BACK: dict[str, Callable[[Scope], object]] = {
    "the same id": lambda ana: ana.add(PASSPORT, id="m-1"),
    "another id": lambda ana: ana.add(PASSPORT),
    "as a fact": lambda ana: ana.remember("my passport number is XQ 77 4471"),
}


@pytest.mark.parametrize("again", BACK.values(), ids=BACK)
def test_what_was_forgotten_does_not_come_back_by_itself(memory: Memory, again: Callable[[Scope], object]) -> None:
    ana = memory.scope(user="ana")
    ana.add(PASSPORT, id="m-1")
    ana.forget("m-1")
    with pytest.raises(ForgottenError):
        again(ana)
    assert memory.stats().episodes == 0
    memory.scope(user="ben").add(PASSPORT)
    assert ana.allow_again(PASSPORT)
    assert ana.add(conversation(PASSPORT, "Thanks.")).turns[0].content == PASSPORT


@pytest.mark.parametrize("said", [PASSPORT, conversation(PASSPORT, "Your passport is noted, thank you.")], ids=["alone", "answered"])
def test_what_is_allowed_again_is_recorded_as_it_was_said_before_and_the_rest_of_it_is_withheld(memory: Memory, said: Messages) -> None:
    ana = memory.scope(user="ana")
    ana.add(said, id="m-1")
    ana.forget("m-1")
    with pytest.raises(ForgottenError, match="allow_again"):
        ana.add(said)
    assert ana.allow_again(PASSPORT)
    for id in (None, "m-1"):
        first, *others = ana.add(said, id=id).turns
        assert (first.content, {turn.content for turn in others}) == (PASSPORT, set() if said == PASSPORT else {"[forgotten]"})


def test_who_said_hi_before_everything_was_forgotten_may_say_it_again(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    ana.add("hi", id="m-1")
    ana.forget(everything=True, confirm=True)
    assert ana.add("hi").turns[0].content == "hi"
    with pytest.raises(ForgottenError, match="another id"):
        ana.add("hi", id="m-1")


def test_a_retry_of_an_episode_that_was_cut_changes_nothing(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    ana.add(f"{DIET} {DOG}", id="m-1")
    ana.forget(ana.remember(DIET).id)
    assert [turn.content for turn in ana.add(f"{DIET} {DOG}", id="m-1").turns] == [DOG]


def test_a_forgotten_turn_among_others_is_withheld(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    ana.forget(ana.remember(PASSPORT).id)
    episode = ana.add(conversation(PASSPORT, "Fine.", DOG))
    assert [turn.content for turn in episode.turns] == [FORGOTTEN_TURN, "Fine.", DOG]


def test_what_the_host_noted_of_it_goes_with_it_and_other_notes_stay(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    notes: dict[str, Any] = {"outcome": f"Solved. {PASSPORT}", "metadata": {"said": PASSPORT, "ticket": "T-1", "stars": 5}}
    whole = ana.add(conversation(f"{PASSPORT} {DOG}", "Fine."), id="m-1", **notes)
    plain = ana.add(conversation("Do you ship on Mondays?"), outcome="Solved.", id="m-2", metadata={"said": f"{PASSPORT} {DOG}"})
    plan = ana.forget(ana.remember(PASSPORT).id, dry_run=True)
    assert [(cut.episode_id, cut.key, cut.remaining) for cut in plan.note_cuts] == [
        ("m-1", None, "Solved."),
        ("m-1", "said", None),
        ("m-2", "said", DOG),
    ]
    receipt = ana.forget(plan)
    assert (receipt.episode_notes, receipt.turns, receipt.proven) == (3, 1, True)
    with memory._parts.ledger.read() as conn:
        left, other = (get_episode(conn, ana.id, one.id) for one in (whole, plain))
    assert (left.outcome, left.metadata, left.turns[0].content) == ("Solved.", {"ticket": "T-1", "stars": 5}, DOG)
    assert (other.outcome, other.metadata, other.turns) == ("Solved.", {"said": DOG}, plain.turns)
    assert b"XQ-77" not in bytes_of(memory.folder)
    assert ana.add(conversation(f"{PASSPORT} {DOG}", "Fine."), id="m-1", **notes) == left
    assert ana.add(DOG, id="m-3", **notes).metadata == {"ticket": "T-1", "stars": 5}


def test_an_episode_that_goes_takes_its_notes_along_and_the_same_notes_elsewhere_prove_nothing(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    ana.add(PASSPORT, id="m-1", outcome="sent to the office in Rotterdam", metadata={"said": PASSPORT})
    ana.add(DOG, id="m-2", outcome="sent to the office in Rotterdam")
    receipt = ana.forget("m-1")
    assert receipt.proven, receipt.checks
    assert receipt.scan.shared > 0
    assert ana.search("dog", where={"outcome": "sent to the office in Rotterdam"})


def test_the_same_id_in_two_scopes_is_two_episodes_and_forgetting_one_leaves_the_other(memory: Memory) -> None:
    ana, ben, acme = memory.scope(user="ana"), memory.scope(user="ben"), memory.scope(user="ana", tenant="acme")
    for scope in (ana, ben, acme):
        assert scope.add(f"{DIET} It is {scope.id.key}.", id="order-4471").id == "order-4471"
    receipt = ana.forget("order-4471")
    assert (receipt.episodes, receipt.proven) == (("order-4471",), True)
    assert ana.search("vegetarian") == []
    assert [hit.scope for hit in ben.search("vegetarian")] == [ben.id]
    assert memory.erase(tenant="acme", confirm=True).proven
    assert [hit.episode_id for hit in ben.search("vegetarian")] == ["order-4471"]


def test_a_preview_changes_nothing_and_says_what_would_happen(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    old = ana.remember("Ana lives in Porto near the river.", kind="profile")
    new = ana.correct(old.id, "Ana lives in Lisbon near the river.")
    ana.remember("Ana lives in Lisbon by the river.", kind="event")
    learnt = learn(memory, ana, {"Where?": "Lisbon"}, facts=[new])
    before = bytes_of(memory.folder / "adapters")
    plan = ana.forget(new.id, dry_run=True)
    assert [fact.id for fact in plan.facts] == [new.id]
    assert [fact.id for fact in plan.told_again] == [old.id]
    assert plan.adapters == (learnt.name,)
    assert [(move.before, move.after) for move in plan.live] == [(learnt.name, None)]
    assert [hit.text for hit in plan.similar] == ["Ana lives in Lisbon by the river."]
    assert not plan.is_empty
    assert [fact.state for fact in ana.facts()] == ["superseded", "learned", "active"]
    assert ana.adapters.live is not None
    assert bytes_of(memory.folder / "adapters") == before
    receipt = ana.forget(plan)
    assert (receipt.facts, receipt.told_again) == ((new.id,), (old.id,))
    assert [fact.text for fact in ana.facts(["active"])] == ["Ana lives in Porto near the river.", "Ana lives in Lisbon by the river."]


def test_a_query_matches_words_or_meaning_in_this_scope_alone_and_wants_confirmation(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    memory.scope().remember("Every vegetarian gets a discount.")
    ana.add(conversation(DIET, "Noted."))
    ana.add(DOG)
    with pytest.raises(UsageError, match="dry_run"):
        ana.forget(query="strict vegetarian")
    plan = ana.forget(query="strict vegetarian", dry_run=True)
    assert len(plan.episodes) == 1
    assert ana.forget(query="strict vegetarian", confirm=True).proven
    assert {hit.text for hit in ana.search("vegetarian dog", 9)} == {"Every vegetarian gets a discount.", DOG}


def test_a_query_that_means_nothing_here_gives_an_empty_plan(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    ana.add(DOG)
    plan = ana.forget(query="submarine", dry_run=True)
    assert plan.is_empty
    assert ana.forget(plan).facts == ()


def test_an_author_s_turns_go_by_name_and_by_source(memory: Memory) -> None:
    room = memory.scope(user="team")
    room.add([{"role": "user", "name": "mallory", "content": PASSPORT}, {"role": "user", "name": "ana", "content": DOG}])
    room.add(DIET, source="mallory")
    receipt = room.forget(author="mallory", confirm=True)
    assert (receipt.turns, len(receipt.episodes)) == (1, 1)
    assert [hit.text for hit in room.search("passport dog vegetarian", 9) if hit.text != FORGOTTEN_TURN] == [DOG]
    assert b"mallory" not in bytes_of(memory.folder)


def test_everything_of_a_scope_can_go_and_shared_facts_stay(memory: Memory) -> None:
    ana, shared = memory.scope(user="ana"), memory.scope()
    shared.remember("Parcels ship on Monday.")
    ana.add(conversation(DIET, "Noted."))
    ana.remember(DOG)
    receipt = ana.forget(everything=True, confirm=True)
    assert (len(receipt.facts), len(receipt.episodes), receipt.proven) == (1, 1, True)
    assert [hit.text for hit in ana.search("parcels dog vegetarian")] == ["Parcels ship on Monday."]


@pytest.mark.parametrize(
    "wrong", [{}, {"query": "x", "author": "y"}, {"author": "x", "everything": True}, {"everything": True}, {"author": "x"}], ids=str
)
def test_forgetting_wants_exactly_one_way_of_saying_what_and_a_yes(memory: Memory, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        memory.scope(user="ana").forget(**wrong)


def test_what_another_scope_owns_can_not_be_forgotten_here(memory: Memory) -> None:
    theirs = memory.scope(user="ben").remember(PASSPORT)
    shared = memory.scope().remember(DOG)
    ana = memory.scope(user="ana")
    for id in (theirs.id, shared.id, "f_unknown"):
        with pytest.raises(UnknownRecordError):
            ana.forget(id)
    plan = memory.scope(user="ben").forget(theirs.id, dry_run=True)
    with pytest.raises(UsageError, match="ben"):
        ana.forget(plan)
    assert memory.scope(user="ben").facts() == [theirs]


def test_copies_of_the_ledger_and_the_vector_index_are_cleared(tmp_path: Path) -> None:
    settings = Settings.load(None, retrieval={"exact_scan_below": 1})
    with open_brain(tmp_path / "brain", embedder=EMBEDDER, settings=settings) as memory:
        ana = memory.scope(user="ana")
        ana.add(conversation(PASSPORT, "Noted."))
        ana.add(DOG)
        memory._parts.searcher.rebuild_index()  # now, not when its thread gets to it
        copy = memory.folder / BACKUP_PATTERN.replace("*", "1")
        copy.write_bytes(b"old ledger: " + PASSPORT.encode())
        before = sorted(path.name for path in (memory.folder / INDEX).iterdir())
        assert before
        plan = ana.forget(query="passport", dry_run=True)
        assert plan.backups == (copy.name,)
        receipt = ana.forget(plan)
        assert receipt.proven, receipt.checks
        assert copy.name in receipt.files
        assert sorted(path.name for path in (memory.folder / INDEX).iterdir()) != before
        assert ana.search("dog")[0].text == DOG
    assert b"XQ-77" not in bytes_of(tmp_path / "brain")
    assert EMBEDDER.embed([PASSPORT])[0].tobytes() not in bytes_of(tmp_path / "brain")


def test_reports_of_nights_lose_what_was_forgotten(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    fact = ana.remember(DIET)
    ana.remember(DOG)
    report = ana.consolidate()
    assert DIET.encode() in bytes_of(memory.folder)
    receipt = ana.forget(fact.id)
    assert receipt.reports == 1
    assert receipt.proven, receipt.checks
    with memory._parts.ledger.read() as conn:
        kept = json.loads(conn.exec_driver_sql("SELECT report FROM cycles").scalar_one())
    assert [outcome["text"] for outcome in kept["facts"]] == [DOG]
    assert report.adapter not in [path.name for path in (memory.folder / "adapters").iterdir()]


def test_a_removal_that_a_process_did_not_live_to_complete_is_completed_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "brain"
    with open_brain(folder, embedder=EMBEDDER) as memory:
        ana = memory.scope(user="ana")
        fact = ana.remember(PASSPORT)
        learn(memory, ana, {"Passport?": PASSPORT}, facts=[fact])

        def die(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("seal_agent.forgetting.requests.complete", die)
        with pytest.raises(KeyboardInterrupt):
            ana.forget(fact.id)
        monkeypatch.undo()
        assert ana.adapters.live is None
    assert b"XQ-77" in bytes_of(folder)
    with open_brain(folder, embedder=EMBEDDER):
        pass
    assert b"XQ-77" not in bytes_of(folder)


def test_what_was_superseded_or_expired_can_be_forgotten_too(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    old = ana.remember("Ana lives in Porto by the sea.")
    ana.correct(old.id, "Ana lives in Lisbon.")
    brief = ana.remember(PASSPORT, ttl=timedelta(seconds=1))
    assert ana.forget(old.id, brief.id).proven
    assert [fact.text for fact in ana.facts()] == ["Ana lives in Lisbon."]


def test_erasing_a_user_leaves_nothing_of_them_and_all_of_the_others(memory: Memory) -> None:
    ana, ben = memory.scope(user="ana.maria"), memory.scope(user="ben")
    for scope in (ana, ben):
        scope.add(conversation(DIET, "Noted."))
        learn(memory, scope, {"Diet?": f"vegetarian, says {scope.id.key}"}, facts=[scope.remember(DOG)])
    with pytest.raises(UsageError, match=r"ana\.maria"):
        memory.erase(user="ana.maria")
    receipt = memory.erase(user="ana.maria", confirm=True)
    assert receipt.proven, receipt.checks
    assert b"ana.maria" not in bytes_of(memory.folder)
    assert memory.scopes() == [ben.id]
    assert ben.adapters.live is not None
    assert ben.ask("Diet?", use="weights").text.startswith("vegetarian")
    with pytest.raises(UnknownRecordError):
        memory.erase(user="ana.maria", confirm=True)
    with pytest.raises(ForgottenError):
        ana.add(DIET)


def test_erasing_a_tenant_reaches_every_scope_of_it(memory: Memory) -> None:
    for agent in ("support", "sales"):
        memory.scope(user="ana", agent=agent, tenant="acme").add(f"{PASSPORT} {agent}")
        memory.scope(agent=agent, tenant="acme").remember(f"{DOG} {agent}")
    memory.scope(user="ana").add(DOG)
    receipt = memory.erase(tenant="acme", confirm=True)
    assert (len(receipt.facts), len(receipt.episodes), receipt.proven) == (2, 2, True)
    assert [scope.key for scope in memory.scopes()] == ["default/default/ana"]
    assert memory.scope(user="ana").search("dog")


def test_erasing_reaches_the_items_also_of_a_user_who_has_nothing_else(memory: Memory) -> None:
    ana, ben = memory.scope(user="ana"), memory.scope(user="ben")
    for scope, text in ((ana, PASSPORT), (ben, DOG)):
        vector = EMBEDDER.embed([text])[0]
        note = NewItem(namespace=("notes",), key="n", value=json.dumps({"text": text}), texts='["$"]', ttl=None, vectors={"$": vector})
        scope.items.write({(("notes",), "n"): note}, EMBEDDER.id)
    assert memory.scopes() == []
    assert memory.scopes_of(user="ana") == [ana.id]
    receipt = memory.erase(user="ana", confirm=True)
    assert receipt.proven, receipt.checks
    assert receipt.scan.needles >= 3
    assert (ana.items.find(()), [item.key for item in ben.items.find(())]) == ([], ["n"])
    for needle in (b"XQ-77", EMBEDDER.embed([PASSPORT])[0].tobytes()):
        assert needle not in bytes_of(memory.folder)


def test_a_user_is_erased_with_one_agent_or_with_all(memory: Memory) -> None:
    for agent in ("support", "sales"):
        memory.scope(user="ana", agent=agent).add(DOG)
    memory.erase(user="ana", agent="sales", confirm=True)
    assert [scope.agent for scope in memory.scopes()] == ["support"]


def test_a_request_that_runs_ends_with_its_adapter_and_no_later_one_has_it(memory: Memory) -> None:
    from seal_agent.answering import lease

    ana = memory.scope(user="ana")
    fact = ana.remember(PASSPORT)
    adapter = learn(memory, ana, {"Passport?": PASSPORT}, facts=[fact])
    with lease(memory._parts, ana.id) as held:
        assert held == adapter.name
        receipt = ana.forget(fact.id)
        assert receipt.proven
        model = memory._parts.model
        assert isinstance(model, ScriptedModel)
        with lease(memory._parts, ana.id) as later:
            assert later is None
    assert model.adapters == ()
    assert ana.ask("Passport?", use="weights").text == "I don't know."


def test_with_rebuild_the_weights_are_at_once_those_of_a_brain_that_never_knew(tmp_path: Path) -> None:
    lax = {"min_gain": 0.0, "max_general_drop": 1.0, "max_retention_drop": 1.0}
    settings = Settings.load(None, gate=lax, self_edit={"questions_per_fact": 0, "min_documents_per_fact": 1})
    hashes = []
    for name, told in (("told", (DIET, PASSPORT, DOG)), ("never", (DIET, DOG))):
        with open_brain(tmp_path / name, embedder=EMBEDDER, settings=settings) as memory:
            ana = memory.scope(user="ana")
            facts = {text: ana.remember(text) for text in told}
            first = ana.consolidate()
            if name == "told":
                receipt = ana.forget(facts[PASSPORT].id, rebuild=True)
                assert (receipt.weights, receipt.proven) == ("rebuilt without", True), receipt
                assert receipt.rebuilt[0].adapter != first.adapter
                assert receipt.rebuilt[0].exposure is not None
            live = ana.adapters.live
            assert live is not None
            hashes.append(live.sha256)
    assert hashes[0] == hashes[1]
    assert b"XQ-77" not in bytes_of(tmp_path / "told")


@pytest.mark.parametrize("said", [{"query": ""}, {"query": " "}, {"query": 3}, {"author": ""}, {"author": 3}], ids=str)
def test_what_says_nothing_of_what_to_forget_is_refused(memory: Memory, said: dict[str, Any]) -> None:  # Any: that is the point
    with pytest.raises(UsageError, match="says nothing of what to forget"):
        memory.scope(user="ana").forget(**said, confirm=True)
