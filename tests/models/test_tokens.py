"""Tokens are counted by the model's own tokenizer, without its weights, and a context never holds one too many."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing

from seal_agent.config import ModelSettings, Settings
from seal_agent.errors import ModelNotFoundError
from seal_agent.memory import Memory
from seal_agent.models.tokens import token_counter
from seal_agent.retrieval.context import build_context
from seal_agent.types import Fact, Hit, ScopeId
from tests.brains import open_brain

ANA = ScopeId(agent="support", user="ana")
AT = datetime(2026, 3, 1, tzinfo=UTC)
MERGES = [("a", "n"), ("Ġ", "t"), ("e", "r"), ("i", "n"), ("Ġt", "h"), ("Ġth", "e"), ("0", "1"), ("f", "e")]


def pieces() -> Tokenizer:
    """Bytes and a few pairs of them: counts of parts do not add up, as with real ones. It would begin each text with a mark, and cut it."""
    letters = [*sorted(ByteLevel.alphabet()), *("".join(pair) for pair in MERGES), "<s>"]
    tokenizer = Tokenizer(BPE({letter: number for number, letter in enumerate(letters)}, MERGES))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", letters.index("<s>"))])
    tokenizer.enable_truncation(16)
    tokenizer.enable_padding(length=8)
    return tokenizer


def save(folder: Path) -> Path:
    """What a model's folder looks like to whoever doesn't load it."""
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"never read")
    pieces().save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("tokenizer") / "model")


def test_every_token_counts_and_no_mark_beside_them(folder: Path) -> None:
    count = token_counter(str(folder))
    assert (count(""), count("anx"), count("an" * 40)) == (0, 2, 40)


def test_a_model_that_is_not_here_has_no_counter(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        token_counter("smollm2-135m-instruct", cache=tmp_path)


def test_a_damaged_tokenizer_is_named(tmp_path: Path) -> None:
    damaged = save(tmp_path / "model")
    (damaged / "tokenizer.json").write_text("{")
    with pytest.raises(ModelNotFoundError, match=r"tokenizer\.json"):
        token_counter(str(damaged))


words = st.text(st.sampled_from("an the01fer<>[]|é素🦜\n"), max_size=60)


@settings(max_examples=60, deadline=None)
@given(said=st.lists(words, max_size=6), facts=st.lists(words, max_size=3), query=words, budget=st.integers(1, 400))
def test_a_block_never_exceeds_its_budget_by_the_model_s_own_tokenizer(
    folder: Path, said: list[str], facts: list[str], query: str, budget: int
) -> None:
    hits = [
        Hit(text=text, score=1.0, source="turn", episode_id=f"e{place}", fact_id=None, role="user", at=AT, scope=ANA)
        for place, text in enumerate(said)
    ]
    profile = [Fact(id=f"f{place}", scope=ANA, kind="preference", text=text, quote=text, valid_from=AT) for place, text in enumerate(facts)]
    count = token_counter(str(folder))
    block = build_context(ANA, query, hits, profile, budget, count)
    assert block.tokens == count(block.text) <= budget


def brain(tmp_path: Path, model_id: str) -> Memory:
    return open_brain(tmp_path / "brain", model=None, settings=Settings(model=ModelSettings(id=model_id)))


def test_a_context_is_measured_by_the_tokenizer_and_no_model_is_loaded(tmp_path: Path, folder: Path) -> None:
    with brain(tmp_path, str(folder)) as memory:
        ana = memory.scope(user="ana")
        ana.add_many([f"Figo the parrot is {'an ' * number}old bird, {number}." for number in range(20)])
        block = ana.context("parrot", budget=300)
        assert memory._parts.loaded_model is None
    assert block.tokens == token_counter(str(folder))(block.text) <= 300
    assert "Figo" in block.text
    assert not block.estimated


def test_without_the_tokenizer_a_context_says_that_its_tokens_are_estimated(tmp_path: Path) -> None:
    with brain(tmp_path, str(tmp_path / "nowhere")) as memory:
        ana = memory.scope(user="ana")
        ana.add("Figo is a parrot.")
        block = ana.context("parrot")
    assert block.estimated
    assert "Figo" in block.text


def test_a_model_that_was_passed_in_counts(tmp_path: Path) -> None:
    with open_brain(tmp_path) as memory:
        ana = memory.scope(user="ana")
        ana.add("Figo is a parrot.")
        block = ana.context("parrot")
    assert (block.tokens, block.estimated) == (len(block.text.split()), False)


@pytest.mark.slow
def test_counting_takes_no_torch_along(folder: Path) -> None:
    load = f"from seal_agent.models.tokens import token_counter; token_counter({str(folder)!r})('a')"
    code = f"import sys; {load}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


@pytest.mark.slow
def test_the_embedded_model_s_tokens_are_those_of_the_loaded_tokenizer() -> None:
    from transformers import AutoTokenizer  # here, because it takes torch along

    from seal_agent.models.weights import resolve

    whole = AutoTokenizer.from_pretrained(resolve("smollm2-135m-instruct"))
    count = token_counter("smollm2-135m-instruct")

    @settings(max_examples=200, deadline=None)
    @given(text=st.text(max_size=200))
    def alike(text: str) -> None:
        for said in (text, f"<|im_start|>user\n{text}<|im_end|>"):
            assert count(said) == len(whole.encode(said, add_special_tokens=False))

    alike()
