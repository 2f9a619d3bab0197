"""The adapters of one scope: which there are, which is live, and the ways back and forward.

Every change is one transaction, made after the adapter's files were verified and, where the model is loaded, after they were loaded: the
next request uses it at once. Training, where `rebuild` asks for it, is a cycle like any other (`learning.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from seal_agent.adapters.artefact import remove
from seal_agent.adapters.compare import AdapterDiff, diff
from seal_agent.adapters.exporting import export
from seal_agent.adapters.manifest import Manifest
from seal_agent.adapters.switch import switch
from seal_agent.adapters.verify import verify
from seal_agent.adapters.withdraw import clean_ancestor, withdraw
from seal_agent.errors import IntegrityError, UnknownRecordError, UsageError
from seal_agent.learning import learn
from seal_agent.ledger.adapters import (
    get_adapter,
    list_adapters,
    live_adapter,
    nearest_live,
    next_live,
    previous_live,
)
from seal_agent.ledger.facts import TOLD, list_facts
from seal_agent.ledger.live import BANNED, live_name
from seal_agent.ledger.nights import add_event
from seal_agent.ledger.skills import KINDS, list_skills, skill_adapters
from seal_agent.parts import Parts
from seal_agent.types import Adapter, CycleReport, ProgressCallback, ScopeId

BY_HAND = "by hand"
KEPT_VERSIONS = 10
"""Promoted adapters that `gc` leaves, about 10 MB each for the embedded model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What `verify` found of one adapter."""

    name: str
    live: bool
    sound: bool
    gone: bool = False
    """Whether it has no files any more, and is not live: `gc` deletes what nothing needs, so this is no damage."""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildReport:
    """What was trained in an adapter's stead."""

    instead_of: str
    without: tuple[str, ...]
    """Ids of the facts that it was taught and that hold no longer. What was forgotten has no id any more; it is not in there either."""
    live: str | None
    """What the scope answers with now; None is the base."""
    report: CycleReport


Step = Callable[[Connection, ScopeId], tuple[bool, str | None]]


class ScopeAdapters:
    """Made by `Scope.adapters`."""

    __slots__ = ("_parts", "_scope")

    def __init__(self, parts: Parts, scope: ScopeId) -> None:
        self._parts = parts
        self._scope = scope

    @property
    def base_id(self) -> str:
        """Id of the model that they are for; loads nothing."""
        return self._parts.model_id

    def list(self) -> list[Adapter]:
        """Return this scope's adapters by version, the rejected ones too."""
        with self._parts.ledger.read() as connection:
            return list_adapters(connection, self._scope)

    def answerable(self) -> tuple[Adapter, ...]:
        """Return what can be asked for by name here: this scope's adapters and the shared ones, those that the gate promoted once.

        Adapters of tasks and the editor are none of them.
        """
        visible = (self._scope, *self._scope.ancestors)
        with self._parts.ledger.read() as connection:
            found = [adapter for scope in visible for adapter in list_adapters(connection, scope)]
            of_skills = {name for scope in visible for name in skill_adapters(connection, scope)}
        return tuple(adapter for adapter in found if adapter.state == "promoted" and adapter.name not in of_skills)

    def get(self, name: str) -> Adapter:
        """Return one of this scope's adapters; raise `UnknownRecordError`."""
        with self._parts.ledger.read() as connection:
            return self._own(connection, name)

    @property
    def live(self) -> Adapter | None:
        """What this scope answers with: its own live adapter, else the nearest shared one; None is the base."""
        with self._parts.ledger.read() as connection:
            return nearest_live(connection, self._scope)

    def rollback(self) -> Adapter | None:
        """Go back to what was live before, None for the base; raise `UsageError` when there is nothing to undo."""
        return self._step(
            previous_live, "rolled back", f"Nothing to roll back in {self._scope.key!r}: its history begins here, with the base model."
        )

    def forward(self) -> Adapter | None:
        """Undo a roll back; raise `UsageError` when there was none since the last promotion."""
        return self._step(next_live, "rolled forward", f"Nothing to roll forward in {self._scope.key!r}: nothing was rolled back.")

    def promote(self, name: str) -> Adapter | None:
        """Make one of this scope's adapters live that the gate promoted before; raise `UnknownRecordError` or `UsageError`."""
        with self._parts.ledger.read() as connection:
            adapter = self._own(connection, name)
        if adapter.state != "promoted":
            raise UsageError(f"Adapter {name!r} is {adapter.state}: only what the gate has promoted once can be made live by hand.")
        self._verify(name)
        with self._parts.ledger.write() as connection:
            if name in skill_adapters(connection, self._scope):
                raise UsageError(f"Adapter {name!r} does one task, or writes self-edits: it can't answer for {self._scope.key!r}.")
            return self._switch(connection, name, "promoted by hand")

    def manifest(self, name: str) -> Manifest:
        """Verify one of this scope's adapters and return what it says of itself; raise `IntegrityError` or `UnknownRecordError`."""
        return verify(self._parts.folder / self.get(name).path, self._parts.base_sha256)

    def diff(self, before: str, after: str) -> AdapterDiff:
        """Say what two of this scope's adapters differ in; raise as `manifest`."""
        return diff(self.manifest(before), self.manifest(after))

    def verify(self, name: str | None = None) -> tuple[Checked, ...]:
        """Check the files of one adapter, or of all that are not banned: complete, unchanged, for this base. Loads nothing."""
        wanted = [self.get(name)] if name is not None else [adapter for adapter in self.list() if adapter.state not in BANNED]
        return tuple(self._checked(adapter) for adapter in wanted)

    def has_files(self, adapter: Adapter) -> bool:
        """Whether its folder is there, whole or not; the ledger knows an adapter for longer than `gc` keeps its files."""
        return (self._parts.folder / adapter.path).exists()

    def _checked(self, adapter: Adapter) -> Checked:
        try:
            self._parts.serving.check(adapter)
        except IntegrityError as error:
            gone = not adapter.live and not self.has_files(adapter)
            return Checked(name=adapter.name, live=adapter.live, sound=False, gone=gone, problem=str(error))
        return Checked(name=adapter.name, live=adapter.live, sound=True)

    def quarantine(self, name: str, reason: str = BY_HAND) -> Adapter | None:
        """Ban one of this scope's adapters for good; where it is live, go back to the newest one before it whose files are whole.

        Return what is live then, None for the base. One transaction, with the reason in the scope's events. Requests that are running with
        it end normally, no later one ever gets it. `rebuild` trains another in its stead.
        """
        if not reason.strip():
            raise UsageError("A quarantine without a reason helps nobody later: leave it out, or say why.")
        said = f"{name} was quarantined: {reason}"
        with self._parts.ledger.write() as connection:
            adapter = self._own(connection, name)
            at = self._parts.clock()
            withdraw(connection, [adapter], at, said, self._parts.serving.is_sound)
            if adapter.state != "quarantined":
                add_event(connection, self._scope.key, at, "quarantined", said, name)
            live = live_adapter(connection, self._scope)
        self._parts.serving.drop(name)
        return live

    def rebuild(
        self, name: str, *, progress: ProgressCallback | None = None, should_stop: Callable[[], bool] | None = None
    ) -> RebuildReport:
        """Train another adapter in the stead of one that is quarantined, withdrawn or damaged: now, on what holds today.

        Nothing that was forgotten, corrected or rejected since is in it, as it is trained from the base. The gate judges it as it does any
        other; a rejected one leaves what is live. What would come out the same to the byte is skipped, and the report says so.
        Raise `UsageError` for an adapter that is sound, `UnknownRecordError`, and what `Scope.consolidate` raises.
        """
        self._set_aside(self.get(name))
        report = learn(self._parts, self._scope, progress, should_stop)
        with self._parts.ledger.read() as connection:
            taught = frozenset(get_adapter(connection, name).fact_ids)
            live = live_adapter(connection, self._scope)
            told = {fact.id for fact in list_facts(connection, self._scope, states=TOLD, inherit=True)}
        return RebuildReport(instead_of=name, without=tuple(sorted(taught - told)), live=live.name if live else None, report=report)

    def _set_aside(self, adapter: Adapter) -> None:
        """Let a damaged adapter be live no longer, so that its facts count as untaught; refuse to replace one that is sound."""
        if adapter.state == "quarantined":
            return
        if adapter.state != "promoted":
            raise UsageError(
                f"Adapter {adapter.name!r} is {adapter.state}, it was never in use: seal-agent consolidate trains the next one."
            )
        if self._parts.serving.is_sound(adapter):
            raise UsageError(
                f"Adapter {adapter.name!r} is whole and not quarantined, there is nothing to rebuild. If it is wrong, quarantine it."
            )
        if adapter.live:
            with self._parts.ledger.write() as connection:
                target = clean_ancestor(connection, self._scope, self._parts.serving.is_sound)
                switch(connection, self._scope, target, self._parts.clock(), f"{adapter.name} is damaged and is rebuilt")

    def gc(self, keep: int = KEPT_VERSIONS, *, dry_run: bool = False) -> tuple[str, ...]:
        """Delete the files of adapters that nothing needs, and return their names; the ledger keeps what is known of them.

        Kept are the live one, what rolling back and forward lead to, the newest `keep` that were promoted, and what learnt tasks run on.
        """
        if isinstance(keep, bool) or not isinstance(keep, int) or keep < 1:
            raise UsageError(f"keep={keep!r} is no number of adapters: give 1 or more.")
        with self._parts.ledger.read() as connection:
            known = list_adapters(connection, self._scope)
            in_force = {skill.adapter for kind in KINDS for skill in list_skills(connection, self._scope, kind)}
            needed = in_force | {
                live_name(connection, self._scope),
                previous_live(connection, self._scope)[1],
                next_live(connection, self._scope)[1],
            }
            of_skills = skill_adapters(connection, self._scope)
        promoted = [adapter.name for adapter in known if adapter.state == "promoted" and adapter.name not in of_skills]
        needed |= {*promoted[-keep:], *(adapter.name for adapter in known if adapter.state == "candidate")}
        unneeded = [adapter for adapter in known if adapter.name not in needed and self.has_files(adapter)]
        for adapter in unneeded if not dry_run else ():
            self._parts.serving.drop(adapter.name)
            remove(self._parts.folder / adapter.path)
        return tuple(adapter.name for adapter in unneeded)

    def export(self, name: str, folder: str | Path) -> Path:
        """Copy an adapter to `folder/<name>`, where any host of LoRA adapters can load it. Raise `UsageError` when that exists.

        It holds what it learnt of this scope's facts: it is as private as they are.
        """
        return export(self._parts.folder / self.get(name).path, Path(folder).expanduser(), self._parts.base_sha256)

    def base(self) -> None:
        """Answer with the base model again, or with the nearest shared adapter; `promote` undoes it."""
        with self._parts.ledger.write() as connection:
            self._switch(connection, None, "back to the base by hand")

    def _own(self, connection: Connection, name: str) -> Adapter:
        adapter = get_adapter(connection, name)
        if adapter.scope != self._scope:
            raise UnknownRecordError(f"No adapter {name!r} in {self._scope.key!r}.")
        return adapter

    def _step(self, step: Step, reason: str, nothing: str) -> Adapter | None:
        with self._parts.ledger.read() as connection:
            exists, name = step(connection, self._scope)
        if not exists:
            raise UsageError(nothing)
        if name is not None:
            self._verify(name)
        with self._parts.ledger.write() as connection:
            if step(connection, self._scope) != (exists, name):
                raise UsageError(
                    f"The live adapter of {self._scope.key!r} was changed by someone else at the same moment; look and try again."
                )
            return self._switch(connection, name, reason)

    def _verify(self, name: str) -> None:
        adapter = self.get(name)
        if self._parts.loaded_model is None:
            self._parts.serving.check(adapter)
        else:
            self._parts.serving.prepare(adapter)

    def _switch(self, connection: Connection, name: str | None, reason: str) -> Adapter | None:
        switch(connection, self._scope, name, self._parts.clock(), reason)
        return live_adapter(connection, self._scope)
