"""The loop of a training run: passes, batches of similar length, steps shared out among the cores, and when to stop.

What a row's loss is stands in `trainers/losses.py`; what the examples are, and where the adapter goes, in `trainers/lora.py`.
"""

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
from peft import PeftModel
from torch.nn.functional import cross_entropy, log_softmax

from seal_agent.config import TrainingSettings
from seal_agent.errors import TrainingError
from seal_agent.models.local import LocalModel
from seal_agent.trainers.checkpoint import Checkpoint, Done
from seal_agent.trainers.cores import Cores
from seal_agent.trainers.frozen import Item, Upper
from seal_agent.trainers.losses import anchor_loss, distilled_loss, likelihood_loss
from seal_agent.trainers.watch import Watch
from seal_agent.types import Budget

WARM_UP = 0.05
MAX_GRADIENT_NORM = 1.0


class Run:
    """One training run's state: optimiser, steps, tokens, what its passes came to and why it ended."""

    def __init__(self, model: LocalModel, view: PeftModel, first_layer: int, settings: TrainingSettings, watch: Watch) -> None:
        self._model = model
        self._upper = Upper(view.get_base_model(), model.head, first_layer)  # type: ignore[arg-type]  # peft types it as Module
        self._settings = settings
        self._watch = watch
        self.step = 0
        self.tokens = 0
        self.losses: list[float] = []
        """Mean per step, of each pass."""
        self.learnt = False
        """Whether the probes ended it."""
        self.budget: Budget | None = None
        self._settled: frozenset[str] = frozenset()
        self._cores = Cores(torch.get_num_threads() if model.device.type == "cpu" else 1)
        self._trained = [p for p in view.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(self._trained, lr=settings.learning_rate, weight_decay=0.0, fused=True)

    def passes(self, items: list[Item], probes: list[Item], seed: int, kept: Checkpoint) -> None:
        """Go over the items until the probes are learnt, a budget is used up or the passes are over, from where an earlier run got to."""
        order = random.Random(seed)
        self._upper.check(self._model, items)
        try:
            self._take_up(kept, items, order)
            while len(self.losses) < self._settings.max_passes and not self.learnt and self.budget is None:
                chosen = awake(items, self._settled, self._settings.settled_share, len(self.losses))
                self._one_pass(bucketed(chosen, self._settings.batch_size, order))
                if self.budget is None:
                    self._ask(probes)
                    kept.write(self._done(kept.run, items, order), self._tensors())
        finally:
            self._cores.close()
            self._upper.restore()

    def _one_pass(self, batches: list[list[Item]]) -> None:
        """One pass after those that were, or as much of it as the budgets allow."""
        losses: list[float] = []
        before = len(batches) * len(self.losses)
        total_steps = len(batches) * self._settings.max_passes  # as if all passes were as long as this one
        for step, batch in enumerate(batches, start=before):
            self._watch.check()
            self.budget = self._watch.spent(self.tokens + size(batch), self.step)
            if self.budget is not None:
                break
            losses.append(self._one_step(batch, schedule(step, total_steps)))
            self._watch.report(losses[-1], step + 1, total_steps, self.tokens)
        if losses:
            self.losses.append(sum(losses) / len(losses))

    def _ask(self, probes: list[Item]) -> None:
        """After a pass: what of the probes is known, and whether that is enough."""
        if not probes or not (self._settings.target_loss or self._settings.settled_share < 1):
            return
        scores = self._scored(probes)
        # The median: one hard probe does not keep training going.
        self.learnt = sorted(sum(score) / len(score) for score in scores)[len(scores) // 2] < self._settings.target_loss
        self._settled = settled(probes, scores, self._settings.known_above)

    def _take_up(self, kept: Checkpoint, items: list[Item], order: random.Random) -> None:
        """Become what an earlier run was after its last whole pass, if it left anything."""
        found = kept.read()
        if found is None:
            return
        done, tensors = found
        self.step, self.tokens, self.losses = done.steps, done.tokens, list(done.losses)
        self.learnt, self._settled = done.learnt, frozenset(done.settled)
        version, internal, gauss = json.loads(done.order)
        order.setstate((version, tuple(internal), gauss))
        for item, rests in zip(items, done.rests, strict=True):
            item.rests = rests
        with torch.no_grad():
            for number, parameter in enumerate(self._trained):
                parameter.copy_(tensors[f"{number}.weight"])
        states = {number: optimizer_state(tensors, number) for number in range(len(self._trained))}
        self._optimizer.load_state_dict({"state": states, "param_groups": self._optimizer.state_dict()["param_groups"]})
        self._watch.go_on(done.seconds)

    def _done(self, run: str, items: list[Item], order: random.Random) -> Done:
        return Done(
            run=run,
            steps=self.step,
            tokens=self.tokens,
            seconds=self._watch.seconds,
            losses=tuple(self.losses),
            order=json.dumps(order.getstate()),
            rests=tuple(item.rests for item in items),
            settled=tuple(sorted(self._settled)),
            learnt=self.learnt,
        )

    def _tensors(self) -> dict[str, torch.Tensor]:
        """The trained weights and what the optimiser keeps of each, by number."""
        weights = {f"{number}.weight": parameter for number, parameter in enumerate(self._trained)}
        states = self._optimizer.state_dict()["state"]
        return {**weights, **{f"{number}.{name}": kept for number, state in states.items() for name, kept in state.items()}}

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
        self.tokens += size(batch)
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

    def _scored(self, probes: list[Item]) -> list[list[float]]:
        """Of each probe, the loss of each answer token, in nats."""
        scores: list[list[float]] = []
        with torch.no_grad():
            for first in range(0, len(probes), self._settings.batch_size):
                batch = probes[first : first + self._settings.batch_size]
                logits = torch.split(self._upper.logits(self._upper.last_hidden(batch)), [len(item.ids) - item.start for item in batch])
                for item, part in zip(batch, logits, strict=True):
                    targets = torch.tensor(item.ids[item.start :], device=part.device)
                    scores.append(cross_entropy(part, targets, reduction="none").tolist())
        return scores


def optimizer_state(tensors: Mapping[str, torch.Tensor], number: int) -> dict[str, torch.Tensor]:
    start = f"{number}."
    return {name.removeprefix(start): kept for name, kept in tensors.items() if name.startswith(start) and name != f"{number}.weight"}


def size(batch: Sequence[Item]) -> int:
    """Tokens that go through the model, without padding."""
    return sum(len(item.ids) for item in batch)


def settled(probes: Sequence[Item], scores: Sequence[Sequence[float]], known_above: float) -> frozenset[str]:
    """The facts all of whose probes are known, each token of their answers."""
    least = -math.log(known_above)
    open_ones = {probe.fact for probe, score in zip(probes, scores, strict=True) if not all(loss < least for loss in score)}
    return frozenset(probe.fact for probe in probes if probe.fact is not None and probe.fact not in open_ones)


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


def awake(items: list[Item], settled: frozenset[str], share: float, before: int) -> list[Item]:
    """The items of the next pass, the first where `before` is 0.

    One whose whole answer was known in the last pass taught nothing there, and rests for one. Of the facts that are settled, `share` of the
    items stay, others in each pass: enough not to forget them.
    """
    stay = [item for item in items if item.fact not in settled]
    stay += replayed([item for item in items if item.fact in settled], share, before)
    chosen = [item for item in stay if not item.rests]
    for item in items:
        item.rests = False
    return next((some for some in (chosen, stay) if any(not item.anchor for item in some)), items)


def replayed(items: Sequence[Item], share: float, before: int) -> list[Item]:
    """So many of the items, evenly over them, beginning with another one each time."""
    return [item for place, item in enumerate(items, before) if int((place + 1) * share) > int(place * share)]


def bucketed(items: list[Item], batch_size: int, order: random.Random) -> list[list[Item]]:
    """Batches of similar length in random order: padding falls from half of the tokens to about one in a hundred."""
    shuffled = order.sample(items, len(items))
    shuffled.sort(key=lambda item: len(item.ids))
    batches = [shuffled[first : first + batch_size] for first in range(0, len(shuffled), batch_size)]
    order.shuffle(batches)
    return batches
