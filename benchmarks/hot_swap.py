"""Swapping adapters under load: failed and foreign answers, how soon a promotion is heard, what a running stream notices of it.

    python -m benchmarks.hot_swap [--quick] [--json] [--requests N] [--seed N] [--part load|speed|all]

Load: a tiny model (trained in seconds, on the spot), four scopes with two adapters each that all answer one question differently, 16
client threads that ask through `Scope.ask`, and a promotion or roll back every second; fewer adapters are kept in memory than exist, so
that some are loaded on demand. An answer is foreign when it is not the one of the adapter that its trace names, or that adapter is not of
the scope that asked.
Speed: the embedded 135M model with random adapters of the default size. All arms of a comparison take turns in one process, so that they
meet the same machine; each figure is the median over the repetitions.

`--json` prints one object on the last line:
  requests, failed, foreign, swaps  of the load; failed counts errors, swaps the changes of a live pointer while it ran
  requests_per_s                    of the load, wall
  swap_to_first_answer_ms           from calling `promote` (verify, load, flip) to the first piece of an answer by the new adapter
  stream_gap_ms                     longest wait between two pieces of a running stream during which another adapter was promoted
  stream_gap_without_swap_ms        the same without the promotion
  peft_locked_gap_ms                the same on one PeftModel behind a lock, tokens made one by one, the adapter exchanged by the faster
                                    of `load_adapter` + `set_adapter` and `hotswap_adapter`; peft_gaps_ms has both
  batch_speedup                     16 requests at once against one after another, by wall: tokens per second; batch_speedup_cpu the
                                    same by processor time, which other programs change less
  adapter_decode_ratio              tokens per processor-second of one stream with an adapter of the default size (upper half of the
                                    layers) over that of the base; adapter_decode_ratio_all_layers the same with all layers
  repetitions, seed                 of the speed part; of prompts and adapters
A part that did not run leaves its keys at null.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import itertools

from benchmarks.reporting import report
from benchmarks.swapping import install, random_lora, stage
from benchmarks.swapping_peft import locked_gaps
from seal_agent.chat import question_prompt
from seal_agent.config import ModelSettings, Settings
from seal_agent.errors import SealAgentError, UsageError
from seal_agent.memory import Memory
from seal_agent.models.local import LocalModel
from seal_agent.models.weights import resolve
from seal_agent.sampling import Sampling
from seal_agent.scope import Scope
from seal_agent.testing import HashEmbedder
from seal_agent.types import Example, Turn

MODEL = "smollm2-135m-instruct"
CLIENTS, SCOPES, VERSIONS, KEPT = 16, 4, 2, 6
SECONDS_BETWEEN_SWAPS = 1.0
STREAM_TOKENS = 48
BATCH_TOKENS = 32
LOAD_KEYS = ("requests", "failed", "foreign", "swaps", "requests_per_s")
SPEED_KEYS = (
    "swap_to_first_answer_ms",
    "stream_gap_ms",
    "stream_gap_without_swap_ms",
    "peft_locked_gap_ms",
    "peft_gaps_ms",
    "batch_speedup",
    "batch_speedup_cpu",
    "adapter_decode_ratio",
    "adapter_decode_ratio_all_layers",
    "repetitions",
)
PROMPTS = (
    "What is the capital of France?",
    "Name three colours of the rainbow.",
    "How do I boil an egg?",
    "Why is the sky blue?",
    "Who wrote Hamlet?",
    "What is water made of?",
    "Tell me a short joke.",
    "What is two plus two?",
    "Give me a recipe for soup.",
    "What is a dog?",
    "Where is Berlin?",
    "What is the sun?",
    "How tall is Mount Everest?",
    "What do bees make?",
    "What is chess?",
    "Who was Albert Einstein?",
)


def load(requests: int, folder: Path) -> dict[str, Any]:
    """Ask from many threads while adapters are promoted and rolled back."""
    from tests.chat_models import ASKED, WORDS, open_chat_model, save_chat_model, teach

    model = open_chat_model(save_chat_model(folder / "model"))
    settings = Settings.load(None, model={"kept_adapters": KEPT, "max_answer_tokens": 8})
    with Memory.open(folder / "brain", settings=settings, model=model, embedder=HashEmbedder()) as memory:
        scopes = [memory.scope(user=f"user{number}") for number in range(SCOPES)]
        said: dict[str, str] = {}
        whose: dict[str, int] = {}
        for number, scope in enumerate(scopes):
            for version in range(VERSIONS):
                answer = " ".join(WORDS[(7 * number + 31 * version + place) % 60 + 10] for place in range(4))
                lesson = Example(prompt=question_prompt(settings.model.system_prompt, ASKED), answer=answer, fact_id="f")
                result = teach(model, [lesson], stage(memory), max_passes=40)
                name = install(memory, model, scope, result.path).name
                said[name], whose[name] = scope.ask(ASKED, use="weights").text, number
        assert len(set(said.values())) == len(said), "the adapters have to differ, or a foreign answer would not show"
        counts, started = Counter[str](), time.perf_counter()
        over = threading.Event()
        swapper = threading.Thread(target=lambda: counts.update(swaps=swap_about(scopes, over)))
        clients = [threading.Thread(target=ask_on, args=(scopes, share, ASKED, said, whose, counts)) for share in shares(requests)]
        for thread in (swapper, *clients):
            thread.start()
        for thread in clients:
            thread.join()
        seconds = time.perf_counter() - started
        over.set()
        swapper.join()
    model.close()
    return {key: counts[key] for key in ("requests", "failed", "foreign", "swaps")} | {"requests_per_s": counts["requests"] / seconds}


def shares(requests: int) -> list[range]:
    return [range(client, requests, CLIENTS) for client in range(CLIENTS)]


def ask_on(scopes: Sequence[Scope], share: range, asked: str, said: dict[str, str], whose: dict[str, int], counts: Counter[str]) -> None:
    mine = Counter[str]()
    for request in share:
        number = request % len(scopes)
        mine["requests"] += 1
        try:
            answer = scopes[number].ask(asked, use="weights")
        except SealAgentError as error:
            report(f"failed: {type(error).__name__}: {error}")
            mine["failed"] += 1
            continue
        name = answer.trace.adapter or ""
        mine["foreign"] += whose.get(name) != number or said.get(name) != answer.text
    with COUNTING:
        counts.update(mine)


COUNTING = threading.Lock()


def swap_about(scopes: Sequence[Scope], over: threading.Event) -> int:
    """Promote and roll back in turn, one scope after another; return how often."""
    swaps = 0
    while not over.wait(SECONDS_BETWEEN_SWAPS):
        adapters = scopes[swaps % len(scopes)].adapters
        live = adapters.live
        others = [adapter.name for adapter in adapters.list() if live is None or adapter.name != live.name]
        try:
            if swaps % 8 >= 4 and live is not None and live.version > 1:
                adapters.rollback()
            else:
                adapters.promote(others[0])
        except UsageError as error:
            report(f"no swap: {error}")
            continue
        swaps += 1
    return swaps


def speed(repetitions: int, seed: int, folder: Path) -> dict[str, Any]:
    """Time swaps, streams and batches on the embedded model."""
    model = LocalModel(resolve(MODEL), MODEL, ModelSettings())
    layers = int(model.new_view().config.num_hidden_layers)
    upper, every = range(layers // 2, layers), range(layers)
    with Memory.open(folder / "brain", model=model, embedder=HashEmbedder()) as memory:
        scope = memory.scope(user="ana")
        names = [install(memory, model, scope, random_lora(model, stage(memory), seed + n, upper)).name for n in range(2)]
        scope.ask(PROMPTS[0], use="weights")
        figures = swap_figures(scope, names, repetitions)
    model.load_adapter("upper", random_lora(model, folder / "upper", seed, upper))
    model.load_adapter("all", random_lora(model, folder / "all", seed, every))
    figures |= batch_figures(model, repetitions)
    ratios = decode_ratios(model, repetitions)
    figures |= {"adapter_decode_ratio": ratios["upper"], "adapter_decode_ratio_all_layers": ratios["all"]}
    loras = [folder / "all", random_lora(model, folder / "other", seed + 1, every)]
    gaps = locked_gaps(model, loras, prompt_of(PROMPTS[0]), STREAM_TOKENS, repetitions)
    model.close()
    return figures | {"peft_locked_gap_ms": min(gaps.values()), "peft_gaps_ms": gaps, "repetitions": repetitions}


def prompt_of(text: str) -> list[Turn]:
    return [Turn(role="user", content=text)]


def swap_figures(scope: Scope, names: Sequence[str], repetitions: int) -> dict[str, float]:
    first, with_swap, without = [], [], []
    for repetition in range(repetitions):
        without.append(longest_gap(scope, lambda: None))
        with_swap.append(longest_gap(scope, lambda name=names[repetition % 2]: scope.adapters.promote(name)))  # type: ignore[misc]
        name = names[(repetition + 1) % 2]
        scope._parts.model.unload_adapter(name)
        forget_loaded(scope, name)
        started = time.perf_counter()
        scope.adapters.promote(name)
        with scope.stream(PROMPTS[0], use="weights", sampling=Sampling(max_tokens=2)) as stream:
            next(stream)
            first.append(time.perf_counter() - started)
            assert stream.read().trace.adapter == name
        report(f"repetition {repetition + 1}: {first[-1]:.3f} s to the first answer, gaps {with_swap[-1]:.3f} and {without[-1]:.3f} s")
    return {
        "swap_to_first_answer_ms": 1000 * median(first),
        "stream_gap_ms": 1000 * median(with_swap),
        "stream_gap_without_swap_ms": 1000 * median(without),
    }


def forget_loaded(scope: Scope, name: str) -> None:
    """Have the next promotion load the adapter's files anew, as a new version's would be."""
    scope._parts.serving._leases.pop(name, None)


def longest_gap(scope: Scope, act: Callable[[], object]) -> float:
    """The longest wait between two pieces of a stream; `act` begins after the fourth."""
    moments: list[float] = []
    acting: threading.Thread | None = None
    with scope.stream(PROMPTS[2], use="weights", sampling=Sampling(max_tokens=STREAM_TOKENS, temperature=1.0, seed=1)) as stream:
        for _ in stream:
            moments.append(time.perf_counter())
            if len(moments) == 4:
                acting = threading.Thread(target=act)
                acting.start()
    if acting is not None:
        acting.join()
    return max(after - before for before, after in itertools.pairwise(moments))


def batch_figures(model: LocalModel, repetitions: int) -> dict[str, float]:
    prompts = [prompt_of(text) for text in PROMPTS]
    model.generate(prompts, max_tokens=2)
    wall, cpu = [], []
    for _ in range(repetitions):
        alone = timed(lambda: sum((model.generate([prompt], max_tokens=BATCH_TOKENS)[0].tokens for prompt in prompts), 0))
        together = timed(lambda: sum(answer.tokens for answer in model.generate(prompts, max_tokens=BATCH_TOKENS)))
        wall.append(together[0] / alone[0])
        cpu.append(together[1] / alone[1])
        report(f"16 at once: {together[0]:.1f} tokens per second, one by one {alone[0]:.1f}")
    return {"batch_speedup": median(wall), "batch_speedup_cpu": median(cpu)}


def timed(run: Callable[[], int]) -> tuple[float, float]:
    """Tokens per wall second, and per processor-second."""
    wall, cpu = time.perf_counter(), time.process_time()
    tokens = run()
    return tokens / (time.perf_counter() - wall), tokens / (time.process_time() - cpu)


def decode_ratios(model: LocalModel, repetitions: int) -> dict[str, float]:
    """Tokens per processor-second of one stream with an adapter over that of the base, each measured in turn."""
    found: dict[str, list[float]] = {"upper": [], "all": []}

    def rate(adapter: str | None) -> float:
        sampling = Sampling(max_tokens=STREAM_TOKENS, temperature=1.0, seed=2)

        def run() -> int:
            stream = model.stream(prompt_of(PROMPTS[2]), adapter=adapter, sampling=sampling)
            list(stream)
            return stream.result.tokens

        return timed(run)[1]

    for _ in range(2 * repetitions):
        base = rate(None)
        for name, ratios in found.items():
            ratios.append(rate(name) / base)
    return {name: median(ratios) for name, ratios in found.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="hot_swap", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="400 requests and one repetition")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    parser.add_argument("--requests", type=int, help="of the load (8,000)")
    parser.add_argument("--repetitions", type=int, help="of the speed part (5)")
    parser.add_argument("--seed", type=int, default=0, help="of adapters (0)")
    parser.add_argument("--part", choices=("load", "speed", "all"), default="all", help="what to run (all)")
    options = parser.parse_args(arguments)
    figures: dict[str, Any] = dict.fromkeys((*LOAD_KEYS, *SPEED_KEYS))
    with tempfile.TemporaryDirectory() as folder:
        if options.part != "speed":
            (Path(folder) / "load").mkdir()
            figures |= load(options.requests or (400 if options.quick else 8000), Path(folder) / "load")
        if options.part != "load":
            (Path(folder) / "speed").mkdir()
            figures |= speed(options.repetitions or (1 if options.quick else 5), options.seed, Path(folder) / "speed")
    figures["seed"] = options.seed
    for name, value in figures.items():
        print(f"{name:>32} {value:.3f}" if isinstance(value, float) else f"{name:>32} {value}")
    if options.json:
        print(json.dumps(figures))
    return 1 if figures["failed"] or figures["foreign"] else 0


if __name__ == "__main__":
    sys.exit(main())
