"""The folders of the index: deleting those that no longer serve. Deliberately opens none of them."""

import shutil
from pathlib import Path

from seal_agent.errors import VectorIndexError
from seal_agent.ledger.generations import retire_others
from seal_agent.ledger.ledger import Ledger

INDEX = "index"


def generation_folders(brain: Path) -> list[Path]:
    return sorted((brain / INDEX).glob("gen-*"))


def delete_others(brain: Path, kept: Path | None) -> None:
    """Delete every generation's folder but one; raise `VectorIndexError` for one that can't be."""
    for folder in generation_folders(brain):
        if folder != kept:
            try:
                shutil.rmtree(folder)
            except OSError as error:
                raise VectorIndexError(f"The old index {folder} could not be deleted ({error}); delete it by hand.") from error


def discard_generations(ledger: Ledger) -> None:
    """Take every generation out of use and delete its folder; for a ledger whose index is not open. Raise `VectorIndexError`."""
    with ledger.write() as connection:
        retire_others(connection, kept=None)
    delete_others(ledger.folder, kept=None)
