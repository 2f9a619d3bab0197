"""PEFT's own ways to exchange an adapter in a running model, made safe by a lock: what a stream waits for then.

The lock is held for one token, and for one exchange: the fairest locking there is, short of our own loop. Without it answers mix
adapters without an error. Deliberately greedy and one by one: what is timed is the wait, not the answer.
"""

import itertools
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from peft import PeftModel
from peft.utils.hotswap import hotswap_adapter
from transformers import DynamicCache

from seal_agent.models.local import LocalModel
from seal_agent.models.making_lora import making_lora
from seal_agent.types import Turn

Exchange = Callable[[int], None]


def locked_gaps(model: LocalModel, loras: Sequence[Path], prompt: Sequence[Turn], tokens: int, repetitions: int) -> dict[str, float]:
    """Median over the repetitions of the longest wait between two tokens, in milliseconds, by PEFT's way of exchanging."""
    with making_lora():
        view: Any = PeftModel.from_pretrained(model.new_view(), str(loras[0]))  # Any: peft is untyped
    view.eval()

    def load_and_set(number: int) -> None:
        with making_lora():
            view.load_adapter(str(loras[number % len(loras)]), adapter_name=f"version{number}")
        view.set_adapter(f"version{number}", inference_mode=True)

    def hotswap(number: int) -> None:
        hotswap_adapter(view, str(loras[number % len(loras)]), adapter_name=view.active_adapter)

    ids = torch.tensor([model.encode_prompt(prompt)])
    found: dict[str, list[float]] = {"hotswap_adapter": [], "load_adapter_set_adapter": []}
    for repetition in range(repetitions):
        found["hotswap_adapter"].append(longest_gap(view, ids, tokens, hotswap, repetition + 1))
        found["load_adapter_set_adapter"].append(longest_gap(view, ids, tokens, load_and_set, repetition + 1))
    return {name: 1000 * median(gaps) for name, gaps in found.items()}


def longest_gap(view: Any, ids: torch.Tensor, tokens: int, exchange: Exchange, number: int) -> float:  # Any: as above
    lock, moments = threading.Lock(), []
    exchanging: threading.Thread | None = None

    def locked() -> None:
        with lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exchange(number)

    cache, step = DynamicCache(config=view.config), ids
    with torch.inference_mode():
        for place in range(tokens):
            with lock:
                logits = view(input_ids=step, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
            step = logits[:, -1].argmax(dim=-1, keepdim=True)
            moments.append(time.perf_counter())
            if place == 3:
                exchanging = threading.Thread(target=locked)
                exchanging.start()
                time.sleep(0)  # let it wait for the lock
    if exchanging is not None:
        exchanging.join()
    return max(after - before for before, after in itertools.pairwise(moments))
