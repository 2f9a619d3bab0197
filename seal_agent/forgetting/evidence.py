"""What to look for on disk after a removal: taken from the rows before they go, and weighed against what stays."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy import Connection, select

from seal_agent.consolidation.sentences import split_sentences
from seal_agent.forgetting.byte_scan import Needle, needles_of_ids, needles_of_text, needles_of_vector, telling_pieces
from seal_agent.forgetting.cutting import says
from seal_agent.forgetting.planning import Extent, entry_rows
from seal_agent.ledger.encoding import batches
from seal_agent.ledger.episodes import get_episode
from seal_agent.ledger.items import find_items
from seal_agent.ledger.purge import notes_of
from seal_agent.ledger.schema import cycles, entries, episodes, facts, item_vectors, items, skills
from seal_agent.ledger.skills import attempted_tasks, demonstrations_in
from seal_agent.types import ScopeId

T = TypeVar("T")
MOST = 300
"""Texts and vectors looked for after one removal, evenly drawn: each costs a look through the whole directory."""


@dataclass(slots=True)
class Evidence:
    """Texts, vectors and ids that must not be found any more."""

    texts: list[str] = field(default_factory=list)
    vectors: list[bytes] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    def extend(self, other: "Evidence") -> None:
        self.texts += other.texts
        self.vectors += other.vectors
        self.ids += other.ids


def evidence_of(conn: Connection, extent: Extent) -> Evidence:
    """Collect before the rows go. Of a turn that is cut, only the words that go count; its id stays."""
    rows = entry_rows(conn, extent)
    places = {f"{id}:{turn}": one for (id, turn), one in extent.cuts.items()}
    lost = [lost_words(one.text, one.remaining) for one in places.values()]
    lost += [lost_words(one.text, one.remaining or "") for one in extent.note_cuts.values()]
    lost += [text for id in extent.episodes for text in notes_of(get_episode(conn, extent.scope, id))]
    return Evidence(
        texts=list(
            dict.fromkeys(
                [text for fact in extent.facts.values() for text in (fact.text, fact.quote)]
                + [text for id, text, _ in rows if id not in places]
                + [text for text in lost if text]
            )
        ),
        vectors=[vector for _, _, vector in rows if vector is not None],
        ids=[*extent.facts, *extent.episodes],
    )


def item_evidence(conn: Connection, scope: ScopeId) -> Evidence:
    """The same for the items of a scope, before they go."""
    stored = find_items(conn, scope, (), None)
    texts = {text: None for item in stored for text in (item.key, *item.namespace, *texts_in(json.loads(item.value)))}
    blobs = select(item_vectors.c.vector).join(items, items.c.seq == item_vectors.c.item).where(items.c.scope_key == scope.key)
    return Evidence(texts=list(texts), vectors=list(conn.execute(blobs).scalars()))


def skill_evidence(conn: Connection, scope: ScopeId) -> Evidence:
    """The same for the demonstrations of tasks, before they go; by their inputs, since an output such as "refund" may stand anywhere."""
    shown = [asked for task in attempted_tasks(conn, scope) for asked, _ in demonstrations_in(task)]
    return Evidence(texts=list(dict.fromkeys(shown)))


def texts_in(value: object) -> Iterator[str]:
    """Every text in parsed JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from texts_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_in(inner)


def lost_words(text: str, remaining: str) -> str:
    """The longest run of lines or sentences of a turn that did not stay."""
    return max((sentence for sentence in split_sentences(text) if not says(remaining, sentence)), key=len, default="")


def needles_of(conn: Connection, evidence: Evidence) -> tuple[list[Needle], int]:
    """Return what to look for, and how many excerpts were left out because what stays holds the same; call it after the removal."""
    stays = "\0".join(_kept_texts(conn))
    pieces = _kept_pieces(conn)
    kept_ids = {
        id for batch in batches(evidence.ids) for id in conn.execute(select(episodes.c.id).where(episodes.c.id.in_(batch))).scalars()
    }
    needles = needles_of_ids(id for id in evidence.ids if id not in stays and id not in kept_ids)
    shared = 0
    for text in evenly(evidence.texts):
        found, left_out = needles_of_text(text, stays.__contains__)
        needles, shared = needles + found, shared + left_out
    for vector in evenly(evidence.vectors):
        found, left_out = needles_of_vector(vector, pieces.__contains__)
        needles, shared = needles + found, shared + left_out
    return needles, shared


def evenly(items: Sequence[T]) -> Sequence[T]:
    """At most `MOST` of the items, from the first to the last."""
    return items if len(items) <= MOST else [items[len(items) * n // MOST] for n in range(MOST)]


def _kept_texts(conn: Connection) -> list[str]:
    queries = (
        entries.c.text,
        facts.c.text,
        facts.c.quote,
        cycles.c.report,
        cycles.c.reason,
        episodes.c.outcome,
        items.c.namespace,
        items.c.key,
    )
    plain = [text for column in queries for text in conn.execute(select(column).where(column.is_not(None))).scalars()]
    written = (episodes.c.metadata, items.c.value, skills.c.record)
    nested = [json.loads(text) for column in written for text in conn.execute(select(column).where(column.is_not(None))).scalars()]
    return [*plain, *(text for value in nested for text in texts_in(value))]


def _kept_pieces(conn: Connection) -> set[bytes]:
    columns = (entries.c.vector, item_vectors.c.vector)
    blobs = [blob for column in columns for blob in conn.execute(select(column).where(column.is_not(None))).scalars()]
    return {piece for blob in blobs for piece in (*telling_pieces(blob), blob)}
