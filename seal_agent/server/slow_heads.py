"""Connections that never finish saying what they want (slowloris) are closed; uvicorn itself waits for the head of a request for ever.

Bodies have their own limit, in `boundary.py`; a connection that waits for its next request has uvicorn's keep-alive.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEAD_SECONDS = 10.0

if TYPE_CHECKING:

    class Protocol(asyncio.Protocol):
        """What uvicorn's protocols, with httptools or h11, have in common."""

        cycle: Any  # Any: each protocol has its own kind of cycle
        loop: asyncio.AbstractEventLoop
        transport: asyncio.Transport
else:
    Protocol = AutoHTTPProtocol


class PatientProtocol(Protocol):
    """uvicorn's protocol with a limit to the time between a connection, or its first byte of a request, and the end of the head."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()
        else:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
