"""The part of a scope that is about single facts: stating and correcting them, asking why, and forgetting for good.

`Scope` builds on it. Deliberately thin: checks and the order of steps; what happens is in `beliefs.py`, `explanations.py`, `forgetting/`.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal, get_args, overload

from seal_agent import beliefs, explanations
from seal_agent.async_scope import in_thread
from seal_agent.errors import EmbeddingError, UsageError
from seal_agent.explanations import Explanation
from seal_agent.forgetting import requests
from seal_agent.forgetting.records import ForgetPlan, Receipt
from seal_agent.ledger.tombstones import lift
from seal_agent.parts import Parts
from seal_agent.privacy.screen import screened
from seal_agent.telemetry import measured, traced
from seal_agent.turns import check_content, check_time
from seal_agent.types import CycleReport, Fact, FactEvent, FactKind, Hit, ScopeId

logger = logging.getLogger(__name__)

EXPLAINED_HITS = 8


class ScopeFacts(ABC):
    """What `Scope` can do with facts."""

    __slots__ = ("_id", "_parts")

    _id: ScopeId
    _parts: Parts

    @property
    @abstractmethod
    def id(self) -> ScopeId:
        """Whose memory this is."""

    @abstractmethod
    def search(self, query: str, k: int | None = None) -> list[Hit]:
        """Return what is relevant."""

    @abstractmethod
    def _consolidate_for(self, scope: ScopeId) -> CycleReport:
        """Run a cycle of this scope, or of one that shares facts with it."""

    @traced("create_memory")
    def remember(
        self,
        text: str,
        kind: FactKind = "knowledge",
        *,
        ttl: timedelta | None = None,
        pin: bool = False,
        valid_from: datetime | None = None,
    ) -> Fact:
        """Record a fact stated outright, and return it, or the fact that says the same already.

        A statement that corrects another by its wording ("no longer", "moved", "now") supersedes it. `ttl` is how long it holds from now:
        after that it is neither told nor trained on; stated again without it, the fact stays. A pinned fact is always in the profile, and
        only `correct`, `reject` and `forget` reach it. `valid_from` is since when it holds, now if left out. Raise `UsageError`,
        `BlockedContentError` for what the settings block, or `ForgottenError` for what was forgotten.
        """
        text = screened(check_content(text, "The fact", UsageError), self._parts.settings.privacy, "The fact")
        if kind not in get_args(FactKind):
            raise UsageError(f"kind={kind!r} is no kind of fact; say one of {', '.join(get_args(FactKind))}.")
        since = None if valid_from is None else check_time(valid_from)
        stated = beliefs.statement(self._parts, text, kind, ttl=ttl, pin=pin, valid_from=since)
        beliefs.expire_due(self._parts)
        vector = beliefs.embed_one(self._parts, text)
        try:
            return beliefs.record(self._parts, self._id, stated, vector)
        except EmbeddingError as error:
            if vector is None:
                raise
            logger.warning("a fact of %s is recorded without its vector: %s", self._id.key, error)
            return beliefs.record(self._parts, self._id, stated, None)

    @traced("update_memory")
    def correct(self, fact_id: str, text: str) -> Fact:
        """Put a statement in a fact's place and return it; the old one stays as history and is told nowhere.

        Raise `UnknownRecordError`, or `UsageError` for a fact that is history already.
        """
        text = screened(check_content(text, "The fact", UsageError), self._parts.settings.privacy, "The fact")
        beliefs.expire_due(self._parts)
        vector = beliefs.embed_one(self._parts, text)
        try:
            return beliefs.correct(self._parts, self._id, fact_id, text, vector)
        except EmbeddingError as error:
            if vector is None:
                raise
            logger.warning("a correction in %s is recorded without its vector: %s", self._id.key, error)
            return beliefs.correct(self._parts, self._id, fact_id, text, None)

    def reject(self, fact_id: str, reason: str = "") -> Fact:
        """Stop telling a fact because it is wrong; it stays as history, and is not drawn again from what was said. Raise as `correct`."""
        if reason:
            reason = screened(check_content(reason, "The reason", UsageError), self._parts.settings.privacy, "The reason")
        return beliefs.reject(self._parts, self._id, fact_id, reason)

    def pin(self, fact_id: str) -> Fact:
        """Keep a fact in the profile, first, and from expiring and from being superseded by talk. Raise as `correct`."""
        beliefs.expire_due(self._parts)
        return beliefs.pin(self._parts, self._id, fact_id, True)

    def unpin(self, fact_id: str) -> Fact:
        """Undo `pin`. Raise as `correct`."""
        return beliefs.pin(self._parts, self._id, fact_id, False)

    def history(self, fact_id: str) -> tuple[FactEvent, ...]:
        """Return what happened to a fact and to those that it replaced or that replaced it, oldest first; raise `UnknownRecordError`."""
        beliefs.expire_due(self._parts)
        return beliefs.history(self._parts, self._id, fact_id)

    def explain(self, question: str) -> Explanation:
        """Say which facts, episodes and adapter stand behind what is believed about a question; a fact's id asks about that fact."""
        beliefs.expire_due(self._parts)
        if isinstance(question, str) and beliefs.is_visible(self._parts, self._id, question):
            return explanations.explain_fact(self._parts, self._id, question)
        return explanations.explain(self._parts, self._id, question, self.search(question, EXPLAINED_HITS))

    @overload
    def forget(
        self, *ids: str, query: str | None = None, author: str | None = None, everything: bool = False, dry_run: Literal[True]
    ) -> ForgetPlan: ...

    @overload
    def forget(
        self,
        *ids: str | ForgetPlan,
        query: str | None = None,
        author: str | None = None,
        everything: bool = False,
        dry_run: Literal[False] = False,
        confirm: bool = False,
        rebuild: bool = False,
    ) -> Receipt: ...

    def forget(
        self,
        *ids: str | ForgetPlan,
        query: str | None = None,
        author: str | None = None,
        everything: bool = False,
        dry_run: bool = False,
        confirm: bool = False,
        rebuild: bool = False,
    ) -> ForgetPlan | Receipt:
        """Remove for good: from ledger, index, files and weights, so that nothing brings it back; return the receipt with the proof.

        Say what in one way: ids of facts, episodes or turns (`episode:position`); `query`, by all its words or by meaning; `author`, the
        name beside turns or the source of episodes; or `everything` of this scope. With a fact go the sentences that it was drawn from,
        wherever this scope holds them. `dry_run=True` returns the plan; `forget(plan)` confirms exactly that. Other than ids, what was
        not previewed needs `confirm=True`.

        Adapters that were taught it are deleted at once, and the scopes they were live in answer with what was live before, or the base;
        the next night trains without it, or `rebuild=True` does now and asks the result about what was forgotten. Demonstrations of tasks
        stay: the plan and the receipt name the tasks that say it too, `drop_task` removes them. Raise
        `UnknownRecordError` for an id of another scope, `UsageError` for what is not confirmed.
        """
        plan = ids[0] if len(ids) == 1 and isinstance(ids[0], ForgetPlan) else None
        if plan is not None:
            if plan.scope != self._id or query is not None or author is not None or everything:
                raise UsageError(f"The plan is for {plan.scope.key!r} and says all of what is forgotten; pass it to that scope, alone.")
            targets = plan.targets
        else:
            named = [id for id in ids if isinstance(id, str)]
            if len(named) != len(ids):
                raise UsageError("Pass either one plan or ids.")
            targets = requests.resolve(self._parts, self._id, named, query=query, author=author, everything=everything)
        if dry_run:
            return requests.preview(self._parts, self._id, targets, query)
        if plan is None and not ids and not confirm:
            raise UsageError("Look first: plan = scope.forget(..., dry_run=True); then scope.forget(plan), or pass confirm=True.")
        with measured("delete_memory", self._id) as told:
            receipt = requests.forget(self._parts, self._id, targets, self._consolidate_for if rebuild else None)
            told(receipt)
        return receipt

    def allow_again(self, text: str) -> bool:
        """Let a text be recorded again that was forgotten here; return whether it was."""
        check_content(text, "The text", UsageError)
        with self._parts.ledger.write() as connection:
            return lift(connection, self._id, text)

    aremember = in_thread(remember)
    acorrect = in_thread(correct)
    areject = in_thread(reject)
    aexplain = in_thread(explain)
    aforget: Callable[..., object] = in_thread(forget, slow=True)
