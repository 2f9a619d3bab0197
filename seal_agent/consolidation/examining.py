"""Judge a candidate: evaluate it beside the base, ask the gate, and where it drifts, scale it down and judge again.

The scale is found by bisection (STABLE, arXiv 2510.16089) on the cheap measures, general questions and perplexity; recall is asked once
more at the scale found.
"""

import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from seal_agent.adapters.artefact import verify
from seal_agent.adapters.scale import scaled
from seal_agent.consolidation.evaluation import MAX_REPLY_TOKENS
from seal_agent.consolidation.gate import decide, drifted, general, perplexity
from seal_agent.consolidation.preparing import Lesson
from seal_agent.consolidation.run import Run, Staged
from seal_agent.errors import IntegrityError
from seal_agent.types import Adapter, Decision, Evaluation, Sheet, TrainingResult

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was judged, where its files are, and what the gate said."""

    path: Path
    """Relative to the cycle's workplace."""
    evaluation: Evaluation
    decision: Decision


def weights_of(run: Run, made: Verdict | TrainingResult) -> list[Path]:
    """The files that a step's result stands on."""
    return sorted(file for file in (run.workplace / made.path).iterdir() if file.is_file())


def examine(run: Run, lesson: Lesson, staged: Staged, live: Adapter | None) -> Verdict:
    """Evaluate base, incumbent and candidate on the same questions and decide."""
    examiner = run.examiner
    run.say("evaluate", 0, 3, "base")
    baseline = examiner.sheet(None, lesson.held_out, lesson.earlier)
    incumbent = None
    if live is not None and lesson.earlier and is_sound(run, live):
        run.say("evaluate", 1, 3, "live adapter")
        run.backends.model.load_adapter(live.name, run.backends.folder / live.path)
        incumbent = Sheet(
            adapter=live.name,
            held_out=(),
            retained=tuple(examiner.ask(live.name, lesson.earlier, MAX_REPLY_TOKENS)),
            general=baseline.general,
            perplexity=baseline.perplexity,
        )
    run.say("evaluate", 2, 3, "candidate")
    name = load(run, staged, staged.folder)
    candidate = examiner.sheet(name, lesson.held_out, lesson.earlier)
    evaluation = Evaluation(baseline=baseline, candidate=candidate, incumbent=incumbent, seed=run.seed)
    if drifted(evaluation, run.backends.settings.gate):
        return scaled_down(run, lesson, staged, evaluation)
    return Verdict(path=Path(staged.folder.name), evaluation=evaluation, decision=decide(evaluation, run.backends.settings.gate))


def is_sound(run: Run, live: Adapter) -> bool:
    """Whether the live adapter's files may be loaded. Damaged ones can't answer by day either, so there is nothing to compare with."""
    try:
        verify(run.backends.folder / live.path, run.backends.base_sha256)
    except IntegrityError as error:
        logger.warning("the live adapter %s is damaged and not compared with: %s", live.name, error)
        return False
    return True


def scaled_down(run: Run, lesson: Lesson, staged: Staged, evaluation: Evaluation) -> Verdict:
    """Bisect for the largest scale at which the candidate harms nothing, and judge it whole there."""
    settings = run.backends.settings.gate
    low, high = 0.0, 1.0
    best: tuple[float, Path, str] | None = None
    for step in range(settings.scale_steps):
        scale = (low + high) / 2
        if scale < settings.min_scale:
            break
        run.say("scale", step, settings.scale_steps, f"x{scale:.3g}")
        folder = run.workplace / f"scaled-{step}"
        shutil.rmtree(folder, ignore_errors=True)  # of a process that died here
        name = load(run, staged, scaled(staged.folder, folder, scale))
        if harmless(run, evaluation, name):
            low, best = scale, (scale, folder, name)
        else:
            high = scale
    if best is None:
        return Verdict(path=Path(staged.folder.name), evaluation=evaluation, decision=decide(evaluation, settings))
    scale, folder, name = best
    candidate = run.examiner.sheet(name, lesson.held_out, lesson.earlier)
    judged = replace(evaluation, candidate=candidate, scale=scale)
    return Verdict(path=Path(folder.name), evaluation=judged, decision=decide(judged, settings))


def harmless(run: Run, evaluation: Evaluation, name: str) -> bool:
    """Whether a smaller candidate leaves the rest alone: perplexity first, one pass, and general questions only where that holds."""
    settings = run.backends.settings.gate
    tried = replace(evaluation, candidate=replace(evaluation.candidate, perplexity=run.examiner.perplexity(name)))
    if not perplexity(tried, settings).passed:
        return False
    graded, _ = run.examiner.general(name)
    return general(replace(tried, candidate=replace(tried.candidate, general=graded)), settings).passed


def load(run: Run, staged: Staged, folder: Path) -> str:
    """Make a candidate answerable under a name of its own."""
    name = f"candidate-{run.id}-{len(staged.loaded)}"
    run.backends.model.load_adapter(name, folder)
    staged.loaded.append(name)
    return name
