"""Copy a verified adapter out of the brain: a plain PEFT folder that any host of LoRA adapters loads.

The copy is verified again where it lies. Deliberately copies, never moves: the brain's own artefact stays what it was.
"""

import shutil
from pathlib import Path

from seal_agent.adapters.artefact import FULL
from seal_agent.adapters.folder import FOLDER_MODE
from seal_agent.adapters.manifest import Manifest
from seal_agent.adapters.verify import verify
from seal_agent.errors import StoreError, StoreFullError, UsageError


def export(source: Path, folder: Path, base_sha256: str) -> Path:
    """Write `folder/<name>` and return it; raise `UsageError` when it exists, `IntegrityError` for a damaged adapter, or `StoreError`."""
    manifest: Manifest = verify(source, base_sha256)
    target = folder / manifest.name
    if target.exists() or target.is_symlink():
        raise UsageError(f"{str(target)!r} exists already; choose another folder.")
    draft = folder / f".{manifest.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(draft, ignore_errors=True)
        (draft / manifest.name).mkdir(mode=FOLDER_MODE, parents=True)
        for file in sorted(source.iterdir()):  # one by one: the first that fails says why, a whole tree's copy does not
            shutil.copy2(file, draft / manifest.name)
        verify(draft / manifest.name, base_sha256)
        (draft / manifest.name).rename(target)
    except OSError as error:
        if error.errno in FULL:
            raise StoreFullError(f"No space left for adapter {manifest.name!r} in {str(folder)!r}; nothing was left behind.") from error
        raise StoreError(f"Adapter {manifest.name!r} can't be written to {str(folder)!r}: {error}.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target
