"""The model card of an adapter: what it is, in numbers, for whoever finds the folder.

Never what it was taught: a fact's text has no place outside the ledger. Deliberately plain text made from the manifest alone.
"""

import json

from seal_agent.adapters.manifest import Manifest


def model_card(manifest: Manifest) -> str:
    """Render README.md with the front matter that model hubs read."""
    sections = [front_matter(manifest), about(manifest), taught(manifest), evaluated(manifest), how_to_load(manifest)]
    return "\n\n".join(sections) + "\n"


def front_matter(manifest: Manifest) -> str:
    # A JSON string is a YAML string too, whatever the id holds.
    return f"---\nbase_model: {json.dumps(manifest.base_id)}\nlibrary_name: peft\ntags:\n- lora\n- seal-agent\n---"


def about(manifest: Manifest) -> str:
    return (
        f"# {manifest.name}\n\n"
        f"A LoRA adapter trained by seal-agent {manifest.code_version} on {manifest.created_at:%Y-%m-%d}: rank {manifest.rank},"
        f" alpha {manifest.alpha:g}, seed {manifest.seed}, scale {manifest.scale:g}.\n"
        f"It fits one base only: weights with SHA-256 `{manifest.base_sha256}`"
        + (f", tokenizer with SHA-256 `{manifest.tokenizer_sha256}`" if manifest.tokenizer_sha256 else "")
        + (f", revision `{manifest.base_revision}`" if manifest.base_revision else "")
        + "."
    )


def taught(manifest: Manifest) -> str:
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(manifest.self_edits.items())) or "none"
    training = manifest.training
    return (
        "## Training\n\n"
        f"{len(manifest.facts)} facts; items of study material by kind: {kinds}.\n"
        f"{training.passes} passes, {training.steps} steps, {training.trained_tokens} tokens, {training.seconds:.1f} s"
        + (f"; mean loss of the last pass {training.losses[-1]:.3f} nats per token." if training.losses else ".")
    )


def evaluated(manifest: Manifest) -> str:
    figures = manifest.evaluation
    if figures is None:
        return "## Evaluation\n\nNot evaluated when it was published."
    rows = [
        f"| held-out recall ({figures.held_out} questions) | {percent(figures.baseline_recall)} | {percent(figures.candidate_recall)} |",
        f"| general accuracy ({figures.general} questions) | {percent(figures.baseline_general)} | {percent(figures.candidate_general)} |",
        f"| perplexity ratio | 1 | {figures.perplexity_ratio:.3f} |",
    ]
    return "\n".join(["## Evaluation", "", "| | base | this adapter |", "|---|---|---|", *rows])


def percent(value: float | None) -> str:
    return "not asked" if value is None else f"{value:.0%}"


def how_to_load(manifest: Manifest) -> str:
    return (
        "## Use\n\n```python\n"
        "from peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n\n"
        f"base = AutoModelForCausalLM.from_pretrained({json.dumps(manifest.base_id)})\n"
        f'model = PeftModel.from_pretrained(base, "path/to/{manifest.name}")\n'
        "```"
    )
