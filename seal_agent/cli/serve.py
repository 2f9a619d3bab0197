"""`serve`: the brain over HTTP, until it is told to stop."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from seal_agent.cli.session import Session, with_brain
from seal_agent.errors import UsageError

if TYPE_CHECKING:
    from seal_agent.server.run import Address

LOG_FORMATS = ("text", "json")
LOG_LEVELS = ("debug", "info", "warning", "error")


def register(app: typer.Typer) -> None:
    app.command()(serve)


@with_brain
def serve(
    session: Session,
    host: Annotated[str | None, typer.Option("--host", help="Address to bind; server.host if left out.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Port to bind; 0 takes a free one.")] = None,
    log_format: Annotated[str, typer.Option("--log-format", help="text or json.")] = "text",
    log_level: Annotated[str, typer.Option("--log-level", help="debug, info, warning or error.")] = "info",
) -> None:
    """Serve chat as OpenAI's clients speak it, and the memory's REST interface.

    Without API keys only this machine is answered, as the scope of --tenant, --agent and --user; a request may name its user then.
    """
    for label, value, known in (("--log-format", log_format, LOG_FORMATS), ("--log-level", log_level, LOG_LEVELS)):
        if value not in known:
            raise UsageError(f"{label} {value!r}: say one of {', '.join(known)}.")
    from seal_agent.server import logs, run  # seconds of FastAPI, for this command alone

    logs.configure("json" if log_format == "json" else "text", log_level)
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    with session.memory(create=True) as memory:
        settings = memory.settings.server.model_copy(update=given)
        run.serve(memory, settings, session.scope_id, lambda address: announce(session, address))


def announce(session: Session, address: "Address") -> None:
    def show() -> None:
        print(f"Serving {session.brain} on {address.url}")
        guard = "keys are needed" if address.has_keys else f"no keys: this machine only, as {session.scope_id.key}"
        print(f"OpenAI clients: base_url={address.url}, model=seal-agent; {guard}. Ctrl-C ends it.", file=sys.stderr)

    session.emit({"url": address.url, "keys": address.has_keys}, show)
