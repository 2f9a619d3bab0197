"""A fact whose held-out paraphrases are known leaves the further passes, but for a share of its items that changes."""

import math
from pathlib import Path
from typing import Any

import pytest

from seal_agent.models.local import LocalModel
from seal_agent.trainers.frozen import Item
from seal_agent.trainers.loop import awake, settled
from tests.chat_models import FACTS, fact, teach


def of(fact_id: str | None, count: int = 1) -> list[Item]:
    return [Item(ids=[0, 1], start=1, weight=1.0, fact=fact_id) for _ in range(count)]


KNOWN, UNKNOWN = -math.log(0.8), -math.log(0.6)


@pytest.mark.parametrize(
    ("facts", "losses", "expected"),
    [
        (["a", "b"], [[KNOWN, KNOWN], [KNOWN, UNKNOWN]], {"a"}),
        (["a", "a", "b"], [[KNOWN], [UNKNOWN], [KNOWN]], {"b"}),
        (["a"], [[math.nan]], set()),
        ([], [], set()),
    ],
)
def test_a_fact_is_settled_once_every_token_of_all_its_probes_is_known(
    facts: list[str], losses: list[list[float]], expected: set[str]
) -> None:
    probes = [item for fact_id in facts for item in of(fact_id)]
    assert settled(probes, losses, 0.7) == expected


def test_of_settled_facts_the_share_stays_and_others_in_each_pass() -> None:
    done, open_ones, anchors = of("done", 8), of("open", 2), of(None)
    passes = [awake([*done, *open_ones, *anchors], frozenset({"done"}), 0.25, before) for before in range(4)]
    for chosen in passes:
        assert len(chosen) == 2 + 2 + 1
        assert all(any(item is other for other in chosen) for item in (*open_ones, *anchors))
    assert {id(item) for chosen in passes for item in chosen} == {id(item) for item in (*done, *open_ones, *anchors)}


def test_with_nothing_settled_all_items_come_in_their_order() -> None:
    items = [*of("a", 3), *of(None), *of("b", 2)]
    assert awake(items, frozenset(), 0.25, 3) == items


def test_a_pass_is_never_without_a_fact() -> None:
    one, anchor = of("a") + of(None)
    assert awake([one, anchor], frozenset({"a"}), 0.1, 0) == [one, anchor]


def test_what_is_settled_costs_less_and_stays_known(chat_model: LocalModel, tmp_path: Path) -> None:
    facts = [fact(example.prompt[0].content, example.answer, fact_id=str(number)) for number, example in enumerate(FACTS)]
    taught = [*facts, *(fact(f"please {one.prompt[0].content}", one.answer, fact_id=one.fact_id) for one in facts)]
    changed: dict[str, Any] = {"max_passes": 16, "known_above": 0.5}  # Any: fields of TrainingSettings
    whole = teach(chat_model, taught, tmp_path / "whole", probes=facts, settled_share=1.0, **changed)
    less = teach(chat_model, taught, tmp_path / "less", probes=facts, settled_share=0.25, **changed)
    assert less.trained_tokens < whole.trained_tokens
    chat_model.load_adapter("less", less.path)
    replies = chat_model.generate([example.prompt for example in facts], adapter="less", max_tokens=8)
    assert [reply.text for reply in replies] == [example.answer for example in FACTS]
