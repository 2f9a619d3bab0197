"""A recipe: how the demonstrations of a task are multiplied and trained on, as a typed JSON record. SEAL's few-shot self-edit.

After SEAL's (arXiv 2506.10943), in this project's terms: augmentations, loss on all or output tokens, rate, epochs. People wrote the
grids of `by_hand`; the model may write more, which are parsed strictly: what is not exactly a recipe is refused with its reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from seal_agent.few_shot.task import Kind, Task, short
from seal_agent.protocols import TextWriter
from seal_agent.types import Turn

Augmentation = Literal[
    "leave_one_out",
    "permutation",
    "lower_case",
    "word_dropout",
    "rotations",
    "flips",
    "transposes",
    "colours",
    "sizes",
    "chains",
    "repeats",
]
FOR_ALL: frozenset[str] = frozenset({"leave_one_out", "permutation"})
FOR_TEXT: frozenset[str] = frozenset({"lower_case", "word_dropout"}) | FOR_ALL
FOR_GRIDS: frozenset[str] = frozenset(get_args(Augmentation)) - FOR_TEXT | FOR_ALL
MAX_TOKENS = 128
"""Of a written recipe: SEAL's limit."""
SHOWN = 3
"""Demonstrations that the model sees when it writes a recipe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one adapter is trained on one task's demonstrations.

    >>> parse('{"augmentations": ["lower_case"], "loss_on": "answer", "learning_rate": 0.001, "epochs": 6}', "text").epochs
    6
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    augmentations: tuple[Augmentation, ...]
    """leave_one_out: the other demonstrations stand in the prompt. permutation: in changing orders."""
    loss_on: Literal["answer", "all"]
    learning_rate: Annotated[float, Field(ge=1e-5, le=1e-2, allow_inf_nan=False)]
    epochs: Annotated[int, Field(ge=1, le=40)]

    @property
    def shows(self) -> bool:
        """Whether demonstrations stand in the prompt."""
        return "leave_one_out" in self.augmentations

    @property
    def text(self) -> str:
        """The recipe as one line of JSON, always the same for the same recipe."""
        return RECIPE.dump_json(self).decode()


RECIPE = TypeAdapter(Recipe)
KEYS = frozenset(one.name for one in fields(Recipe))


def recipe(*augmentations: Augmentation, rate: float, epochs: int, loss_on: Literal["answer", "all"] = "answer") -> Recipe:
    return Recipe(augmentations=augmentations, loss_on=loss_on, learning_rate=rate, epochs=epochs)


def by_hand(kind: Kind) -> tuple[Recipe, ...]:
    """The recipes that people wrote, for texts or for grids."""
    if kind == "grid":
        return (
            recipe("leave_one_out", rate=1e-3, epochs=6),
            recipe("leave_one_out", "rotations", "flips", "transposes", rate=1e-3, epochs=2),
            recipe("leave_one_out", "permutation", "rotations", "flips", "transposes", "colours", rate=1e-3, epochs=2),
            recipe("leave_one_out", "rotations", "flips", "sizes", "chains", rate=5e-4, epochs=2),
        )
    return (
        recipe(rate=1e-3, epochs=4),
        recipe("lower_case", "word_dropout", rate=1e-3, epochs=2),
        recipe(rate=2e-3, epochs=6),
        recipe(rate=3e-4, epochs=4),
        recipe(rate=1e-3, epochs=3, loss_on="all"),
        recipe("leave_one_out", rate=1e-3, epochs=1),
    )


def parse(text: str, kind: Kind) -> Recipe:
    """Read a written recipe, which may stand among other words; raise `ValueError` with the reason for anything else."""
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        raise ValueError("no JSON object")
    try:
        found = RECIPE.validate_json(text[start : end + 1])
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in wrong["loc"]) or "recipe"
        ours = not wrong["loc"] or wrong["loc"][0] in KEYS  # a key of the writer's own may quote a demonstration
        raise ValueError(f"{place if ours else 'a key of its own'}: {wrong['type']}") from error
    if not set(found.augmentations) <= (FOR_TEXT if kind == "text" else FOR_GRIDS):
        raise ValueError(f"an augmentation that is not for {kind}s")
    if len(set(found.augmentations)) < len(found.augmentations):
        raise ValueError("an augmentation twice")
    return found


def asking_for_one(task: Task) -> tuple[Turn, ...]:
    """The chat that ends where the model writes a recipe for this task; the worked examples are recipes that people wrote."""
    allowed = ", ".join(sorted(FOR_TEXT if task.kind == "text" else FOR_GRIDS))
    head = (
        "Write a training recipe for a task as one line of JSON with the keys augmentations (any of: "
        f"{allowed}), loss_on (answer or all), learning_rate (0.00001 to 0.01) and epochs (1 to 40)."
    )
    chat = [Turn(role="system", content=head)]
    for example in by_hand(task.kind)[:2]:
        chat += [Turn(role="user", content="Another task."), Turn(role="assistant", content=example.text)]
    cases = "\n".join(f"{short(one.input, 120)} -> {short(one.output, 120)}" for one in task.demonstrations[:SHOWN])
    return (*chat, Turn(role="user", content=f"{len(task.demonstrations)} demonstrations, such as:\n{cases}"))


def sampled(task: Task, writer: TextWriter, count: int, temperature: float, seed: int, adapter: str | None = None) -> list[Recipe | str]:
    """Have the model write `count` recipes; return each, or the reason why it is none."""
    prompts = [asking_for_one(task)] * count
    replies = writer.generate(prompts, adapter=adapter, max_tokens=MAX_TOKENS, temperature=temperature, seed=seed) if count else []
    found: list[Recipe | str] = []
    for reply in replies:
        try:
            found.append(parse(reply.text, task.kind))
        except ValueError as error:
            found.append(str(error))
    return found


def written(
    task: Task, writer: TextWriter, count: int, temperature: float, seed: int, known: Sequence[Recipe], adapter: str | None = None
) -> tuple[list[Recipe], dict[str, int]]:
    """Have the model write `count` recipes; return those that are new and sound, and how many were refused for which reason."""
    kept: list[Recipe] = []
    refused: dict[str, int] = {}
    for found in sampled(task, writer, count, temperature, seed, adapter):
        reason = found if isinstance(found, str) else "known already" if found in (*known, *kept) else None
        if reason is not None:
            refused[reason] = refused.get(reason, 0) + 1
        elif isinstance(found, Recipe):
            kept.append(found)
    return kept, refused
