"""Weights from the Hugging Face hub and its local cache: safetensors, JSON and tokenizer files only, never code, never pickles.

Fails in seconds when the hub can't be reached. Does not know of wheels or of our own cache.
"""

import importlib
import json
from pathlib import Path

from huggingface_hub import HfApi, get_session, snapshot_download, try_to_load_from_cache
from huggingface_hub import constants as hub_constants
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from seal_agent.errors import ModelNotFoundError
from seal_agent.models.prepared import named_disk_errors

PROBE_SECONDS = 5.0
WANTED = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")
UNWANTED = ("onnx/*", "openvino/*", "original/*", "consolidated*.safetensors")
"""The same weights again, in other formats."""
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
INDEX = "model.safetensors.index.json"


def from_hub_cache(repo: str) -> Path:
    """Return the cached snapshot of the default revision; raise `ModelNotFoundError` when it is absent or incomplete."""
    try:
        config = try_to_load_from_cache(repo, "config.json")
    except HFValidationError as error:
        raise ModelNotFoundError(f"not a hub id ({first_line(error)})") from error
    if not isinstance(config, str):
        raise ModelNotFoundError("not there")
    return checked(Path(config).parent)


def from_hub(repo: str) -> Path:
    """Download the default revision and return its snapshot; raise `ModelNotFoundError` saying why it can't be had."""
    if hub_constants.is_offline_mode():
        raise ModelNotFoundError("not asked, because HF_HUB_OFFLINE is set")
    try:
        # snapshot_download puts no time limit on its first request: ask something small with one
        HfApi().model_info(repo, timeout=PROBE_SECONDS)
        with named_disk_errors(Path(hub_constants.HF_HUB_CACHE), "HF_HOME"):
            folder = snapshot_download(repo, allow_patterns=list(WANTED), ignore_patterns=list(UNWANTED), etag_timeout=PROBE_SECONDS)
    except HFValidationError as error:
        raise ModelNotFoundError(f"not a hub id ({first_line(error)})") from error
    except (HfHubHTTPError, ConnectionError, FileNotFoundError, TimeoutError, transport_error()) as error:
        raise ModelNotFoundError(f"{type(error).__name__}: {first_line(error)}") from error
    return checked(Path(folder))


def transport_error() -> type[Exception]:
    """The root error of the HTTP client that huggingface_hub is built on: httpx in its version 1, httpx2 in version 2."""
    client = importlib.import_module(type(get_session()).__module__.partition(".")[0])
    root: type[Exception] = client.HTTPError
    return root


def checked(folder: Path) -> Path:
    """Return the folder if transformers can load it without running code; raise `ModelNotFoundError` saying what is missing."""
    if flaw := flaw_of(folder):
        raise ModelNotFoundError(flaw)
    return folder


def flaw_of(folder: Path) -> str:
    """What keeps a folder from being loaded; empty when nothing does."""
    if not (folder / "config.json").is_file():
        return "no config.json"
    if not any(folder.glob("*.safetensors")):
        if pickled := sorted(file.name for pattern in PICKLES for file in folder.glob(pattern)):
            return (
                f"only pickled weights ({', '.join(pickled)}), which can run code when they are loaded;"
                " convert them with `save_pretrained(..., safe_serialization=True)` where you trust them"
            )
        return "no .safetensors file"
    if missing := missing_shards(folder):
        return f"incomplete, {', '.join(missing)} missing"
    if not any((folder / name).is_file() for name in TOKENIZERS):
        return f"no tokenizer (one of {', '.join(TOKENIZERS)})"
    return ""


def missing_shards(folder: Path) -> list[str]:
    if not (folder / INDEX).is_file():
        return []
    try:
        named = set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, AttributeError):
        return [f"a readable {INDEX}"]
    return sorted(name for name in named if not (folder / name).is_file())


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]
