"""Every integration says what to install where its host is missing, and none costs anything before it is asked for."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HOSTS = {
    "agent_framework": ("agent_framework", "agent-framework-core"),
    "crewai": ("crewai", "crewai"),
    "llama_index": ("llama_index", "llama-index-core"),
    "openai_agents": ("agents", "openai-agents"),
    "pydantic_ai": ("pydantic_ai", "pydantic-ai-slim"),
    "langchain.chat": ("langchain_core", "langchain-core"),
    "langchain.embeddings": ("langchain_core", "langchain-core"),
    "langchain.middleware": ("langchain", "langchain"),
    "langchain.recorder": ("langchain_core", "langchain-core"),
    "langchain.retriever": ("langchain_core", "langchain-core"),
    "langchain.store": ("langgraph.store.base", "langgraph"),
    "langchain.tools": ("langchain_core", "langchain-core"),
    "langchain.writer": ("langchain_core", "langchain-core"),
}
WITHOUT = """
import importlib, sys
from seal_agent.errors import MissingDependencyError
for pair in sys.argv[1:]:
    module, absent = pair.split("=")
    sys.modules[absent] = None
    try:
        importlib.import_module(f"seal_agent.integrations.{module}")
    except MissingDependencyError as error:
        print(module, error)
    del sys.modules[absent]
    for name in [name for name in sys.modules if name.startswith("seal_agent.integrations.")]:
        del sys.modules[name]
"""


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    """What each module says when its host is absent."""
    pairs = [f"{module}={absent}" for module, (absent, _) in HOSTS.items()]
    done = subprocess.run([sys.executable, "-c", WITHOUT, *pairs], capture_output=True, text=True, check=True, timeout=120)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


@pytest.mark.parametrize("module", HOSTS)
def test_a_missing_host_is_named_with_the_line_that_installs_it(said: dict[str, str], module: str) -> None:
    assert re.search(rf"pip install '{HOSTS[module][1]}>=[\d.]+,<\d+'", said[module])


def test_every_host_has_its_lines_in_the_readme() -> None:
    folder = Path(__file__).parents[2] / "integrations"
    readme = (folder / "README.md").read_text(encoding="utf-8")
    for path in folder.glob("*.py"):
        if path.stem not in ("__init__", "mcp"):  # MCP is a server of ours, not a host's plugin
            assert f"seal_agent.integrations.{path.stem} import" in readme
