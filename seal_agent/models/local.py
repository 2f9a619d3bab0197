"""The agent's model in this process: one copy of the base, a packed view of it that answers, and any number of adapters beside it.

An adapter is a set of small matrices that a row of the batch carries with it (`packed.py`); the loop that runs the rows is `engine.py`.
Requests for different adapters therefore share each pass and never touch one another: no `set_adapter`, no in-place hot-swap, nothing to
lock (both were measured to mix up answers without an error). Training gets plain views of the same base tensors. This module does not
decide which adapter is live, and does not verify files: `adapters/verify.py` does that before anything here opens them.
"""

import copy
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from threading import RLock
from typing import Any

import torch
from jinja2 import TemplateError
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from seal_agent.chat import without_system
from seal_agent.config import ModelSettings
from seal_agent.errors import GenerationError, ModelNotFoundError
from seal_agent.models.batches import answer_losses, answer_mask, batches_by_length, common_prefix, pad
from seal_agent.models.engine import Engine, Limits
from seal_agent.models.head import Head
from seal_agent.models.host_memory import hand_back_memory
from seal_agent.models.lora_weights import read_lora
from seal_agent.models.packed import LoraWeights, Segment, carrying, pack
from seal_agent.models.requests import Batch, Prefix, Request, Row, Stream
from seal_agent.models.speech import Speech
from seal_agent.sampling import GREEDY, MAX_SEED, Sampling
from seal_agent.types import Generation, Turn

logger = logging.getLogger(__name__)

NUCLEUS = 0.95
"""Of sampled batches, which is how the writer of self-edits is asked."""


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
        self._packed: Any = None  # a causal model, whose `__call__` is untyped
        self._engine: Engine | None = None
        self._adapters: dict[str, tuple[Path, LoraWeights]] = {}
        self._lock = RLock()

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

    def serving(self) -> tuple[Any, Engine]:
        """The view that answers, and the loop that runs it; made at the first use. Any: a causal model, whose `__call__` is untyped."""
        with self._lock:
            config = self._require_base().config
            if self._engine is None:
                limits = Limits(
                    rows=self._settings.batch_rows,
                    tokens=self._settings.batch_tokens,
                    waiting=self._settings.max_waiting,
                    idle_seconds=self._settings.idle_seconds,
                )
                self._engine = Engine(self._serving_view, config, limits, self._unpack)
            return self._serving_view(), self._engine

    def _serving_view(self) -> Any:  # Any: as above
        with self._lock:
            if self._packed is None:
                self._packed = pack(self.new_view())
            return self._packed

    def release(self) -> None:
        """Let go of the packed weights once nobody is answered, instead of after `model.idle_seconds`; the next request packs them anew."""
        with self._lock:
            engine = self._engine
        if engine is not None:
            engine.rest()
            self._unpack()

    def _unpack(self) -> None:
        with self._lock:
            if self._packed is None or (self._engine is not None and self._engine.is_running):
                return
            self._packed = None
        hand_back_memory()

    def load_adapter(self, name: str, path: Path) -> None:
        with self._lock:
            known = self._adapters.get(name)
            view, engine = self.serving()
        engine.wind_down()
        if known is None:
            weights = read_lora(name, view, path)  # not under the lock: requests that use others go on
            with self._lock:
                self._require_base()
                known = self._adapters.setdefault(name, (path, weights))
        if known[0] != path:
            raise GenerationError(f"Adapter {name!r} is already loaded from {known[0]}; a name is used once.")

    def unload_adapter(self, name: str) -> None:
        with self._lock:
            self._adapters.pop(name, None)

    def generate(
        self,
        prompts: Sequence[Sequence[Turn]],
        *,
        adapter: str | None = None,
        max_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Generation]:
        weights, (_, engine) = self._weights(adapter), self.serving()
        if not prompts:
            return []
        encoded = [self.encode_prompt(prompt) for prompt in prompts]
        shared = len(common_prefix(encoded))
        batch = Batch(Prefix(shared) if shared else None)
        for number, ids in enumerate(encoded):
            sampling = Sampling(max_tokens=max_tokens, temperature=temperature, top_p=NUCLEUS, seed=(seed + number) % MAX_SEED)
            batch.add(self._row(batch, number, ids, weights, sampling))
        engine.submit(batch)
        return batch.wait()

    def stream(
        self, prompt: Sequence[Turn], *, adapter: str | None = None, sampling: Sampling = GREEDY, timeout: float | None = None
    ) -> Stream:
        weights, (_, engine) = self._weights(adapter), self.serving()
        stream = Stream(None if timeout is None else time.monotonic() + timeout)
        stream.add(self._row(stream, 0, self.encode_prompt(prompt), weights, sampling))
        engine.submit(stream)
        return stream

    def _row(self, request: Request, number: int, ids: list[int], weights: LoraWeights | None, sampling: Sampling) -> Row:
        places = getattr(self._require_base().config, "max_position_embeddings", None) or sys.maxsize
        if len(ids) >= places:
            raise GenerationError(f"The prompt has {len(ids):,} tokens, {self._id!r} takes {places - 1:,} and an answer. Shorten it.")
        most = min(sampling.max_tokens, places - len(ids))
        speech = Speech(self.tokenizer, self._ends | {self.end_id}, sampling, most)
        return Row(request=request, number=number, ids=ids, adapter=weights, speech=speech, most=len(ids) + most)

    def score(self, items: Sequence[tuple[Sequence[Turn], str]], *, adapter: str | None = None) -> list[list[float]]:
        weights, (view, engine) = self._weights(adapter), self.serving()
        engine.wind_down()
        encoded = [self.encode_pair(prompt, answer) for prompt, answer in items]
        done: dict[int, list[float]] = {}
        for rows in batches_by_length([len(ids) for ids, _ in encoded], self._settings.batch_tokens):
            ids, mask = pad([encoded[row][0] for row in rows], self.pad_id, left=False)
            labels = answer_mask([encoded[row] for row in rows], ids.shape)
            with torch.inference_mode(), carrying(() if weights is None else (Segment(weights, None),)):
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
            engine, self._engine, self._packed = self._engine, None, None
            self._adapters.clear()
            self._base = self._head = None
        if engine is not None:
            engine.close()

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
        try:
            text = self._templated(prompt)
        except TemplateError as error:
            folded = without_system(prompt)
            if folded == tuple(prompt):  # two of a role in a row, or what else a template refuses
                raise self._refused(prompt, error) from error
            try:
                text = self._templated(folded)
            except TemplateError as again:
                raise self._refused(prompt, again) from again
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def _templated(self, prompt: Sequence[Turn]) -> str:
        messages = [{"role": turn.role, "content": turn.content} for turn in prompt]
        return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def _refused(self, prompt: Sequence[Turn], error: TemplateError) -> GenerationError:
        return GenerationError(f"The chat template of {self._id!r} refuses the roles {[turn.role for turn in prompt]}: {error}")

    def encode_pair(self, prompt: Sequence[Turn], answer: str, *, ended: bool = True) -> tuple[list[int], int]:
        """Return (token ids of prompt and answer with its end unless it was cut off, where the answer begins)."""
        head = self.encode_prompt(prompt)
        tail = self.tokenizer.encode(answer, add_special_tokens=False)
        return [*head, *tail, *([self.end_id] if prompt and ended else [])], len(head)

    def _weights(self, adapter: str | None) -> LoraWeights | None:
        with self._lock:
            self._require_base()
            if adapter is None:
                return None
            if adapter not in self._adapters:
                raise GenerationError(f"Adapter {adapter!r} is not loaded; call load_adapter first. Loaded: {sorted(self._adapters)}.")
            return self._adapters[adapter][1]

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
