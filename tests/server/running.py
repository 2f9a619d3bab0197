"""A real server on a free port of this machine, in a thread: for what an in-process transport can't show, such as a client that leaves."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp

from seal_agent.server.slow_heads import PatientProtocol
from tests.waiting import LONG, wait_until


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def running(app: ASGIApp) -> Iterator[Running]:
    """Serve until the block ends."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as sock:
        config = uvicorn.Config(app, log_config=None, access_log=False, http=PatientProtocol, ws="none", timeout_graceful_shutdown=2)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        wait_until(lambda: server.started)
        try:
            yield Running(port=sock.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(LONG)
