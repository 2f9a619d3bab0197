"""SEAL's own inner loop (arXiv 2506.10943, its published code), as a baseline to measure against. Not for nights: it forgets.

Kept exactly as it is there: every text padded to a fixed length with the loss on the padding as well, LoRA on the query and value
projections only, its rank, rate and epochs, one document a step in random order, no held-out stop. On a CPU padding to the full length
would take hours; there it is `PADDED_ON_CPU`, or the longest document where that is more, and every progress report says so.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from seal_agent.config import TrainingSettings
from seal_agent.errors import TrainingError
from seal_agent.models.local import LocalModel
from seal_agent.models.making_lora import making_lora
from seal_agent.trainers.loop import MAX_GRADIENT_NORM, require_finite
from seal_agent.trainers.lora import linear_names, measure_speed, save
from seal_agent.trainers.watch import Watch
from seal_agent.types import Budget, Example, ProgressCallback, TrainingResult

RANK = 32
ALPHA = 64
RATE = 1e-3
EPOCHS = 10
PADDED = 2048
PADDED_ON_CPU = 256
PROJECTIONS = ("q_proj", "v_proj")


def documents(title: str, passage: str, self_edit: str = "") -> list[str]:
    """A self-edit's lines and the passage, each after the title: what SEAL trains on for one passage.

    A self-edit of questions and answers stays in pairs where both are marked; otherwise each line is a document of its own.
    """
    edit = self_edit.strip()
    if "Question 1:" not in edit and "Answer:" in edit:
        edit = f"Question 1: {edit}"  # the prompt ends with it, so the model goes on from there
    lines = [line.strip() for part in edit.split("---") for line in split_lines(part)]
    lines = [line for line in lines if line]
    if len(lines) > 1 and lines[1].startswith("1."):
        del lines[0]  # an introduction
    return [f"{title}\n{line}" for line in [*lines, passage.strip()]]


def split_lines(text: str) -> list[str]:
    if "Question 1:" not in text or "Answer:" not in text:
        return text.splitlines()
    pairs: list[str] = []
    for line in text.splitlines():
        if line.startswith("Question ") or not pairs:
            pairs.append(line)
        else:
            pairs[-1] += f"\n{line}"
    return pairs


@dataclass(slots=True)
class Course:
    """What the epochs came to."""

    losses: list[float] = field(default_factory=list)
    """Mean per step, of each epoch."""
    steps: int = 0
    tokens: int = 0
    budget: Budget | None = None


class SealTrainer:
    """Implements `seal_agent.protocols.Trainer` with SEAL's recipe; `rank`, `learning_rate` and the like of the settings don't apply.

    Examples become documents: an empty prompt's answer is one as it is, a question and its answer are one together, and each source is
    one. `objective="passage"` trains on the sources alone. Anchors and probes are left out, as SEAL has none; no checkpoint is kept either.
    """

    def __init__(self, model: LocalModel, settings: TrainingSettings) -> None:
        self._model = model
        self._settings = settings

    def estimate(self, examples: Sequence[Example]) -> tuple[int, float]:
        texts = self._encode(examples)
        tokens, padded = sum(map(len, texts)) * EPOCHS, len(texts) * self._padded_to(texts) * EPOCHS
        seconds = padded / measure_speed(self._model, layer_share=1.0)
        return min(tokens, self._settings.max_tokens or tokens), min(seconds, self._settings.max_minutes * 60)

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
        texts = self._encode(examples)
        if not texts:
            raise TrainingError("There is nothing to train on: no example has a text" + self._missing_sources() + ".")
        watch = Watch(progress, should_stop, self._settings)
        view = self._new_adapter(seed)
        course = self._epochs(view, texts, seed, watch)
        save(view, out)
        return TrainingResult(
            path=out,
            steps=course.steps,
            passes=len(course.losses),
            trained_tokens=course.tokens,
            seconds=watch.seconds,
            losses=tuple(course.losses),
            budget=course.budget,
        )

    def _missing_sources(self) -> str:
        return ", and objective 'passage' trains on sources alone" if self._settings.objective == "passage" else ""

    def _epochs(self, view: PeftModel, texts: Sequence[list[int]], seed: int, watch: Watch) -> Course:
        trained = [p for p in view.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.0, fused=True)
        length, total = self._padded_to(texts), len(texts) * EPOCHS
        detail = "" if length >= PADDED else f"padded to {length} tokens, not {PADDED:,}: no GPU"
        order, course = random.Random(seed), Course()
        for _ in range(EPOCHS):
            losses: list[float] = []
            for text in order.sample(list(texts), len(texts)):
                watch.check()
                course.budget = watch.spent(course.tokens + len(text), course.steps)
                if course.budget is not None:
                    break
                optimizer.param_groups[0]["lr"] = RATE * (1 - course.steps / total)
                loss = self._loss(view, text, length)
                require_finite(float(loss.detach()), course.steps, RATE)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                torch.nn.utils.clip_grad_norm_(trained, MAX_GRADIENT_NORM)
                optimizer.step()
                losses.append(float(loss.detach()))
                course.steps, course.tokens = course.steps + 1, course.tokens + len(text)
                watch.report(losses[-1], course.steps, total, course.tokens, detail)
            if losses:
                course.losses.append(sum(losses) / len(losses))
            if course.budget is not None:
                break
        return course

    def _loss(self, view: PeftModel, text: list[int], length: int) -> torch.Tensor:
        """Mean over all positions, padding included: that is the recipe."""
        padding = length - len(text)
        ids = torch.tensor([text + [self._model.end_id] * padding], device=self._model.device)
        mask = torch.tensor([[1] * len(text) + [0] * padding], device=self._model.device)
        loss: torch.Tensor = view(input_ids=ids, attention_mask=mask, labels=ids, use_cache=False).loss
        return loss

    def _encode(self, examples: Sequence[Example]) -> list[list[int]]:
        sources = list(dict.fromkeys(example.source for example in examples if example.source))
        taught = [] if self._settings.objective == "passage" else [as_text(e) for e in examples if e.fact_id is not None and e.answer]
        encoded = [list(self._model.tokenizer.encode(text, truncation=True, max_length=PADDED)) for text in [*taught, *sources]]
        return [ids for ids in encoded if ids]

    def _padded_to(self, texts: Sequence[list[int]]) -> int:
        if self._model.device.type != "cpu":
            return PADDED
        return max(PADDED_ON_CPU, max(map(len, texts), default=0))

    def _new_adapter(self, seed: int) -> PeftModel:
        view = self._model.new_view()
        names = set(linear_names(view))
        if not names.issuperset(PROJECTIONS):
            raise TrainingError(f"{type(view).__name__} has no {' and '.join(PROJECTIONS)}; SEAL's recipe does not fit it.")
        config = LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=list(PROJECTIONS), task_type="CAUSAL_LM")
        with making_lora(seed):
            return get_peft_model(view, config)


def as_text(example: Example) -> str:
    question = [turn.content for turn in example.prompt if turn.role == "user"]
    return "\n".join([*question, example.answer])
