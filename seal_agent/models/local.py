"""The agent's model in this process: transformers for the base, peft for the adapters, one view per adapter.

A view is a copy of the module tree that shares every base tensor (milliseconds, no weight copied) with one LoRA attached. Requests for
different adapters therefore never touch each other's modules: no `set_adapter`, no in-place hot-swap, nothing to lock (both were
measured to mix up answers without an error). This module does not decide which adapter is live, and does not verify files:
`adapters/verify.py` does that before anything here opens them.
"""

import copy
import logging
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from jinja2 import TemplateError
from peft import PeftModel
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from seal_agent.config import ModelSettings
from seal_agent.errors import GenerationError, ModelNotFoundError
from seal_agent.models.head import Head
from seal_agent.models.lora_view import attach
from seal_agent.types import Generation, Turn

logger = logging.getLogger(__name__)

MIN_PREFIX = 32
"""Tokens that prompts must share for their common beginning to be run once."""


class LocalModel:
    """A causal LM with a chat template, from a local folder. Implements `seal_agent.protocols.Model`."""

    def __init__(self, folder: Path, model_id: str, settings: ModelSettings) -> None:
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.folder = folder
        self._id = model_id
        self._settings = settings
        self.dtype = pick_dtype(settings.dtype)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            base = AutoModelForCausalLM.from_pretrained(folder, dtype=self.dtype, trust_remote_code=False)
        except (OSError, ValueError, SafetensorError) as error:
            raise ModelNotFoundError(f"{folder} can't be loaded as a causal language model: {error}") from error
        if not self.tokenizer.chat_template:
            raise ModelNotFoundError(f"{model_id!r} has no chat template; seal-agent needs a chat (instruct) model.")
        self._ends = declared_ends(base.generation_config)
        self._base: PreTrainedModel | None = prepare(base.to(self.device))  # type: ignore[arg-type]  # transformers wraps `to`
        self._head: Head | None = Head(self.new_view())
        self._views: dict[str, tuple[Path, torch.nn.Module]] = {}
        self._lock = Lock()

    @property
    def id(self) -> str:
        return self._id

    def new_view(self) -> PreTrainedModel:
        """Return a copy of the module tree over the same base tensors, for one adapter or one training run."""
        base = self._require_base()
        shared = {id(tensor): tensor for tensor in (*base.parameters(), *base.buffers())}
        return copy.deepcopy(base, memo=shared)

    @property
    def head(self) -> Head:
        """From last hidden states to logits; the same for the base and every adapter."""
        if self._head is None:
            raise GenerationError(f"The model {self._id!r} was closed.")
        return self._head

    def load_adapter(self, name: str, path: Path) -> None:
        with self._lock:
            if name in self._views:
                if self._views[name][0] == path:
                    return
                raise GenerationError(f"Adapter {name!r} is already loaded from {self._views[name][0]}; a name is used once.")
            self._views[name] = (path, prepare(attach(self.new_view(), path)))

    def unload_adapter(self, name: str) -> None:
        with self._lock:
            self._views.pop(name, None)

    def generate(
        self,
        prompts: Sequence[Sequence[Turn]],
        *,
        adapter: str | None = None,
        max_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Generation]:
        view = self._view(adapter)
        encoded = [self.encode_prompt(prompt) for prompt in prompts]
        done: dict[int, Generation] = {}
        for rows in batches_by_length([len(ids) + max_tokens for ids in encoded], self._settings.batch_tokens):
            generated = self._generate_batch(view, [encoded[row] for row in rows], max_tokens, temperature, seed + rows[0])
            done.update(zip(rows, generated, strict=True))
        return [done[row] for row in range(len(prompts))]

    def _generate_batch(self, view: Any, encoded: list[list[int]], max_tokens: int, temperature: float, seed: int) -> list[Generation]:
        # Any: PeftModel and PreTrainedModel share `generate` but no base class that declares it.
        prefix = common_prefix(encoded)
        ids, mask = pad([row[len(prefix) :] for row in encoded], self.pad_id, left=True)
        head = torch.tensor(prefix, dtype=torch.long).expand(len(encoded), -1)
        ids, mask = torch.cat([head, ids], dim=1).to(self.device), torch.cat([torch.ones_like(head), mask], dim=1).to(self.device)
        sampling = {"do_sample": True, "temperature": temperature, "top_p": 0.95} if temperature > 0 else {"do_sample": False}
        # fork_rng keeps the caller's random state untouched; sampling is only used at night, one cycle at a time.
        with torch.inference_mode(), torch.random.fork_rng(enabled=temperature > 0):
            if temperature > 0:
                torch.manual_seed(seed)
            output = view.generate(
                input_ids=ids,
                attention_mask=mask,
                past_key_values=self._prefill(view, prefix, len(encoded)),
                max_new_tokens=max_tokens,
                pad_token_id=self.pad_id,
                eos_token_id=sorted({self.end_id, *self._ends}),
                **sampling,
            )
        return [self._generation(row[ids.shape[1] :].tolist()) for row in output]

    def _prefill(self, view: Any, prefix: list[int], rows: int) -> DynamicCache | None:
        """Run what all prompts of a batch begin with once, instead of once per row: worked examples cost nothing then."""
        if not prefix:
            return None
        cache = DynamicCache(config=view.config)
        view(input_ids=torch.tensor([prefix], device=self.device), past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache.batch_repeat_interleave(rows)
        return cache

    def _generation(self, tokens: list[int]) -> Generation:
        ends = {self.end_id, *self._ends}
        kept = list(takewhile(lambda token: token not in ends, tokens))
        text = str(self.tokenizer.decode(kept, skip_special_tokens=True)).strip()
        return Generation(text=text, tokens=len(kept), finished=len(kept) < len(tokens))

    def score(self, items: Sequence[tuple[Sequence[Turn], str]], *, adapter: str | None = None) -> list[list[float]]:
        view = self._view(adapter)
        encoded = [self.encode_pair(prompt, answer) for prompt, answer in items]
        done: dict[int, list[float]] = {}
        for rows in batches_by_length([len(ids) for ids, _ in encoded], self._settings.batch_tokens):
            ids, mask = pad([encoded[row][0] for row in rows], self.pad_id, left=False)
            labels = answer_mask([encoded[row] for row in rows], ids.shape)
            with torch.inference_mode():
                logprobs = -answer_losses(view, self.head, ids.to(self.device), mask.to(self.device), labels.to(self.device))
            counts = labels.sum(dim=1).tolist()
            for row, values in zip(rows, torch.split(logprobs.float().cpu(), counts), strict=True):
                done[row] = values.tolist()
        return [done[row] for row in range(len(items))]

    def count_tokens(self, text: str) -> int:
        self._require_base()
        return len(self.tokenizer.encode(text, add_special_tokens=False))

    def close(self) -> None:
        with self._lock:
            self._views.clear()
            self._base = self._head = None

    @property
    def end_id(self) -> int:
        """The token that ends an answer."""
        end = self.tokenizer.eos_token_id
        if not isinstance(end, int):
            raise GenerationError(f"The tokenizer of {self._id!r} has no single end-of-answer token.")
        return end

    @property
    def pad_id(self) -> int:
        pad_token = self.tokenizer.pad_token_id
        return pad_token if isinstance(pad_token, int) else self.end_id

    def encode_prompt(self, prompt: Sequence[Turn]) -> list[int]:
        """Token ids of a chat up to where the assistant's answer begins; an empty prompt is raw text's beginning."""
        if not prompt:
            start = self.tokenizer.bos_token_id
            return [start if isinstance(start, int) else self.end_id]
        messages = [{"role": turn.role, "content": turn.content} for turn in prompt]
        try:
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except TemplateError as error:  # some refuse system messages, or two of a role in a row
            raise GenerationError(
                f"The chat template of {self._id!r} refuses the roles {[turn.role for turn in prompt]}: {error}"
            ) from error
        return list(self.tokenizer.encode(str(text), add_special_tokens=False))

    def encode_pair(self, prompt: Sequence[Turn], answer: str, *, ended: bool = True) -> tuple[list[int], int]:
        """Return (token ids of prompt and answer with its end unless it was cut off, where the answer begins)."""
        head = self.encode_prompt(prompt)
        tail = self.tokenizer.encode(answer, add_special_tokens=False)
        return [*head, *tail, *([self.end_id] if prompt and ended else [])], len(head)

    def _view(self, adapter: str | None) -> Any:
        if adapter is None:
            return self._require_base()
        try:
            return self._views[adapter][1]
        except KeyError:
            raise GenerationError(f"Adapter {adapter!r} is not loaded; call load_adapter first. Loaded: {sorted(self._views)}.") from None

    def _require_base(self) -> PreTrainedModel:
        if self._base is None:
            raise GenerationError(f"The model {self._id!r} was closed.")
        return self._base


def declared_ends(config: GenerationConfig) -> frozenset[int]:
    """Tokens that end an answer besides the tokenizer's own: Gemma's and Phi's end a turn with another token than a text."""
    declared = config.eos_token_id
    return frozenset(declared) if isinstance(declared, list) else frozenset() if declared is None else frozenset([declared])


def pick_dtype(wanted: str) -> torch.dtype:
    """bfloat16 only where the hardware multiplies it natively: elsewhere it is emulated, measured 75 times slower than float32."""
    if wanted != "auto":
        return torch.float32 if wanted == "float32" else torch.bfloat16
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def prepare(model: Any) -> Any:
    """Freeze, set to evaluation, and make the output head's input contiguous.

    A frozen head with a strided input takes a path that copies the whole head once per row: twice the decoding time in bfloat16.
    """
    model.requires_grad_(False).eval()
    head = model.get_output_embeddings()
    if not head._forward_pre_hooks:
        head.register_forward_pre_hook(contiguous_input)
    return model


def contiguous_input(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return (inputs[0].contiguous(), *inputs[1:])


def batches_by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Yield row numbers in batches of similar length, each at most `batch_tokens` with padding (one row at least)."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: (lengths[row], row)):
        if batch and lengths[row] * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def pad(rows: Sequence[Sequence[int]], pad_id: int, *, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (ids, attention mask), both [rows, longest], padded on the left or the right."""
    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), pad_id, dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for index, row in enumerate(rows):
        where = slice(longest - len(row), longest) if left else slice(0, len(row))
        ids[index, where] = torch.tensor(row, dtype=torch.long)
        mask[index, where] = 1
    return ids, mask


def common_prefix(rows: Sequence[Sequence[int]]) -> list[int]:
    """The token ids that all rows begin with, worth a pass of its own only if long; one token at least is left to each row."""
    first, last = min(map(list, rows)), max(map(list, rows))
    limit = min(len(row) for row in rows) - 1
    length = next((place for place in range(limit) if first[place] != last[place]), limit)
    return list(first[:length]) if length >= MIN_PREFIX and len(rows) > 1 else []


def answer_mask(encoded: Sequence[tuple[Sequence[int], int]], shape: torch.Size) -> torch.Tensor:
    """Bool [rows, longest]: True at the answer's tokens of right-padded rows."""
    mask = torch.zeros(shape, dtype=torch.bool)
    for index, (ids, start) in enumerate(encoded):
        mask[index, start : len(ids)] = True
    return mask


def answer_losses(model: Any, head: Head, ids: torch.Tensor, mask: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """Return the loss in nats of each answer token, row by row: float32 of shape [answers.sum()]. Only these go through the head."""
    causal: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    hidden = getattr(causal, causal.base_model_prefix)(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    logits = head(hidden[:, :-1][answers[:, 1:]])
    return torch.nn.functional.cross_entropy(logits.float(), ids[:, 1:][answers[:, 1:]], reduction="none")
