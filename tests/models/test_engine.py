"""One loop runs all rows: what one gets does not hang on the others, and each can be stopped, late or refused by itself."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from seal_agent.errors import DeadlineError, GenerationError, OverloadedError
from seal_agent.models import engine as engine_module
from seal_agent.models.engine import Engine
from seal_agent.models.local import LocalModel
from seal_agent.models.packed import PACKING
from seal_agent.models.requests import Row, Stream
from seal_agent.sampling import Sampling
from seal_agent.types import Generation, Turn
from tests import waiting
from tests.chat_models import ANSWERS, ASKED, asking, open_chat_model, save_chat_model
from tests.waiting import wait_until

LONG = Sampling(max_tokens=200)
PROMPTS = asking("what is water ?", ASKED, "say no no no no no no", "zebra", "red blue green what colour is the sugar ?")
bit_for_bit = pytest.mark.skipif(not PACKING.works, reason="this build of torch has no packed products; texts are compared elsewhere")


@pytest.fixture
def model(chat_folder: Path) -> Iterator[LocalModel]:
    opened = open_chat_model(chat_folder)
    yield opened
    opened.close()


def engine_of(model: LocalModel) -> Engine:
    return model.serving()[1]


class Held:
    """Stops the loop before its next step, or after some more, until it is let go."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch, steps: int = 0) -> None:
        self._go = threading.Event()
        self._left = steps
        self._step = engine._step
        monkeypatch.setattr(engine, "_step", self._held_step)

    def _held_step(self) -> None:
        if self._left == 0:
            assert self._go.wait(waiting.LONG)
        self._left = max(0, self._left - 1)
        self._step()

    def let_go(self) -> None:
        self._go.set()


def test_a_streams_pieces_are_the_text_of_generate(chat_model: LocalModel) -> None:
    for prompt in PROMPTS:
        stream = chat_model.stream(prompt, sampling=Sampling(max_tokens=9))
        pieces = list(stream)
        (whole,) = chat_model.generate([prompt], max_tokens=9)
        assert ("".join(pieces), stream.result) == (whole.text, whole)
        assert len(pieces) > 1


@bit_for_bit
def test_an_answer_is_the_same_to_the_bit_in_any_company(chat_model: LocalModel, lora_folders: dict[str, Path]) -> None:
    for name, folder in lora_folders.items():
        chat_model.load_adapter(name, folder)
    names = [None, "oslo", "rome", "oslo", None]
    alone = [chat_model.generate([prompt], adapter=name, max_tokens=20)[0] for prompt, name in zip(PROMPTS, names, strict=True)]
    streams = [chat_model.stream(p, adapter=name, sampling=Sampling(max_tokens=20)) for p, name in zip(PROMPTS, names, strict=True)]
    for stream in streams:
        list(stream)
    assert [stream.result for stream in streams] == alone  # the log-probabilities too
    assert len({answer.logprob for answer in alone}) == len(alone)


@bit_for_bit
def test_what_is_drawn_hangs_on_the_seed_alone(chat_model: LocalModel) -> None:
    def drawn(seed: int, company: int) -> Generation:
        warm = Sampling(max_tokens=12, temperature=1.5, top_p=0.9, seed=seed)
        streams = [chat_model.stream(PROMPTS[0], sampling=warm), *(chat_model.stream(p, sampling=LONG) for p in PROMPTS[:company])]
        list(streams[0])
        for stream in streams[1:]:
            stream.close()
        return streams[0].result

    assert drawn(1, 0) == drawn(1, 4)
    assert len({drawn(seed, 0).text for seed in range(5)}) > 1


def test_a_small_nucleus_is_greedy(chat_model: LocalModel) -> None:
    stream = chat_model.stream(PROMPTS[0], sampling=Sampling(max_tokens=6, temperature=1.0, top_p=1e-6, seed=3))
    assert "".join(stream) == chat_model.generate([PROMPTS[0]], max_tokens=6)[0].text


def test_an_answer_ends_before_a_stop_string_and_shows_nothing_of_it(chat_model: LocalModel) -> None:
    whole = chat_model.generate([PROMPTS[0]], max_tokens=8)[0].text
    words = whole.split()
    stop = f"{words[3]} {words[4]}"
    stream = chat_model.stream(PROMPTS[0], sampling=Sampling(max_tokens=8, stop=("never said", stop)))
    assert "".join(stream) == whole[: whole.index(stop)]
    assert stream.result.finished


def test_rows_join_and_leave_a_running_batch(model: LocalModel) -> None:
    long = model.stream(PROMPTS[0], sampling=LONG)
    next(long)
    short = model.stream(PROMPTS[1], sampling=Sampling(max_tokens=2))
    assert "".join(short) == model.generate([PROMPTS[1]], max_tokens=2)[0].text
    long.close()
    wait_until(lambda: not engine_of(model)._running)


def test_a_closed_stream_frees_its_row_and_lets_its_reader_go(model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(engine_of(model), monkeypatch)
    stream = model.stream(PROMPTS[0], sampling=LONG)
    reader = threading.Thread(target=lambda: list(stream))
    reader.start()
    stream.close()
    reader.join(waiting.LONG)
    assert not reader.is_alive()
    held.let_go()
    wait_until(lambda: not engine_of(model)._running and not engine_of(model)._waiting)
    with pytest.raises(GenerationError, match="not whole"):
        _ = stream.result


def test_a_request_that_comes_too_late_fails_alone(model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(engine_of(model), monkeypatch)
    late, patient = model.stream(PROMPTS[0], timeout=0.01), model.stream(PROMPTS[0], sampling=Sampling(max_tokens=2))
    time.sleep(0.05)
    held.let_go()
    with pytest.raises(DeadlineError, match="not whole when the time was up"):
        list(late)
    assert list(patient)


def test_a_deadline_ends_an_answer_that_has_begun(model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(model)
    step = engine._step

    def slow() -> None:
        step()
        time.sleep(0.01)

    monkeypatch.setattr(engine, "_step", slow)  # 400 of them are longer than the deadline on any machine
    stream = model.stream(PROMPTS[0], sampling=Sampling(max_tokens=400), timeout=0.15)
    with pytest.raises(DeadlineError):
        list(stream)
    wait_until(lambda: not engine_of(model)._running)


def test_a_full_queue_refuses_at_once_and_takes_the_next_when_there_is_room(chat_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = open_chat_model(chat_folder, max_waiting=2)
    held = Held(engine_of(model), monkeypatch)
    taken = [model.stream(PROMPTS[0], sampling=Sampling(max_tokens=2)) for _ in range(2)]
    with pytest.raises(OverloadedError, match="2 requests wait"):
        model.stream(PROMPTS[0])
    held.let_go()
    texts = {"".join(stream) for stream in taken}
    assert texts == {model.generate([PROMPTS[0]], max_tokens=2)[0].text}
    model.close()


def test_a_large_batch_does_not_keep_a_single_question_waiting(chat_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = open_chat_model(chat_folder, batch_rows=2)
    engine = engine_of(model)
    held = Held(engine, monkeypatch, steps=1)
    batch = threading.Thread(target=lambda: model.generate(PROMPTS * 4, max_tokens=12))
    batch.start()
    wait_until(lambda: len(engine._running) == 2)
    single = model.stream(PROMPTS[0], sampling=Sampling(max_tokens=2))
    ended, rows_left = single.ended, []

    def end(row: Row) -> None:
        rows_left.append(sum(len(request.waiting) for request in engine._waiting))
        ended(row)

    monkeypatch.setattr(single, "ended", end)
    held.let_go()
    assert list(single)
    batch.join()
    assert rows_left[0] > len(PROMPTS)  # of the batch, when the single question had its answer
    model.close()


def test_a_row_keeps_the_adapter_that_it_was_asked_with(model: LocalModel, lora_folders: dict[str, Path]) -> None:
    model.load_adapter("oslo", lora_folders["oslo"])
    stream = model.stream(asking(ASKED)[0], adapter="oslo")
    model.unload_adapter("oslo")
    assert "".join(stream) == ANSWERS["oslo"]


def test_an_output_that_is_not_finite_fails_its_own_row_only(model: LocalModel, lora_folders: dict[str, Path]) -> None:
    model.load_adapter("oslo", lora_folders["oslo"])
    weights = model._weights("oslo")
    assert weights is not None
    next(iter(weights.pairs.values())).up.fill_(float("nan"))
    broken, sound = model.stream(PROMPTS[0], adapter="oslo"), model.stream(PROMPTS[0], sampling=Sampling(max_tokens=3))
    with pytest.raises(GenerationError, match=r"not finite.*Roll"):
        list(broken)
    assert list(sound)


def test_a_pass_that_breaks_fails_its_requests_and_not_the_next(model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(model)
    forward = engine._forward

    def fail(*_: object) -> torch.Tensor:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(engine, "_forward", fail)
    with pytest.raises(GenerationError, match="RuntimeError: out of memory"):
        model.generate(PROMPTS)
    monkeypatch.setattr(engine, "_forward", forward)
    assert model.generate(PROMPTS, max_tokens=2)


def test_closing_fails_what_is_under_way(model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(model)
    step = engine._step

    def until_closed() -> None:
        step()
        if engine._running:
            wait_until(lambda: engine._closed)

    monkeypatch.setattr(engine, "_step", until_closed)
    stream = model.stream(PROMPTS[0], sampling=Sampling(max_tokens=400))
    next(stream)
    model.close()
    with pytest.raises(GenerationError, match="closed"):
        list(stream)


def test_an_idle_loop_lets_its_thread_and_its_slots_go(model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(model)
    monkeypatch.setattr(engine, "_limits", replace(engine._limits, idle_seconds=0.02))
    first = model.generate(PROMPTS, max_tokens=2)
    wait_until(lambda: model._packed is None)
    assert (engine._thread, engine._view, engine._slots._filled()) == (None, None, [])
    assert model.generate(PROMPTS, max_tokens=2) == first


def test_scoring_alone_begins_the_idle_time_as_well(model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(model)
    monkeypatch.setattr(engine, "_limits", replace(engine._limits, idle_seconds=0.02))
    first = model.score([(PROMPTS[0], "red")])
    wait_until(lambda: model._packed is None)
    assert model.score([(PROMPTS[0], "red")]) == first


def test_released_weights_stay_until_nobody_is_answered_and_come_back_by_themselves(
    model: LocalModel, lora_folders: dict[str, Path]
) -> None:
    model.release()
    model.load_adapter("oslo", lora_folders["oslo"])
    whole = model.generate([PROMPTS[1]], adapter="oslo", max_tokens=60)
    stream = model.stream(PROMPTS[1], adapter="oslo", sampling=Sampling(max_tokens=60))
    next(stream)
    model.release()
    list(stream)
    assert stream.result == whole[0]
    wait_until(lambda: model._packed is None)
    assert model.generate([PROMPTS[1]], adapter="oslo", max_tokens=60) == whole
    model.close()
    model.release()


def test_a_prompt_longer_than_the_model_takes_is_refused_by_its_length(chat_model: LocalModel) -> None:
    with pytest.raises(GenerationError, match=r"513 tokens.*takes 511"):
        chat_model.generate(asking(" ".join(["red"] * 509)))
    (cut,) = chat_model.generate(asking(" ".join(["red"] * 500)), max_tokens=400)
    assert cut.tokens <= 12


def test_a_prompt_of_several_chunks_is_answered_as_in_one_pass(chat_model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = asking(" ".join(f"{word} street" for word in ("red", "blue", "green") * 60))
    whole = chat_model.generate(prompt, max_tokens=4)[0].text
    monkeypatch.setattr(engine_module, "CHUNK", 7)
    assert chat_model.generate(prompt, max_tokens=4)[0].text == whole


@pytest.mark.parametrize(
    ("architecture", "changed"),
    [
        ("Qwen2", {}),
        *(
            pytest.param(*row, marks=pytest.mark.slow)  # for what they add
            for row in (
                ("Qwen3", {"head_dim": 8}),
                ("Mistral", {"sliding_window": 6}),
                ("Gemma2", {"sliding_window": 6, "head_dim": 8}),
                ("Gemma3Text", {"sliding_window": 6, "head_dim": 8}),
                ("Phi3", {}),
            )
        ),
    ],
)
def test_rows_of_any_architecture_answer_as_transformers_has_them(
    architecture: str, changed: dict[str, Any], tmp_path: Path
) -> None:  # Any: fields of configs
    model = open_chat_model(save_chat_model(tmp_path / "model", architecture, **changed))
    base: Any = model.new_view()  # Any: its generate is untyped

    def plain(prompt: list[Turn]) -> list[int]:
        ids = torch.tensor([model.encode_prompt(prompt)])
        output = base.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False)
        return list(output[0, ids.shape[1] :].tolist())

    heard: list[Stream] = [model.stream(prompt, sampling=Sampling(max_tokens=6)) for prompt in PROMPTS]
    texts = ["".join(stream) for stream in heard]
    wanted = [str(model.tokenizer.decode(plain(prompt), skip_special_tokens=True)).strip() for prompt in PROMPTS]
    assert texts == wanted
    model.close()
