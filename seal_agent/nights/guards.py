"""Whether this is a good moment for a night: nobody asks anything, and the machine is not busy. Looks, and decides nothing else."""

import os
from datetime import datetime, timedelta

import psutil

from seal_agent.config import NightSettings


def busy(settings: NightSettings, last_request: datetime | None, now: datetime, load: float | None = None) -> str | None:
    """Say why a night had better wait, or None; `load` is the load per core, measured where it is not given."""
    if last_request is not None and settings.idle_minutes:
        quiet = now - last_request
        if timedelta() <= quiet < timedelta(minutes=settings.idle_minutes):
            return f"somebody asked {quiet.total_seconds() / 60:.0f} minutes ago (nights.idle_minutes = {settings.idle_minutes:g})"
    if settings.max_load:
        measured = load_per_core() if load is None else load
        if measured > settings.max_load:
            return f"the machine is busy: load {measured:.2f} per core (nights.max_load = {settings.max_load:g})"
    return None


def load_per_core() -> float:
    """The load average of the last minute, per core."""
    return float(psutil.getloadavg()[0]) / (os.cpu_count() or 1)
