"""Recording: interactions checked, made into episodes, embedded and written in one transaction.

One interaction or ten thousand go the same way: everything is checked before anything is embedded or written, and all of it is on disk
when `record` returns, or none of it. Deliberately finds nothing and judges nothing.
"""

import logging
import uuid
from collections.abc import Sequence

from seal_agent.errors import BlockedContentError, EmbeddingError, InvalidTurnError, SealAgentError
from seal_agent.ledger.episodes import add_episodes, get_episode
from seal_agent.parts import Parts
from seal_agent.privacy.screen import screened_episode
from seal_agent.protocols import Vectors
from seal_agent.retrieval.labels import embedded_text
from seal_agent.turns import MAX_LABEL, check_label, check_metadata, check_time, to_turns, without_recall
from seal_agent.types import MAX_ID_LENGTH, Episode, Interaction, ScopeId

logger = logging.getLogger(__name__)


def to_episode(parts: Parts, scope: ScopeId, interaction: Interaction) -> Episode:
    """Return the episode that an interaction makes; screened by the privacy policy, and without what was recalled from this memory.

    Raise `InvalidTurnError` for what can't be recorded, `BlockedContentError` for what the policy keeps out.
    """
    turns = without_recall(to_turns(interaction.messages))
    labels = {"session": interaction.session, "source": interaction.source, "outcome": interaction.outcome}
    for label, value in labels.items():
        check_label(label, value, MAX_LABEL)
    check_label("id", interaction.id, MAX_ID_LENGTH)
    episode = Episode(
        id=uuid.uuid4().hex if interaction.id is None else interaction.id,
        scope=scope,
        session=interaction.session,
        at=check_time(parts.clock() if interaction.at is None else interaction.at),
        turns=turns,
        source=interaction.source,
        outcome=interaction.outcome,
        metadata=check_metadata(interaction.metadata),
    )
    return screened_episode(episode, parts.settings.privacy)


def to_episodes(parts: Parts, scope: ScopeId, interactions: Sequence[Interaction]) -> list[Episode]:
    """Return the episodes of several interactions; an error names the interaction by its position, from 0."""
    episodes: list[Episode] = []
    for position, interaction in enumerate(interactions):
        try:
            episodes.append(to_episode(parts, scope, interaction))
        except (InvalidTurnError, BlockedContentError) as error:
            raise type(error)(f"Interaction {position}: {error} Nothing was recorded.") from error
    return episodes


def record(parts: Parts, episodes: Sequence[Episode]) -> list[Episode]:
    """Write the episodes in one transaction, in order; what is there already under its id is returned as it was recorded.

    Where no embedder can be had, the words are kept and embedded at a later search.
    """
    texts = [embedded_text(turn.content, one.scope, turn.role, turn.name, one.at) for one in episodes for turn in one.turns]
    vectors = embedded(parts, texts)
    try:
        return write(parts, episodes, vectors)
    except EmbeddingError as error:
        if vectors is None:
            raise
        # The vectors are what the ledger refuses, not the words.
        logger.warning("%d episodes are recorded without their vectors: %s", len(episodes), error)
        return write(parts, episodes, None)


def write(parts: Parts, episodes: Sequence[Episode], vectors: Vectors | None) -> list[Episode]:
    given: list[tuple[Episode, Vectors | None]] = []
    start = 0
    for episode in episodes:
        end = start + len(episode.turns)
        given.append((episode, None if vectors is None else vectors[start:end]))
        start = end
    with parts.ledger.write() as connection:
        added = add_episodes(connection, given, parts.embedder_id)
        return [new or get_episode(connection, one.scope, one.id) for one, new in zip(episodes, added, strict=True)]


def embedded(parts: Parts, texts: list[str]) -> Vectors | None:
    """Return the texts' vectors, or None, with a warning, when no embedder can be had."""
    ledger = parts.ledger
    try:
        return parts.embedder.embed(texts)
    except SealAgentError as error:
        logger.warning("%d texts are recorded in %s but not embedded yet: %s", len(texts), ledger.folder, error)
        return None
