"""What `serve` binds to, what it refuses to bind to, and that it ends in order."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from seal_agent.errors import UsageError
from seal_agent.memory import Memory
from seal_agent.server import slow_heads
from seal_agent.server.run import check_open, is_loopback, listen
from tests.cli.conftest import Cli
from tests.server.conftest import SUPPORT, make_app
from tests.server.running import running
from tests.waiting import LONG

ROOT = Path(__file__).parents[2]
FAKES = """
import sys
from tests.brains import open_brain
from seal_agent.cli import main, session
session.open_memory = lambda folder, progress: open_brain(folder, {"capital of France": "Paris"})
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("127.8.8.8", True),
        ("0.0.0.0", False),
        ("::", False),
        ("memory.local", False),
    ],
)
def test_only_this_machines_own_addresses_are_loopback(host: str, is_local: bool) -> None:
    assert is_loopback(host) == is_local


def test_without_keys_nobody_else_is_let_near() -> None:
    check_open("127.0.0.1", has_keys=False)
    check_open("0.0.0.0", has_keys=True)
    with pytest.raises(UsageError, match="keys create"):
        check_open("0.0.0.0", has_keys=False)


def test_an_address_that_is_taken_or_none_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UsageError, match="can't be bound"):
        listen("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(UsageError, match=r"203\.0\.113\.1"):
        listen("203.0.113.1", 0)


def test_serve_refuses_the_world_without_keys_and_what_it_does_not_know(cli: Cli) -> None:
    assert "no API keys" in cli("serve", "--host", "0.0.0.0").err
    assert cli("serve", "--port", "70000").code == 2
    assert "--log-format" in cli("serve", "--log-format", "xml").err


def test_a_connection_that_never_says_what_it_wants_is_closed(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(make_app(memory, local=SUPPORT)) as server, socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.settimeout(LONG)
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in slow.recv(4096)
        monkeypatch.setattr(slow_heads, "HEAD_SECONDS", 0.3)  # not before: on a busy machine the whole head took longer
        slow.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        while slow.recv(4096):  # what is left of the first answer
            pass
        monkeypatch.undo()
        assert httpx2.get(f"{server.url}/healthz", timeout=LONG).status_code == 200


def test_a_length_that_is_a_lie_leads_nowhere(memory: Memory) -> None:
    head = b"POST /v1/memory/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with running(make_app(memory, local=SUPPORT, body_seconds=0.3)) as server:
        for lie in (
            b"Content-Length: 99999\r\n\r\n{}",
            b"Content-Length: -1\r\n\r\n{}",
            b"Content-Length: 2\r\nContent-Length: 9\r\n\r\n{}",
        ):
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.settimeout(LONG)
                client.sendall(head + lie)
                assert client.recv(4096).startswith(b"HTTP/1.1 4")
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.settimeout(LONG)
            client.sendall(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 4")
        assert httpx2.get(f"{server.url}/healthz", timeout=LONG).status_code == 200


@pytest.mark.slow
def test_serve_says_where_it_listens_answers_and_ends_in_order(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FAKES, "serve", "--brain", str(tmp_path / "brain"), "--port", "0", "--json", "--log-format", "json"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})
    assert process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        assert said["keys"] is False
        assert json.loads((tmp_path / "brain" / ".lock-owner").read_text())["url"] == said["url"]
        asked = {"model": "seal-agent", "messages": [{"role": "user", "content": "What is the capital of France?"}]}
        answer = httpx2.post(f"{said['url']}/chat/completions", json=asked, timeout=LONG)
        assert answer.json()["choices"][0]["message"]["content"] == "Paris"
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=LONG)
    assert process.returncode in {0, -signal.SIGTERM}
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert any(line["logger"] == "seal_agent.server.boundary" for line in lines)
    assert "France" not in err
