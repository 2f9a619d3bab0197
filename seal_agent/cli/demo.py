"""`demo`: the product in a few minutes. Conversations in, questions without context, one night, the same questions, back and forth again.

Every figure is measured in this run. Gold questions come from a file of their own that only this command's evaluation reads.
"""

import json
import shutil
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seal_agent.cli.output import emit
from seal_agent.cli.progress import progress_bar
from seal_agent.cli.session import open_memory
from seal_agent.errors import UsageError

if TYPE_CHECKING:
    from seal_agent.cli.demo_run import DemoResult

DEFAULT_CUSTOMER = {"support_week": "bruno", "second_week": "hamish"}
"""One, as a few minutes on two cores have time for one: each gets an adapter of their own. Bruno, as the base guesses none of his facts."""
WEEKS = {"support_week": "the example week", "second_week": "a second week, of another shop, that nothing was tuned on"}


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    customers: Annotated[
        str, typer.Option("--customers", help="Customers of the week, by comma; or all. Default: bruno, of the second week hamish.")
    ] = "",
    week: Annotated[str, typer.Option("--week", help="support_week, or second_week, which nothing was tuned on.")] = "support_week",
    brain: Annotated[Path | None, typer.Option("--brain", help="Keep the brain here; else a temporary one is used and removed.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> int:
    """Watch an agent learn: a week of support talk in, one night, and the model knows it with nothing in its prompt."""
    from seal_agent.cli.demo_run import run_demo
    from seal_agent.cli.demo_show import Narrator

    chosen = read_week(week, customers)
    folder = brain or Path(tempfile.mkdtemp(prefix="seal-agent-demo-"))
    narrator = Narrator(quiet=as_json)
    try:
        with progress_bar() as progress, open_memory(folder, progress) as memory:
            result = run_demo(memory, chosen, narrator, progress)
    finally:
        if brain is None:
            shutil.rmtree(folder, ignore_errors=True)
    emit(result, lambda: narrator.summary(result), as_json=as_json)
    return exit_code(result)


def exit_code(result: "DemoResult") -> int:
    """1 when the gate let nothing through, as for `consolidate`."""
    return 0 if result.promoted else 1


def read_week(week: str, customers: str) -> dict[str, tuple[list[dict[str, object]], list[dict[str, object]]]]:
    """Read a week of examples; return {customer: (sessions, gold questions)} in the order asked for, or the default one."""
    if week not in WEEKS:
        raise UsageError(f"--week {week!r}: there are {' and '.join(WEEKS)}.")
    data = files("seal_agent.example_data")
    sessions = rows(data.joinpath(f"{week}.jsonl").read_text(encoding="utf-8"))
    gold = rows(data.joinpath(f"{week}_gold.jsonl").read_text(encoding="utf-8"))
    known = list(dict.fromkeys(str(row["user"]) for row in sessions))
    named = [name.strip() for name in customers.split(",") if name.strip()]
    wanted = known if customers == "all" else named or [DEFAULT_CUSTOMER[week]]
    if not set(wanted) <= set(known):
        raise UsageError(f"--customers {customers!r}: the week has {', '.join(known)}; name some of them, or all.")
    return {name: ([row for row in sessions if row["user"] == name], [row for row in gold if row["user"] == name]) for name in wanted}


def rows(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines() if line.strip()]
