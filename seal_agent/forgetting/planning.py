"""From what is meant to what has to go: every row that says it, that was drawn from it, or that was taught with it.

The words decide, not the ids alone: a fact that goes takes the sentences it was drawn from, and the same words wherever else they stand
in the scope. What else stood in those turns stays, with the facts drawn from that. Only reads; `erasing.py` removes.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, or_, select

from seal_agent.errors import UnknownRecordError
from seal_agent.forgetting.cutting import cut, parts_of, says
from seal_agent.forgetting.records import NoteCut, Targets, TurnCut
from seal_agent.ledger.encoding import batches, decode_metadata
from seal_agent.ledger.episodes import get_episode
from seal_agent.ledger.facts import get_fact, list_facts
from seal_agent.ledger.purge import facts_resting_on
from seal_agent.ledger.schema import entries, episodes, facts
from seal_agent.ledger.tombstones import FORGOTTEN_TURN, is_telling
from seal_agent.types import Episode, Fact, MetadataValue, ScopeId

Place = tuple[str, int]
"""Episode id and position of a turn."""


@dataclass(slots=True)
class Extent:
    """All of one scope that has to go."""

    scope: ScopeId
    facts: dict[str, Fact] = field(default_factory=dict)
    episodes: dict[str, None] = field(default_factory=dict)
    cuts: dict[Place, TurnCut] = field(default_factory=dict)
    note_cuts: dict[tuple[str, str | None], NoteCut] = field(default_factory=dict)
    """By episode and key of the metadata, None being the outcome."""

    def remaining(self, episode_id: str) -> dict[int, str]:
        """What stays of the turns of one episode that are cut."""
        return {turn: one.remaining for (id, turn), one in self.cuts.items() if id == episode_id}

    @property
    def cut_episodes(self) -> list[str]:
        """Episodes that stay in part."""
        return list(dict.fromkeys(id for id, _ in (*self.cuts, *self.note_cuts)))

    def remaining_notes(self, episode: Episode) -> tuple[str | None, dict[str, MetadataValue]]:
        """What stays of an episode's outcome and metadata."""
        cut_here = {key: one.remaining for (id, key), one in self.note_cuts.items() if id == episode.id}
        kept = {key: cut_here.get(key, value) for key, value in episode.metadata.items()}
        return cut_here.get(None, episode.outcome), {key: value for key, value in kept.items() if value is not None}


def targets_of(conn: Connection, scope: ScopeId, ids: Iterable[str]) -> Targets:
    """Tell fact ids, episode ids and turns (`episode:position`) apart; raise `UnknownRecordError` for one that this scope does not own."""
    found: dict[str, list[str]] = {"facts": [], "episodes": [], "turns": []}
    for id in dict.fromkeys(ids):
        if conn.execute(select(facts.c.id).where(facts.c.id == id, facts.c.scope_key == scope.key)).first():
            found["facts"].append(id)
        elif conn.execute(select(episodes.c.id).where(episodes.c.id == id, episodes.c.scope_key == scope.key)).first():
            found["episodes"].append(id)
        elif conn.execute(select(entries.c.id).where(entries.c.id == id, entries.c.scope_key == scope.key)).first():
            found["turns"].append(id)
        else:
            raise UnknownRecordError(
                f"No fact, episode or turn {id!r} in {scope.key!r}; what is shared is forgotten in the scope it is of."
            )
    return Targets(**{kind: tuple(members) for kind, members in found.items()})


def targets_by(conn: Connection, scope: ScopeId, author: str) -> Targets:
    """Everything that somebody said (the `name` of a turn) or that came from one source (the `source` of an episode)."""
    turns = select(entries.c.id).where(entries.c.scope_key == scope.key, entries.c.name == author).order_by(entries.c.seq)
    whole = select(episodes.c.id).where(episodes.c.scope_key == scope.key, episodes.c.source == author).order_by(episodes.c.seq)
    return Targets(turns=tuple(conn.execute(turns).scalars()), episodes=tuple(conn.execute(whole).scalars()))


def everything_of(conn: Connection, scope: ScopeId) -> Targets:
    """All facts and episodes of exactly this scope."""
    own_facts = conn.execute(select(facts.c.id).where(facts.c.scope_key == scope.key).order_by(facts.c.seq)).scalars()
    own_episodes = conn.execute(select(episodes.c.id).where(episodes.c.scope_key == scope.key).order_by(episodes.c.seq)).scalars()
    return Targets(facts=tuple(own_facts), episodes=tuple(own_episodes))


def extent_of_all(conn: Connection, scope: ScopeId) -> Extent:
    """All facts and episodes of exactly this scope; nothing is left to follow."""
    all_of_it = everything_of(conn, scope)
    own = {fact.id: fact for fact in list_facts(conn, scope)}
    return Extent(scope=scope, facts=own, episodes=dict.fromkeys(all_of_it.episodes))


def extent_of(conn: Connection, scope: ScopeId, targets: Targets) -> Extent:
    """Follow the targets to everything that says the same or was drawn from it. Targets that are gone already are passed over."""
    extent = Extent(scope=scope)
    loose = _Loose(conn, scope)
    for id in targets.facts:
        loose.add_fact(extent, id)
    for id in targets.episodes:
        loose.add_episode(extent, id)
    for entry_id in targets.turns:
        loose.add_turn(extent, entry_id)
    loose.follow(extent)
    return extent


class _Loose:
    """What is still to be followed."""

    def __init__(self, conn: Connection, scope: ScopeId) -> None:
        self._conn = conn
        self._scope = scope
        self._facts: list[Fact] = []
        self._own = list_facts(conn, scope)
        self._parts: dict[Place, list[str]] = defaultdict(list)
        self._episodes: dict[str, Episode] = {}

    def add_fact(self, extent: Extent, id: str) -> None:
        known = next((fact for fact in self._own if fact.id == id), None)
        if known is not None and id not in extent.facts:
            extent.facts[id] = known
            self._facts.append(known)

    def add_episode(self, extent: Extent, id: str) -> None:
        row = select(episodes.c.id).where(episodes.c.id == id, episodes.c.scope_key == self._scope.key)
        if id in extent.episodes or self._conn.execute(row).first() is None:
            return
        extent.episodes[id] = None
        for fact_id in facts_resting_on(self._conn, self._scope, [id]):
            self.add_fact(extent, fact_id)

    def add_turn(self, extent: Extent, entry_id: str) -> None:
        place = (entries.c.episode_id, entries.c.turn, entries.c.text)
        row = self._conn.execute(select(*place).where(entries.c.id == entry_id, entries.c.scope_key == self._scope.key)).first()
        if row is None or row.episode_id is None:
            return
        self._cut(extent, (row.episode_id, row.turn), [row.text])

    def follow(self, extent: Extent) -> None:
        """Until nothing new turns up."""
        while self._facts:
            fact = self._facts.pop()
            parts = [part for part in parts_of(fact.quote) if is_telling(part)] or parts_of(fact.quote)
            drawn_from = {(source.episode_id, source.turn) for source in fact.sources}
            for place in [*drawn_from, *(place for part in parts if is_telling(part) for place in self._turns_that_say(part))]:
                self._cut(extent, place, parts)
            for id in [id for part in parts if is_telling(part) for id in self._episodes_noting(part)]:
                self._cut_notes(extent, id, parts)
            for other in self._own:
                if other.id not in extent.facts and any(says(other.quote, part) for part in parts if is_telling(part)):
                    self.add_fact(extent, other.id)
        for id in extent.episodes:
            for place in [place for place in extent.cuts if place[0] == id]:
                del extent.cuts[place]
            for key in [key for key in extent.note_cuts if key[0] == id]:
                del extent.note_cuts[key]

    def _cut(self, extent: Extent, place: Place, parts: Sequence[str]) -> None:
        """Take parts out of a turn; an episode of which nothing said is left goes as a whole, and so does a fact that lost its words."""
        episode_id, turn = place
        if episode_id in extent.episodes:
            return
        episode = self._episode(episode_id)
        self._parts[place] += parts
        text = episode.turns[turn].content
        remaining = FORGOTTEN_TURN if text in self._parts[place] else cut(text, self._parts[place])
        if remaining == text:
            return
        extent.cuts[place] = TurnCut(episode_id=episode_id, turn=turn, text=text, remaining=remaining)
        self._cut_notes(extent, episode_id, [part for part in self._parts[place] if is_telling(part)])
        left = extent.remaining(episode_id)
        said = [number for number, one in enumerate(episode.turns) if one.role == "user"] or range(len(episode.turns))
        if all(left.get(number, episode.turns[number].content) == FORGOTTEN_TURN for number in said):
            self.add_episode(extent, episode_id)
            return
        whole = "\n".join(left.get(number, one.content) for number, one in enumerate(episode.turns))
        for fact_id in facts_resting_on(self._conn, self._scope, [episode_id]):
            if fact_id not in extent.facts and not all(says(whole, part) for part in parts_of(get_fact(self._conn, fact_id).quote)):
                self.add_fact(extent, fact_id)

    def _cut_notes(self, extent: Extent, episode_id: str, parts: Sequence[str]) -> None:
        """Take parts out of what the host noted beside the turns."""
        episode = self._episode(episode_id)
        noted = [(key, value) for key, value in ((None, episode.outcome), *episode.metadata.items()) if isinstance(value, str)]
        for key, text in noted:
            known = extent.note_cuts.get((episode_id, key))
            left = cut(text if known is None else known.remaining or "", parts) if known is None or known.remaining else FORGOTTEN_TURN
            if left != text and (known is None or left != known.remaining):
                remaining = None if left == FORGOTTEN_TURN else left
                extent.note_cuts[episode_id, key] = NoteCut(episode_id=episode_id, key=key, text=text, remaining=remaining)

    def _episodes_noting(self, part: str) -> list[str]:
        """The episodes in this scope of which the outcome or the metadata say the same words."""
        noted = (episodes.c.outcome.is_not(None), episodes.c.metadata.is_not(None))
        query = select(episodes.c.id, episodes.c.outcome, episodes.c.metadata).where(episodes.c.scope_key == self._scope.key, or_(*noted))
        found = ((row.id, [row.outcome, *decode_metadata(row.metadata).values()]) for row in self._conn.execute(query))
        return [id for id, values in found if any(isinstance(value, str) and says(value, part) for value in values)]

    def _episode(self, id: str) -> Episode:
        if id not in self._episodes:
            self._episodes[id] = get_episode(self._conn, self._scope, id)
        return self._episodes[id]

    def _turns_that_say(self, part: str) -> list[Place]:
        """The places in this scope where the same words stand. SQLite narrows it down by the longest plain word."""
        plain = sorted((word for word in part.lower().split() if word.isascii() and word.isalnum()), key=len)
        query = select(entries.c.episode_id, entries.c.turn, entries.c.text).where(
            entries.c.scope_key == self._scope.key, entries.c.kind == "turn"
        )
        if plain:
            query = query.where(func.instr(func.lower(entries.c.text), plain[-1]) > 0)
        return [(row.episode_id, row.turn) for row in self._conn.execute(query) if says(row.text, part)]


def first_turns(conn: Connection, scope: ScopeId, episode_ids: Iterable[str]) -> dict[str, str]:
    """What each episode begins with, by its id."""
    found: dict[str, str] = {}
    for batch in batches(list(episode_ids)):
        columns = (entries.c.episode_id, entries.c.text)
        query = select(*columns).where(entries.c.scope_key == scope.key, entries.c.episode_id.in_(batch), entries.c.turn == 0)
        found.update((row.episode_id, row.text) for row in conn.execute(query))
    return found


def entry_rows(conn: Connection, extent: Extent) -> list[tuple[str, str, bytes | None]]:
    """(entry id, text, vector) of everything searchable that goes."""
    columns = (entries.c.id, entries.c.text, entries.c.vector)
    cut_ids = [f"{id}:{turn}" for id, turn in extent.cuts]
    found: list[tuple[str, str, bytes | None]] = []
    for batch in batches([*extent.facts, *extent.episodes, *cut_ids]):
        chosen = or_(entries.c.id.in_(batch), entries.c.fact_id.in_(batch), entries.c.episode_id.in_(batch))
        query = select(*columns).where(entries.c.scope_key == extent.scope.key, chosen)
        found += [(row.id, row.text, row.vector) for row in conn.execute(query)]
    return list({id: (id, text, vector) for id, text, vector in found}.values())
