"""The gate in front of PEFT: an adapter folder is exactly what was published, for this base, or it is not loaded.

PEFT loads half of the damaged adapters that it is given, and hangs on one. Everything here runs before PEFT opens a file; it runs no code
of the artefact's and needs no torch. It checks the bytes, not their worth: that is the evaluation's business.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seal_agent.adapters.folder import check_entries, opened, read, record_of
from seal_agent.adapters.manifest import CARD, CONFIG, MANIFEST, MAX_BYTES, WEIGHTS, Manifest, check_identity, decode
from seal_agent.adapters.peft_config import LoraShape, check_base, check_config
from seal_agent.adapters.tensors import check_weights
from seal_agent.errors import IntegrityError

ALLOWED = frozenset(MAX_BYTES)
GONE = f"{MANIFEST} is missing: its files were deleted, by seal-agent adapters gc or by hand"
WAY_OUT = (
    "Roll back to an adapter that is whole, promote one, or answer with the base (seal-agent adapters base); the next night trains anew."
)


def verify(path: Path, base_sha256: str) -> Manifest:
    """Return the manifest of the adapter at `path`; raise `IntegrityError` naming the file, what is wrong with it and the way out."""
    try:
        return verify_as(path.name, path, base_sha256)
    except OSError as error:
        raise IntegrityError(f"Adapter {path.name!r} in {str(path.parent)!r} can't be read: {error}. {WAY_OUT}") from error


def verify_as(name: str, folder: Path, base_sha256: str) -> Manifest:
    """Check a folder that is to bear this name; an `OSError` is the caller's."""
    with refusing(name, folder):
        return _check(name, folder, base_sha256)


@contextmanager
def refusing(name: str, folder: Path) -> Iterator[None]:
    """Say whose file it is that is wrong, and the way out."""
    try:
        yield
    except IntegrityError as error:
        raise IntegrityError(f"Adapter {name!r} in {str(folder.parent)!r} is refused: {error}. {WAY_OUT}") from error


def _check(name: str, folder: Path, base_sha256: str) -> Manifest:
    if not folder.exists():
        raise IntegrityError(GONE)
    manifest = decode(read(folder / MANIFEST))
    foreign = set(manifest.files) - (ALLOWED - {MANIFEST})
    if foreign:
        raise IntegrityError(f"{MANIFEST} lists {min(foreign)!r}, which does not belong in an adapter folder")
    check_entries(folder, {MANIFEST, *manifest.files})
    check_identity(manifest, name, base_sha256)
    if CARD in manifest.files:
        _read_as_recorded(folder, CARD, manifest)
    config = _read_as_recorded(folder, CONFIG, manifest)
    lora = check_config(config)
    check_base(config, manifest.base_id)
    with opened(folder / WEIGHTS) as (stream, size):
        # One open file for hash and values: what is checked is what was hashed.
        if manifest.files[WEIGHTS].bytes != size or record_of(stream, size) != manifest.files[WEIGHTS]:
            raise IntegrityError(f"{WEIGHTS} is not what was published: its size or SHA-256 differs from {MANIFEST}")
        check_weights(stream, size, lora)
    _check_agreement(manifest, lora)
    return manifest


def _read_as_recorded(folder: Path, name: str, manifest: Manifest) -> bytes:
    with opened(folder / name) as (stream, size):
        if record_of(stream, size) != manifest.files[name]:
            raise IntegrityError(f"{name} is not what was published: its size or SHA-256 differs from {MANIFEST}")
        return stream.read(size)


def _check_agreement(manifest: Manifest, lora: LoraShape) -> None:
    if (manifest.rank, manifest.alpha, frozenset(manifest.target_modules)) != (lora.rank, lora.alpha, lora.target_modules):
        raise IntegrityError(f"{CONFIG} and {MANIFEST} differ in rank, alpha or target_modules")
