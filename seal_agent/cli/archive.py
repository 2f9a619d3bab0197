"""`export`, `backup`, `import` and `restore`: a brain in one file, and back; `reindex`: its vectors made anew."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seal_agent.cli.session import Session, with_brain
from seal_agent.errors import UsageError

if TYPE_CHECKING:
    from seal_agent.archive.saving import ArchiveReport

Target = Annotated[Path, typer.Argument(help="The archive to write; it must not exist.")]
Source = Annotated[Path, typer.Argument(help="An archive written by export or backup.")]

Other = Annotated[str | None, typer.Option("--embedder", help="A model's hub id or folder; left out, the stored vectors are used.")]


def register(app: typer.Typer) -> None:
    app.command()(export)
    app.command()(backup)
    app.command("import")(import_)
    app.command()(restore)
    app.command()(reindex)


@with_brain
def export(session: Session, file: Target) -> None:
    """Write all that is remembered to one archive, as rows with hashes. It holds personal data; whoever has it can read it."""
    with session.memory() as memory:
        report = memory.export(file)
    session.emit(report, lambda: show_saved(report))


@with_brain
def backup(session: Session, file: Target) -> None:
    """Write a copy of the brain to one archive: the database as it is, and the adapters."""
    with session.memory() as memory:
        report = memory.backup(file)
    session.emit(report, lambda: show_saved(report))


def show_saved(report: "ArchiveReport") -> None:
    print(f"{report.path}: {said(report.counts)}, {report.bytes / 1e6:.1f} MB")
    if report.left_out:
        print(f"left out: the files of {len(report.left_out)} adapters, which are gone or damaged")


@with_brain
def import_(session: Session, file: Source) -> None:
    """Add what an archive holds to the brain. It is verified first; what was forgotten here stays forgotten."""
    if not file.is_file():  # before a brain is made for it
        raise UsageError(f"There is no archive {str(file)!r}: name a file that export or backup has written.")
    with session.memory(create=True) as memory:
        report = memory.import_archive(file)

    def show() -> None:
        print(f"added {said(report.added)}")
        for what, counts in (("there already", report.known), ("left out", report.left_out)):
            if any(counts.values()):
                print(f"{what}: {said(counts)}")

    session.emit(report, show)


@with_brain
def restore(session: Session, file: Source) -> None:
    """Make the brain directory of an archive. The directory must be absent or empty."""
    from seal_agent.memory import Memory

    Memory.restore(file, session.brain)
    done = {"brain": session.brain, "archive": file}
    session.emit(done, lambda: print(f"The brain in {session.brain} is as it was in {file}"))


@with_brain
def reindex(session: Session, embedder: Other = None) -> None:
    """Make the vector index anew, or embed everything with another embedder. What there was serves until the new one is complete."""
    with session.memory() as memory:
        report = memory.reindex(embedder)
    index = f"generation {report.generation} of {report.scopes} scopes" if report.scopes else "no scope is large enough for the index"
    session.emit(report, lambda: print(f"vectors by {report.embedder}: {report.embedded} texts embedded; {index}"))


def said(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count) or "nothing"
