"""Tiny real models, made on the spot, for the tests that need more than the fakes; and no silent skips in CI."""

import gc
import os
import shutil
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before torch is loaded: as many workers as cores, each with every core, would only wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Images of Python often forbid byte code: every worker, and each of a hundred child processes, would compile package and tests anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

IN_MEMORY = Path("/dev/shm")
ROOM = 4 << 30
"""Bytes that must be free there."""
if os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free > ROOM:
    # Half of the suite's time is a disk's answer to fsync. What a killed process leaves is the same in memory; a power cut is not tried.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(IN_MEMORY))

# No time limit for one example, nor for making one: a busy machine would break it.
hypothesis.settings.register_profile(
    "any machine", hypothesis.settings.get_profile("default"), deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("ci" if "CI" in os.environ else "any machine")

# Collecting imports some hundred thousand objects that live to the end; looking through them time and again costs a tenth of the suite.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


if TYPE_CHECKING:
    from sqlalchemy import Engine

    from seal_agent.models.local import LocalModel


RUN_A_MODEL = frozenset({"chat_folder", "chat_model", "tiny_bert"})


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What runs a model in torch, however tiny, is slow: a third of the suite's time in a tenth of its tests."""
    for item in items:
        if isinstance(item, pytest.Function) and RUN_A_MODEL & set(item.fixturenames):
            item.add_marker(pytest.mark.slow)


def fail_in_ci_when_a_library_is_missing(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip by `pytest.importorskip` into a failure where changes are judged: there, everything is installed."""
    reason = report.longrepr[2] if report.skipped and isinstance(report.longrepr, tuple) else ""
    if os.environ.get("CI") and "could not import" in reason:
        report.outcome = "failed"
        report.longrepr = f"CI installs every optional library, and this one is missing. {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    fail_in_ci_when_a_library_is_missing(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    fail_in_ci_when_a_library_is_missing(report)
    return report


@pytest.fixture(scope="session", autouse=True)
def quick_ledgers(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """Let a new database be a copy of what the migrations make, and all ledgers of a process share their compiled statements.

    Making both anew for every brain took half of the fast suite's time. The tests of the migrations, and whatever runs in a process of its
    own, do the real thing.
    """
    from seal_agent.archive import rows
    from seal_agent.ledger import ledger, migrations
    from seal_agent.ledger.steps import MIGRATIONS

    made = tmp_path_factory.mktemp("made-once") / ledger.DATABASE
    migrations.migrate(made)

    def copy_first(path: Path, steps: Sequence[Sequence[str]] = MIGRATIONS) -> None:
        if path.parent.exists() and not any(path.parent.glob(f"{path.name}*")) and len(steps) == len(MIGRATIONS):
            shutil.copyfile(made, path)
        else:
            migrations.migrate(path, steps)

    build = ledger._engine
    first = build(made, "BEGIN")
    first.connect().close()  # its dialect learns what this SQLite can do
    compiled: dict[object, object] = {}

    def sharing(path: Path, begin: str) -> "Engine":
        engine = build(path, begin)
        engine.dialect = first.dialect  # part of the key under which a compiled statement is found
        engine.update_execution_options(compiled_cache=compiled)
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "_engine", sharing)
        for module in (ledger, rows):
            patch.setattr(module, "migrate", copy_first)
        yield
    first.dispose()


@pytest.fixture(scope="session", autouse=True)
def patient_probe() -> Generator[None]:
    """Let the vector index's probe take its time: a slow one would be another test's failure."""
    from seal_agent.retrieval import probe

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe, "SECONDS", 20 * probe.SECONDS)
        yield


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random BERT of width 16 that knows the letters a to z."""
    import torch  # here, because tests that don't use this fixture must not pay for loading it
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-bert")
    vocabulary = {token: number for number, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz"])}
    words = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    words.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(mark, vocabulary[mark]) for mark in ("[CLS]", "[SEP]")]
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer: Any = PreTrainedTokenizerFast  # Any: its constructor is not typed
    tokenizer(tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random Llama of width 32 that can chat, one word per token."""
    from tests.chat_models import save_chat_model  # here, because it loads torch

    return save_chat_model(tmp_path_factory.mktemp("tiny-chat"))


@pytest.fixture(scope="session")
def shared_model(chat_folder: Path) -> "LocalModel":
    from tests.chat_models import open_chat_model

    return open_chat_model(chat_folder)


@pytest.fixture
def chat_model(shared_model: "LocalModel") -> "Generator[LocalModel]":
    """The tiny model, opened once for all tests: don't close it. Adapters that a test loads go with the test."""
    yield shared_model
    for name in list(shared_model._adapters):
        shared_model.unload_adapter(name)


@pytest.fixture(scope="session")
def lora_folders(shared_model: "LocalModel", tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two adapters of the tiny model that give two answers to one question."""
    from tests.chat_models import ANSWERS, ASKED, fact, teach

    root = tmp_path_factory.mktemp("tiny-loras")
    return {name: teach(shared_model, [fact(ASKED, answer)], root / name, max_passes=30).path for name, answer in ANSWERS.items()}
