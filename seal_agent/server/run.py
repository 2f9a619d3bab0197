"""Binding the application to an address, and ending it in order. Refuses to be reached from elsewhere without keys."""

import ipaddress
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn

from seal_agent.config import ServerSettings
from seal_agent.errors import UsageError
from seal_agent.memory import Memory
from seal_agent.server.app import create_app
from seal_agent.server.slow_heads import PatientProtocol
from seal_agent.types import ScopeId

logger = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 30
GRACE_SECONDS = 30
"""How long answers that are being given may go on once the server was told to stop."""
BACKLOG = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server listens."""

    host: str
    port: int
    has_keys: bool

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/v1"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it. A name other than localhost may resolve to anything, so it does not count."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_open(host: str, *, has_keys: bool) -> None:
    """Raise `UsageError` rather than let everybody on the network read a brain."""
    if not has_keys and not is_loopback(host):
        raise UsageError(
            f"{host!r} can be reached from other machines and there are no API keys: make one with seal-agent keys create,"
            " or bind to 127.0.0.1."
        )


def listen(host: str, port: int) -> socket.socket:
    """Raise `UsageError` for an address that can't be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise UsageError(f"{host}:{port} can't be bound ({error}): another program has it, or it is no address of this machine.") from error


def serve(memory: Memory, settings: ServerSettings, local: ScopeId, announce: Callable[[Address], None]) -> None:
    """Serve an open brain until told to stop (SIGINT, SIGTERM); `local` is the scope of requests where no keys were ever made.

    `announce` is called once it listens. Raise `UsageError` for an address that can't be bound, or must not be.
    """
    has_keys = memory.keys.exist()
    check_open(settings.host, has_keys=has_keys)
    app = create_app(memory, local=None if has_keys else local, settings=settings)
    with listen(settings.host, settings.port) as sock:
        config = uvicorn.Config(
            app,
            access_log=False,  # the boundary logs each request, by route and without its address
            log_config=None,
            server_header=False,
            proxy_headers=False,  # nothing here looks at a client's address, so nobody can be believed about it
            http=PatientProtocol,
            ws="none",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        address = Address(host=settings.host, port=sock.getsockname()[1], has_keys=has_keys)
        memory.announce(address.url)
        announce(address)
        uvicorn.Server(config).run(sockets=[sock])
