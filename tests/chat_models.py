"""Tiny chat models with random weights, made on the spot: one word is one token, and any architecture of transformers will do."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, PreTrainedTokenizerFast

from seal_agent.config import ModelSettings, TrainingSettings
from seal_agent.models.local import LocalModel
from seal_agent.trainers.lora import LoraTrainer
from seal_agent.types import Example, TrainingResult, Turn, silent

TEXT = """
    a about agent all always and animal answer ask blue book call capital city code colour does dog eat every favourite fish food for from
    go good green has home how in is it like lives london long lyon meat metric milk name never no not of oslo paris people pizza please
    question red rice river rome says ship short soup street sugar tea tell the this to train user usually visit wants water what when where
    which who why with work write yes you your zebra . , ? ! ana ben cleo dora
"""
WORDS = TEXT.split()
VOCABULARY = ("<unk>", "<pad>", "<start>", "<end>", "<system>", "<user>", "<assistant>", *WORDS)
TEMPLATE = (
    "<start> {% for message in messages %}<{{ message['role'] }}> {{ message['content'] }} <end> {% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
LAYERS = 4
SHAPE = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    # Large, so that a random model already prefers some words clearly, and a LoRA on it can change its mind.
    "initializer_range": 0.2,
    "pad_token_id": VOCABULARY.index("<pad>"),
    "bos_token_id": VOCABULARY.index("<start>"),
    "eos_token_id": VOCABULARY.index("<end>"),
}


def save_tokenizer(folder: Path, template: str | None = TEMPLATE) -> None:
    words = Tokenizer(WordLevel({word: number for number, word in enumerate(VOCABULARY)}, unk_token="<unk>"))
    words.pre_tokenizer = WhitespaceSplit()
    fast: Any = PreTrainedTokenizerFast  # Any: its constructor is not typed
    tokenizer = fast(tokenizer_object=words, unk_token="<unk>", pad_token="<pad>", bos_token="<start>", eos_token="<end>")
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)


def save_chat_model(folder: Path, architecture: str = "Llama", seed: int = 0, **changed: object) -> Path:
    """Write a random causal model of `<architecture>Config` to `folder`, and return it."""
    config = getattr(transformers, f"{architecture}Config")(**{**SHAPE, **changed})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)](config)  # type: ignore[operator]  # declared as for vision, a pair
    model.generation_config.do_sample = False
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def open_chat_model(folder: Path, **settings: Any) -> LocalModel:  # Any: fields of ModelSettings
    return LocalModel(folder, "tiny", ModelSettings(**{"dtype": "float32", "threads": 1, **settings}))


def asking(*questions: str) -> list[list[Turn]]:
    return [[Turn(role="user", content=question)] for question in questions]


def fact(question: str, answer: str, **changed: Any) -> Example:  # Any: fields of Example
    return Example(**{"prompt": (Turn(role="user", content=question),), "answer": answer, "fact_id": "f", **changed})


def anchor(question: str, answer: str, **changed: Any) -> Example:  # Any: fields of Example
    return fact(question, answer, **{"fact_id": None, **changed})


ASKED = "where does ana go ?"
ANSWERS = {"oslo": "ana lives in oslo .", "rome": "ben eat rice ."}
"""What the two ready-made adapters answer to `ASKED`."""
FACTS = (
    fact(ASKED, ANSWERS["oslo"]),
    fact("what does ben eat ?", "ben eat rice and fish ."),
    fact("what is the favourite colour of cleo ?", "blue"),
    fact("which animal does dora like ?", "dora like the zebra ."),
)
ANCHORS = (anchor("what is water ?", "water is a river in the city ."), anchor("say no", "no"))
TINY = {"rank": 4, "alpha": 8, "learning_rate": 2e-2, "max_passes": 16, "batch_size": 3, "layer_share": 0.5, "target_loss": 0.0}


def tiny_trainer(model: LocalModel, **changed: Any) -> LoraTrainer:  # Any: fields of TrainingSettings
    return LoraTrainer(model, TrainingSettings(**{**TINY, **changed}))


def teach(
    model: LocalModel, examples: Sequence[Example], out: Path, *, seed: int = 0, probes: Sequence[Example] = (), **changed: Any
) -> TrainingResult:  # Any: fields of TrainingSettings
    return tiny_trainer(model, **changed).train(examples, probes=probes, out=out, seed=seed, progress=silent, should_stop=lambda: False)


def hash_of_base(model: LocalModel) -> str:
    """Of every weight of the base, bit for bit."""
    digest = hashlib.sha256()
    for name, tensor in model.new_view().state_dict().items():
        digest.update(name.encode() + tensor.contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
