"""Public fakes: an embedder, a model and a trainer that need no weights, so that whole nights run in a test within a second.

They are deterministic and keep the contracts in `protocols.py`, including the order of results and the errors. They do not imitate how
well a real model writes or learns: measure that with a real one.
"""

import functools
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from seal_agent.errors import CycleInterruptedError, GenerationError, IntegrityError, TrainingError
from seal_agent.protocols import Vectors
from seal_agent.sampling import GREEDY, Sampling, cut_at
from seal_agent.spoken import Spoken
from seal_agent.types import Example, Generation, Progress, ProgressCallback, TrainingResult, Turn

LESSONS = "lessons"
"""Key of the weights' metadata: part of a file that every adapter has, so publishing keeps it."""
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
KNOWN_LOGPROB = -0.05
UNKNOWN_LOGPROB = -5.0
LEAST_OVERLAP = 0.3
"""Share of content words (of both prompts together) from which a taught prompt counts as the one asked."""
STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a about am an and any are as at be by can could did do does for from has have how i if in is it its me my of on or please s should"
        " tell that the their them they this to was we were what when where which who whom whose why will with would you your",
    )
)
BIGRAM_WEIGHT = 0.5
SUFFIXES = ("ing", "ed", "es", "s")
SHORTEST_STEM = 3

Reply = Callable[[Sequence[Turn]], str]


class HashEmbedder:
    """Embed by signed feature hashing of word stems and bigrams: texts that share words are near, others about orthogonal.

    >>> HashEmbedder(dim=8).embed(["a cat", "two cats"]).shape
    (2, 8)
    """

    def __init__(self, dim: int = 64) -> None:
        self._dim = dim

    @property
    def id(self) -> str:
        return f"hash-{self._dim}"

    @property
    def dim(self) -> int:
        return self._dim

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per text, in order. A text without words gets a vector of its own."""
        return np.stack([hashed(text, self._dim) for text in texts]) if texts else np.zeros((0, self._dim), dtype=np.float32)


@functools.lru_cache(maxsize=1 << 13)  # a night embeds the same two thousand texts in every new brain
def hashed(text: str, dim: int) -> Vectors:
    """The vector of one text, of length 1: float32 [dim]; a text without words, or whose features cancel out, has one of its own."""
    stems = [stem(word) for word in words(text)]
    features = [(one, 1.0) for one in stems] + [(" ".join(pair), BIGRAM_WEIGHT) for pair in pairwise(stems)]
    vector = added(features, dim)
    if not vector.any():
        vector = added([(f"text:{text}", 1.0)], dim)
    return vector / np.float32(np.linalg.norm(vector))


def added(features: Sequence[tuple[str, float]], dim: int) -> Vectors:
    vector = np.zeros(dim, dtype=np.float32)
    for feature, weight in features:
        digest = hashlib.blake2b(feature.encode("utf-8", "replace"), digest_size=8).digest()
        vector[int.from_bytes(digest[1:], "big") % dim] += weight if digest[0] & 1 else -weight
    return vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One prompt that a `ScriptedModel` was asked, and how."""

    prompt: tuple[Turn, ...]
    adapter: str | None
    max_tokens: int
    temperature: float
    seed: int


class ScriptedModel:
    """Answer from a function, or from a mapping of patterns to replies where the first that matches the last turn wins.

    What an adapter by `InstantTrainer` was taught takes precedence over the script. `calls` records every generated prompt.

    >>> model = ScriptedModel({"capital of France": "Paris"})
    >>> model.generate([[Turn(role="user", content="What is the capital of France?")]])[0].text
    'Paris'
    """

    def __init__(self, base: Reply | Mapping[str, str], *, id: str = "scripted", default: str = "I don't know.") -> None:
        self._id = id
        self._base = base if callable(base) else from_patterns(base, default)
        self._adapters: dict[str, tuple[Path, dict[str, str]]] = {}
        self._closed = False
        self.calls: list[Call] = []

    @property
    def id(self) -> str:
        return self._id

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names that can be asked for now."""
        return tuple(self._adapters)

    def generate(
        self,
        prompts: Sequence[Sequence[Turn]],
        *,
        adapter: str | None = None,
        max_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Generation]:
        """Answer each prompt, in order, cut to `max_tokens` words; temperature and seed are only recorded."""
        self._check(adapter)
        results = []
        for prompt in prompts:
            self.calls.append(Call(prompt=tuple(prompt), adapter=adapter, max_tokens=max_tokens, temperature=temperature, seed=seed))
            reply = self._reply(prompt, adapter)
            tokens = reply.split()
            whole = len(tokens) <= max_tokens
            text = reply if whole else " ".join(tokens[:max_tokens])
            results.append(Generation(text=text, tokens=min(len(tokens), max_tokens), finished=whole))
        return results

    def stream(
        self, prompt: Sequence[Turn], *, adapter: str | None = None, sampling: Sampling = GREEDY, timeout: float | None = None
    ) -> Spoken:
        """Answer word by word; `timeout` is not heeded: nothing here takes time."""
        (whole,) = self.generate(
            [prompt], adapter=adapter, max_tokens=sampling.max_tokens, temperature=sampling.temperature, seed=sampling.seed
        )
        text, stopped = cut_at(whole.text, sampling.stop)
        said = Generation(text=text, tokens=len(text.split()), finished=whole.finished or stopped)
        return Spoken(said, re.findall(r"\s*\S+|\s+$", text))

    def score(self, items: Sequence[tuple[Sequence[Turn], str]], *, adapter: str | None = None) -> list[list[float]]:
        """Return one value per word of each answer: high where the model's own reply holds the answer, else low."""
        self._check(adapter)
        scores = []
        for prompt, answer in items:
            known = bool(prompt) and contains(self._reply(prompt, adapter), answer)
            scores.append([KNOWN_LOGPROB if known else UNKNOWN_LOGPROB] * len(answer.split()))
        return scores

    def load_adapter(self, name: str, path: Path) -> None:
        """Read what `InstantTrainer` taught; an adapter folder without lessons changes nothing."""
        self._check(None)
        if name in self._adapters:
            if self._adapters[name][0] != path:
                raise GenerationError(f"Adapter {name!r} is already loaded from {self._adapters[name][0]}; a name is used once.")
            return
        self._adapters[name] = (path, read_lessons(path))

    def unload_adapter(self, name: str) -> None:
        self._adapters.pop(name, None)

    def count_tokens(self, text: str) -> int:
        """Number of words between white space."""
        self._check(None)
        return len(text.split())

    def close(self) -> None:
        self._closed = True

    def _check(self, adapter: str | None) -> None:
        if self._closed:
            raise GenerationError(f"The model {self._id!r} was closed.")
        if adapter is not None and adapter not in self._adapters:
            raise GenerationError(f"Adapter {adapter!r} is not loaded; call load_adapter first. Loaded: {sorted(self._adapters)}.")

    def _reply(self, prompt: Sequence[Turn], adapter: str | None) -> str:
        lessons = self._adapters[adapter][1] if adapter is not None else {}
        asked = prompt[-1].content if prompt else ""
        taught = nearest_lesson(asked, lessons)
        return taught if taught is not None else self._base(prompt)


class InstantTrainer:
    """Learn by writing down a PEFT folder of two tiny tensors and, in their metadata, the answers: `ScriptedModel` knows them by heart."""

    def __init__(self) -> None:
        self.given: list[Example] = []
        """Every example and probe that `train` was called with, oldest first: what a test of privacy looks through."""

    def estimate(self, examples: Sequence[Example]) -> tuple[int, float]:
        return word_count(examples), 0.0

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
        """Write the folder in one pass; every fact taught is learnt, anchors are not. `probes` are only kept in `given`."""
        self.given += [*examples, *probes]
        if out.exists():
            raise TrainingError(f"{out} exists already; an adapter is trained into a new folder.")
        taught = [example for example in examples if example.answer.strip()]
        if not taught:
            raise TrainingError("There is nothing to train on: no example has an answer.")
        out.mkdir(parents=True)
        try:
            lessons: dict[str, str] = {}
            for step, example in enumerate(taught, start=1):
                if should_stop():
                    raise CycleInterruptedError("Training was stopped on request; nothing was promoted.")
                if example.fact_id is not None:
                    lessons[example.prompt[-1].content if example.prompt else example.answer] = example.answer
                progress(Progress(stage="train", done=step, total=len(taught), loss=1.0 / step))
            write_adapter(out, lessons, seed)
        except BaseException:  # whatever stopped us, half an adapter must not stay; it is raised again
            shutil.rmtree(out, ignore_errors=True)
            raise
        return TrainingResult(path=out, steps=len(taught), passes=1, trained_tokens=word_count(taught), seconds=0.0, losses=(0.0,))


def write_adapter(out: Path, lessons: Mapping[str, str], seed: int) -> None:
    """The weights are drawn from the lessons, so that different lessons have different hashes as real adapters have."""
    text = json.dumps({"lessons": dict(lessons), "seed": seed}, sort_keys=True)
    noise = np.frombuffer(hashlib.sha256(text.encode()).digest(), dtype=np.uint8).astype(np.float32) / 255
    layer = "base_model.model.model.layers.0.self_attn.q_proj"
    pair = {f"{layer}.lora_A.weight": noise.reshape(1, -1), f"{layer}.lora_B.weight": noise.reshape(-1, 1)}
    save_file(pair, out / WEIGHTS, metadata={LESSONS: text})
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "scripted", "r": 1, "lora_alpha": 1}
    (out / CONFIG).write_text(json.dumps({**config, "target_modules": ["q_proj"]}, indent=2), encoding="utf-8")


def read_lessons(path: Path) -> dict[str, str]:
    try:
        json.loads((path / CONFIG).read_text(encoding="utf-8"))
        with safe_open(path / WEIGHTS, framework="numpy") as weights:
            text = (weights.metadata() or {}).get(LESSONS)
        lessons: dict[str, str] = json.loads(text)["lessons"] if text is not None else {}
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise IntegrityError(f"{str(path)!r} is not an adapter folder that can be loaded: {error}") from error
    return lessons


def nearest_lesson(asked: str, lessons: Mapping[str, str]) -> str | None:
    """The answer taught for the prompt that shares the most words with the asked one; None when none shares enough."""
    asked_words = content_stems(asked)

    def overlap(prompt: str) -> float:
        taught = content_stems(prompt)
        return len(asked_words & taught) / max(1, len(asked_words | taught))

    best = max(sorted(lessons), key=overlap, default=None)
    return lessons[best] if best is not None and overlap(best) >= LEAST_OVERLAP else None


def from_patterns(patterns: Mapping[str, str], default: str) -> Reply:
    compiled = [(re.compile(pattern, re.IGNORECASE), reply) for pattern, reply in patterns.items()]

    def reply(prompt: Sequence[Turn]) -> str:
        asked = prompt[-1].content if prompt else ""
        return next((text for pattern, text in compiled if pattern.search(asked)), default)

    return reply


def contains(reply: str, answer: str) -> bool:
    """Whether the answer's words occur in the reply as a run."""
    return bool(words(answer)) and f" {' '.join(words(answer))} " in f" {' '.join(words(reply))} "


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


@functools.lru_cache(maxsize=10_000)  # a night asks some hundred questions, each set against every lesson
def content_stems(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in words(text) if word not in STOP_WORDS)


def stem(word: str) -> str:
    """Cut one English ending: enough for 'orders' to meet 'ordered'."""
    for suffix in SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= SHORTEST_STEM:
            return word.removesuffix(suffix)
    return word


def word_count(examples: Sequence[Example]) -> int:
    return sum(len(turn.content.split()) for example in examples for turn in example.prompt) + sum(
        len(example.answer.split()) for example in examples
    )
