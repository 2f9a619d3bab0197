"""Recipes are typed: what people wrote is sound, what a model writes is read strictly."""

import pytest

from seal_agent.few_shot.recipe import asking_for_one, by_hand, parse, written
from seal_agent.few_shot.task import Kind, to_task
from seal_agent.testing import ScriptedModel

TASK = to_task("intent", [("one", "a"), ("two", "b"), ("three", "c")])
SOUND = '{"augmentations":["lower_case"],"loss_on":"answer","learning_rate":0.0005,"epochs":7}'


@pytest.mark.parametrize("kind", ["text", "grid"])
def test_recipes_by_hand_are_read_back_as_they_are(kind: Kind) -> None:
    assert [parse(one.text, kind) for one in by_hand(kind)] == list(by_hand(kind))


def test_a_recipe_may_stand_among_other_words() -> None:
    assert parse(f"Sure! {SOUND} Good luck.", "text").epochs == 7


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no idea", "no JSON object"),
        ("{oops}", "json_invalid"),
        (SOUND.replace("7", "0"), "epochs"),
        (SOUND.replace("7", '"7"'), "epochs"),
        (SOUND.replace("0.0005", "1.0"), "learning_rate"),
        (SOUND.replace("0.0005", "NaN"), "learning_rate"),
        (SOUND.replace("answer", "prompt"), "loss_on"),
        (SOUND.replace("lower_case", "rotations"), "not for text"),
        (SOUND.replace('"lower_case"', '"lower_case","lower_case"'), "twice"),
        (SOUND.replace('"epochs"', '"passes"'), "epochs|a key of its own"),
        (SOUND.replace("}", ',"I want my kettle back":1}'), "^a key of its own"),
    ],
)
def test_what_is_not_exactly_a_recipe_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(text, "text")


def test_the_model_is_asked_with_worked_examples_and_its_repeats_do_not_count() -> None:
    replies = iter([SOUND, SOUND, by_hand("text")[0].text, "I'd train for long."])
    model = ScriptedModel(lambda _: next(replies))
    kept, refused = written(TASK, model, 4, 0.8, 0, by_hand("text"))
    assert [one.text for one in kept] == [SOUND]
    assert refused == {"known already": 2, "no JSON object": 1}
    assert {call.temperature for call in model.calls} == {0.8}
    assert "one -> a" in asking_for_one(TASK)[-1].content
