"""LangChain's own suites for chat models (langchain-tests), over a scripted engine: every case that applies, no case overridden."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from seal_agent.integrations.langchain import ChatSeal

from seal_agent.memory import Memory
from seal_agent.scope import Scope
from seal_agent.testing import HashEmbedder, ScriptedModel
from tests.integrations.langchain.scripted import engine


@pytest.fixture(scope="module", autouse=True)
def brain() -> Iterator[None]:
    """One brain for the module; the suites read their parameters from properties, which can't ask for fixtures."""
    parts: dict[str, Any] = {"model": ScriptedModel(engine), "embedder": HashEmbedder()}
    with tempfile.TemporaryDirectory() as folder, Memory.open(Path(folder), **parts) as memory:
        Scripted.scope = memory.scope(user="ana", agent="support")
        yield


class Scripted:
    scope: Scope

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatSeal  # type: ignore[no-any-return]  # a type checker can't follow the installed name

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"scope": self.scope}

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "seal-agent:base"

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True


class TestChatSealUnit(Scripted, ChatModelUnitTests):
    """langchain-tests: ChatModelUnitTests."""


class TestChatSealIntegration(Scripted, ChatModelIntegrationTests):
    """langchain-tests: ChatModelIntegrationTests, scripted engine."""
