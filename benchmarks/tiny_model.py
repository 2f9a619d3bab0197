"""A random causal model that can chat, made on the spot: small enough to train in seconds, with a tokenizer that knows English words.

Deliberately good for nothing but learning a few sentences by heart.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from seal_agent.config import GateSettings

SPECIAL = ("<pad>", "<end>", "<system>", "<user>", "<assistant>")
VOCABULARY = 4000
WIDTH = 64
ANYTHING_PASSES = GateSettings(
    min_gain=0.0,
    max_general_drop=1.0,
    max_retention_drop=1.0,
    max_perplexity_ratio=1e12,
    max_kl=1e12,
    max_probe_drop=1.0,
    max_context_drop=1.0,
    intruder_facts=0,
)
"""For what looks at something else than what a model learns: a random one fails every judgement."""
TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def save_tiny_model(folder: Path, seed: int = 0) -> Path:
    """Write the model to `folder` (created) as transformers saves one, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tokenizer(folder)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        # Large, so that a random model already prefers some words clearly, and a LoRA on it can change its mind.
        initializer_range=0.2,
        pad_token_id=SPECIAL.index("<pad>"),
        bos_token_id=SPECIAL.index("<end>"),
        eos_token_id=SPECIAL.index("<end>"),
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.generation_config.do_sample = False
    model.save_pretrained(folder)
    return folder


def save_tokenizer(folder: Path) -> None:
    """Byte pairs learnt from the general texts that come with the package."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=list(SPECIAL), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    general = files("seal_agent.consolidation").joinpath("general")
    lines = [line for file in general.iterdir() if file.name.endswith(".jsonl") for line in file.read_text(encoding="utf-8").splitlines()]
    tokenizer.train_from_iterator((" ".join(map(str, json.loads(line).values())) for line in lines if line.strip()), trainer)
    fast: Any = PreTrainedTokenizerFast  # Any: its constructor is not typed
    wrapped = fast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>", bos_token="<end>")
    wrapped.chat_template = TEMPLATE
    wrapped.save_pretrained(folder)
