"""What goes to the terminal: a result for people or as one line of JSON, and errors as one red line.

stdout holds results only; progress, warnings and errors go to stderr. Remembered text can't move the cursor or colour the screen.
"""

import os
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import typer

from seal_agent.serialise import to_json

READER_GONE = 141
"""What a shell reports for a program that a closed pipe ended: 128 + SIGPIPE."""


def emit(value: object, show: Callable[[], None], *, as_json: bool) -> None:
    """Print a result: `show` for people, or the value as one line of JSON."""
    with quiet_pipe():
        if as_json:
            print(to_json(value))
        else:
            show()
        sys.stdout.flush()


@contextmanager
def quiet_pipe() -> Iterator[None]:
    """End without a word when the reader, `head` for one, has gone."""
    replace_what_the_terminal_lacks()
    try:
        yield
    except BrokenPipeError:
        silence_stdout()
        raise typer.Exit(READER_GONE) from None


def replace_what_the_terminal_lacks() -> None:
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")


def silence_stdout() -> None:
    """Give Python's last flush at exit somewhere to go."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_error(kind: str, message: str, *, as_json: bool) -> None:
    text = f"error: {printable(message)}"
    if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        text = f"\x1b[31m{text}\x1b[0m"
    with suppress(BrokenPipeError):
        print(text.encode(sys.stderr.encoding or "utf-8", "replace").decode(sys.stderr.encoding or "utf-8"), file=sys.stderr)
    if as_json:
        try:
            print(to_json({"error": {"type": kind, "message": message}}), flush=True)
        except BrokenPipeError:
            silence_stdout()


def printable(text: str) -> str:
    """Return the text without what could steer a terminal: control characters, and halves of characters."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in {"Cc", "Cs"} else "\N{REPLACEMENT CHARACTER}" for c in text)


def on_one_line(text: str) -> str:
    return " ".join(printable(text).split())
