"""Answers in OpenAI's form: one object, or a stream of chunks as server-sent events. Pure functions over an answer.

What only this server knows (adapter, route, cited ids, the recorded episode) stands under `seal`; OpenAI's clients keep unknown fields.
"""

import uuid
from dataclasses import dataclass, field

from seal_agent.serialise import to_json
from seal_agent.types import Answer

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": waiting\n\n"
"""A comment: clients skip it, and nothing between us and them takes the silence for death."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What all chunks of one answer share."""

    model: str
    created: int
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")


def completion(heading: Heading, answer: Answer, episode_id: str | None) -> dict[str, object]:
    message = {"role": "assistant", "content": answer.text, "refusal": None}
    return {
        "id": heading.id,
        "object": "chat.completion",
        "created": heading.created,
        "model": heading.model,
        "system_fingerprint": answer.trace.adapter,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason(answer)}],
        "usage": usage(answer),
        "seal": provenance(answer, episode_id),
    }


def finish_reason(answer: Answer) -> str:
    return "stop" if answer.finished else "length"


def usage(answer: Answer) -> dict[str, int]:
    prompt, said = answer.trace.prompt_tokens, answer.trace.answer_tokens
    return {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said}


def provenance(answer: Answer, episode_id: str | None) -> dict[str, object]:
    trace = answer.trace
    return {"route": trace.route, "adapter": trace.adapter, "cited": trace.cited, "episode_id": episode_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunks:
    """Writes the chunks of one stream."""

    heading: Heading
    with_usage: bool

    def begin(self) -> bytes:
        return self._chunk({"role": "assistant", "content": ""})

    def piece(self, text: str) -> bytes:
        return self._chunk({"content": text})

    def end(self, answer: Answer, episode_id: str | None) -> bytes:
        """The last chunks: why it ended, with `seal`; the usage, if it was asked for; the mark of the end."""
        last = self._chunk({}, finish_reason(answer), {"seal": provenance(answer, episode_id)})
        tally = self._event([], {"usage": usage(answer)}) if self.with_usage else b""
        return last + tally + DONE

    def _chunk(self, delta: dict[str, str], reason: str | None = None, more: dict[str, object] | None = None) -> bytes:
        nothing_yet: dict[str, object] = {"usage": None} if self.with_usage else {}
        return self._event([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}], nothing_yet | (more or {}))

    def _event(self, choices: list[dict[str, object]], more: dict[str, object]) -> bytes:
        heading = {"id": self.heading.id, "object": "chat.completion.chunk", "created": self.heading.created, "model": self.heading.model}
        return event(heading | {"choices": choices} | more)


def event(value: object) -> bytes:
    return f"data: {to_json(value)}\n\n".encode("ascii")
