"""How a benchmark tells what it is doing: on stderr, so that stdout ends with its figures."""

import sys


def report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
