"""`mcp`: one scope's memory for clients of the Model Context Protocol, over standard input and output."""

import typer

from seal_agent.cli.session import Session, with_brain


def register(app: typer.Typer) -> None:
    app.command("mcp")(serve_mcp)


@with_brain
def serve_mcp(session: Session) -> None:
    """Serve one scope's memory to an MCP client, which starts this command itself and ends it by hanging up.

    In a client's settings: command `seal-agent`, arguments `mcp --brain /path/to/brain --user ana`.
    """
    from seal_agent.integrations.mcp import build_server  # a second of pydantic models, for this command alone

    with session.scope(create=True) as scope:
        build_server(scope).run()
