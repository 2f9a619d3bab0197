"""One LoRA adapter from the frozen base: a plain PyTorch loop over peft.

Loss on answer tokens only, batches of similar length, the output head on labelled positions only, the frozen layers below the first
LoRA run once (`trainers/frozen.py`), each core on rows of its own (`trainers/cores.py`), everything seeded: the same examples give the
same bytes on a CPU with the same number of threads. Anchors are held to the base's
own next-token distribution (KL, as in context distillation with a static teacher), facts are learnt by likelihood, skipping the tokens
that are known already (MemFT, arXiv 2605.30260). It knows nothing of facts or gates, and never continues from an earlier adapter.
"""

import errno
import logging
import math
import random
import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import SafetensorError
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from seal_agent.config import TrainingSettings
from seal_agent.errors import CycleInterruptedError, StoreFullError, TrainingError
from seal_agent.models.local import LocalModel
from seal_agent.models.making_lora import making_lora
from seal_agent.trainers.cores import Cores
from seal_agent.trainers.frozen import Item, Upper, fill, layers_of
from seal_agent.types import Example, Progress, ProgressCallback, TrainingResult

logger = logging.getLogger(__name__)

WARM_UP = 0.05
MAX_GRADIENT_NORM = 1.0
FILL_TOKENS = 2048
"""Tokens per batch of the pass that fills the caches."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class LoraTrainer:
    """Implements `seal_agent.protocols.Trainer` on the base weights that a `LocalModel` holds already."""

    def __init__(self, model: LocalModel, settings: TrainingSettings) -> None:
        self._model = model
        self._settings = settings

    def estimate(self, examples: Sequence[Example]) -> tuple[int, float]:
        tokens = sum(len(item.ids) for item in self._encode(examples)) * self._settings.max_passes
        return tokens, tokens / measure_speed(self._model, self._settings.layer_share)

    def train(
        self,
        examples: Sequence[Example],
        *,
        probes: Sequence[Example],
        out: Path,
        seed: int,
        progress: ProgressCallback,
        should_stop: Callable[[], bool],
    ) -> TrainingResult:
        if out.exists():
            raise TrainingError(f"{out} exists already; an adapter is trained into a new folder.")
        items, held_out = self._encode(examples), self._encode(probes)
        if all(item.anchor for item in items):
            raise TrainingError("There is nothing to train on: no example has an answer.")
        started = time.perf_counter()
        first_layer = self._first_layer()
        view = self._new_adapter(seed, first_layer)
        fill(self._model, [*items, *held_out], first_layer, FILL_TOKENS)
        run = Run(self._model, view, first_layer, self._settings, Watch(progress, should_stop, self._settings.max_minutes))
        losses, stopped = run.passes(items, held_out, seed)
        save(view, out)
        return TrainingResult(
            path=out,
            steps=run.step,
            passes=len(losses),
            trained_tokens=run.tokens,
            seconds=time.perf_counter() - started,
            losses=tuple(losses),
            stopped_early=stopped,
        )

    def _encode(self, examples: Sequence[Example]) -> list[Item]:
        items = []
        for example in examples:
            ids, start = self._model.encode_pair(example.prompt, example.answer, ended=example.ended)
            if len(ids) > start:  # an empty answer that was cut off has nothing to learn, and a mean over nothing is not a number
                items.append(Item(ids=ids, start=start, weight=example.weight, anchor=example.fact_id is None))
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


class Watch:
    """Tells the caller how far training is, and training when to stop."""

    def __init__(self, progress: ProgressCallback, should_stop: Callable[[], bool], max_minutes: float) -> None:
        self._progress = progress
        self._should_stop = should_stop
        self._max_minutes = max_minutes
        self._started = time.perf_counter()

    def check(self) -> None:
        if self._should_stop():
            raise CycleInterruptedError("Training was stopped on request; nothing was promoted.")
        if time.perf_counter() - self._started > self._max_minutes * 60:
            raise TrainingError(f"Training took longer than training.max_minutes={self._max_minutes:g}; raise it or teach fewer facts.")

    def report(self, loss: float, step: int, total_steps: int, tokens: int) -> None:
        elapsed = time.perf_counter() - self._started
        left = elapsed / step * (total_steps - step)
        self._progress(
            Progress(stage="train", done=step, total=total_steps, loss=loss, tokens_per_second=tokens / elapsed, seconds_left=left)
        )


class Run:
    """One training run's state: optimiser, step, tokens."""

    def __init__(self, model: LocalModel, view: PeftModel, first_layer: int, settings: TrainingSettings, watch: Watch) -> None:
        self._model = model
        self._upper = Upper(view.get_base_model(), model.head, first_layer)  # type: ignore[arg-type]  # peft types it as Module
        self._settings = settings
        self._watch = watch
        self.step = 0
        self.tokens = 0
        self._cores = Cores(torch.get_num_threads() if model.device.type == "cpu" else 1)
        self._trained = [p for p in view.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(self._trained, lr=settings.learning_rate, weight_decay=0.0, fused=True)

    def passes(self, items: list[Item], probes: list[Item], seed: int) -> tuple[list[float], bool]:
        """Go over the items until the probes are learnt or the passes are used up; return (mean loss per pass, stopped early)."""
        order = random.Random(seed)
        losses: list[float] = []
        self._upper.check(self._model, max(items, key=lambda item: len(item.ids)))
        try:
            while len(losses) < self._settings.max_passes:
                batches = bucketed(items, self._settings.batch_size, order)
                losses.append(self._one_pass(batches, len(batches) * self._settings.max_passes))
                if probes and self._probe_loss(probes) < self._settings.target_loss:
                    break
        finally:
            self._cores.close()
            self._upper.restore()
        return losses, len(losses) < self._settings.max_passes

    def _one_pass(self, batches: list[list[Item]], total_steps: int) -> float:
        summed = 0.0
        for batch in batches:
            self._watch.check()
            loss = self._one_step(batch, total_steps)
            summed += loss
            self._watch.report(loss, self.step, total_steps, self.tokens)
        return summed / len(batches)

    def _one_step(self, batch: list[Item], total_steps: int) -> float:
        for group in self._optimizer.param_groups:
            group["lr"] = self._settings.learning_rate * schedule(self.step, total_steps)
        loss, gradients = self._shared_out(batch)
        if not math.isfinite(loss):
            raise TrainingError(
                f"The loss is not finite at step {self.step}; lower training.learning_rate={self._settings.learning_rate:g}."
            )
        for parameter, gradient in zip(self._trained, gradients, strict=True):
            parameter.grad = gradient
        torch.nn.utils.clip_grad_norm_(self._trained, MAX_GRADIENT_NORM)
        self._optimizer.step()
        self.step += 1
        self.tokens += sum(len(item.ids) for item in batch)
        return loss

    def _shared_out(self, batch: list[Item]) -> tuple[float, list[torch.Tensor]]:
        """The mean loss of a batch and its gradients, each core working on rows of its own."""
        parts = [batch[first :: self._cores.count] for first in range(min(self._cores.count, len(batch)))]
        computed = self._cores.run([partial(self._gradients, part, len(batch)) for part in parts])
        loss, gradients = computed[0]
        for more, others in computed[1:]:  # always in this order, so that the sum is the same to the bit
            loss += more
            torch._foreach_add_(gradients, others)
        return loss, gradients

    def _gradients(self, part: list[Item], rows: int) -> tuple[float, list[torch.Tensor]]:
        """The part's share of the mean loss over `rows` rows, and its gradients."""
        loss = self._loss(part).sum() / rows
        return float(loss.detach()), list(torch.autograd.grad(loss, self._trained))

    def _loss(self, batch: list[Item]) -> torch.Tensor:
        """Each row's weighted loss, in nats per answer token: [rows].

        The output head runs once per batch: it is the widest matrix, and a few positions at a time would read all of it for each row.
        """
        logits = torch.split(self._upper.logits(self._upper.last_hidden(batch)), [len(item.ids) - item.start for item in batch])
        teachers = iter(self._teachers([item.teacher for item in batch if item.anchor]))
        rows = [
            self._anchor_loss(item, part, next(teachers)) if item.anchor else self._fact_loss(item, part)
            for item, part in zip(batch, logits, strict=True)
        ]
        return torch.stack(rows)

    def _fact_loss(self, item: Item, logits: torch.Tensor) -> torch.Tensor:
        targets = torch.tensor(item.ids[item.start :], device=logits.device)
        losses = cross_entropy(logits, targets, reduction="none")
        # A token with p above the bound is recalled by greedy decoding already: pushing it further only costs drift.
        unknown = losses.detach() > -math.log(self._settings.known_above)
        return item.weight * (losses * unknown).sum() / unknown.sum().clamp(min=1)

    def _teachers(self, hidden: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """The base's log-probabilities for each anchor, from its last hidden states."""
        if not hidden:
            return ()
        with torch.no_grad():
            return torch.split(log_softmax(self._upper.logits(torch.cat(hidden)), dim=-1), [len(rows) for rows in hidden])

    def _anchor_loss(self, item: Item, logits: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        student = log_softmax(logits, dim=-1)
        return self._settings.anchor_weight * item.weight * kl_div(student, teacher, reduction="batchmean", log_target=True)

    def _probe_loss(self, probes: list[Item]) -> float:
        """Median over the probes of the mean loss per answer token, in nats: one hard probe does not keep training going."""
        values = []
        with torch.no_grad():
            for first in range(0, len(probes), self._settings.batch_size):
                batch = probes[first : first + self._settings.batch_size]
                logits = torch.split(self._upper.logits(self._upper.last_hidden(batch)), [len(item.ids) - item.start for item in batch])
                for item, part in zip(batch, logits, strict=True):
                    targets = torch.tensor(item.ids[item.start :], device=part.device)
                    values.append(float(cross_entropy(part, targets)))
        return sorted(values)[len(values) // 2]


def schedule(step: int, total_steps: int) -> float:
    """Linear warm-up, then a cosine to zero: factor on the learning rate."""
    warm_up = max(1, round(WARM_UP * total_steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, total_steps - warm_up)))


def bucketed(items: list[Item], batch_size: int, order: random.Random) -> list[list[Item]]:
    """Batches of similar length in random order: padding falls from half of the tokens to about one in a hundred."""
    shuffled = order.sample(items, len(items))
    shuffled.sort(key=lambda item: len(item.ids))
    batches = [shuffled[first : first + batch_size] for first in range(0, len(shuffled), batch_size)]
    order.shuffle(batches)
    return batches


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
    started = time.perf_counter()
    for _ in range(10):
        left @ right
    rate = 10 * 2 * 512 * hidden * wide / (time.perf_counter() - started)
    weights = sum(p.numel() for p in view.parameters())
    # Two multiplications per weight forward, two for the input gradients backward; half of the peak is a cautious guess.
    return float(0.5 * rate / (4 * weights * layer_share))


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
