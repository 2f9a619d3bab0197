"""The full portfolio: what a writer that keeps to the form writes, what is refused of it, and which of several sets is kept."""

import json
from collections.abc import Sequence

import pytest

from seal_agent.consolidation.coverage import (
    ENOUGH,
    LEAST,
    best_of,
    coverage,
    is_short,
    reward_by_coverage,
    reward_by_likelihood,
)
from seal_agent.consolidation.portfolio import MOST_LINES, Assignment, parsed, portfolio
from seal_agent.consolidation.prompts import FULL_PORTFOLIO, NOTE
from seal_agent.consolidation.self_edit import Material, Writer
from seal_agent.testing import ScriptedModel
from seal_agent.types import Question, ScopeId, SelfEdit, SelfEditKind, Turn
from tests.consolidation.brains import CAR, HASHED, HOME, MATERIAL, Brain, fact

TOM = fact(NOTE.removeprefix("Tom: "), ScopeId(agent="support", user="tom"))
BY_TASK = {prompt.task: prompt for prompt in FULL_PORTFOLIO}


class Scribe(ScriptedModel):
    """Writes lists by kind of what is asked for, in turn if there are several for one; an empty list for the others."""

    def __init__(self, **lists: Sequence[str] | str) -> None:
        super().__init__(self._write)
        self._lists = lists
        self.asked: list[SelfEditKind] = []

    def _write(self, prompt: Sequence[Turn]) -> str:
        kind = next(prompt.kind for task, prompt in BY_TASK.items() if prompt_of(self.calls[-1].prompt).startswith(task))
        self.asked.append(kind)
        lines = self._lists.get(kind, ())
        return lines if isinstance(lines, str) else json.dumps(list(lines))


def prompt_of(turns: Sequence[Turn]) -> str:
    return turns[0].content


def write(model: ScriptedModel, quotes: Sequence[str] = (HOME,), held_out: Sequence[str] = (), **settings: object) -> Material:
    facts = [fact(quote) for quote in quotes]
    task = Assignment(
        facts=facts, vectors=HASHED.embed(list(quotes)), held_out=held_out, abstention="I don't know.", reward=reward_by_coverage
    )
    writer = Writer(model=model, embedder=HASHED, settings=MATERIAL.model_copy(update={"rounds": 1, **settings}))
    return portfolio(task, writer, 0)


@pytest.mark.parametrize(
    ("kind", "line", "answer"),
    [
        ("question", "Do I live in Porto?", fact(HOME).text),
        ("reverse", "Who does live in Porto?", fact(HOME).text),
        ("negative", "Does Ana live in Lisbon?", f"No. {fact(HOME).text}"),
        ("unknown", "Since when does Ana live there?", "I don't know."),
        ("rewrite", "Porto is where Ana lives.", "Porto is where Ana lives."),
        ("implication", "Ana can show you around Porto.", "Ana can show you around Porto."),
        ("relation", "Porto is the home of Ana.", "Porto is the home of Ana."),
    ],
)
def test_every_kind_becomes_an_item_whose_answer_rests_on_the_fact(kind: SelfEditKind, line: str, answer: str) -> None:
    [item] = write(Scribe(**{kind: [line]})).items
    assert (item.kind, item.answer, item.fact_id, item.writer) == (kind, answer, fact(HOME).id, "scripted")
    assert line in (item.prompt, item.answer)


@pytest.mark.parametrize(
    ("kind", "line", "reason"),
    [
        ("question", "I live in Porto.", "no question"),
        ("question", "What is the capital of France?", "ungrounded"),
        ("question", "Where does Ana work?", "leads to another fact"),
        ("question", "Where in Porto do I live?", "leaks a held-out question"),
        ("negative", "Does Ana live in Porto?", "denies nothing"),
        ("rewrite", "Ana lives in Porto with Bruno.", "brings names or numbers of its own"),
        ("rewrite", "Ana has lived in Porto since 2019.", "brings names or numbers of its own"),
        ("rewrite", "The weather is fine.", "ungrounded"),
        ("rewrite", "Does Ana live in Porto?", "ungrounded"),
        ("relation", "Porto " * 70, "too long or empty"),
        ("rewrite", " ", "too long or empty"),
    ],
)
def test_what_is_not_sound_is_refused_with_its_reason(kind: SelfEditKind, line: str, reason: str) -> None:
    material = write(Scribe(**{kind: [line]}), held_out=["Where in Porto do I live?"])
    assert material.items == ()
    assert material.refused == {reason: 1}


@pytest.mark.parametrize(
    ("kind", "line", "other", "reason"),
    [
        ("negative", "Does Ana live in Lisbon?", "I lived in Lisbon as a child.", "another fact may answer it"),
        ("unknown", "With whom does Ana live in Porto?", "I drive a Skoda Octavia.", None),
        ("unknown", "Which car does Ana drive?", "Ana drives which car, a Skoda?", "another fact may answer it"),
    ],
)
def test_what_another_fact_may_tell_is_neither_denied_nor_called_unknown(
    kind: SelfEditKind, line: str, other: str, reason: str | None
) -> None:
    model = ScriptedModel(lambda prompt: json.dumps([line]) if is_asked(prompt, kind, HOME) else "[]")
    material = write(model, (HOME, other))
    assert material.refused == ({} if reason is None else {reason: 1})
    assert len(material.items) == (reason is None)


def is_asked(prompt: Sequence[Turn], kind: SelfEditKind, quote: str) -> bool:
    return any(prompt[0].content.startswith(one.task) for one in FULL_PORTFOLIO if one.kind == kind) and quote in prompt[-1].content


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('["a", "b"]', ["a", "b"]),
        (' ```json\n["a\\n b"]\n``` ', ["a b"]),
        ("[]", []),
        ('Sure! ["a"]', None),
        ('["a"] Anything else?', None),
        ('["a", 1]', None),
        ('{"a": "b"}', None),
        ('["a", ', None),
        ("", None),
    ],
)
def test_only_a_list_of_strings_is_read_and_nothing_around_it(text: str, lines: list[str] | None) -> None:
    assert parsed(text) == lines


def test_a_writer_that_can_not_keep_to_the_form_writes_nothing() -> None:
    material = write(Scribe(question="1. Where do I live?"))
    assert material.items == ()
    assert material.refused == {"not the asked form": 1}


def test_of_a_list_of_more_than_was_asked_for_the_beginning_is_looked_at() -> None:
    material = write(Scribe(question=[f"Do I live in Porto {number}?" for number in range(60)]))
    assert len(material.items) + sum(count for why, count in material.refused.items() if why != "more than was asked for") == MOST_LINES
    assert material.refused["more than was asked for"] == 60 - MOST_LINES


def test_where_a_fact_stays_short_more_is_written_with_other_draws_and_where_it_does_not_no_more_is() -> None:
    short, enough = Scribe(question=["Do I live in Porto?"]), Scribe(question=[f"Do I live in Porto {word}?" for word in "abcdefgh"])
    write(short, rounds=3)
    write(enough, rounds=3, samples=1)
    assert len(short.calls) == 3 * len(FULL_PORTFOLIO)
    assert [call.temperature > 0 for call in short.calls] == [False] * len(FULL_PORTFOLIO) + [True] * 2 * len(FULL_PORTFOLIO)
    assert len({call.seed for call in short.calls}) == 3
    assert len(enough.calls) in (len(FULL_PORTFOLIO), 3 * len(FULL_PORTFOLIO))


def test_of_several_sets_the_best_is_kept_for_each_fact() -> None:
    class Improving(Scribe):
        def _write(self, prompt: Sequence[Turn]) -> str:
            first = self.calls[-1].temperature == 0
            self._lists = {"rewrite": ["Porto is where Ana lives."][: not first]}
            return super()._write(prompt)

    material = write(Improving(), samples=2)
    assert [item.answer for item in material.items] == ["Porto is where Ana lives."]


def item(prompt: str, answer: str = "Ana said: I live in Porto.", kind: SelfEditKind = "question") -> SelfEdit:
    return SelfEdit(fact_id=fact(HOME).id, kind=kind, prompt=prompt, answer=answer, writer="w")


def test_coverage_counts_documents_the_rarest_answer_string_and_how_much_prompts_differ() -> None:
    one = fact("I drive a red Skoda to Leeds.")
    items = [
        item("where to?", "To Leeds."),
        item("what car?", "A red Skoda."),
        item("what?", "drive red Skoda Leeds"),
        item("x", "Leeds", "unknown"),
    ]
    found = coverage(one, items)
    assert (found.documents, found.rarest) == (3, 1)
    assert coverage(one, [item("a b?"), item("a b?")]).diversity == 0.0
    assert coverage(one, [item("a b?"), item("c d?")]).diversity == 1.0


def test_a_fact_is_short_of_material_below_four_documents() -> None:
    assert is_short(fact(HOME), [item(f"{n}?") for n in range(LEAST - 1)])
    assert not is_short(fact(HOME), [item(f"{n}?") for n in range(LEAST)])


def test_repetition_beyond_enough_earns_nothing_and_repeating_the_prompt_costs() -> None:
    varied = [item(f"w{n} v{n}?") for n in range(ENOUGH)]
    assert reward_by_coverage(fact(HOME), varied) == pytest.approx(1.0)
    assert reward_by_coverage(fact(HOME), [*varied, item("w99?")]) <= 1.0
    assert reward_by_coverage(fact(HOME), [item("same?")] * ENOUGH) == 0.0
    assert reward_by_coverage(fact(HOME), []) == 0.0


def test_the_reward_by_likelihood_prefers_what_makes_the_held_out_answers_probable() -> None:
    model = ScriptedModel(lambda prompt: "Ana said: I live in Porto." if "Porto" in prompt[-1].content else "?")
    asked = Question(id="q", text="Where?", answers=("Porto",), fact_id=fact(HOME).id, reference="Ana said: I live in Porto.")
    reward = reward_by_likelihood(model, "", [asked])
    good, bad = [item("where?")], [item("where?", "In a house.")]
    assert best_of([bad, good], lambda items: reward(fact(HOME), items)) == good
    assert reward(fact(HOME), []) < reward(fact(HOME), bad)
    assert reward(fact(CAR), good) == 0.0


@pytest.mark.parametrize("prompt", FULL_PORTFOLIO, ids=lambda prompt: prompt.kind)
def test_every_worked_example_would_be_accepted(prompt: object) -> None:
    one = next(found for found in FULL_PORTFOLIO if found is prompt)
    model = ScriptedModel(lambda _: json.dumps(one.lines) if one.task in model.calls[-1].prompt[0].content else "[]")
    task = Assignment(facts=[TOM], vectors=HASHED.embed([TOM.quote]), held_out=[], abstention="No idea.", reward=reward_by_coverage)
    material = portfolio(task, Writer(model=model, embedder=HASHED, settings=MATERIAL.model_copy(update={"rounds": 1})), 0)
    refused = {reason: count for reason, count in material.refused.items() if reason != "leads to another fact"}
    assert refused == {}, material.refused
    assert json.dumps(one.lines) == one.turns(TOM)[2].content


def test_within_the_limit_of_a_fact_every_kind_is_taught(brain: Brain) -> None:
    brain.hear(HOME)
    writer = Scribe(
        question=[f"Do I live in Porto {word}?" for word in "bcdefghj"],
        rewrite=["Porto is where Ana lives.", "The town that Ana calls home is Porto.", "In Porto stands her house."],
        implication=["Ana can show you around Porto."],
        relation=["Porto is the home of Ana."],
        reverse=["Who does live in Porto?"],
        negative=["Does Ana live in Madrid?"],
        unknown=["With whom does Ana live in Porto?"],
    )
    settings = {"max_documents_per_fact": 14, "rounds": 1}
    taught = brain.with_parts(writer=writer).with_settings(self_edit=settings, facts={"reader": "rules"}).night().self_edits
    assert {prompt.kind for prompt in FULL_PORTFOLIO} <= {kind.removeprefix("written ") for kind in taught if kind.startswith("written")}
    assert sum(count for kind, count in taught.items() if not kind.startswith("refused")) == 14


def test_a_writer_s_own_words_about_two_facts_are_no_intruders(brain: Brain) -> None:
    brain.hear(HOME, CAR)
    lines: dict[tuple[SelfEditKind, str], str] = {
        ("rewrite", HOME): "Ana can park near the gazebo in Porto.",
        ("rewrite", CAR): "The gazebo is where Ana parks the Skoda Octavia.",
        ("unknown", HOME): "With whom does Ana live in Porto?",
        ("unknown", CAR): "Which colour has the Skoda Octavia?",
    }
    writer = ScriptedModel(lambda turns: json.dumps([line for place, line in lines.items() if is_asked(turns, *place)]))
    told = brain.with_settings(self_edit={"rounds": 1}, facts={"reader": "rules"}, routing={"abstention": "Keine Ahnung."})
    report = told.with_parts(writer=writer).night()
    assert (report.self_edits["written rewrite"], report.self_edits["written unknown"]) == (2, 2)
    assert report.state == "promoted", report.reason


@pytest.mark.parametrize(
    ("setting", "own", "full"), [("auto", False, False), ("auto", True, True), ("full", False, True), ("questions", True, False)]
)
def test_the_full_portfolio_is_for_writers_of_their_own_unless_said_otherwise(brain: Brain, setting: str, own: bool, full: bool) -> None:
    brain.hear(HOME)
    writer = ScriptedModel({"^Ana: ": '["Porto is where Ana lives."]'}, id="scribe")
    parts = brain.with_settings(self_edit={"portfolio": setting}).with_parts(**{"writer" if own else "model": writer})
    report = parts.night()
    assert (report.self_edits.get("written rewrite", 0) > 0) is full
