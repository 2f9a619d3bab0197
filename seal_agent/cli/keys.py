"""`keys`: API keys for `serve`: create, list, revoke, rotate. They work while a server has the brain open, and hold at its next request.

A token is printed once, when it is made; the brain keeps its hash only.
"""

import re
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from seal_agent.cli.session import Session, with_brain
from seal_agent.errors import UsageError

if TYPE_CHECKING:
    from seal_agent.api_keys import ApiKey

group = typer.Typer(help="API keys for `seal-agent serve`: whose memory each opens, and what it may do there.", rich_markup_mode=None)
KeyId = Annotated[str, typer.Argument(help="The key's id, as `keys list` shows it.")]

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
DURATION = re.compile(r"(\d{1,6})([mhdw])")
NEVER = "never"


def to_lifetime(text: str) -> timedelta | None:
    """Read `90d`, `12h`, `30m`, `8w` or `never`; raise `UsageError`."""
    if text == NEVER:
        return None
    found = DURATION.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is no length of time: write 30m, 12h, 90d, 8w or never.")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


@group.command()
@with_brain
def create(
    session: Session,
    role: Annotated[str, typer.Option("--role", help="reader: search; agent: also chat and add; operator: everything.")] = "agent",
    any_user: Annotated[bool, typer.Option("--any-user", help="Requests may name a user of the agent and act for them.")] = False,
    name: Annotated[str, typer.Option("--name", help="What the key is for.")] = "",
    expires: Annotated[str, typer.Option("--expires", help="30m, 12h, 90d, 8w or never.")] = "90d",
) -> None:
    """Make a key for the scope of --tenant, --agent and --user, and print its token, once."""
    from seal_agent.api_keys import keys_of_folder

    session.check_brain()
    lifetime = to_lifetime(expires)
    with keys_of_folder(session.brain) as keys:
        key, token = keys.create(session.scope_id, role=role, any_user=any_user, name=name, lifetime=lifetime)  # type: ignore[arg-type]  # it refuses what is no role
    tell(session, key, token)


@group.command("list")
@with_brain
def list_keys(session: Session) -> None:
    """List all keys of this brain, the expired and revoked ones too."""
    from seal_agent.api_keys import keys_of_folder

    session.check_brain()
    with keys_of_folder(session.brain) as keys:
        found = keys.list()

    def show() -> None:
        for key in found:
            print(f"{key.id}  {state(key, datetime.now(UTC)):24}  {key.role:8}  {whose(key)}  {key.name}".rstrip())
        if not found:
            print("No keys: seal-agent serve answers on this machine only. seal-agent keys create makes one.")

    session.emit(found, show)


@group.command()
@with_brain
def revoke(session: Session, key_id: KeyId) -> None:
    """Make a key invalid at once."""
    from seal_agent.api_keys import keys_of_folder

    session.check_brain()
    with keys_of_folder(session.brain) as keys:
        key = keys.revoke(key_id)
    session.emit(key, lambda: print(f"Revoked {key.id} ({whose(key)})"))


@group.command()
@with_brain
def rotate(
    session: Session,
    key_id: KeyId,
    grace: Annotated[str, typer.Option("--grace", help="How long the old key still works: 30m, 12h, 1d.")] = "0m",
) -> None:
    """Replace a key by a new one of the same scope, role and lifetime, and print its token, once."""
    from seal_agent.api_keys import keys_of_folder

    session.check_brain()
    wait = to_lifetime(grace)
    if wait is None:
        raise UsageError("--grace never would leave the old key valid: write 30m, 12h or 1d, or use keys create.")
    with keys_of_folder(session.brain) as keys:
        key, token = keys.rotate(key_id, grace=wait)
    tell(session, key, token)


def tell(session: Session, key: "ApiKey", token: str) -> None:
    def show() -> None:
        print(token)
        end = "never" if key.expires_at is None else f"{key.expires_at:%Y-%m-%d %H:%M} UTC"
        print(f"key {key.id} for {whose(key)}, {key.role}, expires {end}; the token is not shown again", file=sys.stderr)

    session.emit({"key": key, "token": token}, show)


def whose(key: "ApiKey") -> str:
    return f"{key.scope.key}/*" if key.any_user else key.scope.key


def state(key: "ApiKey", now: datetime) -> str:
    if key.revoked_at is not None and key.revoked_at <= now:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= now:
        return "expired"
    ends = [end for end in (key.expires_at, key.revoked_at) if end is not None]
    return f"valid until {min(ends):%Y-%m-%d}" if ends else "valid"
