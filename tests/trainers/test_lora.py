"""Training learns what it is given and little else, says how far it is, and stops cleanly whatever happens."""

import errno
import math
import os
import random
from collections.abc import Callable
from itertools import chain, pairwise
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors import SafetensorError
from safetensors.torch import load_file

from seal_agent.adapters.artefact import publish, verify
from seal_agent.errors import CycleInterruptedError, StoreFullError, TrainingError
from seal_agent.models.local import LocalModel
from seal_agent.trainers.frozen import Item
from seal_agent.trainers.loop import awake, bucketed, schedule
from seal_agent.types import Example, Progress
from tests.adapters.forge import BASE, manifest_of
from tests.chat_models import ANCHORS, FACTS, anchor, asking, fact, hash_of_base, teach, tiny_trainer

Save = Callable[..., None]
NONE: frozenset[str] = frozenset()


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def replies(model: LocalModel, folder: Path) -> list[str]:
    model.load_adapter(str(folder), folder)
    return [answer.text for answer in model.generate([example.prompt for example in FACTS], adapter=str(folder), max_tokens=8)]


def test_a_small_set_of_facts_is_learnt(chat_model: LocalModel, tmp_path: Path) -> None:
    result = teach(chat_model, [*FACTS, *ANCHORS], tmp_path / "out", max_passes=24)
    assert result.losses[-1] < 0.3 * result.losses[0]
    assert (result.passes, result.steps, result.stopped_early) == (24, 48, False)
    assert replies(chat_model, result.path) == [example.answer for example in FACTS]


def test_training_leaves_the_base_as_it_was_bit_for_bit(chat_model: LocalModel, tmp_path: Path) -> None:
    before, answers, state = hash_of_base(chat_model), chat_model.generate(asking("say no")), torch.get_rng_state()
    teach(chat_model, FACTS, tmp_path / "out", max_passes=2, layer_share=1.0)
    assert hash_of_base(chat_model) == before
    assert chat_model.generate(asking("say no")) == answers
    assert torch.equal(torch.get_rng_state(), state)


def test_training_while_adapters_are_loaded_and_asked_gives_the_same_bytes(
    chat_model: LocalModel, lora_folders: dict[str, Path], tmp_path: Path
) -> None:
    alone = teach(chat_model, FACTS, tmp_path / "alone", max_passes=3).path

    def load_and_ask(progress: Progress) -> None:
        chat_model.load_adapter(f"oslo-{progress.done}", lora_folders["oslo"])
        chat_model.generate(asking("say no"), adapter=f"oslo-{progress.done}", max_tokens=2)

    trainer = tiny_trainer(chat_model, max_passes=3)
    out = tmp_path / "busy"
    trainer.train(FACTS, probes=(), out=out, seed=0, progress=load_and_ask, should_stop=lambda: False)
    assert (out / "adapter_model.safetensors").read_bytes() == (alone / "adapter_model.safetensors").read_bytes()


def test_what_is_published_from_it_passes_verification_and_loads(chat_model: LocalModel, tmp_path: Path) -> None:
    staged = teach(chat_model, FACTS, tmp_path / "staged", max_passes=24).path
    wanted = replies(chat_model, staged)
    path = publish(staged, tmp_path / "adapters", manifest_of(staged))
    assert verify(path, BASE).rank == 4
    assert replies(chat_model, path) == wanted


def test_anchors_alone_hardly_move_the_model(chat_model: LocalModel, tmp_path: Path) -> None:
    weightless = fact("say no", "no", weight=0.0)  # something to train on there must be
    still = teach(chat_model, [weightless, *ANCHORS], tmp_path / "still", learning_rate=2e-3, max_passes=8)
    moved = teach(chat_model, FACTS, tmp_path / "moved", learning_rate=2e-3, max_passes=8)
    assert max(still.losses) < 2e-3
    assert drift(chat_model, still.path) < 0.15 * drift(chat_model, moved.path)


def test_anchors_hold_the_model_where_facts_would_move_it(chat_model: LocalModel, tmp_path: Path) -> None:
    free = teach(chat_model, FACTS, tmp_path / "free").path
    held = teach(chat_model, [*FACTS, *ANCHORS], tmp_path / "held").path
    assert drift(chat_model, held) < 0.5 * drift(chat_model, free)


def drift(model: LocalModel, folder: Path) -> float:
    """Mean change of the log-probabilities of the anchors' answers, in nats."""
    model.load_adapter(str(folder), folder)
    pairs = [(example.prompt, example.answer) for example in ANCHORS]
    before, after = (list(chain(*model.score(pairs, adapter=name))) for name in (None, str(folder)))
    return sum(abs(one - other) for one, other in zip(before, after, strict=True)) / len(before)


def test_tokens_that_are_known_are_not_pushed_further(chat_model: LocalModel, tmp_path: Path) -> None:
    everything_known = teach(chat_model, FACTS, tmp_path / "known", known_above=1e-30, max_passes=2)
    assert everything_known.losses == (0.0, 0.0)
    assert not any(tensor.any() for name, tensor in weights(everything_known.path).items() if ".lora_B." in name)
    assert min(teach(chat_model, FACTS, tmp_path / "unknown", known_above=1.0, max_passes=2).losses) > 0


def test_the_weight_of_an_example_scales_its_loss(chat_model: LocalModel, tmp_path: Path) -> None:
    one, half = (teach(chat_model, [fact("say no", "yes yes", weight=w)], tmp_path / str(w), max_passes=1).losses[0] for w in (1.0, 0.5))
    assert half == pytest.approx(0.5 * one)


def test_training_stops_once_half_of_the_probes_are_known(chat_model: LocalModel, tmp_path: Path) -> None:
    hopeless = fact("zebra zebra", "london milk red soup")
    result = teach(chat_model, FACTS, tmp_path / "out", probes=[*FACTS, hopeless], target_loss=1.0, max_passes=40)
    assert result.stopped_early
    assert result.passes < 40
    assert not teach(chat_model, FACTS, tmp_path / "all", probes=[hopeless], target_loss=1.0, max_passes=4).stopped_early


def test_examples_and_probes_without_an_answer_are_left_out(chat_model: LocalModel, tmp_path: Path) -> None:
    empty = [anchor("say no", "", ended=False), fact("say no", "", ended=False)]
    teach(chat_model, FACTS, tmp_path / "plain", max_passes=2)
    result = teach(chat_model, [*FACTS, *empty], tmp_path / "with", probes=empty, max_passes=2, target_loss=1.0)
    assert all(math.isfinite(loss) for loss in result.losses)
    assert weights(result.path)["base_model.model.model.layers.3.mlp.up_proj.lora_B.weight"].any()
    assert (tmp_path / "plain" / "adapter_model.safetensors").read_bytes() == (result.path / "adapter_model.safetensors").read_bytes()


@pytest.mark.parametrize("examples", [[], list(ANCHORS), [fact("say no", "", ended=False)]])
def test_without_a_fact_to_learn_there_is_nothing_to_train_on(examples: list[Example], chat_model: LocalModel, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nothing to train on"):
        teach(chat_model, examples, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_progress_has_loss_speed_and_the_time_that_is_left(chat_model: LocalModel, tmp_path: Path) -> None:
    seen: list[Progress] = []
    tiny_trainer(chat_model, max_passes=3).train(
        FACTS, probes=(), out=tmp_path / "out", seed=0, progress=seen.append, should_stop=lambda: False
    )
    assert [(step.done, step.total) for step in seen] == [(done, 6) for done in range(1, 7)]
    for step in seen:
        assert step.loss is not None
        assert step.loss > 0
        assert step.tokens_per_second is not None
        assert step.tokens_per_second > 0
        assert step.seconds_left is not None
        assert step.seconds_left >= 0
    assert seen[0].seconds_left != 0
    assert seen[-1].seconds_left == 0


def test_a_stop_in_the_middle_leaves_nothing(chat_model: LocalModel, tmp_path: Path) -> None:
    steps: list[Progress] = []
    with pytest.raises(CycleInterruptedError, match="nothing was promoted"):
        tiny_trainer(chat_model).train(
            FACTS, probes=(), out=tmp_path / "out", seed=0, progress=steps.append, should_stop=lambda: len(steps) == 3
        )
    assert len(steps) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_takes_too_long_names_the_setting(chat_model: LocalModel, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"training\.max_minutes"):
        teach(chat_model, FACTS, tmp_path / "out", max_minutes=1e-9)
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_not_finite_names_the_learning_rate(chat_model: LocalModel, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"not finite at step \d+; lower training.learning_rate=1e\+30"):
        teach(chat_model, FACTS, tmp_path / "out", learning_rate=1e30)
    assert list(tmp_path.iterdir()) == []


def failing(error: Exception) -> Save:
    def save_pretrained(self: PeftModel, folder: str, **_: object) -> None:
        Path(folder).mkdir(parents=True)
        (Path(folder) / "adapter_model.safetensors").write_bytes(b"half")
        raise error

    return save_pretrained


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), StoreFullError),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), StoreFullError),
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), StoreFullError),
        (SafetensorError("Error while serializing: I/O error: Input/output error (os error 5)"), SafetensorError),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES)), PermissionError),
    ],
)
def test_an_adapter_that_can_not_be_saved_leaves_nothing_and_a_full_disk_is_named(
    error: Exception, raised: type[Exception], chat_model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PeftModel, "save_pretrained", failing(error))
    with pytest.raises(raised):
        teach(chat_model, FACTS, tmp_path / "out", max_passes=1)
    assert list(tmp_path.iterdir()) == []


def test_an_estimate_counts_the_tokens_of_all_passes_and_guesses_the_time(chat_model: LocalModel) -> None:
    tokens, seconds = tiny_trainer(chat_model, max_passes=5).estimate(FACTS)
    assert tokens == 5 * sum(len(chat_model.encode_pair(example.prompt, example.answer)[0]) for example in FACTS)
    assert 0 < seconds < 60


def items(lengths: list[int]) -> list[Item]:
    return [Item(ids=[0] * length, start=1, weight=1.0, fact="f") for length in lengths]


def test_batches_of_similar_length_waste_less_than_a_tenth_on_padding() -> None:
    draw = random.Random(0)
    mixed = items([draw.choice((draw.randint(8, 20), draw.randint(30, 60), draw.randint(100, 250))) for _ in range(300)])
    batches = bucketed(mixed, 8, random.Random(1))
    padded = sum(len(batch) * max(len(item.ids) for item in batch) for batch in batches)
    assert sum(len(item.ids) for item in mixed) / padded > 0.9
    assert sorted(id(item) for batch in batches for item in batch) == sorted(map(id, mixed))


def test_batches_come_in_another_order_each_pass_and_the_same_for_a_seed() -> None:
    mixed, order, again = items(list(range(2, 60))), random.Random(1), random.Random(1)
    first, second = (bucketed(mixed, 4, order) for _ in range(2))
    assert first != second
    assert [bucketed(mixed, 4, again), bucketed(mixed, 4, again)] == [first, second]


def test_what_was_known_rests_for_one_pass_and_anchors_never_do() -> None:
    known, other, anchor = items([5, 6, 7])
    anchor.fact, known.rests = None, True
    assert awake([known, other, anchor], NONE, 1.0, 0) == [other, anchor]
    assert awake([known, other, anchor], NONE, 1.0, 0) == [known, other, anchor]


def test_where_everything_is_known_nothing_rests() -> None:
    known, anchor = items([5, 6])
    anchor.fact, known.rests = None, True
    assert awake([known, anchor], NONE, 1.0, 0) == [known, anchor]


def test_what_rests_costs_nothing_and_is_learnt_all_the_same(chat_model: LocalModel, tmp_path: Path) -> None:
    resting = teach(chat_model, FACTS, tmp_path / "resting", max_passes=30, known_above=0.5)
    every = teach(chat_model, FACTS, tmp_path / "every", max_passes=30, known_above=1.0)
    assert resting.trained_tokens < every.trained_tokens == 30 * sum(len(item.ids) for item in tiny_trainer(chat_model)._encode(FACTS))
    assert replies(chat_model, resting.path) == [example.answer for example in FACTS]


def test_the_learning_rate_warms_up_and_then_falls_to_nothing() -> None:
    factors = [schedule(step, 100) for step in range(100)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert all(later <= earlier for earlier, later in pairwise(factors[4:]))
    assert 0 < factors[-1] < 1e-2
    assert schedule(0, 1) == 1.0


def test_a_silent_run_says_nothing(chat_model: LocalModel, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    teach(chat_model, FACTS[:1], tmp_path / "out", max_passes=1)
    assert capfd.readouterr() == ("", "")


def test_a_loss_on_all_tokens_teaches_the_prompt_too(chat_model: LocalModel, tmp_path: Path) -> None:
    asked = FACTS[0].prompt[-1].content

    def loss_of_the_prompt(loss_on: str) -> float:
        out = teach(chat_model, [fact(asked, "oslo", loss_on=loss_on)], tmp_path / loss_on, max_passes=12).path
        chat_model.load_adapter(loss_on, out)
        return -sum(chat_model.score([((), f"<user> {asked} <end>")], adapter=loss_on)[0])

    assert loss_of_the_prompt("all") < loss_of_the_prompt("answer")
