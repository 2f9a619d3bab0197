"""What an objective shows the model, and that each of them learns the facts, the same for a seed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from seal_agent.errors import CycleInterruptedError
from seal_agent.models.local import LocalModel
from seal_agent.trainers import mixing
from seal_agent.trainers.lora import opened, with_source
from seal_agent.trainers.mixing import Mixer, tells
from seal_agent.trainers.teaching import TOP, fill_teachers
from seal_agent.types import Turn
from tests.chat_models import ANCHORS, FACTS, fact, teach, tiny_trainer

SOURCED = [replace(example, source=example.answer) for example in FACTS]


@pytest.fixture(autouse=True)
def few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixing, "TRIES", 2)


def nothing() -> None:
    return None


@pytest.mark.parametrize(("share", "shown"), [(0.0, 0), (0.5, 2), (0.75, 3), (1.0, 4)])
def test_so_many_items_are_asked_with_their_source_in_the_prompt(share: float, shown: int) -> None:
    examples = opened([*SOURCED, *ANCHORS], share)
    assert sum("\n\n" in example.prompt[-1].content for example in examples) == shown
    assert examples[4:] == list(ANCHORS)


def test_the_source_goes_ahead_of_the_question_once() -> None:
    shown = with_source(fact("where ?", "oslo", source="ana lives in oslo ."))
    assert shown.prompt == (Turn(role="user", content="ana lives in oslo .\n\nwhere ?"),)
    assert with_source(shown) == shown


def test_a_teacher_sees_the_source_and_its_likeliest_tokens_are_kept(chat_model: LocalModel) -> None:
    item, plain = tiny_trainer(chat_model)._encode([SOURCED[0], FACTS[0]])
    fill_teachers(chat_model, [item, plain], batch_tokens=64)
    answer = len(item.ids) - item.start
    assert item.likely.shape == item.shares.shape == (answer, TOP)
    assert len(plain.likely) == 0
    assert torch.allclose(item.shares.exp().sum(dim=1), torch.ones(answer))
    best = chat_model.generate([with_source(SOURCED[0]).prompt], max_tokens=1)[0].text
    assert chat_model.tokenizer.decode([int(item.likely[0, 0])]) == best


def test_mixed_answers_are_the_experts_where_nothing_is_mixed_in(chat_model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seal_agent.trainers.mixing.tells", lambda target, answer: True)
    items = tiny_trainer(chat_model)._encode([replace(example, ended=False) for example in SOURCED])
    targets = Mixer(chat_model, 0.0, seed=0)._write(items, nothing)
    for example, item, target in zip(SOURCED, items, targets, strict=True):
        said = chat_model.generate([with_source(example).prompt], max_tokens=len(item.ids) - item.start)[0].text
        assert chat_model.tokenizer.decode(target, skip_special_tokens=True) == said


def test_mixed_answers_are_the_same_for_a_seed_and_others_for_another(chat_model: LocalModel) -> None:
    items = tiny_trainer(chat_model)._encode([replace(example, ended=False) for example in SOURCED])
    first, again, other = (Mixer(chat_model, 0.5, seed)._write(items, nothing) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_a_fact_that_gets_lost_in_the_mix_is_taught_as_it_was_given(chat_model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seal_agent.trainers.mixing.tells", lambda target, answer: False)
    items = tiny_trainer(chat_model)._encode(SOURCED)
    before = [list(item.ids) for item in items]
    assert Mixer(chat_model, 0.3, seed=0).rewrite(items, nothing) == len(items)
    assert [item.ids for item in items] == before


def test_writing_targets_can_be_stopped(chat_model: LocalModel, tmp_path: Path) -> None:
    with pytest.raises(CycleInterruptedError):
        tiny_trainer(chat_model, objective="mixed").train(
            SOURCED, probes=(), out=tmp_path / "out", seed=0, progress=lambda _: None, should_stop=lambda: True
        )
    assert list(tmp_path.iterdir()) == []


def test_a_stop_is_heard_while_a_long_target_is_written(chat_model: LocalModel) -> None:
    looks = iter(range(2))

    def check() -> None:
        if next(looks, None) is None:
            raise CycleInterruptedError("stopped")

    [item] = tiny_trainer(chat_model)._encode([replace(SOURCED[0], answer="red fish " * 20, ended=False)])
    with pytest.raises(CycleInterruptedError):
        Mixer(chat_model, 0.0, seed=0).rewrite([item], check)
    assert len(item.ids) - item.start == 40


@pytest.mark.parametrize(
    ("target", "told"),
    [("She moved to Porto in 2019.", True), ("It was in 2019, to Porto she moved", True), ("She moved", False), ("", False)],
)
def test_a_target_tells_the_fact_when_it_holds_most_of_its_telling_words(target: str, told: bool) -> None:
    assert tells(target, "She moved to Porto in 2019.") is told


def test_short_words_are_what_an_answer_of_short_words_is_about() -> None:
    assert tells("no it is red", "red")
    assert not tells("no it is blue", "red")


@pytest.mark.parametrize("objective", ["masked", "distilled", "mixed"])
def test_every_objective_learns_and_gives_the_same_bytes_for_a_seed(objective: str, chat_model: LocalModel, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"objective": objective, "context_share": 0.5, "max_passes": 5}  # Any: fields of TrainingSettings
    first, again = (teach(chat_model, [*SOURCED, *ANCHORS], tmp_path / name, **settings) for name in ("first", "again"))
    assert first.losses[-1] < 0.8 * first.losses[0]
    assert (first.path / "adapter_model.safetensors").read_bytes() == (again.path / "adapter_model.safetensors").read_bytes()


def test_without_sources_every_objective_is_likelihood(chat_model: LocalModel, tmp_path: Path) -> None:
    plain, distilled, mixed = (
        teach(chat_model, FACTS, tmp_path / name, objective=name, max_passes=2).losses for name in ("masked", "distilled", "mixed")
    )
    assert plain == distilled == mixed
