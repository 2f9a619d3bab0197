"""What is measured of one view of the model, and when a measurement is invalid."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from seal_agent.consolidation.bundled import general_questions, general_texts, probes
from seal_agent.consolidation.evaluation import BROKEN, CONTEXT_QUESTIONS, MAX_LOSS, Examiner, sample_questions, target
from seal_agent.consolidation.grading import PhraseGrader
from seal_agent.errors import GradingError, TrainingError
from seal_agent.testing import ScriptedModel
from seal_agent.types import Graded, Question, Turn

PORTO = Question(id="f:0", text="Where does Ana live?", answers=("Porto",), fact_id="f", reference="Ana said: I live in Porto.")
CAR = Question(id="g:0", text="What does Ana drive?", answers=("Skoda",), fact_id="g")


class Recorder(ScriptedModel):
    """Knows Porto and Paris, and records which adapters were scored."""

    def __init__(self, logprob: float = -2.0) -> None:
        super().__init__({"live": "In Porto. Ana said: I live in Porto.", "capital of France": "Paris"})
        self.scored: list[int] = []
        self._logprob = logprob

    def score(self, items: Sequence[tuple[Sequence[Turn], str]], *, adapter: str | None = None) -> list[list[float]]:
        self.scored.append(len(items))
        if items and not items[0][0]:
            return [[self._logprob] * len(text.split()) for _, text in items]
        return super().score(items, adapter=adapter)


class Undecided(PhraseGrader):
    """Can't judge one of the questions."""

    def __init__(self, id: str) -> None:
        self._id = id

    def grade(self, question: Question, reply: str) -> Graded:
        if question.id == self._id:
            raise GradingError(f"The judge of {question.id!r} is asleep.")
        return super().grade(question, reply)


def examiner(
    cache: Path, model: ScriptedModel | None = None, grader: PhraseGrader | None = None, system_prompt: str = "Be brief."
) -> Examiner:
    return Examiner(model=model or Recorder(), grader=grader or PhraseGrader(), system_prompt=system_prompt, cache=cache)


def test_a_sheet_holds_everything_that_was_asked_of_one_view(tmp_path: Path) -> None:
    sheet = examiner(tmp_path).sheet(None, [PORTO, CAR], [PORTO])
    assert [graded.correct for graded in sheet.held_out] == [True, False]
    assert [graded.correct for graded in sheet.retained] == [True]
    assert len(sheet.general) == len(general_questions())
    assert (sheet.recall, sheet.retention) == (0.5, 1.0)
    assert sheet.general_accuracy == pytest.approx(1 / len(general_questions()))
    assert sheet.perplexity == pytest.approx(math.exp(2.0))


def test_a_held_out_question_of_an_earlier_fact_is_asked_once(tmp_path: Path) -> None:
    model = Recorder()
    sheet = examiner(tmp_path, model).sheet(None, [PORTO, CAR], [CAR, PORTO])
    assert [graded.question for graded in sheet.retained] == [CAR, PORTO]
    assert [graded.reply for graded in sheet.retained] == [graded.reply for graded in reversed(sheet.held_out)]
    closed = [call.prompt[-1].content for call in model.calls if call.prompt[-1].content in (PORTO.text, CAR.text)]
    assert sorted(closed) == sorted([PORTO.text, CAR.text])


def test_questions_are_asked_closed_book_under_the_system_prompt_and_greedily(tmp_path: Path) -> None:
    model = Recorder()
    examiner(tmp_path, model).sheet(None, [PORTO], [])
    assert model.calls[0].prompt == (Turn(role="system", content="Be brief."), Turn(role="user", content=PORTO.text))
    drawn = {question.text for question in sample_questions()}
    assert {call.temperature for call in model.calls if call.prompt[-1].content not in drawn} == {0.0}


def test_the_probability_is_that_of_the_sentence_that_was_taught(tmp_path: Path) -> None:
    known, unknown = examiner(tmp_path).sheet(None, [PORTO, CAR], []).held_out
    assert known.logprob == pytest.approx(-0.05)
    assert unknown.logprob == pytest.approx(-5.0)
    assert (target(PORTO), target(CAR)) == ("Ana said: I live in Porto.", "Skoda")


def test_the_base_s_general_figures_are_measured_once_and_kept(tmp_path: Path) -> None:
    first = examiner(tmp_path).general(None)
    model = Recorder()
    assert examiner(tmp_path, model).general(None) == first
    assert model.calls == []
    assert model.scored == []


def test_an_adapter_s_general_figures_are_measured_each_time(tmp_path: Path) -> None:
    examiner(tmp_path).general(None)
    model = Recorder()
    model._adapters["candidate"] = (tmp_path, {})
    examiner(tmp_path, model).general("candidate")
    assert len(model.calls) == len(general_questions())
    assert model.scored == [len(general_texts())]


@pytest.mark.parametrize("changed", ["model", "system prompt"])
def test_kept_figures_are_those_of_this_model_and_system_prompt(tmp_path: Path, changed: str) -> None:
    examiner(tmp_path).general(None)
    other = Recorder() if changed == "system prompt" else ScriptedModel({}, id="another")
    examiner(tmp_path, other, system_prompt="Be long." if changed == "system prompt" else "Be brief.").general(None)
    assert len(other.calls) == len(general_questions())


@pytest.mark.parametrize("ungraded", [PORTO.id, CAR.id, general_questions()[3].id])
def test_a_reply_that_can_not_be_graded_makes_the_evaluation_invalid_and_is_no_wrong_answer(tmp_path: Path, ungraded: str) -> None:
    with pytest.raises(TrainingError, match="evaluation is invalid: The judge of"):
        examiner(tmp_path, grader=Undecided(ungraded)).sheet(None, [PORTO], [CAR])


def test_a_kept_reply_that_can_not_be_graded_is_no_wrong_answer_either(tmp_path: Path) -> None:
    examiner(tmp_path).general(None)
    with pytest.raises(TrainingError, match="evaluation is invalid"):
        examiner(tmp_path, grader=Undecided(general_questions()[3].id)).general(None)


def test_an_evaluation_without_questions_has_no_recall_rather_than_none_right(tmp_path: Path) -> None:
    sheet = examiner(tmp_path).sheet(None, [], [])
    assert (sheet.recall, sheet.retention) == (None, None)


@pytest.mark.parametrize(("logprob", "expected"), [(math.nan, lambda value: value == BROKEN), (-5000.0, lambda value: value > 1e300)])
def test_a_model_that_broke_has_a_perplexity_that_no_gate_lets_through(tmp_path: Path, logprob: float, expected: object) -> None:
    assert callable(expected)
    assert expected(examiner(tmp_path, Recorder(logprob)).perplexity(None))


def test_what_the_base_does_by_itself_is_asked_once_and_kept(tmp_path: Path) -> None:
    first = examiner(tmp_path).probes(None)
    model = Recorder()
    assert examiner(tmp_path, model).probes(None) == first
    assert model.calls == []
    assert len(first) == len(probes())


def test_an_adapter_that_says_the_same_as_the_base_has_no_divergence_from_it(tmp_path: Path) -> None:
    model = Recorder()
    model._adapters["candidate"] = (tmp_path, {})
    assert examiner(tmp_path, model).kl("candidate") == 0.0
    assert examiner(tmp_path, model).kl(None) == 0.0


@pytest.mark.parametrize(("by_adapter", "expected"), [(-3.0, 2.0), (-0.5, 0.0), (math.nan, MAX_LOSS), (-math.inf, MAX_LOSS)])
def test_divergence_is_how_much_less_probable_the_base_s_own_words_have_become(tmp_path: Path, by_adapter: float, expected: float) -> None:
    class Changed(Recorder):
        def score(self, items: Sequence[tuple[Sequence[Turn], str]], *, adapter: str | None = None) -> list[list[float]]:
            return [[-1.0 if adapter is None else by_adapter] * 4 for _ in items]

    model = Changed()
    model._adapters["candidate"] = (tmp_path, {})
    assert examiner(tmp_path, model).kl("candidate") == pytest.approx(expected)


def test_a_base_that_says_nothing_has_no_divergence_that_could_be_measured(tmp_path: Path) -> None:
    class Silent(Recorder):
        def score(self, items: Sequence[tuple[Sequence[Turn], str]], *, adapter: str | None = None) -> list[list[float]]:
            return [[-1.0] for _ in items]  # the end of an empty text

    model = Silent()
    model._adapters["candidate"] = (tmp_path, {})
    assert examiner(tmp_path, model).kl("candidate") is None


def test_some_questions_are_asked_with_their_fact_in_front_of_them(tmp_path: Path) -> None:
    many = [Question(id=f"f:{n}", text="Where does Ana live?", answers=("Porto",), fact_id="f", reference=f"It is {n}.") for n in range(60)]
    model = ScriptedModel({"It is": "Porto"})
    shown = examiner(tmp_path, model).with_context(None, [*many, CAR])
    assert len(shown) == CONTEXT_QUESTIONS
    assert all(graded.correct for graded in shown)
    assert model.calls[0].prompt[-1].content == "It is 0.\n\nWhere does Ana live?"


def test_what_is_known_of_a_view_is_not_asked_again(tmp_path: Path) -> None:
    model = Recorder()
    model._adapters["candidate"] = (tmp_path, {})
    one = examiner(tmp_path, model)
    first = one.sheet("candidate", [PORTO], [])
    asked = len(model.calls)
    assert one.sheet("candidate", [PORTO], [], first) == first
    assert len(model.calls) - asked == len(first.held_out) + len(first.with_context)
