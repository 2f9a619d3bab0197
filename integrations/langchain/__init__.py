"""LangChain and LangGraph: a chat model, a memory for agents, a store, a retriever, tools, a recorder.

    from seal_agent.integrations.langchain import ChatSeal, SealMemoryMiddleware

Names are loaded on first use, so that a retriever costs no agent runtime. Modules of this package import one another relatively: under
their installed names a type checker can't follow them.
"""

import importlib
from typing import Any

_HOMES = {
    "ChatSeal": "chat",
    "LangChainEmbedder": "embeddings",
    "LangChainWriter": "writer",
    "SealCallbackHandler": "recorder",
    "SealEmbeddings": "embeddings",
    "SealMemoryMiddleware": "middleware",
    "SealRetriever": "retriever",
    "SealStore": "store",
    "create_manage_memory_tool": "tools",
    "create_search_memory_tool": "tools",
}

__all__ = [  # each is defined where _HOMES says
    "ChatSeal",
    "LangChainEmbedder",
    "LangChainWriter",
    "SealCallbackHandler",
    "SealEmbeddings",
    "SealMemoryMiddleware",
    "SealRetriever",
    "SealStore",
    "create_manage_memory_tool",
    "create_search_memory_tool",
]


def __getattr__(name: str) -> Any:  # Any: each name has the type that its own module gives it
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
