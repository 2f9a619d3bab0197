"""What a writer answered is kept until its facts are recorded: nothing is asked twice, and nothing outlives what was forgotten."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from seal_agent.consolidation import reading
from seal_agent.consolidation.checkpoint import discard
from seal_agent.consolidation.preparing import draw
from seal_agent.consolidation.run import Run
from seal_agent.consolidation.selection import select
from seal_agent.errors import CycleInterruptedError
from seal_agent.ledger import purge
from seal_agent.ledger.episodes import list_episodes
from seal_agent.types import Progress, Turn, silent
from tests.consolidation.brains import ANA, DIET, HOME, LISBON, START, Brain
from tests.consolidation.readers import clock, drawn, entries, read_by, reader, reading_of, shown
from tests.consolidation.test_resuming import killed_at


def test_a_night_that_is_stopped_while_it_reads_asks_nothing_twice(brain: Brain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PORTION", 1)
    said = [DIET, HOME, "I drive a Skoda Octavia."]
    brain.hear(*said)
    model = reader({"Porto": entries((HOME, "Ana lives in Porto."))})
    own = read_by(brain, model)

    def stop(step: Progress) -> None:
        if step.stage == "facts" and step.done == 2:
            raise CycleInterruptedError("stopped")

    with pytest.raises(CycleInterruptedError):
        drawn(own, stop)
    assert shown(model) == said[:2]
    report = reading_of(own)
    assert shown(model) == said
    assert (report.answered, report.stated) == (3, 1)
    assert not list((brain.backends.folder / reading.READINGS).rglob("*.json")), "nothing is left once the facts are recorded"


def test_a_night_that_finds_too_little_keeps_what_was_read_for_the_next(brain: Brain) -> None:
    brain.hear(DIET)
    model = reader({})
    for _ in range(2):
        report = drawn(read_by(brain, model), least=5)
        assert report is not None
        assert report.answered == 1
    assert brain.facts() == []
    assert shown(model) == [DIET]


@pytest.mark.slow
@pytest.mark.parametrize("step", ["self-edits", "settle"])
def test_a_cycle_that_is_finished_by_the_next_process_tells_what_was_read(brain: Brain, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    brain.hear(DIET)
    own = brain.with_parts(writer=reader({"vegan": entries((DIET, "Ana has been vegan since 2011."))}))
    with killed_at(own.with_settings(self_edit={"questions_per_fact": 0}), step, monkeypatch) as after:
        model = reader({})
        report = read_by(after, model).night()
        assert report.reading is not None
        assert report.reading.stated == 1
        assert shown(model) == []


def test_what_is_forgotten_while_it_is_read_is_neither_drawn_nor_left_in_the_notebook(brain: Brain) -> None:
    said = brain.hear(DIET)
    brain.hear(HOME)
    folder, ledger = brain.backends.folder, brain.backends.ledger

    def forget(prompt: Sequence[Turn]) -> str:
        with ledger.write() as conn:
            if any(episode.id == said.id for episode in list_episodes(conn, ANA)):
                purge.remove_episodes(conn, ANA, [said.id], START)
        discard(ledger, folder, ANA)
        return entries((DIET, "Ana has been vegan since 2011.")) if "vegan" in prompt[-1].content else "[]"

    written: list[str] = []

    def look(step: Progress) -> None:
        written.extend(file.read_text() for file in Path(folder / reading.READINGS).rglob("*.json"))

    drawn(read_by(brain, reader(forget)), look)
    assert brain.quotes() == [HOME]
    assert not [text for text in written if "vegan" in text]


def test_forgetting_discards_what_writers_answered(brain: Brain) -> None:
    left = brain.backends.folder / reading.READINGS / "some" / "reply.json"
    left.parent.mkdir(parents=True)
    left.write_text(json.dumps(DIET))
    discard(brain.backends.ledger, brain.backends.folder, ANA)
    assert not left.exists()


def test_a_damaged_reply_is_asked_for_again(brain: Brain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PORTION", 1)
    brain.hear(DIET, HOME)
    model = reader({})
    own = read_by(brain, model)

    def stop(step: Progress) -> None:
        if step.stage == "facts" and step.done == 1:
            raise CycleInterruptedError("stopped")

    with pytest.raises(CycleInterruptedError):
        drawn(own, stop)
    [kept] = (brain.backends.folder / reading.READINGS).rglob("*.json")
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    kept.write_text("damaged")
    drawn(own)
    assert shown(model) == [DIET, DIET, HOME]


def test_two_nights_over_the_same_words_and_replies_draw_the_same_facts(brain: Brain) -> None:
    brain.hear(DIET, LISBON, HOME)
    replies = {"vegan": entries((DIET, "Ana has been vegan since 2011.")), "Porto": entries((HOME, "Ana lives in Porto."))}
    own = read_by(brain, reader(replies))
    run = Run(scope=ANA, backends=own.backends, progress=silent, should_stop=lambda: False, clock=clock)
    selection = select(own.backends, ANA)
    pages = list(reading.pages_of(run, reader(replies), selection.episodes))
    notes = reading.Notes(writer="reader", replies={page.name: reader(replies).generate([page.prompt])[0] for page in pages})
    one, other = (draw(run, selection, reading.understood(run, notes, selection.episodes)) for _ in range(2))
    assert [draft.fact for draft in one] == [draft.fact for draft in other]
    assert len({draft.fact.id for draft in one}) == 3
