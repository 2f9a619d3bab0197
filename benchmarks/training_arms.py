"""The arms of the training benchmark: how each trainer is run on the same documents, and the meter that is read while it does.

It decides nothing about trials, and compares nothing: `training_throughput.py` does.
"""

import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.training_flops import shape_of, training_flops
from seal_agent.config import TrainingSettings
from seal_agent.consolidation.bundled import topics
from seal_agent.models.local import LocalModel
from seal_agent.trainers import frozen, layout
from seal_agent.trainers.layout import Layout, Row
from seal_agent.trainers.lora import LoraTrainer, linear_names
from seal_agent.types import Example, Turn

NAMES = ("Mara", "Tobias Lindqvist", "Wren & Daughters", "Ijeoma", "the harbour office", "Mr Okafor", "Beatriz", "Jun", "Priya N.")
TRL_BATCH = 8
"""TRL's default batch size, so that its defaults are what it is measured with."""
TRL_SECONDS = 15.0
"""A run of TRL's ends with the step in which it has used up so many processor-seconds, or with its documents."""
FASTER_TRL = {"gradient_checkpointing": False, "train_sampling_strategy": "sequential"}
TRL_ARMS: dict[str, dict[str, Any]] = {
    "trl": {},
    "trl_float32": {**FASTER_TRL, "bf16": False},
    "trl_bfloat16": {**FASTER_TRL, "model_init_kwargs": {"dtype": "bfloat16"}},
}


@dataclass(slots=True, kw_only=True)
class Meter:
    """What one run of one arm used: begun at the first step, read after each step."""

    tokens: int = 0
    steps: int = 0
    before: float = 0.0
    """Processor-seconds before the first step."""
    processor: float = 0.0
    wall: float = 0.0
    flops: int = 0
    _made: float = field(default_factory=lambda: time.process_time())
    _began: tuple[float, float] = (0.0, 0.0)

    def begin(self) -> None:
        """A step begins; only the first one counts."""
        if not self.steps:
            self._began = (time.process_time(), time.perf_counter())
            self.before = self._began[0] - self._made

    def step(self) -> None:
        """A step is done."""
        self.steps += 1
        self.processor, self.wall = time.process_time() - self._began[0], time.perf_counter() - self._began[1]

    @property
    def rate(self) -> float:
        """Useful tokens per processor-second."""
        return self.tokens / self.processor


Run = Callable[[Sequence[Example]], Meter]


def make_documents(count: int, seed: int) -> list[Example]:
    """Short questions with statements of 4 to 25 words as answers, the kind of item that nights train on; same seed, same documents."""
    order = random.Random(seed)
    documents = []
    for number in range(count):
        topic = topics()[number % len(topics())]
        question = order.choice(topic.questions)[0].replace("{name}", order.choice(NAMES))
        prompt = (Turn(role="system", content=""), Turn(role="user", content=question))
        documents.append(Example(prompt=prompt, answer=order.choice(topic.statements), fact_id=str(number)))
    return order.sample(documents, count)


def run_ours(model: LocalModel, settings: TrainingSettings, documents: Sequence[Example]) -> Meter:
    """Train an adapter on the documents as a night would, one pass."""
    meter = Meter()

    def should_stop() -> bool:  # asked at the beginning of each step
        meter.begin()
        return False

    shared: list[int] = []

    def packed(batch: Sequence[Row]) -> Layout:
        laid_out = layout.packed(batch)
        if meter.steps or meter.before:  # no check any more
            shared.append(sum(len(row.ids) for row in batch) - laid_out.hidden.shape[1])
        return laid_out

    with tempfile.TemporaryDirectory() as folder, patch.object(frozen, "packed", packed):
        result = LoraTrainer(model, settings).train(
            documents, probes=(), out=Path(folder) / "adapter", seed=0, progress=lambda _: meter.step(), should_stop=should_stop
        )
    meter.tokens = result.trained_tokens
    meter.flops = training_flops(shape_of(model, settings), lengths(model, documents) * result.passes, sum(shared))
    return meter


def run_default(model: LocalModel, settings: TrainingSettings, documents: Sequence[Example]) -> Meter:
    """The same with its share of the run over the frozen layers, which happens once for all passes."""
    meter = run_ours(model, settings, documents)
    meter.processor += meter.before / TrainingSettings().max_passes
    return meter


def lengths(model: LocalModel, documents: Sequence[Example]) -> list[tuple[int, int]]:
    encoded = [model.encode_pair(document.prompt, document.answer) for document in documents]
    return [(len(ids), len(ids) - start) for ids, start in encoded]


def run_trl(model: LocalModel, settings: TrainingSettings, options: dict[str, Any], documents: Sequence[Example]) -> Meter:
    """Train with TRL's `SFTTrainer` on the same documents until the time is used up."""
    meter = Meter()
    with tempfile.TemporaryDirectory() as folder:
        trainer = trl_trainer(model, settings, options, documents, folder)
        trainer.add_callback(stopwatch(meter))
        trainer.model.register_forward_pre_hook(lambda _, __, kwargs: count_tokens(meter, kwargs["attention_mask"]), with_kwargs=True)
        trainer.train()
    return meter


def trl_trainer(
    model: LocalModel, settings: TrainingSettings, options: dict[str, Any], documents: Sequence[Example], folder: str
) -> Any:  # Any: TRL is optional, and its trainer's model is declared as optional
    """TRL's `SFTTrainer` for these documents, silent, saving nothing; its model is its own, loaded from the same folder as ours."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import PrinterCallback
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    chats = [
        {
            "prompt": [{"role": turn.role, "content": turn.content} for turn in document.prompt],
            "completion": [{"role": "assistant", "content": document.answer}],
        }
        for document in (by_length(model, documents, settings.batch_size) if "train_sampling_strategy" in options else documents)
    ]
    lora = LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, lora_dropout=0.0, target_modules=linear_names(model.new_view()), task_type="CAUSAL_LM"
    )
    config = SFTConfig(
        output_dir=folder,
        use_cpu=True,
        learning_rate=settings.learning_rate,
        per_device_train_batch_size=settings.batch_size,
        num_train_epochs=settings.max_passes,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **options,
    )
    trainer = SFTTrainer(model=str(model.folder), args=config, train_dataset=Dataset.from_list(chats), peft_config=lora)
    trainer.remove_callback(PrinterCallback)
    return trainer


def by_length(model: LocalModel, documents: Sequence[Example], batch_size: int) -> list[Example]:
    """The documents so that batches taken from the front are of similar length, the batches in random order."""
    size = dict(zip(documents, lengths(model, documents), strict=True))
    ordered = sorted(documents, key=lambda document: size[document])
    batches = [ordered[first : first + batch_size] for first in range(0, len(ordered), batch_size)]
    return [document for batch in random.Random(0).sample(batches, len(batches)) for document in batch]


def count_tokens(meter: Meter, mask: torch.Tensor) -> None:
    meter.tokens += int(mask.sum())


def stopwatch(meter: Meter) -> Any:
    """A `TrainerCallback` that reads the meter at each step and ends the run when the time is used up."""
    from transformers import TrainerCallback

    class Stopwatch(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # Any: as transformers calls it
            meter.begin()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            meter.step()
            control.should_training_stop = control.should_training_stop or meter.processor > TRL_SECONDS

    return Stopwatch()


def arms_of(model: LocalModel) -> dict[str, Run]:
    """Name of each arm that makes sense on this processor, and how to run it."""
    # No probes and no known tokens left out: every arm trains all answer tokens of all documents.
    full = TrainingSettings(layer_share=1.0, known_above=1.0, max_passes=1, batch_size=TRL_BATCH)
    default = TrainingSettings(known_above=1.0, max_passes=1)
    arms: dict[str, Run] = {
        "ours": lambda documents: run_ours(model, full, documents),
        "ours_default": lambda documents: run_default(model, default, documents),
    }
    for name, options in TRL_ARMS.items():
        if name != "trl_bfloat16" or model.dtype is torch.bfloat16:
            arms[name] = lambda documents, options=options: run_trl(model, full, options, documents)  # type: ignore[misc]  # default binds
    return arms
