"""The second reading: a search's first hits in the order of a reranker, where one is wanted.

What it reads of a turn is said with its speaker and date, as what is embedded. Deliberately loads no model; a reranker that fails or can't
be had costs its order and never the hits.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from seal_agent.errors import MissingDependencyError, ModelNotFoundError, RerankingError
from seal_agent.protocols import Reranker
from seal_agent.retrieval.labels import embedded_text
from seal_agent.types import Hit

logger = logging.getLogger(__name__)


def reranked(made: Callable[[], Reranker], query: str, hits: Sequence[Hit], most: int) -> list[Hit]:
    """The first `most` hits by the reranker's score, best first, then the others; all with the scores that they are ordered by."""
    read, rest = list(hits[:most]), list(hits[most:])
    try:
        scores = made().score(query, [embedded_text(hit.text, hit.scope, hit.role, hit.name, hit.at) for hit in read])
    except (RerankingError, ModelNotFoundError, MissingDependencyError) as error:
        logger.warning("hits keep the order of the search: %s", error)
        return [*read, *rest]
    if len(scores) != len(read):
        logger.warning("hits keep the order of the search: %d scores for %d texts", len(scores), len(read))
        return [*read, *rest]
    order = sorted(range(len(read)), key=lambda place: -scores[place])  # equals stay as the search had them
    least = min(scores, default=0.0)
    # What was not read comes after, in its order: a score of another kind would say otherwise.
    return [*(replace(read[place], score=scores[place]) for place in order), *(replace(hit, score=least) for hit in rest)]
