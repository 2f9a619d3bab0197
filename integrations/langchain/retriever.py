"""SealRetriever: what a scope remembers, as LangChain documents. Deliberately the search of the brain and nothing on top."""

from typing import Any

from seal_agent.errors import MissingDependencyError
from seal_agent.retrieval.where import Conditions
from seal_agent.scope import Scope
from seal_agent.types import Hit

try:
    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever
except ImportError as error:
    raise MissingDependencyError("LangChain is not installed: pip install 'langchain-core>=1.7,<2'") from error
from pydantic import ConfigDict, Field


class SealRetriever(BaseRetriever):
    """Find turns and facts of a scope: `SealRetriever(scope=memory.scope(user="ana"), k=4)`.

    `k` and `where` (conditions as in `Scope.search`) may also be given per call. Metadata says where a text is from and when it was said.

    >>> import tempfile
    >>> from seal_agent import Memory
    >>> from seal_agent.testing import HashEmbedder
    >>> with tempfile.TemporaryDirectory() as folder, Memory.open(folder, embedder=HashEmbedder()) as memory:
    ...     ana = memory.scope(user="ana")
    ...     _ = ana.add("I'm vegetarian.")
    ...     [document.page_content for document in SealRetriever(scope=ana).invoke("what may she eat?")]
    ["I'm vegetarian."]
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    scope: Scope = Field(exclude=True, repr=False)
    k: int | None = None
    """Most documents; None is the brain's setting."""
    where: Conditions | None = None

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None, where: Conditions | None = None
    ) -> list[Document]:
        hits = self.scope.search(query, self.k if k is None else k, where=self.where if where is None else where)
        return [to_document(hit) for hit in hits]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None, where: Conditions | None = None
    ) -> list[Document]:
        hits = await self.scope.asearch(query, self.k if k is None else k, where=self.where if where is None else where)
        return [to_document(hit) for hit in hits]


def to_document(hit: Hit) -> Document:
    """The text, with where it is from; ids are those of the brain, so that a citation leads back to it."""
    metadata: dict[str, Any] = {
        "source": hit.source,
        "episode_id": hit.episode_id,
        "fact_id": hit.fact_id,
        "role": hit.role,
        "at": hit.at.isoformat(),
        "scope": hit.scope.key,
        "score": hit.score,
    }
    return Document(page_content=hit.text, metadata=metadata, id=hit.fact_id or hit.episode_id)
