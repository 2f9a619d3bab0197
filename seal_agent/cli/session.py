"""What all commands share: which brain, whose memory, JSON or not; and how the brain is opened.

`@with_brain` gives a command the common options and one `Session` in their stead.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seal_agent.cli.output import emit
from seal_agent.cli.progress import progress_bar
from seal_agent.errors import UsageError
from seal_agent.types import ProgressCallback, ScopeId

if TYPE_CHECKING:
    from seal_agent.ledger.beside import Rows
    from seal_agent.memory import Memory
    from seal_agent.nights.records import NightRecords
    from seal_agent.scope import Scope


def open_memory(folder: Path, progress: ProgressCallback) -> "Memory":
    """Open the brain for a command. Tests put their own in its place."""
    from seal_agent.memory import Memory

    return Memory.open(folder, progress=progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The common options of one command."""

    brain: Path
    user: str | None
    agent: str
    tenant: str
    json: bool

    @property
    def scope_id(self) -> ScopeId:
        return ScopeId(tenant=self.tenant, agent=self.agent, user=self.user)

    @contextmanager
    def memory(self, *, create: bool = False) -> Iterator["Memory"]:
        """Open the brain with a progress bar on the terminal; both are gone when results are printed. Raise as `check_brain`."""
        if not create:
            self.check_brain()
        _ = self.scope_id  # refused before anything is opened
        with progress_bar() as progress, open_memory(self.brain, progress) as memory:
            yield memory

    def check_brain(self) -> None:
        """Raise `UsageError` when there is no brain: a misspelt folder must not become an empty one."""
        from seal_agent.brain_folder import is_brain

        if not is_brain(self.brain):
            raise UsageError(f"There is no brain in {str(self.brain)!r}: run seal-agent init, or name another with --brain or SEAL_BRAIN.")

    @contextmanager
    def rows(self) -> Iterator["Rows"]:
        """The ledger's rows, also while a server has the brain open; raise as `memory`."""
        from seal_agent.ledger.beside import rows_of_folder

        self.check_brain()
        _ = self.scope_id
        with rows_of_folder(self.brain) as rows:
            yield rows

    @contextmanager
    def nights(self) -> Iterator["NightRecords"]:
        """The records of nights, also while a server has the brain open; raise as `memory`."""
        from seal_agent.nights.records import NightRecords

        with self.rows() as rows:
            yield NightRecords(lambda: rows)

    @contextmanager
    def scope(self, *, create: bool = False) -> Iterator["Scope"]:
        with self.memory(create=create) as memory:
            yield memory.scope(user=self.user, agent=self.agent, tenant=self.tenant)

    def emit(self, value: object, show: Callable[[], None]) -> None:
        """Print a result: `show` for people, or the value as JSON."""
        emit(value, show, as_json=self.json)


COMMON = (
    ("brain", Path, typer.Option("--brain", envvar="SEAL_BRAIN", help="The brain directory."), Path("brain")),
    ("user", str | None, typer.Option("--user", help="Whose memory; left out, what the agent shares with all."), None),
    ("agent", str, typer.Option("--agent", help="Which agent."), "default"),
    ("tenant", str, typer.Option("--tenant", help="Which tenant."), "default"),
    ("json", bool, typer.Option("--json", help="Print one line of JSON."), False),
)

Command = Callable[..., int | None]


def with_brain(command: Command) -> Command:
    """Turn `command(session, ...)` into a command line command with the common options."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

    @functools.wraps(command)
    def run(**given: Any) -> int | None:  # Any: each option has the type that its command declares
        session = Session(**{name: given.pop(name) for name, *_ in COMMON})
        return command(session, **given)

    common = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind, option], default=default)
        for name, kind, option, default in COMMON
    ]
    parameters = [*(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own), *common]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect reads first
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
