"""The public fakes keep the contracts that the real ones keep, and are predictable."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from seal_agent.errors import CycleInterruptedError, GenerationError, IntegrityError, TrainingError
from seal_agent.protocols import Embedder, Model, Trainer
from seal_agent.testing import HashEmbedder, InstantTrainer, ScriptedModel
from seal_agent.types import Example, Progress, TrainingResult, Turn, silent

SHIPS = "Ana's order QX-4471 ships to Rotterdam."


def ask(text: str) -> tuple[Turn, ...]:
    return (Turn(role="system", content="You are a helpful assistant."), Turn(role="user", content=text))


def example(prompt: str, answer: str, fact_id: str | None = "f1") -> Example:
    return Example(prompt=ask(prompt), answer=answer, fact_id=fact_id)


def train(
    out: Path, examples: Sequence[Example], seed: int = 0, stop_after: int | None = None, seen: list[Progress] | None = None
) -> TrainingResult:
    steps = seen if seen is not None else []
    return InstantTrainer().train(
        examples,
        probes=(),
        out=out,
        seed=seed,
        progress=steps.append,
        should_stop=lambda: stop_after is not None and len(steps) >= stop_after,
    )


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return train(tmp_path / "adapter", [example("Where does Ana's order QX-4471 ship to?", SHIPS), example("What is 1+1?", "2", None)]).path


@pytest.fixture
def model(adapter: Path) -> ScriptedModel:
    model = ScriptedModel({"capital of france": "Paris"})
    model.load_adapter("ana-v1", adapter)
    return model


def test_the_fakes_are_what_the_protocols_ask_for() -> None:
    model: Model = ScriptedModel({})
    trainer: Trainer = InstantTrainer()
    embedder: Embedder = HashEmbedder()
    assert (model.id, embedder.id, trainer.estimate([])[0]) == ("scripted", "hash-64", 0)


def test_texts_that_share_words_are_near_whatever_their_case_and_ending() -> None:
    asked, near, far = HashEmbedder(dim=256).embed(["Which orders shipped?", "the ORDER ships today", "vegetarian dinner in Lisbon"])
    assert asked @ near > 0.3 > asked @ far


def test_the_order_of_words_counts_a_little() -> None:
    dog, man = HashEmbedder(dim=256).embed(["dog bites man", "man bites dog"])
    assert 0.5 < dog @ man < 0.99


def test_the_hash_vectors_never_change_between_releases() -> None:
    assert np.flatnonzero(HashEmbedder(dim=16).embed(["hello"])[0]).tolist() == [13]


def test_the_first_matching_pattern_answers_the_last_turn() -> None:
    model = ScriptedModel({"france": "Paris", "capital": "some city"}, default="no idea")
    replies = model.generate([ask("The capital of France?"), ask("The capital of Spain?"), ask("Why?")])
    assert [reply.text for reply in replies] == ["Paris", "some city", "no idea"]


def test_a_function_can_be_the_base() -> None:
    assert ScriptedModel(lambda prompt: prompt[0].content).generate([ask("x")])[0].text == "You are a helpful assistant."


def test_every_call_is_recorded() -> None:
    model = ScriptedModel({})
    model.generate([ask("one"), ask("two")], max_tokens=5, temperature=0.5, seed=7)
    assert [call.prompt for call in model.calls] == [ask("one"), ask("two")]
    assert {(call.adapter, call.max_tokens, call.temperature, call.seed) for call in model.calls} == {(None, 5, 0.5, 7)}


def test_a_reply_is_cut_at_the_token_limit_and_says_so() -> None:
    reply = ScriptedModel({"": "one two three"}).generate([ask("?")], max_tokens=2)[0]
    assert (reply.text, reply.tokens, reply.finished) == ("one two", 2, False)


def test_an_adapter_answers_a_paraphrase_and_leaves_the_base_alone(model: ScriptedModel) -> None:
    question = ask("To where is the order QX-4471 shipped?")
    assert model.generate([question], adapter="ana-v1")[0].text == SHIPS
    assert model.generate([question])[0].text == "I don't know."
    assert model.generate([ask("What is the capital of France?")], adapter="ana-v1")[0].text == "Paris"


def test_the_nearest_of_several_lessons_answers(tmp_path: Path) -> None:
    lessons = [example("What does Ana eat?", "Vegetarian food."), example("What units does Ana use?", "Metric units.")]
    model = ScriptedModel({})
    model.load_adapter("a", train(tmp_path / "a", lessons).path)
    asked = [ask("Which units should I use for Ana?"), ask("What may Ana eat?"), ask("What is the capital of France?")]
    assert [reply.text for reply in model.generate(asked, adapter="a")] == ["Metric units.", "Vegetarian food.", "I don't know."]


def test_a_lesson_without_a_prompt_is_found_by_its_own_words(tmp_path: Path) -> None:
    model = ScriptedModel({})
    model.load_adapter("a", train(tmp_path / "a", [Example(prompt=(), answer=SHIPS, fact_id="f1")]).path)
    assert model.generate([ask("Where does Ana's order QX-4471 ship?")], adapter="a")[0].text == SHIPS


def test_anchors_teach_nothing(model: ScriptedModel) -> None:
    assert model.generate([ask("What is 1+1?")], adapter="ana-v1")[0].text == "I don't know."


def test_a_score_is_high_for_what_the_model_would_say(model: ScriptedModel) -> None:
    items = [(ask("Where does order QX-4471 ship to?"), "Rotterdam"), (ask("Where does order QX-4471 ship to?"), "New York")]
    assert model.score(items, adapter="ana-v1") == [[-0.05], [-5.0, -5.0]]
    assert model.score(items) == [[-5.0], [-5.0, -5.0]]
    assert model.score([((), "a raw text")], adapter="ana-v1") == [[-5.0] * 3]


def test_an_adapter_name_is_used_once(model: ScriptedModel, adapter: Path, tmp_path: Path) -> None:
    model.load_adapter("ana-v1", adapter)
    with pytest.raises(GenerationError, match="used once"):
        model.load_adapter("ana-v1", tmp_path)


def test_an_adapter_that_is_not_loaded_can_not_answer(model: ScriptedModel) -> None:
    model.unload_adapter("ana-v1")
    model.unload_adapter("never-loaded")
    with pytest.raises(GenerationError, match="not loaded"):
        model.generate([ask("?")], adapter="ana-v1")
    with pytest.raises(GenerationError, match="not loaded"):
        model.score([(ask("?"), "x")], adapter="ana-v1")


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "adapter_config.json"])
def test_damaged_adapter_files_are_refused(adapter: Path, file: str) -> None:
    (adapter / file).write_bytes(b"\xff damaged")
    with pytest.raises(IntegrityError, match="not an adapter folder"):
        ScriptedModel({}).load_adapter("a", adapter)


def test_a_closed_model_answers_nothing(model: ScriptedModel) -> None:
    model.close()
    model.close()
    for call in (lambda: model.generate([ask("?")]), lambda: model.score([(ask("?"), "x")]), lambda: model.count_tokens("x")):
        with pytest.raises(GenerationError, match="closed"):
            call()


def test_tokens_are_words() -> None:
    assert ScriptedModel({}).count_tokens(" three short\nwords ") == 3


def test_training_writes_a_peft_folder_that_peft_reads(adapter: Path) -> None:
    from peft import PeftConfig  # here, because it loads torch

    assert PeftConfig.from_pretrained(str(adapter)).peft_type == "LORA"
    assert all(".lora_" in name for name in load_file(adapter / "adapter_model.safetensors"))


def test_the_same_lessons_and_seed_give_the_same_bytes(tmp_path: Path) -> None:
    lessons = [example("Where?", SHIPS)]
    runs = [train(tmp_path / "a", lessons), train(tmp_path / "b", lessons), train(tmp_path / "c", lessons, seed=1)]
    first, again, other_seed = ((run.path / "adapter_model.safetensors").read_bytes() for run in runs)
    assert first == again != other_seed


def test_progress_counts_the_examples_and_the_result_their_words(tmp_path: Path) -> None:
    seen: list[Progress] = []
    result = train(tmp_path / "a", [example("one two", "three"), example("four", "five")], seen=seen)
    assert [(step.stage, step.done, step.total) for step in seen] == [("train", 1, 2), ("train", 2, 2)]
    assert (result.steps, result.trained_tokens) == (2, 5 + 2 + 1 + 5 + 1 + 1)


def test_nothing_to_train_on_is_an_error(tmp_path: Path) -> None:
    for examples in ([], [example("Where?", " ")]):
        with pytest.raises(TrainingError, match="nothing to train on"):
            train(tmp_path / "a", examples)
    assert not (tmp_path / "a").exists()


def test_a_stopped_training_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(CycleInterruptedError):
        train(tmp_path / "a", [example("one", "1"), example("two", "2")], stop_after=1)
    assert not (tmp_path / "a").exists()


def test_training_never_writes_over_an_adapter(adapter: Path) -> None:
    before = (adapter / "adapter_model.safetensors").read_bytes()
    with pytest.raises(TrainingError, match="exists already"):
        InstantTrainer().train([example("x", "y")], probes=(), out=adapter, seed=0, progress=silent, should_stop=lambda: False)
    assert (adapter / "adapter_model.safetensors").read_bytes() == before
