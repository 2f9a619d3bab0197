"""The command line: parse, call Memory, print. `main` is the entry point.

Every expected failure is one line on stderr and an exit code: 0 done or nothing to do, 1 the gate said no, 2 wrong usage or cannot run
here, 3 a backend is down, 4 integrity, 130 interrupted, 141 the reader went away. Deliberately decides nothing, and imports nothing heavy
before a command needs it.
"""

import importlib.util
import logging
import os
import sys
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any

import typer
from typer.main import get_command

from seal_agent import __version__
from seal_agent.cli import (
    adapters,
    archive,
    bench,
    conversation,
    facts,
    forget,
    keys,
    mcp_server,
    night,
    nights,
    practice,
    scan,
    serve,
    setting_up,
    tasks,
)
from seal_agent.cli.output import show_error
from seal_agent.errors import SealAgentError

INTERRUPTED = 130
ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",  # else training's idle threads spin beside whatever serves
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # one progress bar is enough, and it is ours
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
}

app = typer.Typer(name="seal-agent", add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def print_version(wanted: bool) -> None:
    if wanted:
        print(f"seal-agent {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """A memory for agents that remembers by day and learns by night."""


setting_up.register(app)
conversation.register(app)
facts.register(app)
forget.register(app)
night.register(app)
archive.register(app)
serve.register(app)
scan.register(app)
mcp_server.register(app)
tasks.register(app)
practice.register(app)
app.add_typer(adapters.group, name="adapters")
app.add_typer(bench.group, name="bench")
app.add_typer(nights.group, name="nights")
app.add_typer(keys.group, name="keys")
if importlib.util.find_spec("seal_agent.cli.demo") is not None:
    importlib.import_module("seal_agent.cli.demo").register(app)


@cache
def commands() -> Any:  # Any: typer's own copy of click is untyped
    """The tree of commands, made once: whoever calls `main` more than once in a process waits for it once."""
    return get_command(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.basicConfig(format="warning: %(message)s", level=logging.ERROR)
    logging.getLogger("seal_agent").setLevel(logging.WARNING)
    as_json = "--json" in given
    try:
        code = commands()(args=given or ["--help"], prog_name="seal-agent", standalone_mode=False)
    except SealAgentError as error:
        show_error(type(error).__name__, str(error), as_json=as_json)
        return error.exit_code
    except typer.TyperException as error:
        show_error("UsageError", f"{error.format_message()} Try seal-agent --help.", as_json=as_json)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:
        show_error("Interrupted", "interrupted; what was acknowledged is on disk.", as_json=as_json)
    return code if isinstance(code, int) else 0
