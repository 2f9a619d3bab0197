"""One LoRA adapter from the frozen base: a plain PyTorch loop over peft.

Loss on answer tokens only, batches of similar length, the output head on labelled positions only, the frozen layers below the first
LoRA run once (`trainers/frozen.py`), each core on rows of its own (`trainers/cores.py`), everything seeded: the same examples give the
same bytes on a CPU with the same number of threads, in one go or taken up after a crash (`trainers/checkpoint.py`). Anchors are held to
the base's own next-token distribution; how facts are learnt is `training.objective`. It knows nothing of facts or gates, and never
continues from an earlier adapter. SEAL's own recipe is in `trainers/seal.py`.
"""

import errno
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import SafetensorError

from seal_agent.chat import chat_prompt
from seal_agent.config import TrainingSettings
from seal_agent.errors import StoreFullError, TrainingError
from seal_agent.models.local import LocalModel
from seal_agent.models.making_lora import making_lora
from seal_agent.trainers.checkpoint import Checkpoint, run_id
from seal_agent.trainers.frozen import Item, fill, layers_of
from seal_agent.trainers.loop import Run, size
from seal_agent.trainers.mixing import Mixer
from seal_agent.trainers.teaching import fill_teachers
from seal_agent.trainers.watch import Watch
from seal_agent.types import Example, ProgressCallback, TrainingResult

logger = logging.getLogger(__name__)

FILL_TOKENS = 2048
"""Tokens per batch of the pass that fills the caches."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class LoraTrainer:
    """Implements `seal_agent.protocols.Trainer` on the base weights that a `LocalModel` holds already."""

    def __init__(self, model: LocalModel, settings: TrainingSettings) -> None:
        self._model = model
        self._settings = settings

    def estimate(self, examples: Sequence[Example]) -> tuple[int, float]:
        tokens = size(self._encode(examples)) * self._settings.max_passes
        tokens = min(tokens, self._settings.max_tokens or tokens)
        return tokens, min(tokens / measure_speed(self._model, self._settings.layer_share), self._settings.max_minutes * 60)

    def train(
        self,
        examples: Sequence[Example],
        *,
        probes: Sequence[Example],
        out: Path,
        seed: int,
        progress: ProgressCallback,
        should_stop: Callable[[], bool],
        checkpoint: Path | None = None,
    ) -> TrainingResult:
        if out.exists():
            raise TrainingError(f"{out} exists already; an adapter is trained into a new folder.")
        items, held_out = self._encode(opened(examples, self._settings.context_share)), self._encode(probes)
        if all(item.anchor for item in items):
            raise TrainingError("There is nothing to train on: no example has an answer.")
        watch = Watch(progress, should_stop, self._settings)
        first_layer = self._first_layer()
        view = self._new_adapter(seed, first_layer)
        if self._settings.objective == "mixed":
            Mixer(self._model, self._settings.mixed_share, seed).rewrite(items, watch.check_before)
        if self._settings.objective == "distilled":
            fill_teachers(self._model, items, FILL_TOKENS)
        fill(self._model, [*items, *held_out], first_layer, FILL_TOKENS)
        run = Run(self._model, view, first_layer, self._settings, watch)
        run.passes(items, held_out, seed, Checkpoint(checkpoint, run_id(self._model, self._settings, items, held_out, seed)))
        save(view, out)
        return TrainingResult(
            path=out,
            steps=run.step,
            passes=len(run.losses),
            trained_tokens=run.tokens,
            seconds=watch.seconds,
            losses=tuple(run.losses),
            stopped_early=run.learnt and len(run.losses) < self._settings.max_passes,
            budget=run.budget,
        )

    def _encode(self, examples: Sequence[Example]) -> list[Item]:
        items = []
        for example in examples:
            ids, start = self._model.encode_pair(example.prompt, example.answer, ended=example.ended)
            start = 1 if example.loss_on == "all" else start  # the first token follows from nothing
            if len(ids) > start:  # an empty answer that was cut off has nothing to learn, and a mean over nothing is not a number
                item = Item(ids=ids, start=start, weight=example.weight, fact=example.fact_id, ended=example.ended)
                if example.source and example.prompt:
                    item.open_ids = self._model.encode_prompt(with_source(example).prompt)
                items.append(item)
        return items

    def _first_layer(self) -> int:
        layers = len(layers_of(self._model.new_view()))
        return layers - max(1, round(layers * self._settings.layer_share))

    def _new_adapter(self, seed: int, first_layer: int) -> PeftModel:
        view = self._model.new_view()
        config = LoraConfig(
            r=self._settings.rank,
            lora_alpha=self._settings.alpha,
            lora_dropout=0.0,
            target_modules=linear_names(view),
            layers_to_transform=list(range(first_layer, len(layers_of(view)))),
            task_type="CAUSAL_LM",
        )
        with making_lora(seed):
            return get_peft_model(view, config)


def opened(examples: Sequence[Example], share: float) -> list[Example]:
    """Put the source into the prompts of so many of the facts' items, evenly, so that an adapter goes on reading what is retrieved.

    Half of them, where passages are stored as adapters: PRAG, arXiv 2501.15915.
    """
    shown, seen = [], 0
    for example in examples:
        able = bool(example.source and example.prompt and example.fact_id)
        seen += able
        shown.append(with_source(example) if able and int(seen * share) > int((seen - 1) * share) else example)
    return shown


def with_source(example: Example) -> Example:
    """Ask with the source ahead of the question, where by day what is remembered goes. Asked so already, it stays."""
    question = next((turn.content for turn in reversed(example.prompt) if turn.role == "user"), None)
    if question is None or question.startswith(example.source):
        return example
    return replace(example, prompt=chat_prompt(None, example.prompt, example.source))


def linear_names(model: torch.nn.Module) -> list[str]:
    """Names of all linear layers but the output head, as peft wants them: an explicit list, never a pattern."""
    head = model.get_output_embeddings()  # type: ignore[operator]  # declared on PreTrainedModel, not on Module
    names = {
        name.rsplit(".", 1)[-1] for name, module in model.named_modules() if isinstance(module, torch.nn.Linear) and module is not head
    }
    if not names:
        raise TrainingError(
            f"{type(model).__name__} has no torch.nn.Linear layers to put a LoRA on; its architecture is not supported for training."
        )
    return sorted(names)


def measure_speed(model: LocalModel, layer_share: float) -> float:
    """Tokens per second that training would reach on this machine, from timed matrix products at the model's shapes."""
    view = model.new_view()
    hidden = view.config.hidden_size
    wide = getattr(view.config, "intermediate_size", 4 * hidden)
    left = torch.randn(512, hidden, dtype=model.dtype, device=model.device)
    right = torch.randn(hidden, wide, dtype=model.dtype, device=model.device)
    left @ right
    wait_for(model.device)
    started = time.perf_counter()
    for _ in range(10):
        left @ right
    wait_for(model.device)
    rate = 10 * 2 * 512 * hidden * wide / (time.perf_counter() - started)
    weights = sum(p.numel() for p in view.parameters())
    # Two multiplications per weight forward, two for the input gradients backward; half of the peak is a cautious guess.
    return float(0.5 * rate / (4 * weights * layer_share))


def wait_for(device: torch.device) -> None:
    """A GPU is only told what to compute: until it has, no time has been measured."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def save(view: PeftModel, out: Path) -> None:
    """Write the adapter as a plain peft folder; whatever goes wrong, no half folder stays. Raise `StoreFullError` when the disk is full."""
    try:
        view.save_pretrained(str(out), safe_serialization=True)
    except BaseException as error:
        shutil.rmtree(out, ignore_errors=True)
        if is_full(error):
            raise StoreFullError(
                f"No space left for an adapter in {str(out.parent)!r}; nothing was left behind. Free some, then consolidate."
            ) from error
        raise


def is_full(error: BaseException) -> bool:
    """Whether the disk or a quota is full: safetensors says it in words only."""
    if isinstance(error, SafetensorError):
        return any(f"os error {number})" in str(error) for number in FULL)
    return isinstance(error, OSError) and error.errno in FULL
