"""What the adapters' tests run in other processes, to be killed or starved of disk."""

import resource
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

from seal_agent.adapters.artefact import publish
from seal_agent.errors import SealAgentError
from tests.adapters.forge import manifest_of, stage


def publish_until_killed(root: Path, first: int, pipe: Pipe) -> None:
    """Send the name of every adapter once it is published."""
    for version in range(first, first + 1_000_000):
        staged = stage(root / f".stage-trainer-{version}")
        pipe.send(publish(staged, root, manifest_of(staged, version)).name)


def publish_to_a_full_disk(root: Path, most_bytes: int, pipe: Pipe) -> None:
    """Send the name of the error that publishing raises when no file may grow beyond `most_bytes`."""
    staged = stage(root / ".stage-trainer")
    manifest = manifest_of(staged)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        publish(staged, root, manifest)
        pipe.send("published")
    except SealAgentError as error:
        pipe.send(type(error).__name__)
