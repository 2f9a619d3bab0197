"""Every way a command can end: one line, one code, never a traceback."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import seal_agent
from seal_agent.cli import main, session
from seal_agent.errors import GenerationError, IntegrityError, MissingDependencyError, SealAgentError, StoreFullError
from tests.brains import open_brain
from tests.cli.conftest import Cli

SEAL_AGENT = [sys.executable, "-c", "import sys; from seal_agent.cli import main; sys.exit(main())"]


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SEAL_AGENT, *arguments], capture_output=True, text=True, timeout=60, check=False, **options)  # type: ignore[call-overload, no-any-return]  # options of run


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "--help"),
        *(pytest.param(more, marks=pytest.mark.slow) for more in ((), ("--help",), ("adapters", "--help"), ("--version",))),
    ],
)
def test_help_is_fast_and_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    code = (
        "import sys, time, typer.main; bare = time.process_time(); from seal_agent.cli import main; code = main(sys.argv[1:]); "
        "heavy = {'torch', 'transformers', 'peft', 'chromadb', 'sqlalchemy', 'numpy'} & set(sys.modules);"
        # Python and typer alone are the measure: seconds would be another machine's, or a busier one's.
        "print(code, sorted(heavy), time.process_time() < 4 * bare, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "0 [] True"
    assert "seal-agent" in done.stdout


def test_the_version_is_the_packages(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"seal-agent {seal_agent.__version__}\n"


@pytest.mark.parametrize("arguments", [("fly",), ("add", "--frobnicate"), ("search",), ("search", "x", "-k", "many"), ("adapters",)])
def test_wrong_usage_is_one_line_and_code_2(cli: Cli, arguments: tuple[str, ...]) -> None:
    ended = cli(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: ")
    assert len(ended.err.splitlines()) == 1


def test_wrong_usage_is_told_in_json_too(cli: Cli) -> None:
    ended = cli("search", "--json")
    assert (ended.code, ended.json["error"]["type"]) == (2, "UsageError")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (GenerationError("The model is down; start it."), 3),
        (MissingDependencyError("pip install it."), 2),
        (StoreFullError("The disk is full; make room."), 3),
        (IntegrityError("It is damaged; restore it."), 4),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_expected_failure_is_one_line_and_its_own_code(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, error: SealAgentError, code: int
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(session, "open_memory", fail)
    plain = cli("add", "Hello")
    assert (plain.code, plain.out, plain.err) == (code, "", f"error: {error}\n")
    assert cli("add", "Hello", "--json").json == {"error": {"type": type(error).__name__, "message": str(error)}}


def test_a_bug_is_not_dressed_up_as_a_failure(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr(session, "open_memory", fail)
    with pytest.raises(TypeError, match="a bug"):
        cli("add", "Hello")


def test_ctrl_c_is_a_clean_message_and_code_130(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("never reached: the signal came first")

    monkeypatch.setattr(session, "open_memory", interrupt)
    # A shell that starts the tests in the background has them ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        ended = cli("add", "Hello")
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.code == 130
    assert ended.err.startswith("error: interrupted")


@pytest.mark.parametrize("command", [("search", "x"), ("ask", "x?"), ("facts", "list"), ("consolidate",), ("adapters", "list")])
def test_a_misspelt_folder_does_not_become_an_empty_brain(cli: Cli, command: tuple[str, ...]) -> None:
    ended = cli(*command)
    assert (ended.code, cli.brain.exists()) == (2, False)
    assert "seal-agent init" in ended.err


def test_a_brain_that_another_process_has_is_code_3(cli: Cli) -> None:
    with cli.open():
        ended = cli("facts", "list")
    assert ended.code == 3
    assert f"process {os.getpid()}" in ended.err


@pytest.mark.parametrize("ids", [("--tenant", "../../etc"), ("--user", ""), ("--agent", "a\tb")])
def test_an_id_that_can_not_be_a_scope_is_code_2_and_makes_no_brain(cli: Cli, ids: tuple[str, str]) -> None:
    assert (cli("add", "Hello", *ids).code, cli.brain.exists()) == (2, False)


def test_broken_settings_name_the_key(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("init")
    (cli.brain / "seal.toml").write_text("[gate]\nmin_gian = 1\n")
    ended = cli("facts", "list")
    assert ended.code == 2
    assert "gate.min_gian" in ended.err


def test_the_brain_can_come_from_the_environment(cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SEAL_BRAIN", str(cli.brain))
    assert main(["add", "Hello"]) == 0
    assert main(["search", "hello", "--json"]) == 0
    assert "Hello" in capsys.readouterr().out


@pytest.mark.parametrize("form", [(), pytest.param(("--json",), marks=pytest.mark.slow)])
def test_a_reader_that_leaves_ends_it_without_a_word(tmp_path: Path, form: tuple[str, ...]) -> None:
    with open_brain(tmp_path) as memory:
        memory.scope().remember("more than a pipe holds " + "y" * 150_000)
    reader, writer = os.pipe()
    os.close(reader)
    command = [*SEAL_AGENT, "facts", "list", *form, "--brain", str(tmp_path)]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_terminal_without_unicode_gets_question_marks_not_a_traceback(tmp_path: Path) -> None:
    with open_brain(tmp_path) as memory:
        memory.scope().remember("Ana tr\u00e4gt \u20ac 5 bei sich.")
    done = run("facts", "list", "--brain", str(tmp_path), env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "Ana tr?gt ? 5" in done.stdout


def test_an_argument_that_is_not_utf8_is_refused_and_told(tmp_path: Path) -> None:
    done = run("add", os.fsdecode(b"caf\xe9"), "--brain", str(tmp_path / "brain"))
    assert done.returncode == 2
    assert "surrogate" in done.stderr
    assert "Traceback" not in done.stderr


def test_training_threads_are_told_to_sleep_before_torch_is_loaded(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    main(["--version"])
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


def test_what_the_user_set_in_the_environment_stays(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    main(["--version"])
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
