"""Whether anybody ever sees what is another's: random work in eight scopes whose ids are easily confused.

    python -m benchmarks.isolation [--steps N] [--seed N] [--json]

One brain on the public fakes (hashing embedder, scripted model, instant trainer), 10,000 steps by default. Each step adds, adds several,
remembers, searches, asks for a context, lists facts or adapters, runs a night (one step in 400), opens the brain anew (one in 500), or
tries an id that must be refused (`a/`, `../a`, a full-width `ａ`, one with a NUL ...). Every recorded text carries a word of its scope;
a row is foreign when it carries the word of a scope that the reader neither is nor inherits from.

`--json` prints one object on the last line:
  steps, scopes   what was done
  rows_seen       hits, lines of context, facts and adapters that were looked at
  foreign_rows    those that were another's
  refused_ids     ids that can't be a scope, all refused
  trials, seeds   1 and its seed
"""

import argparse
import json
import random
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from seal_agent.errors import InvalidScopeError
from seal_agent.memory import Memory
from seal_agent.scope import Scope
from seal_agent.testing import HashEmbedder, InstantTrainer, ScriptedModel
from seal_agent.types import ScopeId

SCOPES = (
    ScopeId(tenant="a", agent="a", user="a"),
    ScopeId(tenant="a", agent="a", user="A"),
    ScopeId(tenant="a", agent="a", user="a.a"),
    ScopeId(tenant="a", agent="a", user="aa"),
    ScopeId(tenant="a", agent="a"),
    ScopeId(tenant="A", agent="a", user="a"),
    ScopeId(tenant="a", agent="aa", user="a"),
    ScopeId(tenant="a", agent=None),
)
FORGED = ("a/", "/a", "../a", "a\\b", "ａ", "..", ".", "", " ", "a ", "a\x00b", "a\nb", "\u200b", "a" * 129, "a/a/a")
SUBJECTS = ("the garden gate", "a blue bicycle", "the coffee machine", "two office chairs", "a parcel to Porto", "the night train")
MARK = re.compile(r"\bowned(\d)by\b")
"""A word that only texts of one scope hold."""


def open_brain(folder: Path) -> Memory:
    return Memory.open(folder, model=ScriptedModel({}), trainer=InstantTrainer(), embedder=HashEmbedder(64))


class World:
    """One brain, its eight scopes, and what was seen."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.memory = open_brain(folder)
        self.rows_seen = 0
        self.refused = 0
        self.foreign: list[str] = []
        self._said = 0

    def scope(self, number: int) -> Scope:
        one = SCOPES[number]
        return self.memory.scope(user=one.user, agent=one.agent, tenant=one.tenant)

    def visible(self, number: int) -> set[int]:
        """The scopes whose texts this one may see: itself and those it inherits from."""
        return {place for place, one in enumerate(SCOPES) if one == SCOPES[number] or one in SCOPES[number].ancestors}

    def text(self, number: int, subject: str) -> str:
        self._said += 1
        return f"I told you owned{number}by {self._said}: {subject} is mine."

    def look(self, reader: int, texts: list[str], own_only: bool = False) -> None:
        allowed = {reader} if own_only else self.visible(reader)
        for text in texts:
            self.rows_seen += 1
            owners = {int(found) for found in MARK.findall(text)}
            if owners - allowed:
                self.foreign.append(f"{SCOPES[reader].key} saw {text!r}")

    def add(self, number: int, subject: str) -> None:
        self.scope(number).add(self.text(number, subject))

    def add_several(self, number: int, subject: str) -> None:
        self.scope(number).add_many([self.text(number, subject), self.text(number, subject)])

    def remember(self, number: int, subject: str) -> None:
        self.scope(number).remember(self.text(number, subject))

    def search(self, number: int, subject: str) -> None:
        hits = self.scope(number).search(f"owned {subject} mine told", k=8)
        self.look(number, [hit.text for hit in hits])
        seen = {SCOPES[place] for place in self.visible(number)}
        self.foreign += [f"{SCOPES[number].key} saw a row of {hit.scope.key}" for hit in hits if hit.scope not in seen]

    def context(self, number: int, subject: str) -> None:
        self.look(number, self.scope(number).context(f"{subject} told").text.splitlines())

    def facts(self, number: int, _: str) -> None:
        self.look(number, [fact.text for fact in self.scope(number).facts()], own_only=True)

    def adapters(self, number: int, _: str) -> None:
        found = self.scope(number).adapters.list()
        self.rows_seen += len(found)
        self.foreign += [f"{SCOPES[number].key} saw {one.name}" for one in found if one.scope != SCOPES[number]]

    def night(self, number: int, _: str) -> None:
        self.scope(number).consolidate()
        for path in (self.memory.folder / "adapters").glob("*/adapter_model.safetensors"):
            owner = next((one for one in self.scope(number).adapters.list() if one.name == path.parent.name), None)
            if owner is not None:
                self.look(number, [path.read_bytes().decode("utf-8", "replace")])

    def open_again(self, _: int, __: str) -> None:
        self.memory.close()
        self.memory = open_brain(self._folder)

    def forge(self, number: int, _: str) -> None:
        forged = FORGED[number % len(FORGED)]
        for arguments in ({"user": forged}, {"user": "a", "agent": forged}, {"user": "a", "tenant": forged}):
            try:
                self.memory.scope(**arguments)
            except InvalidScopeError:
                self.refused += 1
            else:
                self.foreign.append(f"{arguments!r} was taken for a scope")


DAILY: tuple[Callable[[World, int, str], None], ...] = (
    World.add,
    World.add_several,
    World.remember,
    World.search,
    World.search,
    World.context,
    World.facts,
    World.adapters,
)
NIGHT_EVERY, OPEN_EVERY, FORGE_EVERY = 400, 500, 20


def run(folder: Path, steps: int, seed: int) -> World:
    order = random.Random(seed)
    world = World(folder)
    try:
        for step in range(1, steps + 1):
            number, subject = order.randrange(len(SCOPES)), order.choice(SUBJECTS)
            if step % NIGHT_EVERY == 0:
                world.night(number, subject)
            elif step % OPEN_EVERY == 0:
                world.open_again(number, subject)
            elif step % FORGE_EVERY == 0:
                world.forge(order.randrange(len(FORGED)), subject)
            else:
                order.choice(DAILY)(world, number, subject)
    finally:
        world.memory.close()
    return world


def main() -> None:
    parser = argparse.ArgumentParser(description="Whether anybody ever sees what is another's.")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="300 steps.")
    parser.add_argument("--json", action="store_true", help="Print one line of JSON last.")
    options = parser.parse_args()
    steps = 300 if options.quick else options.steps
    with tempfile.TemporaryDirectory() as folder:
        world = run(Path(folder), steps, options.seed)
    print(f"{steps} steps in {len(SCOPES)} scopes: {world.rows_seen} rows seen, {len(world.foreign)} foreign; {world.refused} ids refused")
    for foreign in world.foreign[:20]:
        print(f"  {foreign}")
    if options.json:
        figures = {"steps": steps, "scopes": len(SCOPES), "rows_seen": world.rows_seen, "foreign_rows": len(world.foreign)}
        print(json.dumps(figures | {"refused_ids": world.refused, "trials": 1, "seeds": [options.seed]}))


if __name__ == "__main__":
    main()
