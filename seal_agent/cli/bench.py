"""`bench`: public benchmarks, run here."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seal_agent.cli.output import emit
from seal_agent.cli.progress import progress_bar

if TYPE_CHECKING:
    from seal_agent.bench.locomo import LocomoScore

group = typer.Typer(help="Measure this installation with public benchmarks.", no_args_is_help=True)


@group.callback()
def bench() -> None:
    """Measure this installation with public benchmarks."""


@group.command()
def locomo(
    data: Annotated[Path, typer.Option("--data", help="LoCoMo's locomo10.json, from https://github.com/snap-research/locomo.")],
    vectors: Annotated[Path | None, typer.Option("--vectors", help="A file to keep vectors in: a second run embeds nothing.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Find the turns that answer LoCoMo's questions: recall@{1,5,10,20,50} in percent, of all conversations and of the held-back five.

    Settings come from SEAL_* variables: SEAL_RETRIEVAL__DENSE_WEIGHT=0 SEAL_RETRIEVAL__NEAR_WEIGHT=0 measures search without vectors. Times
    are without the embedding of the query.
    """
    from seal_agent.bench import locomo as benchmark
    from seal_agent.bench.vectors_on_file import VectorsOnFile
    from seal_agent.builders import build_embedder
    from seal_agent.config import Settings
    from seal_agent.memory import Memory

    conversations = benchmark.read_locomo(data)
    settings = Settings.load()
    with progress_bar() as progress, tempfile.TemporaryDirectory(prefix="seal-locomo-") as folder:
        embedder = VectorsOnFile(build_embedder(settings.retrieval.embedder, progress), vectors, progress)
        with Memory.open(folder, settings=settings, embedder=embedder) as memory:
            benchmark.record(memory, conversations, progress)
            embedder.embed([question.text for one in conversations for question in one.questions])
            embedder.save()
            asked = benchmark.ask(memory, conversations, progress)
    held_back = benchmark.test_half(asked)
    both = {"all": benchmark.score(asked)} | ({"test": benchmark.score(held_back)} if held_back else {})
    result = {
        **plain_score(both["all"]),
        "test": plain_score(both["test"]) if "test" in both else None,
        "unresolved": sum(one.unresolved for one in conversations),
        "embedder": embedder.id,
        "weights": {name: value for name, value in settings.retrieval.model_dump().items() if name.endswith("_weight")},
    }
    emit(result, lambda: show(both), as_json=json)


def plain_score(score: "LocomoScore") -> dict[str, object]:
    from seal_agent.serialise import plain

    plained = plain(score)
    assert isinstance(plained, dict)
    return plained


def show(scores: "dict[str, LocomoScore]") -> None:
    print(f"{'recall@k in percent':<28}{'n':>6}{'@1':>7}{'@5':>7}{'@10':>7}{'@20':>7}{'@50':>7}   p50 / p95 ms")
    for name, score in scores.items():
        figures = plain_score(score)
        label = "all conversations" if name == "all" else "held back (5 to 9)"
        line(label, figures, f"   {score.p50_ms:.1f} / {score.p95_ms:.1f}")
        for category, of in score.categories.items():
            line(f"  {category.replace('_', '-')}", dict(of))


def line(label: str, figures: dict[str, object], end: str = "") -> None:
    cells = "".join(f"{figures[f'recall_at_{cut}']:>7.1f}" for cut in (1, 5, 10, 20, 50))
    print(f"{label:<28}{figures['n']:>6.0f}{cells}{end}")
