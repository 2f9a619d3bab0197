"""What every `Model` promises, held over each implementation."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from seal_agent.errors import GenerationError, IntegrityError
from seal_agent.protocols import Model
from seal_agent.testing import InstantTrainer, ScriptedModel
from seal_agent.types import Example, Turn, silent

ASKED = (Turn(role="user", content="where does ana go ?"),)
OTHERS = [(Turn(role="user", content=text),) for text in ("what is water ?", "say no no no no no no", "zebra")]
ANSWERS = {"oslo": "ana lives in oslo .", "rome": "ben eat rice ."}


@dataclass(frozen=True)
class Case:
    make: Callable[[], Model]
    adapters: dict[str, Path]
    """Folders of adapters that answer `ASKED` with `ANSWERS`."""


def scripted(tmp_path: Path) -> Case:
    for name, answer in ANSWERS.items():
        example = Example(prompt=ASKED, answer=answer, fact_id="f")
        InstantTrainer().train([example], probes=(), out=tmp_path / name, seed=0, progress=silent, should_stop=lambda: False)
    script = {"water": "red soup in the street", "no": "never ever at all", "ana": "tea is good"}
    return Case(make=lambda: ScriptedModel(script), adapters={name: tmp_path / name for name in ANSWERS})


@pytest.fixture(params=["scripted", pytest.param("local", marks=pytest.mark.slow)])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    if request.param == "scripted":
        return scripted(tmp_path)
    from tests.chat_models import open_chat_model  # here, because it loads torch

    folder: Path = request.getfixturevalue("chat_folder")
    return Case(make=lambda: open_chat_model(folder), adapters=request.getfixturevalue("lora_folders"))


@pytest.fixture
def model(case: Case) -> Model:
    return case.make()


def text_of(model: Model, adapter: str | None = None) -> str:
    return model.generate([ASKED], adapter=adapter, max_tokens=8)[0].text


def test_no_prompts_give_no_answers_and_no_items_no_scores(model: Model) -> None:
    assert model.generate([]) == []
    assert model.score([]) == []


def test_answers_come_in_the_order_of_the_prompts(model: Model) -> None:
    prompts = [ASKED, *OTHERS]
    answers = model.generate(prompts, max_tokens=6)
    assert model.generate(prompts[::-1], max_tokens=6) == answers[::-1]
    assert len({answer.text for answer in answers}) > 1


def test_greedy_answers_are_the_same_each_time_and_in_each_model_of_one_id(case: Case, model: Model) -> None:
    again = case.make()
    assert again.id == model.id
    assert model.generate(OTHERS, max_tokens=6) == model.generate(OTHERS, max_tokens=6, seed=7) == again.generate(OTHERS, max_tokens=6)


def test_an_answer_that_reaches_the_limit_is_not_finished(model: Model, case: Case) -> None:
    model.load_adapter("oslo", case.adapters["oslo"])
    cut, whole = (model.generate([ASKED], adapter="oslo", max_tokens=limit)[0] for limit in (2, 20))
    assert (cut.text, cut.tokens, cut.finished) == ("ana lives", 2, False)
    assert (whole.text, whole.tokens, whole.finished) == (ANSWERS["oslo"], 5, True)


def test_scores_are_log_probabilities_one_list_per_item_in_order(model: Model) -> None:
    items: list[Any] = [(ASKED, "ana lives in oslo ."), (OTHERS[0], "no"), ((), "the river is long .")]  # Any: prompts of two lengths
    scores = model.score(items)
    assert model.score(items[::-1])[::-1] == [pytest.approx(values, abs=1e-5) for values in scores]
    assert [bool(values) for values in scores] == [True] * 3
    assert all(value <= 0 and math.isfinite(value) for values in scores for value in values)
    assert len(scores[0]) > len(scores[1])


def test_an_adapter_answers_as_it_was_taught_and_the_base_as_before(model: Model, case: Case) -> None:
    before = text_of(model)
    for name, folder in case.adapters.items():
        model.load_adapter(name, folder)
    assert {name: text_of(model, name) for name in case.adapters} == ANSWERS
    assert text_of(model) == before
    assert before not in ANSWERS.values()


def test_what_an_adapter_was_taught_is_likelier_with_it(model: Model, case: Case) -> None:
    model.load_adapter("oslo", case.adapters["oslo"])
    with_it, without = (sum(model.score([(ASKED, ANSWERS["oslo"])], adapter=name)[0]) for name in ("oslo", None))
    assert with_it > without


def test_loading_is_idempotent_and_a_name_means_one_folder_for_ever(model: Model, case: Case) -> None:
    model.load_adapter("oslo", case.adapters["oslo"])
    model.load_adapter("oslo", case.adapters["oslo"])
    with pytest.raises(GenerationError, match=r"'oslo'.*used once"):
        model.load_adapter("oslo", case.adapters["rome"])
    assert text_of(model, "oslo") == ANSWERS["oslo"]


@pytest.mark.parametrize("damage", ["no folder", "no weights", "no config", "cut off"])
def test_files_that_do_not_fit_are_refused_and_the_name_stays_free(damage: str, model: Model, case: Case, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    for file in case.adapters["oslo"].iterdir() if damage != "no folder" else ():
        folder.mkdir(exist_ok=True)
        if (damage, file.name) not in {("no weights", "adapter_model.safetensors"), ("no config", "adapter_config.json")}:
            (folder / file.name).write_bytes(file.read_bytes()[: 40 if damage == "cut off" else None])
    with pytest.raises(IntegrityError, match="damaged"):
        model.load_adapter("oslo", folder)
    with pytest.raises(GenerationError, match="not loaded"):
        text_of(model, "oslo")
    model.load_adapter("oslo", case.adapters["oslo"])


def test_an_adapter_that_is_not_loaded_or_no_longer_is_an_error_that_names_it(model: Model, case: Case) -> None:
    model.unload_adapter("never loaded")
    model.load_adapter("oslo", case.adapters["oslo"])
    model.unload_adapter("oslo")
    for ask in (lambda: text_of(model, "oslo"), lambda: model.score([(ASKED, "no")], adapter="oslo")):
        with pytest.raises(GenerationError, match="'oslo' is not loaded"):
            ask()
    model.load_adapter("oslo", case.adapters["oslo"])
    assert text_of(model, "oslo") == ANSWERS["oslo"]


def test_tokens_are_counted_without_special_ones(model: Model) -> None:
    assert [model.count_tokens(text) for text in ("", "no", "ana lives in oslo .")] == [0, 1, 5]


def test_after_close_every_call_is_an_error(model: Model, case: Case) -> None:
    model.load_adapter("oslo", case.adapters["oslo"])
    model.close()
    model.close()
    calls: list[Callable[[], object]] = [
        lambda: model.generate([ASKED]),
        lambda: model.generate([]),
        lambda: model.generate([ASKED], adapter="oslo"),
        lambda: model.score([(ASKED, "no")]),
        lambda: model.load_adapter("rome", case.adapters["rome"]),
        lambda: model.count_tokens("no"),
    ]
    for call in calls:
        with pytest.raises(GenerationError):
            call()
