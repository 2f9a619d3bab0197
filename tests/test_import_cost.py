"""`import seal_agent` is free: the heavy libraries come with the backend that needs them, and every public name is there."""

import subprocess
import sys

import pytest

import seal_agent

BACKENDS = ("torch", "transformers", "peft", "chromadb")
HEAVY = (*BACKENDS, "langchain", "langchain_core", "sqlalchemy", "numpy")

WHAT_IT_LOADS = "import sys; import seal_agent; {}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"


def loaded_by(statement: str) -> set[str]:
    """The top-level modules of a new process that imported seal_agent and ran one statement."""
    command = [sys.executable, "-c", WHAT_IT_LOADS.format(statement)]
    return set(subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.split())


def test_importing_the_package_loads_no_heavy_library() -> None:
    assert loaded_by("pass").isdisjoint((*HEAVY, "pydantic"))


def test_pydantic_comes_with_settings_only() -> None:
    records, settings = loaded_by("seal_agent.ScopeId, seal_agent.Trace"), loaded_by("seal_agent.Settings")
    assert ("pydantic" in records, "pydantic" in settings) == (False, True)


def test_the_records_load_no_heavy_library() -> None:
    assert loaded_by("seal_agent.Episode, seal_agent.Fact, seal_agent.SealAgentError").isdisjoint(HEAVY)


def test_memory_is_a_name_before_it_is_a_backend() -> None:
    assert loaded_by("seal_agent.Memory").isdisjoint(BACKENDS)


@pytest.mark.parametrize("name", seal_agent.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(seal_agent, name) is not None


def test_every_lazy_name_is_public() -> None:
    assert set(seal_agent._HOMES) <= set(seal_agent.__all__)


@pytest.mark.parametrize("name", ["Memoir", "ledger_", "_private"])
def test_an_unknown_name_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match=f"'seal_agent' has no attribute '{name}'"):
        getattr(seal_agent, name)
