"""The loop of a training run: passes, batches of similar length, steps shared out among the cores, and when to stop.

What a row's loss is stands in `trainers/losses.py`; what the examples are, and where the adapter goes, in `trainers/lora.py`.
"""

import math
import random
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from peft import PeftModel
from torch.nn.functional import cross_entropy, log_softmax

from seal_agent.config import TrainingSettings
from seal_agent.errors import CycleInterruptedError, TrainingError
from seal_agent.models.local import LocalModel
from seal_agent.trainers.cores import Cores
from seal_agent.trainers.frozen import Item, Upper
from seal_agent.trainers.losses import anchor_loss, distilled_loss, likelihood_loss
from seal_agent.types import Progress, ProgressCallback

WARM_UP = 0.05
MAX_GRADIENT_NORM = 1.0


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

    def report(self, loss: float, step: int, total_steps: int, tokens: int, detail: str = "") -> None:
        elapsed = time.perf_counter() - self._started
        left = elapsed / step * (total_steps - step)
        self._progress(
            Progress(
                stage="train",
                done=step,
                total=total_steps,
                detail=detail,
                loss=loss,
                tokens_per_second=tokens / elapsed,
                seconds_left=left,
            )
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
                losses.append(self._one_pass(bucketed(awake(items), self._settings.batch_size, order), len(losses)))
                if probes and self._probe_loss(probes) < self._settings.target_loss:
                    break
        finally:
            self._cores.close()
            self._upper.restore()
        return losses, len(losses) < self._settings.max_passes

    def _one_pass(self, batches: list[list[Item]], before: int) -> float:
        """One pass after `before` others; return the mean loss per step."""
        summed = 0.0
        total_steps = len(batches) * self._settings.max_passes  # as if all passes were as long as this one
        for step, batch in enumerate(batches, start=len(batches) * before):
            self._watch.check()
            loss = self._one_step(batch, schedule(step, total_steps))
            summed += loss
            self._watch.report(loss, step + 1, total_steps, self.tokens)
        return summed / len(batches)

    def _one_step(self, batch: list[Item], factor: float) -> float:
        """One update with `factor` of the learning rate; return the batch's mean loss."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._settings.learning_rate * factor
        loss, gradients = self._shared_out(batch)
        require_finite(loss, self.step, self._settings.learning_rate)
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
        losses = self._loss(part)
        for item, known in zip(part, (losses.detach() == 0).tolist(), strict=True):
            item.rests = known and not item.anchor
        loss = losses.sum() / rows
        return float(loss.detach()), list(torch.autograd.grad(loss, self._trained))

    def _loss(self, batch: list[Item]) -> torch.Tensor:
        """Each row's weighted loss, in nats per answer token: [rows].

        The output head runs once per batch: it is the widest matrix, and a few positions at a time would read all of it for each row.
        """
        logits = torch.split(self._upper.logits(self._upper.last_hidden(batch)), [len(item.ids) - item.start for item in batch])
        teachers = iter(self._teachers([item.teacher for item in batch if item.anchor]))
        return torch.stack([self._row(item, part, teachers) for item, part in zip(batch, logits, strict=True)])

    def _row(self, item: Item, logits: torch.Tensor, teachers: Iterator[torch.Tensor]) -> torch.Tensor:
        if item.anchor:
            return self._settings.anchor_weight * anchor_loss(item, logits, next(teachers))
        if len(item.likely):
            return distilled_loss(item, logits)
        return likelihood_loss(item, logits, self._settings.known_above)

    def _teachers(self, hidden: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """The base's log-probabilities for each anchor, from its last hidden states."""
        if not hidden:
            return ()
        with torch.no_grad():
            return torch.split(log_softmax(self._upper.logits(torch.cat(hidden)), dim=-1), [len(rows) for rows in hidden])

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


def require_finite(loss: float, step: int, rate: float) -> None:
    """Raise `TrainingError` for a loss that is not a number any more."""
    if not math.isfinite(loss):
        raise TrainingError(f"The loss is not finite at step {step}; lower training.learning_rate={rate:g}.")


def schedule(step: int, total_steps: int) -> float:
    """Linear warm-up, then a cosine to zero: factor on the learning rate."""
    warm_up = max(1, round(WARM_UP * total_steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, total_steps - warm_up)))


def awake(items: list[Item]) -> list[Item]:
    """The items of the next pass: one whose whole answer was known in the last one taught nothing there, and rests for one pass."""
    chosen = [item for item in items if not item.rests]
    for item in items:
        item.rests = False
    return chosen if any(not item.anchor for item in chosen) else items


def bucketed(items: list[Item], batch_size: int, order: random.Random) -> list[list[Item]]:
    """Batches of similar length in random order: padding falls from half of the tokens to about one in a hundred."""
    shuffled = order.sample(items, len(items))
    shuffled.sort(key=lambda item: len(item.ids))
    batches = [shuffled[first : first + batch_size] for first in range(0, len(shuffled), batch_size)]
    order.shuffle(batches)
    return batches
