"""`init` and `doctor`: make a brain, and say what is wrong with one."""

from dataclasses import replace
from typing import Annotated

import typer

from seal_agent.cli.output import on_one_line
from seal_agent.cli.session import Session, with_brain
from seal_agent.errors import SealAgentError, StoreError

MARKS = {"ok": "ok     ", "warning": "warning", "problem": "PROBLEM"}


def register(app: typer.Typer) -> None:
    app.command()(init)
    app.command()(doctor)


@with_brain
def init(session: Session) -> None:
    """Make a brain directory with a seal.toml that explains every setting. What is there already stays."""
    from seal_agent.brain_folder import SETTINGS_FILE, is_brain
    from seal_agent.cli.settings_file import settings_file

    existed = is_brain(session.brain)
    with session.memory(create=True) as memory:
        folder = memory.folder
    file = folder / SETTINGS_FILE
    wrote = not file.exists()
    if wrote:
        try:
            file.write_text(settings_file(), encoding="utf-8")
        except OSError as error:
            raise StoreError(f"{file} can't be written ({error}); make the folder writable or free some space.") from error
    done = {"brain": folder, "created": not existed, "settings": file, "wrote_settings": wrote}
    said = "is there already" if existed else "is ready"
    session.emit(done, lambda: print(f"The brain in {folder} {said}. Its settings: {file}"))


Repair = Annotated[bool, typer.Option("--repair", help="First make anew what can be: both indexes, missing vectors; remove leftovers.")]


@with_brain
def doctor(session: Session, repair: Repair = False) -> int:
    """Check the machine, the brain and what it stands on. Without --repair it downloads and changes nothing."""
    from seal_agent.brain_folder import is_brain
    from seal_agent.doctor import examine_machine, problem, warning

    if is_brain(session.brain):
        try:
            with session.memory() as memory:
                repaired = [replace(finding, name=f"repair: {finding.name}") for finding in memory.repair()] if repair else []
                findings = [*repaired, *memory.doctor()]
        except SealAgentError as error:
            opening = problem("brain", str(error), "see above", error.exit_code)
            findings = [*examine_machine(session.brain), opening]
    else:
        absent = warning("brain", f"none in {session.brain} yet", "seal-agent init")
        findings = [*examine_machine(session.brain), absent]

    def show() -> None:
        for finding in findings:
            print(f"{MARKS[finding.level]}  {finding.name}: {on_one_line(finding.text)}")
            if finding.way_out:
                print(f"{'':9}way out: {on_one_line(finding.way_out)}")

    session.emit(findings, show)
    return max(finding.exit_code for finding in findings)
