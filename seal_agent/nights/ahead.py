"""What comes next: the window, whose nights are due in it, what holds them up. Also beside a running server; changes nothing.

What only the process that has the brain open knows, when somebody last asked, is told by its caller or left out.
"""

from dataclasses import dataclass
from datetime import datetime

from seal_agent.config import NightSettings
from seal_agent.ledger import episodes
from seal_agent.ledger import nights as rows
from seal_agent.ledger.beside import Rows
from seal_agent.ledger.nights import EVERYBODY
from seal_agent.nights.agenda import agenda
from seal_agent.nights.calendar import Night, Window, upcoming
from seal_agent.nights.guards import busy
from seal_agent.types import ScopeId


@dataclass(frozen=True, slots=True, kw_only=True)
class NextNight:
    """What comes next: the window that is open or opens next, whose nights are due in it, and what holds them up now."""

    night: Night
    is_open: bool
    due: tuple[ScopeId, ...]
    """Whose night could begin now."""
    paused: dict[str, str]
    """Notes by the key of the scope; the empty key stands for all scopes."""
    waits_for: str | None
    """Why nothing begins at this moment: a pause, a request just now, a busy machine; None when nothing stands in the way."""


def look_ahead(ledger: Rows, settings: NightSettings, now: datetime, last_request: datetime | None = None) -> NextNight:
    """Say when the next night is, whose, and what holds it up."""
    with ledger.read() as conn:
        found = agenda(conn, episodes.scopes(conn), settings, now)
        paused = rows.paused(conn)
    is_open = now < found.night.closes
    night = found.night if is_open else upcoming(Window.of(settings), now)
    waits = "nights are paused" if EVERYBODY in paused else busy(settings, last_request, now)
    return NextNight(night=night, is_open=is_open, due=found.due, paused=paused, waits_for=waits)
