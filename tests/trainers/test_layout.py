"""A batch laid out for the trained layers: packed or padded, the same comes of it."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch

from seal_agent.config import TrainingSettings
from seal_agent.models.local import LocalModel
from seal_agent.trainers import frozen, layout
from seal_agent.trainers.frozen import Item, Upper, fill
from seal_agent.trainers.layout import PACKED_TOKENS, can_pack, grouped, packed, pays, sees
from seal_agent.trainers.lora import FILL_TOKENS, LoraTrainer
from tests.chat_models import ANCHORS, FACTS, TINY, fact

SAME = fact("where is the river", "in paris .")
EXAMPLES = [*FACTS, *ANCHORS, SAME, SAME, fact("where is the river please", "in oslo .")]


@dataclass
class Plain:
    """A row whose states are its token ids."""

    ids: list[int]
    start: int
    entering: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.entering = torch.tensor(self.ids, dtype=torch.float32)[:, None]


def test_what_rows_begin_with_is_there_once_and_seen_by_all_of_them() -> None:
    rows = [Plain([1, 2, 3, 4, 5, 6], 5), Plain([9, 8, 7, 6, 5], 2), Plain([1, 2, 3, 4, 7], 4)]
    laid = packed(rows)
    assert laid.hidden[0, :, 0].tolist() == [1, 2, 3, 4, 5, 6, 7, 9, 8, 7, 6, 5]
    assert laid.how["position_ids"].tolist() == [[0, 1, 2, 3, 4, 5, 4, 0, 1, 2, 3, 4]]
    # What predicts the answers' tokens: the fifth of the first row, then 8, 7, 6 of the second, then the fourth that two rows share.
    assert laid.hidden[0, laid.places, 0].tolist() == [5, 8, 7, 6, 4]
    seen = laid.how["attention_mask"][0, 0] == 0
    assert [[int(laid.hidden[0, key, 0]) for key in range(12) if seen[query, key]] for query in (5, 6, 8)] == [
        [1, 2, 3, 4, 5, 6],
        [1, 2, 3, 4, 7],
        [9, 8],
    ]


def test_rows_alone_alike_or_within_one_another_are_grouped() -> None:
    assert [(group.rows, group.shared) for group in grouped([[1, 2, 3, 4, 5], [1, 2, 3, 4], [1, 2, 3, 4, 5], [1, 2], [7]])] == [
        ([0, 1, 2], 4),
        ([3], 2),
        ([4], 1),
    ]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([list(range(60))] * 8, True, id="short"),
        pytest.param([[row] * PACKED_TOKENS for row in range(4)], False, id="long, and nothing in common"),
        pytest.param([[*range(2 * PACKED_TOKENS), -row] for row in range(4)], True, id="long, and all in common but the last"),
    ],
)
def test_rows_are_packed_where_it_pays(rows: list[list[int]], expected: bool) -> None:
    assert pays(rows) is expected


def test_a_token_sees_nothing_of_another_row() -> None:
    seen = sees(torch.tensor([0, 0, 1, 2]), torch.tensor([0, 0, 0, 0]))
    assert seen.int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 0, 1]]


def filled(model: LocalModel) -> tuple[Upper, list[Item]]:
    trainer = LoraTrainer(model, TrainingSettings(**TINY))
    view, items = trainer._new_adapter(0, 2), trainer._encode(EXAMPLES)
    fill(model, items, 2, FILL_TOKENS)
    return Upper(view.get_base_model(), model.head, 2), items  # type: ignore[arg-type]  # peft types it as Module


def test_packed_rows_come_out_as_padded_ones_do(chat_model: LocalModel) -> None:
    upper, items = filled(chat_model)
    wanted = upper.last_hidden(items)
    upper.check(chat_model, items)
    assert upper._packs
    torch.testing.assert_close(upper.last_hidden(items), wanted, rtol=1e-4, atol=1e-5)
    assert packed(items).hidden[0].shape[0] < sum(len(item.ids) for item in items)


@pytest.mark.parametrize("window", ["sliding_window", "text_config"])
def test_rows_longer_than_the_window_are_not_packed(window: str) -> None:
    narrow = SimpleNamespace(sliding_window=6)
    config = narrow if window == "sliding_window" else SimpleNamespace(text_config=narrow)
    assert (can_pack(config, 6), can_pack(config, 7), can_pack(SimpleNamespace(), 7)) == (True, False, True)


def test_a_model_whose_attention_takes_no_such_mask_is_trained_with_padding(
    chat_model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    upper, items = filled(chat_model)

    def refused(batch: list[Item]) -> layout.Layout:
        raise ValueError("a mask of two dimensions is wanted")

    monkeypatch.setattr(frozen, "packed", refused)
    upper.check(chat_model, items)
    assert not upper._packs


def test_rows_that_see_one_another_are_noticed(chat_model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "sees", lambda segments, _: torch.ones(len(segments), len(segments), dtype=torch.bool).tril())
    upper, items = filled(chat_model)
    upper.check(chat_model, items)
    assert not upper._packs
