"""The life of an adapter on disk: staged, published whole or not at all, verified before each load, removed.

An adapter's name is used once and its files never change. A folder under a plain name is always a whole adapter; everything unfinished
is a stage, whose name begins with a dot. Deliberately unaware of the ledger and of which adapter is live.
`verify`, `Manifest` and `adapter_name` have homes of their own and are offered here too.
"""

import errno
import os
import shutil
import uuid
from dataclasses import replace
from pathlib import Path

from seal_agent.adapters.card import model_card
from seal_agent.adapters.folder import FOLDER_MODE, chunks, opened, read, record_of, sync, write
from seal_agent.adapters.manifest import (
    CARD,
    CONFIG,
    MANIFEST,
    NAME,
    WEIGHTS,
    EvaluationFigures,
    FileRecord,
    Manifest,
    TrainingFigures,
    adapter_name,
    encode,
)
from seal_agent.adapters.peft_config import check_config, to_publish
from seal_agent.adapters.verify import refusing, verify, verify_as
from seal_agent.errors import IntegrityError, StoreError, StoreFullError, UsageError

__all__ = [
    "EvaluationFigures",
    "FileRecord",
    "Manifest",
    "TrainingFigures",
    "adapter_name",
    "new_stage",
    "publish",
    "remove",
    "sweep",
    "verify",
    "weights_sha256",
]

STAGE = ".stage-"
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
TAKEN = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR})


def new_stage(root: Path) -> Path:
    """Name a folder under `root` for a trainer to write to, which does not exist yet; `sweep` removes it should the process die."""
    root.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    return root / f"{STAGE}{uuid.uuid4().hex}"


def weights_sha256(folder: Path) -> str:
    """Return the hash of a folder's weights, which is part of the adapter's name."""
    with opened(folder / WEIGHTS) as (stream, size):
        return record_of(stream, size).sha256


def publish(staged: Path, root: Path, manifest: Manifest) -> Path:
    """Turn what a trainer wrote into the adapter `root/<manifest.name>` and return its path; `staged` is gone afterwards in any case.

    Only the weights and their config are taken over, and the manifest is completed from them. What `verify` would refuse is not
    published. Raise `IntegrityError` for that and for a name that is taken, `StoreFullError` when the disk is full, `StoreError` when
    it can't be written; then nothing is left behind.
    """
    if os.path.lexists(staged / MANIFEST):
        raise UsageError(f"{str(staged)!r} holds a {MANIFEST}: it is published already. Pass a folder that a trainer wrote.")
    target, stage = root / manifest.name, None
    try:
        stage = new_stage(root)
        with refusing(manifest.name, staged):
            _fill(stage, staged, manifest)
        verify_as(manifest.name, stage, manifest.base_sha256)
        _place(stage, target)
    except OSError as error:
        raise _named(error, target) from error
    finally:
        for folder in (staged, stage):
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
    return target


def _fill(stage: Path, staged: Path, manifest: Manifest) -> None:
    # Copied, not moved: the hash is then of the bytes that went to the disk, and `staged` may lie on another one.
    stage.mkdir(mode=FOLDER_MODE)
    files = {WEIGHTS: write(stage / WEIGHTS, chunks(staged / WEIGHTS))}
    config = to_publish(read(staged / CONFIG), manifest.base_id)
    files[CONFIG] = write(stage / CONFIG, [config])
    lora = check_config(config)
    filled = replace(manifest, rank=lora.rank, alpha=lora.alpha, target_modules=tuple(sorted(lora.target_modules)))
    files[CARD] = write(stage / CARD, [model_card(filled).encode()])
    write(stage / MANIFEST, [encode(replace(filled, files=files))])
    sync(stage)


def _place(stage: Path, target: Path) -> None:
    try:
        if os.path.lexists(target):  # a rename would silently replace an empty folder
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        stage.rename(target)
    except OSError as error:
        if error.errno not in TAKEN:
            raise
        raise IntegrityError(
            f"Adapter {target.name!r} exists already in {str(target.parent)!r}; a name is used once. Take the next version."
        ) from error
    try:
        sync(target.parent)
    except OSError:
        target.rename(stage)  # not known to be on the disk, so not published
        raise


def _named(error: OSError, target: Path) -> StoreError:
    if error.errno in FULL:
        return StoreFullError(
            f"No space left for adapter {target.name!r} in {str(target.parent)!r}; nothing was left behind. Free some, then consolidate."
        )
    return StoreError(f"Adapter {target.name!r} can't be written to {str(target.parent)!r}: {error}. Make the folder writable.")


def sweep(root: Path) -> list[str]:
    """Remove the stages that killed processes left and return their names. Only for the process that owns `root`, before it stages."""
    stages = sorted(path for path in root.glob(f"{STAGE}*") if not path.is_symlink())
    for stage in stages:
        shutil.rmtree(stage, ignore_errors=True)
    return [stage.name for stage in stages]


def remove(path: Path) -> None:
    """Delete an adapter, damaged or not; what is gone already stays so. Raise `UsageError` for a folder that is no adapter's.

    Nobody ever sees half of it: it becomes a stage first, which `sweep` finishes should the process die.
    """
    if not NAME.fullmatch(path.name) or path.is_symlink() or (path.exists() and not path.is_dir()):
        raise UsageError(f"{str(path)!r} is not an adapter's folder, so it is not deleted.")
    if not path.exists():
        return
    stage = new_stage(path.parent)
    try:
        path.rename(stage)
        sync(path.parent)
        shutil.rmtree(stage)
    except OSError as error:
        raise StoreError(f"Adapter {path.name!r} can't be deleted from {str(path.parent)!r}: {error}. Make the folder writable.") from error
