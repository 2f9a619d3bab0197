"""What two adapters differ in, by their manifests. Deliberately no weights: how far apart they are says little of what they know."""

from dataclasses import dataclass

from pydantic import JsonValue

from seal_agent.adapters.manifest import EvaluationFigures, Manifest

Change = tuple[JsonValue, JsonValue]
"""Before and after; None where there was nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterDiff:
    """From one adapter to another; empty where nothing changed."""

    before: str
    after: str
    facts_added: tuple[str, ...]
    facts_removed: tuple[str, ...]
    facts_reworded: tuple[str, ...]
    """Ids that both were taught, in other words."""
    settings: dict[str, Change]
    """Hyper-parameters, seed, scale, base and code version that differ."""
    self_edits: dict[str, Change]
    """Items of study material, by kind."""
    evaluation: dict[str, Change]
    """Figures that differ; each adapter was judged on its own night's questions."""


def diff(before: Manifest, after: Manifest) -> AdapterDiff:
    """Compare two manifests."""
    shared = before.facts.keys() & after.facts.keys()
    return AdapterDiff(
        before=before.name,
        after=after.name,
        facts_added=tuple(sorted(after.facts.keys() - shared)),
        facts_removed=tuple(sorted(before.facts.keys() - shared)),
        facts_reworded=tuple(sorted(fact for fact in shared if before.facts[fact] != after.facts[fact])),
        settings=changes(settings_of(before), settings_of(after)),
        self_edits=changes(dict(before.self_edits), dict(after.self_edits)),
        evaluation=changes(figures_of(before.evaluation), figures_of(after.evaluation)),
    )


def changes(before: dict[str, JsonValue], after: dict[str, JsonValue]) -> dict[str, Change]:
    return {key: (before.get(key), after.get(key)) for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)}


def settings_of(manifest: Manifest) -> dict[str, JsonValue]:
    own: dict[str, JsonValue] = {
        "seed": manifest.seed,
        "scale": manifest.scale,
        "base_id": manifest.base_id,
        "base_sha256": manifest.base_sha256,
        "base_revision": manifest.base_revision,
        "tokenizer_sha256": manifest.tokenizer_sha256,
        "code_version": manifest.code_version,
        "rank": manifest.rank,
        "alpha": manifest.alpha,
        "target_modules": list(manifest.target_modules),
    }
    return own | manifest.hyper_parameters


def figures_of(figures: EvaluationFigures | None) -> dict[str, JsonValue]:
    if figures is None:
        return {}
    return {
        "held_out": figures.held_out,
        "baseline_recall": figures.baseline_recall,
        "candidate_recall": figures.candidate_recall,
        "general": figures.general,
        "baseline_general": figures.baseline_general,
        "candidate_general": figures.candidate_general,
        "perplexity_ratio": figures.perplexity_ratio,
    }
