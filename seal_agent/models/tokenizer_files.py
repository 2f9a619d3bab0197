"""What a base model is besides its weights: its tokenizer with the chat template, and the hub's revision. Loads neither."""

import hashlib
import json
from pathlib import Path

VOCABULARY = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt", "merges.txt", "added_tokens.json")
TEMPLATE = "chat_template.jinja"
CONFIG = "tokenizer_config.json"
SNAPSHOTS = "snapshots"
"""The hub's cache keeps each revision in a folder of that name."""


def tokenizer_sha256(folder: Path) -> str | None:
    """Hash the vocabulary and the chat template: with others an adapter would be asked in words that it never learnt.

    None for a folder without a tokenizer. Of JSON it is the content that counts, not how it was written.
    """
    parts = {name: content(folder / name) for name in (*VOCABULARY, TEMPLATE) if (folder / name).is_file()}
    if not parts:
        return None
    if TEMPLATE not in parts:
        parts[TEMPLATE] = template_in(folder / CONFIG)
    return hashlib.sha256("".join(f"{name} {hashlib.sha256(part).hexdigest()}\n" for name, part in parts.items()).encode()).hexdigest()


def content(file: Path) -> bytes:
    written = file.read_bytes()
    if file.suffix != ".json":
        return written
    try:
        return canonical(json.loads(written))
    except ValueError:
        return written  # not ours to judge: the tokenizer's own loader will


def template_in(config: Path) -> bytes:
    try:
        found = json.loads(config.read_bytes()).get("chat_template")
    except (OSError, ValueError, AttributeError):
        found = None
    return found.encode() if isinstance(found, str) else canonical(found)


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False).encode()


def revision_of(folder: Path) -> str | None:
    """The hub's commit, where the folder lies in the hub's cache."""
    return folder.name if folder.parent.name == SNAPSHOTS else None
