"""A tokenizer is known by what it holds: another vocabulary or chat template is another one, another way of writing it is not."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from seal_agent.models.tokenizer_files import revision_of, tokenizer_sha256

VOCABULARY = {"model": {"vocab": {"a": 0, "b": 1}}, "version": "1.0"}


def folder(path: Path, template: str = "in the config") -> Path:
    path.mkdir(parents=True)
    (path / "tokenizer.json").write_text(json.dumps(VOCABULARY))
    (path / "tokenizer_config.json").write_text(json.dumps({"chat_template": template, "model_max_length": 8}))
    return path


def other_vocabulary(path: Path) -> None:
    (path / "tokenizer.json").write_text(json.dumps({**VOCABULARY, "version": "1.1"}))


def other_template(path: Path) -> None:
    (path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "another", "model_max_length": 8}))


def template_beside(path: Path) -> None:
    (path / "chat_template.jinja").write_text("another")


def more_tokens(path: Path) -> None:
    (path / "added_tokens.json").write_text('{"<x>": 2}')


@pytest.mark.parametrize("change", [other_vocabulary, other_template, template_beside, more_tokens])
def test_another_vocabulary_or_template_is_another_tokenizer(tmp_path: Path, change: Callable[[Path], None]) -> None:
    one, other = folder(tmp_path / "one"), folder(tmp_path / "other")
    assert tokenizer_sha256(one) == tokenizer_sha256(other) is not None
    change(other)
    assert tokenizer_sha256(one) != tokenizer_sha256(other)


def test_the_same_in_another_order_or_with_another_length_is_the_same(tmp_path: Path) -> None:
    one, other = folder(tmp_path / "one"), folder(tmp_path / "other")
    (other / "tokenizer.json").write_text(json.dumps(dict(reversed(VOCABULARY.items())), indent=4))
    (other / "tokenizer_config.json").write_text('{"model_max_length": 16, "chat_template": "in the config"}')
    assert tokenizer_sha256(one) == tokenizer_sha256(other)


def test_where_there_is_none_there_is_no_hash(tmp_path: Path) -> None:
    assert tokenizer_sha256(tmp_path) is None


def test_what_is_no_json_is_hashed_as_it_is(tmp_path: Path) -> None:
    one = folder(tmp_path / "one")
    (one / "tokenizer.json").write_text("{")
    (one / "tokenizer_config.json").write_text("[]")
    assert tokenizer_sha256(one) is not None


def test_the_revision_is_told_where_the_hub_keeps_it(tmp_path: Path) -> None:
    assert revision_of(tmp_path / "models--a--b" / "snapshots" / "c0ffee") == "c0ffee"
    assert revision_of(tmp_path / "mine") is None
