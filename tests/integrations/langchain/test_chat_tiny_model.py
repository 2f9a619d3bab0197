"""LangChain's suite for chat models on a real local model, tiny and random: every case that asks for no skill in calling tools."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from seal_agent.integrations.langchain import ChatSeal

from seal_agent.memory import Memory
from seal_agent.scope import Scope
from seal_agent.testing import HashEmbedder


@pytest.fixture(scope="module", autouse=True)
def brain(chat_folder: Path) -> Iterator[None]:
    from tests.chat_models import open_chat_model  # here, because it loads torch

    model = open_chat_model(chat_folder)
    with tempfile.TemporaryDirectory() as folder, Memory.open(Path(folder), model=model, embedder=HashEmbedder()) as memory:
        TestChatSealTinyModel.scope = memory.scope(user="ana")
        yield
    model.close()


@pytest.mark.slow
class TestChatSealTinyModel(ChatModelIntegrationTests):
    """langchain-tests: ChatModelIntegrationTests, a random Llama."""

    scope: Scope

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatSeal  # type: ignore[no-any-return]  # a type checker can't follow the installed name

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"scope": self.scope, "max_tokens": 8}

    @property
    def has_tool_calling(self) -> bool:
        return False

    @property
    def has_structured_output(self) -> bool:
        return False

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "seal-agent:base"
