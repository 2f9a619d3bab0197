"""One LoRA adapter from the frozen base: a plain PyTorch loop over peft.

Loss on answer tokens only, batches of similar length, the output head on labelled positions only, everything seeded: the same examples
give the same bytes on a CPU. It knows nothing of facts or gates, and never continues from an earlier adapter.
"""

import logging
import math
import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from seal_agent.config import TrainingSettings
from seal_agent.errors import CycleInterruptedError, TrainingError
from seal_agent.models.local import LocalModel, answer_losses, answer_mask, pad
from seal_agent.types import Example, Progress, ProgressCallback, TrainingResult

logger = logging.getLogger(__name__)

WARM_UP = 0.05
MAX_GRADIENT_NORM = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One tokenised example."""

    ids: list[int]
    start: int
    weight: float


class LoraTrainer:
    """Implements `seal_agent.protocols.Trainer` on the base weights that a `LocalModel` holds already."""

    def __init__(self, model: LocalModel, settings: TrainingSettings) -> None:
        self._model = model
        self._settings = settings

    def estimate(self, examples: Sequence[Example]) -> tuple[int, float]:
        tokens = sum(len(item.ids) for item in self._encode(examples)) * self._settings.max_passes
        return tokens, tokens / measure_speed(self._model)

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
        items = self._encode(examples)
        if not any(len(item.ids) > item.start for item in items):
            raise TrainingError("There is nothing to train on: no example has an answer.")
        view = self._new_adapter(seed)
        run = Run(self._model, view, self._settings, progress, should_stop)
        started = time.perf_counter()
        losses, stopped = run.passes(items, self._encode(probes), seed)
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

    def _encode(self, examples: Sequence[Example]) -> list[Encoded]:
        encoded = []
        for example in examples:
            ids, start = self._model.encode_pair(example.prompt, example.answer)
            encoded.append(Encoded(ids=ids, start=start, weight=example.weight))
        return encoded

    def _new_adapter(self, seed: int) -> PeftModel:
        view = self._model.new_view()
        config = LoraConfig(
            r=self._settings.rank,
            lora_alpha=self._settings.alpha,
            lora_dropout=0.0,
            target_modules=linear_names(view),
            task_type="CAUSAL_LM",
            base_model_name_or_path=self._model.id,
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return get_peft_model(view, config, autocast_adapter_dtype=True)


class Run:
    """One training run's state: step, tokens, clock."""

    def __init__(
        self, model: LocalModel, view: PeftModel, settings: TrainingSettings, progress: ProgressCallback, should_stop: Callable[[], bool]
    ) -> None:
        self._model = model
        self._view = view
        self._settings = settings
        self._progress = progress
        self._should_stop = should_stop
        self._started = time.perf_counter()
        self.step = 0
        self.tokens = 0
        trained = [p for p in view.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=0.0, fused=True)
        self._trained = trained

    def passes(self, items: list[Encoded], probes: list[Encoded], seed: int) -> tuple[list[float], bool]:
        """Go over the items until the probes are learnt or the passes are used up; return (mean loss per pass, stopped early)."""
        order = random.Random(seed)
        losses: list[float] = []
        for _ in range(self._settings.max_passes):
            batches = bucketed(items, self._settings.batch_size, order)
            losses.append(self._one_pass(batches, len(batches) * self._settings.max_passes))
            if probes and len(losses) < self._settings.max_passes and self._probe_loss(probes) < self._settings.target_loss:
                return losses, True
        return losses, False

    def _one_pass(self, batches: list[list[Encoded]], total_steps: int) -> float:
        summed, counted = 0.0, 0
        for batch in batches:
            if self._should_stop():
                raise CycleInterruptedError("Training was stopped on request; nothing was promoted.")
            if time.perf_counter() - self._started > self._settings.max_minutes * 60:
                raise TrainingError(f"Training took longer than training.max_minutes={self._settings.max_minutes:g}; raise it or teach fewer facts.")
            loss, count = self._one_step(batch, total_steps)
            summed, counted = summed + loss * count, counted + count
            self._report(loss, total_steps)
        return summed / counted

    def _one_step(self, batch: list[Encoded], total_steps: int) -> tuple[float, int]:
        for group in self._optimizer.param_groups:
            group["lr"] = self._settings.learning_rate * schedule(self.step, total_steps)
        losses, weights = self._losses(batch)
        loss = (losses * weights).sum() / weights.sum()
        if not torch.isfinite(loss):
            raise TrainingError(f"The loss is not finite at step {self.step}; lower training.learning_rate={self._settings.learning_rate:g}.")
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._trained, MAX_GRADIENT_NORM)
        self._optimizer.step()
        self.step += 1
        self.tokens += sum(len(item.ids) for item in batch)
        return float(loss), len(losses)

    def _losses(self, batch: list[Encoded]) -> tuple[torch.Tensor, torch.Tensor]:
        ids, mask = pad([item.ids for item in batch], self._model.pad_id, left=False)
        answers = answer_mask([(item.ids, item.start) for item in batch], ids.shape)
        weights = torch.cat([torch.full((len(item.ids) - item.start,), item.weight) for item in batch])
        device = self._model.device
        return answer_losses(self._view, ids.to(device), mask.to(device), answers.to(device)), weights.to(device)

    def _probe_loss(self, probes: list[Encoded]) -> float:
        """Median over the probes of the mean loss per answer token, in nats: one hard probe does not keep training going."""
        values = []
        with torch.no_grad():
            for first in range(0, len(probes), 32):
                batch = probes[first : first + 32]
                losses, _ = self._losses(batch)
                values += [float(part.mean()) for part in losses.split([len(item.ids) - item.start for item in batch])]
        return sorted(values)[len(values) // 2]

    def _report(self, loss: float, total_steps: int) -> None:
        elapsed = time.perf_counter() - self._started
        self._progress(
            Progress(
                stage="train",
                done=self.step,
                total=total_steps,
                loss=loss,
                tokens_per_second=self.tokens / elapsed,
                seconds_left=elapsed / self.step * (total_steps - self.step),
            )
        )


def schedule(step: int, total_steps: int) -> float:
    """Linear warm-up, then a cosine to zero: factor on the learning rate."""
    warm_up = max(1, round(WARM_UP * total_steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, total_steps - warm_up)))


def bucketed(items: list[Encoded], batch_size: int, order: random.Random) -> list[list[Encoded]]:
    """Batches of similar length in random order: padding falls from half of the tokens to about one in a hundred."""
    shuffled = order.sample(items, len(items))
    shuffled.sort(key=lambda item: len(item.ids))
    batches = [shuffled[first : first + batch_size] for first in range(0, len(shuffled), batch_size)]
    order.shuffle(batches)
    return batches


def linear_names(model: torch.nn.Module) -> list[str]:
    """Names of all linear layers but the output head, as peft wants them: an explicit list, never a pattern."""
    head = model.get_output_embeddings()  # type: ignore[operator]  # declared on PreTrainedModel, not on Module
    names = {name.rsplit(".", 1)[-1] for name, module in model.named_modules() if isinstance(module, torch.nn.Linear) and module is not head}
    return sorted(names)


def measure_speed(model: LocalModel) -> float:
    """Tokens per second that training reaches on this machine, from one timed matrix product at the model's shapes."""
    hidden, wide = model.new_view().config.hidden_size, model.new_view().config.intermediate_size
    left, right = torch.randn(512, hidden, dtype=model.dtype, device=model.device), torch.randn(hidden, wide, dtype=model.dtype, device=model.device)
    left @ right
    started = time.perf_counter()
    for _ in range(10):
        left @ right
    rate = 10 * 2 * 512 * hidden * wide / (time.perf_counter() - started)
    weights = sum(p.numel() for p in model.new_view().parameters())
    # Two multiplications per weight forward, two for the input gradients backward; half of the peak is a cautious guess.
    return 0.5 * rate / (4 * weights)


def save(view: PeftModel, out: Path) -> None:
    """Write the adapter as a plain peft folder; whatever goes wrong, no half folder stays."""
    try:
        view.save_pretrained(str(out), safe_serialization=True)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
