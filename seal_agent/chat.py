"""The prompt that a question is asked with: by day, in study material and in evaluation the same.

An adapter learns its prompt with the rest: asked in another one it answers worse.
"""

from collections.abc import Sequence
from dataclasses import replace

from seal_agent.errors import UsageError
from seal_agent.types import Turn


def question_prompt(system_prompt: str | None, question: str, context: str = "") -> tuple[Turn, ...]:
    """The chat up to the answer. What is remembered goes ahead of the question, in the user's message: small models heed it there best.

    None leaves the system message out, so that the chat template puts its own; "" is an empty system message.
    """
    return chat_prompt(system_prompt, (Turn(role="user", content=question),), context)


def chat_prompt(system_prompt: str | None, turns: Sequence[Turn], context: str = "") -> tuple[Turn, ...]:
    """The same for a whole conversation: what is remembered goes ahead of the user's last message; a system message of its own wins."""
    place = last_question(turns)
    asked = turns[place]
    if context:
        asked = replace(asked, content=f"{context}\n\n{asked.content}")
    own = system_prompt is None or any(turn.role == "system" for turn in turns)
    system = () if own else (Turn(role="system", content=system_prompt or ""),)
    return (*system, *turns[:place], asked, *turns[place + 1 :])


def without_system(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The same for a chat template that refuses system messages (Gemma 2): what they say stands ahead of the user's first message."""
    told = "\n\n".join(turn.content for turn in turns if turn.role == "system" and turn.content)
    rest = [turn for turn in turns if turn.role != "system"]
    if told and rest and rest[0].role == "user":
        rest[0] = replace(rest[0], content=f"{told}\n\n{rest[0].content}")
    elif told or not rest:
        rest.insert(0, Turn(role="user", content=told))
    return tuple(rest)


def last_question(turns: Sequence[Turn]) -> int:
    """Return the place of the user's last message; raise `UsageError` when the user said nothing."""
    for place in range(len(turns) - 1, -1, -1):
        if turns[place].role == "user":
            return place
    raise UsageError("There is nothing to answer: the conversation holds no message of the user.")
