"""LangChain's own suites (langchain-tests) for the retriever, the tools and the embeddings, no case overridden."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool
from langchain_tests.integration_tests import EmbeddingsIntegrationTests, RetrieversIntegrationTests, ToolsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests, ToolsUnitTests
from seal_agent.integrations.langchain import SealEmbeddings, SealRetriever, create_manage_memory_tool, create_search_memory_tool

from seal_agent.scope import Scope
from seal_agent.testing import HashEmbedder
from tests.brains import open_brain


@pytest.fixture(scope="module", autouse=True)
def brain() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder, open_brain(Path(folder)) as memory:
        Remembering.scope = memory.scope(user="ana")
        for number in range(6):
            Remembering.scope.add(f"I like tea of kind {number}.")
        yield


class Remembering:
    scope: Scope


class TestSealRetriever(Remembering, RetrieversIntegrationTests):
    """langchain-tests: RetrieversIntegrationTests."""

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return SealRetriever  # type: ignore[no-any-return]  # a type checker can't follow the installed name

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"scope": self.scope}

    @property
    def retriever_query_example(self) -> str:
        return "which tea?"


class Search(Remembering):
    @property
    def tool_constructor(self) -> BaseTool:
        return create_search_memory_tool(self.scope)  # type: ignore[no-any-return]

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"query": "tea", "limit": 2}


class Manage(Remembering):
    @property
    def tool_constructor(self) -> BaseTool:
        return create_manage_memory_tool(self.scope)  # type: ignore[no-any-return]

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"content": "Ana likes tea."}


class TestSearchToolUnit(Search, ToolsUnitTests):
    """langchain-tests: ToolsUnitTests, search_memory."""


class TestSearchToolIntegration(Search, ToolsIntegrationTests):
    """langchain-tests: ToolsIntegrationTests, search_memory."""


class TestManageToolUnit(Manage, ToolsUnitTests):
    """langchain-tests: ToolsUnitTests, manage_memory."""


class TestManageToolIntegration(Manage, ToolsIntegrationTests):
    """langchain-tests: ToolsIntegrationTests, manage_memory."""


class Embedding:
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return SealEmbeddings  # type: ignore[no-any-return]

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"embedder": HashEmbedder()}


class TestSealEmbeddingsUnit(Embedding, EmbeddingsUnitTests):
    """langchain-tests: EmbeddingsUnitTests."""


class TestSealEmbeddingsIntegration(Embedding, EmbeddingsIntegrationTests):
    """langchain-tests: EmbeddingsIntegrationTests."""
