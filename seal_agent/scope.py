"""The Scope handle: everything that can be done with one tenant's, agent's or user's memory.

A handle is bound to its scope: what it reads is that scope and what is shared with it, what it writes is that scope alone, and nothing
passed to it can widen that. Deliberately thin: it checks, orders the steps and holds no state of its own.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal, get_args, overload

from seal_agent import answering, beliefs, learning, recording, watch
from seal_agent.answer_stream import AnswerStream
from seal_agent.async_scope import in_thread
from seal_agent.chat import last_question
from seal_agent.complement import complement
from seal_agent.errors import EmbeddingError, MissingDependencyError, ModelNotFoundError, UsageError
from seal_agent.ledger.facts import list_facts
from seal_agent.parts import Parts
from seal_agent.retrieval.backlog import embed_backlog
from seal_agent.retrieval.context import build_context, profile_facts
from seal_agent.retrieval.search import MAX_K, check_k, check_query
from seal_agent.retrieval.where import Conditions, to_where
from seal_agent.routing import Shown
from seal_agent.sampling import Sampling, check_timeout
from seal_agent.scope_adapters import ScopeAdapters
from seal_agent.scope_facts import ScopeFacts
from seal_agent.scope_items import ScopeItems
from seal_agent.scope_tasks import ScopeTasks
from seal_agent.telemetry import traced
from seal_agent.turns import Messages, to_turns
from seal_agent.types import (
    Answer,
    AnswerVerdict,
    Context,
    CyclePlan,
    CycleReport,
    Episode,
    Fact,
    FactState,
    Feedback,
    Hit,
    Interaction,
    MetadataValue,
    ProgressCallback,
    Route,
    ScopeId,
    Trace,
    Where,
)

logger = logging.getLogger(__name__)

NO_EMBEDDER = (EmbeddingError, ModelNotFoundError, MissingDependencyError)
"""Reasons for which search goes by words alone."""


class Scope(ScopeFacts, ScopeTasks):
    """What one user's (or agent's, or tenant's) memory can do; made by `Memory.scope`. Safe to use from several threads."""

    __slots__ = ()

    def __init__(self, parts: Parts, scope: ScopeId) -> None:
        self._parts = parts
        self._id = scope

    @property
    def id(self) -> ScopeId:
        """Whose memory this is."""
        return self._id

    @property
    def adapters(self) -> ScopeAdapters:
        """The adapters of this scope, and which of them is live."""
        return ScopeAdapters(self._parts, self._id)

    @property
    def items(self) -> ScopeItems:
        """What the host's own code keeps here under namespaces and keys: never a fact, never trained on."""
        return ScopeItems(self._parts, self._id)

    def __repr__(self) -> str:
        return f"Scope({self._id.key!r})"

    @traced("create_memory")
    def add(
        self,
        messages: Messages,
        *,
        session: str | None = None,
        at: datetime | None = None,
        source: str = "agent",
        outcome: str | None = None,
        id: str | None = None,
        metadata: Mapping[str, MetadataValue] | None = None,
    ) -> Episode:
        """Record one interaction, verbatim, on disk when this returns; with the same `id` again in this scope nothing changes.

        What the settings under `privacy` redact is replaced by a mark first; `Episode.redacted` says what that was. A bare string is one
        turn of the user. `metadata` are the host's own notes, to filter a search by. Where no embedder can be had, the words are kept and
        embedded at a later search. Raise `InvalidTurnError` for what can't be recorded or an `id` that is taken by something else,
        `BlockedContentError` for what the settings block, `ForgottenError` for what was forgotten here; then nothing was written. A
        forgotten turn among others is withheld: it reads `[forgotten]`.
        """
        interaction = Interaction(messages=messages, session=session, at=at, source=source, outcome=outcome, id=id, metadata=metadata)
        return recording.record(self._parts, [recording.to_episode(self._parts, self._id, interaction)])[0]

    @traced("create_memory")
    def add_many(self, interactions: Sequence[Interaction | Messages]) -> list[Episode]:
        """Record several interactions in one transaction, some hundred times faster than one by one: all of them, or none if it raises.

        Each is an `Interaction`, or what `add` takes as messages. Return the episodes in order; what is there already under its id is
        returned as it was recorded. Raise `InvalidTurnError` naming the interaction, from 0, that can't be recorded.
        """
        if isinstance(interactions, str) or not isinstance(interactions, Sequence):
            raise UsageError(f"add_many takes a list of interactions, not {type(interactions).__name__}; for a single one there is add.")
        given = [one if isinstance(one, Interaction) else Interaction(messages=one) for one in interactions]
        return recording.record(self._parts, recording.to_episodes(self._parts, self._id, given))

    @traced("search_memory")
    def search(
        self,
        query: str,
        k: int | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        where: Conditions | None = None,
    ) -> list[Hit]:
        """Return the `k` best turns and facts that this scope may see, best first; raise `UsageError` for what can't be asked.

        Only what was said (or holds) from `since` on and before `until`. `where` maps session, source, outcome, author, role, kind ("turn"
        or "fact") or a key of the metadata to the value it must have, or to a list of which one must be. What was recorded without an
        embedder is embedded first, a portion at a time. Without one, search goes by words alone. What no longer holds is not told:
        neither facts that are history nor the sentences that they were drawn from.
        """
        check_query(query)
        wanted = check_k(self._parts.settings.retrieval.k if k is None else k)
        conditions = to_where(since, until, where)
        beliefs.expire_due(self._parts)
        past = beliefs.history_in(self._parts, self._id)
        hits = self._found(query, min(wanted + min(len(past), beliefs.MOST_SPARE), MAX_K), conditions)
        return beliefs.without_history(hits, past, wanted)

    def _found(self, query: str, k: int, conditions: Where | None) -> list[Hit]:
        try:
            self._embed_backlog()
            return self._parts.searcher.search(self._id, query, k, conditions)
        except NO_EMBEDDER as error:
            logger.warning("searching by words alone: %s", error)
            return self._parts.words_only.search(self._id, query, k, conditions)

    def _embed_backlog(self) -> None:
        for scope_key, ids in embed_backlog(self._parts.ledger, self._parts.embedder).items():
            self._parts.searcher.embedded_late(scope_key, ids)

    def context(
        self,
        query: str,
        budget: int | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        where: Conditions | None = None,
    ) -> Context:
        """Return the block for a prompt: the profile, then what was found, fenced and cited, in at most `budget` tokens.

        The conditions are those of `search`; the profile always holds. Tokens are the model's, counted by its tokenizer alone: a search
        must not cost a model. Where that is not on this machine they are estimated (`answering.estimate_tokens`), and `estimated` says so.
        """
        tokens = self._parts.settings.retrieval.context_tokens if budget is None else budget
        if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 1:
            raise UsageError(f"budget={budget!r} is no number of tokens: give 1 or more.")
        hits = self.search(query, since=since, until=until, where=where)
        with self._parts.ledger.read() as connection:
            profile = profile_facts(list_facts(connection, self._id, inherit=True))
        count = self._parts.count_tokens
        block = build_context(self._id, query, hits, profile, tokens, answering.estimate_tokens if count is None else count)
        return replace(block, estimated=count is None)

    def _context_for(self, question: str, shown: Shown | None) -> Context:
        return self.context(question) if shown is None else complement(self._parts, self._id, question, shown, self.search)

    def facts(self, states: Collection[FactState] | None = None) -> list[Fact]:
        """Return this scope's own facts in recorded order, in all states or in the named ones."""
        unknown = sorted(set(states or ()) - set(get_args(FactState)))
        if unknown:
            raise UsageError(f"{unknown[0]!r} is no state of a fact; say one of {', '.join(get_args(FactState))}.")
        beliefs.expire_due(self._parts)
        with self._parts.ledger.read() as connection:
            return list_facts(connection, self._id, states=states)

    def profile(self) -> list[Fact]:
        """Return what stands in every context: standing preferences, procedures and traits, shared ones too, the newest first."""
        with self._parts.ledger.read() as connection:
            return profile_facts(list_facts(connection, self._id, inherit=True))

    def ask(self, question: str, *, use: Route = "auto") -> Answer:
        """Answer from text, from weights or from both; `trace` says which, which adapter answered and what was cited.

        Records nothing. Raise `ModelNotFoundError` or `GenerationError`. A live adapter whose files are damaged is passed over with a
        warning: the base answers, and `trace.adapter` is None.
        """
        return self.ask_many([question], use=use)[0]

    @traced("chat")
    def ask_many(self, questions: Sequence[str], *, use: Route = "auto") -> list[Answer]:
        """Answer several questions in one batch, all with the same adapter: a multiple of the speed of one by one. See `ask`."""
        if isinstance(questions, str) or not isinstance(questions, Sequence):
            raise UsageError(f"ask_many takes a list of questions, not {type(questions).__name__}; for a single one there is ask.")
        for question in questions:
            check_query(question)
        return answering.answers(self._parts, self._id, questions, answering.check_route(use), self._context_for)

    def chat(
        self,
        messages: Messages,
        *,
        use: Route = "auto",
        sampling: Sampling | None = None,
        timeout: float | None = None,
        adapter: str | None = None,
    ) -> Answer:
        """Answer a whole conversation, its last message of the user above all; a system message in it replaces the setting's.

        `adapter` names one that this scope may answer with, in the stead of the live one; `UnknownRecordError` if there is none.
        `timeout` is in seconds, waiting for a place included. Raise as `ask`, `InvalidTurnError` for what is no conversation,
        `OverloadedError` when too many requests wait, `DeadlineError` when the time is up.
        """
        with self.stream(messages, use=use, sampling=sampling, timeout=timeout, adapter=adapter) as stream:
            return stream.read()

    def stream(
        self,
        messages: Messages,
        *,
        use: Route = "auto",
        sampling: Sampling | None = None,
        timeout: float | None = None,
        adapter: str | None = None,
    ) -> AnswerStream:
        """Answer piece by piece; `.answer` is the whole with its trace once all was read. Closing it early frees its place. See `chat`.

        What a request is answered with is fixed here: a promotion or roll back meanwhile changes only later ones.
        """
        turns = to_turns(messages)
        check_query(turns[last_question(turns)].content)
        request = answering.Request(
            turns=turns,
            route=answering.route_for(use, adapter),
            sampling=Sampling(max_tokens=self._parts.settings.model.max_answer_tokens) if sampling is None else sampling,
            timeout=check_timeout(timeout),
            adapter=adapter,
        )
        return answering.open_answer(self._parts, self._id, request, self._context_for)

    def feedback(self, answer: Answer | Trace | str, verdict: AnswerVerdict, note: str = "") -> Feedback:
        """Say whether an answer was good or bad; enough bad ones take back what a night promoted, and `rolled_back` names it."""
        return watch.give(self._parts, self._id, answer, verdict, note)

    @overload
    def consolidate(
        self, *, dry_run: Literal[True], progress: ProgressCallback | None = None, should_stop: Callable[[], bool] | None = None
    ) -> CyclePlan: ...

    @overload
    def consolidate(
        self, *, dry_run: Literal[False] = False, progress: ProgressCallback | None = None, should_stop: Callable[[], bool] | None = None
    ) -> CycleReport: ...

    def consolidate(
        self, *, dry_run: bool = False, progress: ProgressCallback | None = None, should_stop: Callable[[], bool] | None = None
    ) -> CyclePlan | CycleReport:
        """Run one cycle now: select, write self-edits, train, evaluate, and promote if the gate says so; or only plan it.

        Every later request answers with a promoted adapter; requests that are running keep theirs. Raise `CycleInterruptedError` once
        `should_stop()` is true: nothing was promoted, and the next call goes on from there; `CycleRunningError` while another one runs.
        """
        beliefs.expire_due(self._parts)
        if dry_run:
            return learning.plan(self._parts, self._id)
        return learning.learn(self._parts, self._id, progress, should_stop)

    def _consolidate_for(self, scope: ScopeId) -> CycleReport:
        return Scope(self._parts, scope).consolidate()

    # For async callers: the same calls, in a thread.
    aadd = in_thread(add)
    aadd_many = in_thread(add_many)
    asearch = in_thread(search)
    acontext = in_thread(context)
    afacts = in_thread(facts)
    aprofile = in_thread(profile)
    aask = in_thread(ask, slow=True)
    aask_many = in_thread(ask_many, slow=True)
