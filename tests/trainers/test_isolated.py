"""Training in a child process gives the same bytes, and whatever becomes of the child, the agent is told why and goes on."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from seal_agent.config import ModelSettings, TrainingSettings
from seal_agent.errors import CycleInterruptedError, GenerationError, StoreFullError, TrainingError
from seal_agent.testing import InstantTrainer
from seal_agent.trainers import isolated
from seal_agent.trainers.isolated import IsolatedTrainer, Weights
from seal_agent.types import Example, Progress, TrainingResult, Turn, silent
from tests.waiting import LONG

EXAMPLE = Example(prompt=(Turn(role="user", content="where does ana go ?"),), answer="ana lives in oslo .", fact_id="f")
STOPS_AT_STEP_5 = """
import os, signal, sys
from seal_agent.trainers import worker
say = worker.say
def say_and_stop(out, message):
    say(out, message)
    if message.get("progress", {}).get("done") == 5:
        os.kill(os.getpid(), signal.SIGSTOP)
worker.say = say_and_stop
sys.exit(worker.main())
"""
"""The real worker, which waits to be killed: by itself it may be done before the parent reads of step 5."""
READ = "import sys, os, json, time; job = json.loads(sys.stdin.readline());"


def trainer(script: str, **changed: Any) -> IsolatedTrainer:  # Any: fields of TrainingSettings
    """A trainer whose child runs this script after it has read its job."""
    weights = Weights(folder=Path("nowhere"), id="none", settings=ModelSettings())
    return IsolatedTrainer(InstantTrainer(), weights, TrainingSettings(**changed), (sys.executable, "-c", READ + script))


def train(
    used: IsolatedTrainer,
    out: Path,
    progress: Callable[[Progress], None] = silent,
    should_stop: Callable[[], bool] = lambda: False,
    examples: Sequence[Example] = (EXAMPLE,),
) -> TrainingResult:
    return used.train(examples, probes=(), out=out, seed=0, progress=progress, should_stop=should_stop)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("os.kill(os.getpid(), 9)", "ended by SIGKILL, as the system does when memory runs out; the agent goes on"),
        ("os.kill(os.getpid(), 11)", "ended by SIGSEGV; the agent goes on"),
        ("sys.exit(7)", "ended with code 7 and without a result"),
        ("sys.exit('the disk is on fire')", "Its last words: the disk is on fire"),
        ("pass", "ended with code 0 and without a result"),
        ("print('this is no message')", "without a result"),
        ("print(json.dumps({'error': {'type': 'KeyError', 'message': 'x'}}))", "Training failed: KeyError: x"),
    ],
)
def test_a_child_that_dies_is_a_training_error_with_the_reason_and_leaves_nothing(script: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=reason):
        train(trainer(f"os.makedirs(job['out']); {script}"), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_room_is_made_before_the_child_begins(tmp_path: Path) -> None:
    made: list[bool] = []
    begin = trainer("print(json.dumps({'error': {'type': 'TrainingError', 'message': 'enough'}}))")
    begin._make_room = lambda: made.append((tmp_path / "out").exists())
    with pytest.raises(TrainingError, match="enough"):
        train(begin, tmp_path / "out")
    assert made == [False]


def test_an_error_of_ours_keeps_its_name(tmp_path: Path) -> None:
    script = "print(json.dumps({'error': {'type': 'GenerationError', 'message': 'out of memory'}}))"
    with pytest.raises(GenerationError, match="out of memory"):
        train(trainer(script), tmp_path / "out")


def test_a_child_that_takes_too_much_memory_is_ended(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"over training.max_memory_mb=80; raise it, or lower training.batch_size"):
        train(trainer("held = bytearray(200 << 20); time.sleep(600)", max_memory_mb=80), tmp_path / "out")


def test_a_child_that_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "START_SECONDS", 0.3)
    with pytest.raises(TrainingError, match=r"longer than training.max_minutes"):
        train(trainer("time.sleep(600)", max_minutes=1e-3), tmp_path / "out")


def test_a_child_that_falls_silent_and_stays_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "STOP_SECONDS", 0.1)
    with pytest.raises(TrainingError, match="fell silent"):
        train(trainer("os.close(1); time.sleep(60)"), tmp_path / "out")


def test_a_disk_without_room_is_told_before_anything_is_started(tmp_path: Path) -> None:
    with pytest.raises(StoreFullError, match=r"training.min_free_mb"):
        train(trainer("", min_free_mb=1 << 40), tmp_path / "out")


def test_a_stop_is_passed_on_and_a_child_that_does_not_listen_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "STOP_SECONDS", 0.5)
    started = time.monotonic()
    for script in ("sys.exit(sys.stdin.readline() != 'stop\\n')", "time.sleep(600)"):
        with pytest.raises(CycleInterruptedError, match="stopped on request"):
            train(trainer(script), tmp_path / "out", should_stop=lambda: True)
    assert time.monotonic() - started < LONG


def test_a_child_goes_when_a_step_of_progress_raises(tmp_path: Path) -> None:
    line = "print(json.dumps({'progress': {'stage': 'train', 'done': 1, 'total': 2}}), flush=True); time.sleep(600)"

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    others = psutil.Process().children()  # of other tests: multiprocessing keeps some
    with pytest.raises(KeyboardInterrupt):
        train(trainer(line), tmp_path / "out", progress=interrupt)
    assert not [child for child in psutil.Process().children() if child not in others and child.status() != psutil.STATUS_ZOMBIE]


def test_a_folder_that_exists_is_refused_and_left_alone(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="exists already"):
        train(trainer(""), tmp_path)
    assert tmp_path.exists()


@pytest.mark.slow
def test_a_real_worker_of_low_priority_is_killed_and_another_goes_on_to_the_bytes_of_an_undisturbed_training(
    chat_folder: Path, tmp_path: Path
) -> None:
    from tests.chat_models import ANCHORS, FACTS, TINY, open_chat_model, teach

    model = open_chat_model(chat_folder)
    weights = Weights(folder=chat_folder, id="tiny", settings=ModelSettings(dtype="float32", threads=1))
    lowered: list[int] = []
    steps: list[int] = []
    others = psutil.Process().children()

    def look(step: Progress) -> None:
        steps.append(step.done)
        if step.done == 5 and not lowered:
            [child] = [child for child in psutil.Process().children() if child not in others]
            lowered.append(child.nice() - psutil.Process().nice())
            child.kill()

    def run(command: Sequence[str]) -> TrainingResult:
        worker = IsolatedTrainer(InstantTrainer(), weights, TrainingSettings(**TINY), command)
        out, kept = tmp_path / "child", tmp_path / "passes.bin"
        return worker.train([*FACTS, *ANCHORS], probes=(), out=out, seed=0, progress=look, should_stop=lambda: False, checkpoint=kept)

    with pytest.raises(TrainingError, match="ended by SIGKILL"):
        run((sys.executable, "-P", "-c", STOPS_AT_STEP_5))
    killed_after = len(steps)
    result = run(isolated.WORKER)
    here = teach(model, [*FACTS, *ANCHORS], tmp_path / "here")
    files = [tmp_path / name / "adapter_model.safetensors" for name in ("child", "here")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert (result.steps, result.losses) == (here.steps, here.losses)
    assert steps[killed_after] > 1, "it began again"
    assert lowered[0] > 0 or os.nice(0) >= 10


@pytest.mark.slow
def test_a_worker_whose_parent_is_gone_ends(chat_folder: Path) -> None:
    worker = subprocess.Popen(isolated.WORKER, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert worker.stdin is not None
    weights = ModelSettings(dtype="float32", threads=1)
    job = isolated.Job(
        model_folder=chat_folder,
        model_id="tiny",
        model=weights,
        training=TrainingSettings(max_passes=10**6, target_loss=0.0),
        examples=(EXAMPLE,),
        probes=(),
        out=chat_folder / "never",
        seed=0,
    )
    worker.stdin.write(isolated.JOB.dump_json(job) + b"\n")
    worker.stdin.flush()
    threading.Timer(1.0, worker.stdin.close).start()
    assert worker.wait(LONG) == 3
