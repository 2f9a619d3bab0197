"""One ReST-EM round: are the self-edits of the trained editor worth more than those of the untrained writer, on contexts it has not seen?

    python -m benchmarks.outer_loop [--quick] [--json] [--rounds N] [--reward gain|coverage|judge] [--folder PATH] [--minutes M] [--seed N]

SmolLM2-135M-Instruct practises on statements that come with the package (`consolidation/general/topics.jsonl`), one per topic, told as
facts of one person: 8 contexts of 3 facts, 3 self-edits each, 2 repeats of the inner loop, and 8 more contexts to judge on, on which both
writers write under the same policy with the same seeds. A reward is the rise of the held-out answers' log-probability over the base, less
the rise of the loss on general text, both in nats per token.

Every inner loop is kept under `--folder` (a brain) when it ends: killed, or ended by `--minutes` with exit code 3, the same command goes
on. `--quick` is 3 contexts of 2 facts, 2 self-edits, 2 repeats, 2 passes, 3 contexts to judge on.

`--json` prints one object on the last line:
  gain_untrained   mean reward of the untrained writer's self-edits on the unseen contexts; this and the next two are null, and contexts 0,
                   where nothing that the model wrote won, so that no editor was trained (state: skipped)
  gain_round1      the same of the editor after one round (gain_round2 with --rounds 2: null where round 1 was not promoted)
  ci95             of the difference round 1 - untrained, by bootstrap over the contexts
  contexts         unseen contexts judged on
  winner_curse     share of the winners' apparent gain that the repeats kept for reporting do not confirm; null with a cheap reward
  policies         mean reward per edit policy, by the reporting repeats
  state, judged, tried, written, refused, minutes    the gate's verdict; per context both rewards; per self-edit both halves; lines kept
                   and refused; of the last portion only
  trials, seeds    inner loops, and the seed

Not shown: other people's facts, larger models, an editor trained on more than one scope's winners.
"""

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from seal_agent.adapters.artefact import sweep
from seal_agent.config import PracticeSettings, Settings, TrainingSettings
from seal_agent.consolidation.bundled import topics
from seal_agent.consolidation.round_report import RoundReport, interval
from seal_agent.errors import CycleInterruptedError, SealAgentError
from seal_agent.memory import Memory
from seal_agent.types import Progress

STOPPED = 3
SPARE = 3
"""Statements told beyond those needed: some hold what is never trained on, some can't be asked for."""


def settings_of(quick: bool, reward: Any, seed: int) -> Settings:  # Any: one of the choices of the option
    small = {"contexts": 3, "unseen": 3, "facts_per_context": 2, "self_edits": 2, "passes": 2}
    whole = {"contexts": 8, "unseen": 8}
    practice = PracticeSettings(reward=reward, max_minutes=24 * 60, **(small if quick else whole))
    return Settings(practice=practice, training=TrainingSettings(isolated=False, seed=seed))


def tell(memory: Memory, settings: Settings, seed: int) -> None:
    """Tell one statement of as many topics as the round needs, if the brain is new."""
    scope = memory.scope(user="ana")
    if scope.facts():
        return
    practice = settings.practice
    # A third of the contexts at most is kept apart, so there are more to choose from than are practised on.
    wanted = (max(practice.contexts + practice.unseen, 3 * practice.unseen) + SPARE) * practice.facts_per_context
    order = random.Random(seed)
    for topic in order.sample(topics(), min(wanted, len(topics()))):
        scope.remember(order.choice(topic.statements))


def show(progress: Progress) -> None:
    if progress.stage.startswith(("inner", "judge")) and progress.detail:
        left = "" if progress.seconds_left is None else f", {progress.seconds_left / 60:.0f} min left"
        print(f"{progress.stage} {progress.done} of {progress.total}: {progress.detail}{left}", file=sys.stderr, flush=True)


def hold(folder: Path, settings: Settings, rounds: int, ends: float) -> list[RoundReport]:
    seed = settings.training.seed
    with Memory.open(folder, settings=settings) as memory:
        sweep(memory.folder / "adapters")
        tell(memory, settings, seed)
        scope = memory.scope(user="ana")
        reports: list[RoundReport] = []
        while len(reports) < rounds and all(report.state == "promoted" for report in reports):
            reports.append(scope.practice(progress=show, should_stop=lambda: time.monotonic() > ends))
    return reports


def summarise(reports: Sequence[RoundReport], settings: Settings) -> dict[str, Any]:
    first = reports[0]
    differences = [one.difference for one in first.judged]
    repeats = settings.practice.repeats
    chosen_by = repeats * len(first.tried) if settings.practice.reward == "gain" else 0
    return {
        "gain_untrained": first.gain_untrained,
        "gain_round1": first.gain_trained,
        "gain_round2": reports[1].gain_trained if len(reports) > 1 else None,
        "ci95": list(interval(differences)) if differences else None,
        "contexts": len(first.judged),
        "winner_curse": first.winner_curse,
        "policies": first.policies,
        "state": first.state,
        "judged": [[one.untrained, one.trained] for one in first.judged],
        "tried": [[one.context, one.policy.text, one.choosing, one.reporting] for one in first.tried],
        "written": sum(one.written for one in first.tried),
        "refused": sum(one.refused for one in first.tried),
        "minutes": sum(report.seconds for report in reports) / 60,
        "trials": chosen_by + 2 * repeats * len(first.judged),
        "seeds": [settings.training.seed],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="outer_loop", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="3 contexts x 2 self-edits x 2 repeats, 3 contexts to judge on")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    parser.add_argument("--rounds", type=int, default=1, help="a further round is held only if the one before was promoted (1)")
    parser.add_argument("--reward", choices=("gain", "coverage", "judge"), default="gain", help="what the winners are chosen by (gain)")
    parser.add_argument("--folder", type=Path, default=Path("outer-loop-benchmark"), help="where everything is kept between portions")
    parser.add_argument("--minutes", type=float, default=24 * 60.0, help="stop after so long; the same command goes on from there")
    parser.add_argument("--seed", type=int, default=0, help="which statements, and the seed of sampling and training (0)")
    options = parser.parse_args(arguments)
    settings = settings_of(options.quick, options.reward, options.seed)
    try:
        reports = hold(options.folder, settings, options.rounds, time.monotonic() + options.minutes * 60)
    except CycleInterruptedError:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return STOPPED
    except SealAgentError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    figures = summarise(reports, settings)
    for name in ("gain_untrained", "gain_round1", "ci95", "contexts", "winner_curse", "state"):
        print(f"{name:>16} {figures[name]}")
    if options.json:
        print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
