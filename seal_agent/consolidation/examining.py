"""Judge a candidate: evaluate it beside the base, ask the gate, and where it drifts, scale it down and judge again.

The scale is found by bisection (STABLE, arXiv 2510.16089): perplexity and divergence, one pass over a text each, decide at every scale;
what the model must write answers for is asked only where those hold, and only what failed at full size. Recall is asked once more at the
scale found.
"""

import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from seal_agent.adapters.artefact import verify
from seal_agent.adapters.scale import scaled
from seal_agent.consolidation.bundled import general_questions
from seal_agent.consolidation.evaluation import MAX_GENERAL_TOKENS, MAX_REPLY_TOKENS
from seal_agent.consolidation.gate import PROBES, decide, divergence, drifted, general, harms, perplexity, probes, with_context
from seal_agent.consolidation.inspecting import inspected, of_writer
from seal_agent.consolidation.preparing import Lesson
from seal_agent.consolidation.run import Run, Staged
from seal_agent.errors import IntegrityError
from seal_agent.types import Adapter, Check, Decision, Evaluation, Sheet, TrainingResult

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
    if live is not None and is_sound(run, live):
        run.say("evaluate", 1, 3, "live adapter")
        run.backends.model.load_adapter(live.name, run.backends.folder / live.path)
        incumbent = Sheet(
            adapter=live.name,
            held_out=(),
            retained=tuple(examiner.ask(live.name, lesson.earlier, MAX_REPLY_TOKENS)),
            general=baseline.general,
            perplexity=baseline.perplexity,
            with_context=examiner.with_context(live.name, lesson.held_out),
        )
    run.say("evaluate", 2, 3, "candidate")
    name = load(run, staged, staged.folder)
    candidate = examiner.sheet(name, lesson.held_out, lesson.earlier)
    evaluation = Evaluation(baseline=baseline, candidate=candidate, incumbent=incumbent, seed=run.seed)
    if drifted(evaluation, run.backends.settings.gate):
        return scaled_down(run, lesson, staged, evaluation)
    return verdict(run, lesson, staged.folder, evaluation)


def verdict(run: Run, lesson: Lesson, folder: Path, evaluation: Evaluation) -> Verdict:
    """Look through what the candidate says, and ask the gate."""
    settings = run.backends.settings
    seen = inspected(evaluation, run.examiner, lesson.examples, settings, of_writer(lesson.material.items))
    return Verdict(path=Path(folder.name), evaluation=seen, decision=decide(seen, settings.gate))


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
    best: tuple[float, Path, Sheet] | None = None
    for step in range(settings.scale_steps):
        scale = (low + high) / 2
        if scale < settings.min_scale:
            break
        run.say("scale", step, settings.scale_steps, f"x{scale:.3g}")
        folder = run.workplace / f"scaled-{step}"
        shutil.rmtree(folder, ignore_errors=True)  # of a process that died here
        tried = harmless(run, lesson, evaluation, load(run, staged, scaled(staged.folder, folder, scale)))
        if tried is not None:
            low, best = scale, (scale, folder, tried)
        else:
            high = scale
    if best is None:
        return verdict(run, lesson, staged.folder, evaluation)
    scale, folder, already = best
    candidate = run.examiner.sheet(already.adapter, lesson.held_out, lesson.earlier, already)
    return verdict(run, lesson, folder, replace(evaluation, candidate=candidate, scale=scale))


def harmless(run: Run, lesson: Lesson, evaluation: Evaluation, name: str) -> Sheet | None:
    """What was measured of a smaller candidate if it leaves the rest alone, the cheapest first; None at the first harm.

    What did not fail at full size is not asked here: a smaller update does less of everything, and the gate sees it all at the end.
    """
    settings, examiner = run.backends.settings.gate, run.examiner
    failed = {check.name for check in harms(evaluation, settings) if not check.passed}
    tried = replace(evaluation.candidate, adapter=name, perplexity=examiner.perplexity(name), kl=examiner.kl(name), general=(), probes=())

    def passes(*checks: Check) -> bool:
        return all(check.passed for check in checks)

    judged = replace(evaluation, candidate=tried)
    if not passes(perplexity(judged, settings), divergence(judged, settings)):
        return None
    if failed & set(PROBES):
        tried = replace(tried, probes=examiner.probes(name))
        if not passes(*(probes(kind, replace(evaluation, candidate=tried), settings) for kind in PROBES)):
            return None
    if "general" in failed:
        tried = replace(tried, general=tuple(examiner.ask(name, general_questions(), MAX_GENERAL_TOKENS)))
        if not passes(general(replace(evaluation, candidate=tried), settings)):
            return None
    if "with context" in failed:
        shown = replace(tried, with_context=examiner.with_context(name, lesson.held_out))
        if not passes(with_context(replace(evaluation, candidate=shown), settings)):
            return None
    return tried


def load(run: Run, staged: Staged, folder: Path) -> str:
    """Make a candidate answerable under a name of its own."""
    name = f"candidate-{run.id}-{len(staged.loaded)}"
    run.backends.model.load_adapter(name, folder)
    staged.loaded.append(name)
    return name
