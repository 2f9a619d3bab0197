"""What runs in the training process: `python -m seal_agent.trainers.worker`, started by `isolated.py` and of no use by hand.

Reads one job from stdin, trains, and answers on stdout in lines of JSON: progress, then a result or an error. A second line, "stop", asks
it to stop; the end of stdin means that whoever wanted the adapter is gone, so it ends at once. Lowers its own priority first.
"""

import dataclasses
import json
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

from seal_agent.errors import SealAgentError
from seal_agent.models.local import LocalModel
from seal_agent.trainers.chosen import chosen
from seal_agent.trainers.isolated import JOB, PROGRESS, RESULT, Job, Message
from seal_agent.types import Progress

NICE = 10
"""Steps below whatever started it: requests come first."""
FIRST_TO_GO = "1000"
"""Linux: when memory runs out, this process is ended and not the agent."""
ORPHANED = 3


def main() -> int:
    lower_priority()
    out = take_stdout()
    job = JOB.validate_json(sys.stdin.buffer.readline())
    stop = threading.Event()
    threading.Thread(target=listen, args=(stop,), daemon=True).start()
    try:
        say(out, {"result": work(job, out, stop)})
    except SealAgentError as error:
        say(out, {"error": {"type": type(error).__name__, "message": str(error)}})
    return 0


def work(job: Job, out: IO[str], stop: threading.Event) -> object:
    model = LocalModel(job.model_folder, job.model_id, job.model)

    def progress(step: Progress) -> None:
        say(out, {"progress": PROGRESS.dump_python(step, mode="json")})

    result = chosen(model, job.training).train(
        job.examples,
        probes=job.probes,
        out=job.out,
        seed=job.seed,
        progress=progress,
        should_stop=stop.is_set,
        checkpoint=job.checkpoint,
    )
    return RESULT.dump_python(dataclasses.replace(result), mode="json")


def lower_priority() -> None:
    """As far as the system allows it."""
    process = psutil.Process()
    with suppress(psutil.Error, OSError, AttributeError):
        process.nice(NICE if os.name != "nt" else psutil.BELOW_NORMAL_PRIORITY_CLASS)
    with suppress(psutil.Error, OSError, AttributeError):
        process.ionice(psutil.IOPRIO_CLASS_IDLE)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO, encoding="ascii")


def take_stdout() -> IO[str]:
    """Keep stdout for messages: what libraries print goes to stderr."""
    mine = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(mine, "w", encoding="utf-8")


def listen(stop: threading.Event) -> None:
    for line in sys.stdin.buffer:
        if line.strip() == b"stop":
            stop.set()
    os._exit(ORPHANED)  # nobody reads the result any more


def say(out: IO[str], message: Message) -> None:
    out.write(json.dumps(message) + "\n")
    out.flush()


if __name__ == "__main__":
    sys.exit(main())
