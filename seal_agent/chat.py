"""The prompt that a question is asked with: by day, in study material and in evaluation the same.

An adapter learns its prompt with the rest: asked in another one it answers worse.
"""

from seal_agent.types import Turn


def question_prompt(system_prompt: str | None, question: str, context: str = "") -> tuple[Turn, ...]:
    """The chat up to the answer. What is remembered goes ahead of the question, in the user's message: small models heed it there best.

    None leaves the system message out, so that the chat template puts its own; "" is an empty system message.
    """
    asked = f"{context}\n\n{question}" if context else question
    system = () if system_prompt is None else (Turn(role="system", content=system_prompt),)
    return (*system, Turn(role="user", content=asked))
