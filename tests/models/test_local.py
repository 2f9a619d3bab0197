"""The local model answers and scores as a plain forward pass would, and one adapter never shows in another's answers."""

import gc
import random
import threading
import weakref
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from seal_agent.errors import GenerationError, ModelNotFoundError
from seal_agent.models import batches
from seal_agent.models.batches import batches_by_length, common_prefix
from seal_agent.models.engine import Engine
from seal_agent.models.local import LocalModel, pick_dtype
from seal_agent.models.requests import Row
from seal_agent.types import Turn
from tests.chat_models import ANSWERS, ASKED, VOCABULARY, WORDS, asking, hash_of_base, open_chat_model, save_chat_model, save_tokenizer

Prompts = list[list[Turn]]


def many_prompts(count: int = 24) -> Prompts:
    """Of one to forty words, in no order."""
    draw = random.Random(0)
    return asking(*(" ".join(draw.choices(WORDS, k=draw.randint(1, 40))) for _ in range(count)))


def one_by_one(model: LocalModel, prompts: Prompts) -> list[str]:
    return [model.generate([prompt], max_tokens=8)[0].text for prompt in prompts]


def test_a_batch_gets_the_answers_that_its_prompts_get_alone_in_their_order(chat_folder: Path) -> None:
    model = open_chat_model(chat_folder, batch_tokens=150)  # so that there are several batches, each with padding
    prompts = many_prompts()
    alone = one_by_one(model, prompts)
    assert len(set(alone)) > len(prompts) // 2
    assert [answer.text for answer in model.generate(prompts, max_tokens=8)] == alone


def test_a_long_common_beginning_is_run_once_and_changes_no_answer(chat_model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    beginning = " ".join(random.Random(1).choices(WORDS, k=60))
    prompts = asking(*(f"{beginning} {end}" for end in ("red", "blue fish", "what is water ?", "no")))
    runs: list[int] = []
    fill = Engine._fill

    def noted(engine: Engine, row: Row) -> int:
        runs.append(fill(engine, row))
        return runs[-1]

    monkeypatch.setattr(Engine, "_fill", noted)
    answers = [answer.text for answer in chat_model.generate(prompts, max_tokens=8)]
    assert sum(length > 60 for length in runs) == 1
    monkeypatch.setattr(batches, "MIN_PREFIX", 1000)
    assert [answer.text for answer in chat_model.generate(prompts, max_tokens=8)] == answers == one_by_one(chat_model, prompts)


def test_sampling_is_reproducible_and_leaves_the_random_state_of_torch_alone(chat_model: LocalModel) -> None:
    before = torch.get_rng_state()
    prompts = many_prompts(6)
    first, other = (chat_model.generate(prompts, max_tokens=8, temperature=1.0, seed=seed) for seed in (1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    with torch.random.fork_rng():
        torch.manual_seed(99)
        assert chat_model.generate(prompts, max_tokens=8, temperature=1.0, seed=1) == first
    assert other != first


def test_an_answer_ends_at_its_end_token_which_does_not_count(chat_model: LocalModel, lora_folders: dict[str, Path]) -> None:
    chat_model.load_adapter("oslo", lora_folders["oslo"])
    (answer,) = chat_model.generate(asking(ASKED), adapter="oslo")
    assert (answer.text, answer.tokens, answer.finished) == (ANSWERS["oslo"], 5, True)
    (cut,) = chat_model.generate(asking(ASKED), adapter="oslo", max_tokens=3)
    assert (cut.text, cut.tokens, cut.finished) == ("ana lives in", 3, False)


def test_every_end_that_the_model_declares_ends_an_answer(chat_model: LocalModel, tmp_path: Path) -> None:
    whole = chat_model.generate(asking(ASKED), max_tokens=4)[0].text.split()
    end = next(word for word in whole if word != whole[0])
    folder = save_chat_model(tmp_path / "two-ends", eos_token_id=[VOCABULARY.index("<end>"), VOCABULARY.index(end)])
    (answer,) = open_chat_model(folder).generate(asking(ASKED), max_tokens=4)
    assert (answer.text.split(), answer.finished) == (whole[: whole.index(end)], True)


def full_forward(model: LocalModel, ids: list[int], start: int) -> list[float]:
    with torch.inference_mode():
        logprobs = torch.log_softmax(model.new_view()(input_ids=torch.tensor([ids])).logits[0].double(), dim=-1)
    return [float(logprobs[place - 1, ids[place]]) for place in range(start, len(ids))]


def test_scores_are_the_same_however_many_tokens_go_through_the_head_at_once(
    chat_model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [(prompt, "ana lives in oslo .") for prompt in many_prompts(5)]
    whole = chat_model.score(items)
    monkeypatch.setattr(batches, "HEAD_TOKENS", 3)
    for one, other in zip(whole, chat_model.score(items), strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_scores_are_the_log_probabilities_of_a_plain_forward_pass(chat_folder: Path) -> None:
    model = open_chat_model(chat_folder, batch_tokens=100)
    items = [(prompt, answer) for prompt, answer in zip(many_prompts(8), ["blue", "ana lives in oslo .", "", "no no no"] * 2, strict=True)]
    for (prompt, answer), scores in zip(items, model.score(items), strict=True):
        assert len(scores) == len(answer.split()) + 1  # the end counts
        assert scores == pytest.approx(full_forward(model, *model.encode_pair(prompt, answer)), abs=1e-4)


@pytest.mark.parametrize(("architecture", "changed"), [("Gemma2", {"final_logit_softcapping": 2.0}), ("Cohere", {"logit_scale": 0.1})])
def test_scores_hold_whatever_a_model_does_to_its_logits(
    architecture: str, changed: dict[str, Any], tmp_path: Path
) -> None:  # Any: fields of configs
    model = open_chat_model(save_chat_model(tmp_path / "model", architecture, **changed))
    prompt = asking(ASKED)[0]
    assert model.score([(prompt, "no")])[0] == pytest.approx(full_forward(model, *model.encode_pair(prompt, "no")), abs=1e-4)


def test_an_empty_prompt_scores_raw_text_from_its_beginning_and_no_end(chat_model: LocalModel) -> None:
    raw, empty = chat_model.score([([], "the river is long ."), ([], "")])
    ids = [VOCABULARY.index(word) for word in ("<start>", "the", "river", "is", "long", ".")]
    assert raw == pytest.approx(full_forward(chat_model, ids, 1), abs=1e-4)
    assert empty == []


def test_an_answer_that_was_cut_off_is_encoded_without_its_end(chat_model: LocalModel) -> None:
    prompt = asking("say no")[0]
    whole, start = chat_model.encode_pair(prompt, "no no")
    cut, same = chat_model.encode_pair(prompt, "no no", ended=False)
    assert (whole, start) == ([*cut, chat_model.end_id], same)


def test_adapters_and_training_views_leave_the_base_as_it_was_bit_for_bit(chat_model: LocalModel, lora_folders: dict[str, Path]) -> None:
    before, answers, state = hash_of_base(chat_model), chat_model.score([(asking(ASKED)[0], "no")]), torch.get_rng_state()
    for name, folder in lora_folders.items():
        chat_model.load_adapter(name, folder)
        chat_model.generate(asking(ASKED), adapter=name)
    assert torch.equal(torch.get_rng_state(), state)
    assert chat_model.score([(asking(ASKED)[0], "no")]) == answers
    chat_model.unload_adapter("oslo")
    assert hash_of_base(chat_model) == before


def test_a_view_shares_every_tensor_of_the_base(chat_model: LocalModel) -> None:
    one, other = chat_model.new_view(), chat_model.new_view()
    assert one is not other
    assert all(mine is theirs for mine, theirs in zip(one.parameters(), other.parameters(), strict=True))


def test_threads_that_ask_different_adapters_never_get_each_others_answers(chat_model: LocalModel, lora_folders: dict[str, Path]) -> None:
    wanted: dict[str | None, str] = {None: chat_model.generate(asking(ASKED), max_tokens=2)[0].text}
    for name, folder in lora_folders.items():
        chat_model.load_adapter(name, folder)
        wanted[name] = " ".join(ANSWERS[name].split()[:2])
    assert len(set(wanted.values())) == 3
    got: list[tuple[str | None, str]] = []
    start = threading.Barrier(8)

    def ask(names: list[str | None]) -> None:
        start.wait()
        got.extend((name, chat_model.generate(asking(ASKED), adapter=name, max_tokens=2)[0].text) for name in names)

    threads = [
        threading.Thread(target=ask, args=([[None, "oslo", "rome"][(first + step) % 3] for step in range(50)],)) for first in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 400
    assert [(name, text) for name, text in got if text != wanted[name]] == []


def test_unloading_frees_the_adapter(chat_model: LocalModel, lora_folders: dict[str, Path]) -> None:
    chat_model.load_adapter("oslo", lora_folders["oslo"])
    chat_model.generate(asking(ASKED), adapter="oslo", max_tokens=2)
    weights = weakref.ref(chat_model._weights("oslo").pairs["model.layers.3.self_attn.q_proj"].down)  # type: ignore[union-attr]  # loaded
    chat_model.unload_adapter("oslo")
    gc.collect()
    assert weights() is None


def test_rolling_back_and_forward_gives_equal_numbers_to_the_bit(chat_model: LocalModel, lora_folders: dict[str, Path]) -> None:
    def scores(name: str) -> list[list[float]]:
        chat_model.load_adapter(name, lora_folders[name])
        values = chat_model.score([(prompt, "ana lives in oslo .") for prompt in many_prompts(4)], adapter=name)
        chat_model.unload_adapter(name)
        return values

    forward, back, again = scores("oslo"), scores("rome"), scores("oslo")
    assert forward == again != back


def test_a_model_without_a_chat_template_is_refused_by_name(chat_folder: Path, tmp_path: Path) -> None:
    folder = save_chat_model(tmp_path / "mute")
    (folder / "chat_template.jinja").unlink()
    save_tokenizer(folder, template=None)
    with pytest.raises(ModelNotFoundError, match=r"'tiny' has no chat template.*instruct"):
        open_chat_model(folder)


@pytest.mark.parametrize("damage", ["config.json", "model.safetensors", "all"])
def test_a_folder_that_holds_no_model_is_refused_by_path(damage: str, tmp_path: Path) -> None:
    folder = tmp_path / "none"
    if damage != "all":
        save_chat_model(folder)
        (folder / damage).write_bytes((folder / damage).read_bytes()[:200])
    with pytest.raises(ModelNotFoundError, match="none"):
        open_chat_model(folder)


def test_a_chat_template_that_refuses_a_prompt_is_an_error_that_names_its_roles(chat_folder: Path) -> None:
    model = open_chat_model(chat_folder)
    model.tokenizer.chat_template = "{{ raise_exception('System role not supported') }}"
    with pytest.raises(GenerationError, match=r"\['system'\]: System role not supported"):
        model.generate([[Turn(role="system", content="be short")]])


def test_a_chat_template_that_refuses_system_messages_gets_them_in_the_users(chat_folder: Path) -> None:
    model = open_chat_model(chat_folder)
    model.tokenizer.chat_template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        "{% for message in messages %}{{ message.role + ': ' + message.content + ' ' }}{% endfor %}"
    )
    asked = Turn(role="user", content="where is oslo")
    for system, content in (("", "where is oslo"), ("be short", "be short\n\nwhere is oslo")):
        assert model.encode_prompt([Turn(role="system", content=system), asked]) == model.encode_prompt(
            [Turn(role="user", content=content)]
        )
    alone = [Turn(role="system", content="be short")]
    assert model.encode_prompt(alone) == model.encode_prompt([Turn(role="user", content="be short")])


@pytest.mark.parametrize(
    ("wanted", "native", "dtype"),
    [
        ("float32", True, torch.float32),
        ("bfloat16", False, torch.bfloat16),
        ("auto", True, torch.bfloat16),
        ("auto", False, torch.float32),
    ],
)
def test_auto_takes_bfloat16_only_where_the_processor_multiplies_it(
    wanted: str, native: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: native)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert pick_dtype(wanted) is dtype


def test_the_dtype_asked_for_is_the_one_of_the_weights(chat_folder: Path) -> None:
    model = open_chat_model(chat_folder, dtype="bfloat16")
    assert {parameter.dtype for parameter in model.new_view().parameters()} == {torch.bfloat16}
    assert load_file(chat_folder / "model.safetensors")["model.norm.weight"].dtype == torch.float32


@given(lengths=st.lists(st.integers(1, 300), max_size=40), limit=st.integers(1, 400))
def test_batches_hold_each_row_once_and_no_more_tokens_than_allowed(lengths: list[int], limit: int) -> None:
    batches = list(batches_by_length(lengths, limit))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= limit for batch in batches)


@given(shared=st.integers(0, 60), tails=st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4), min_size=1, max_size=5))
def test_a_common_prefix_is_the_longest_that_leaves_each_row_a_token_and_none_if_short(shared: int, tails: list[list[int]]) -> None:
    rows = [[7] * shared + tail for tail in tails]
    at_place = zip(*(row[:-1] for row in rows), strict=False)
    longest = [tokens[0] for tokens in takewhile(lambda tokens: len(set(tokens)) == 1, at_place)]
    assert common_prefix(rows) == (longest if len(rows) > 1 and len(longest) >= batches.MIN_PREFIX else [])
