"""A real server on a free port of this machine, in a thread: for what an in-process transport can't show, such as a client that leaves."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp

from seal_agent.server.slow_heads import PatientProtocol

START_SECONDS = 20.0


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
        wait_for(lambda: server.started)
        try:
            yield Running(port=sock.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(START_SECONDS)


def wait_for(condition: object, seconds: float = START_SECONDS) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
