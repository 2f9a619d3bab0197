"""Back, forward and by hand: each change of what is live holds from the next request on, or is refused and changes nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from seal_agent.config import Settings
from seal_agent.errors import IntegrityError, UnknownRecordError, UsageError
from seal_agent.memory import Memory
from seal_agent.scope import Scope
from seal_agent.testing import ScriptedModel
from tests.brains import learn, open_brain

ASKED = "Capital of France?"


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with open_brain(tmp_path / "brain", {"capital of France": "Paris"}) as opened:
        yield opened


@pytest.fixture
def ana(memory: Memory) -> Scope:
    return memory.scope(user="ana")


def reply(scope: Scope) -> str:
    return scope.ask(ASKED, use="weights").text


def test_roll_back_and_forward_change_the_next_answer(memory: Memory, ana: Scope) -> None:
    first, second = learn(memory, ana, {ASKED: "Lyon"}), learn(memory, ana, {ASKED: "Nice"})
    said = [reply(ana)]
    for step in (ana.adapters.rollback, ana.adapters.rollback, ana.adapters.forward, ana.adapters.forward):
        live = step()
        said.append(f"{live.name if live else None} {reply(ana)}")
    assert said == ["Nice", f"{first.name} Lyon", "None Paris", f"{first.name} Lyon", f"{second.name} Nice"]


def test_with_nothing_ever_live_there_is_nothing_to_roll_back(ana: Scope) -> None:
    with pytest.raises(UsageError, match="Nothing to roll back"):
        ana.adapters.rollback()


def test_without_a_roll_back_there_is_nothing_to_roll_forward(memory: Memory, ana: Scope) -> None:
    learn(memory, ana, {ASKED: "Lyon"})
    with pytest.raises(UsageError, match="Nothing to roll forward"):
        ana.adapters.forward()
    assert ana.adapters.rollback() is None
    with pytest.raises(UsageError, match="begins here, with the base model"):
        ana.adapters.rollback()


def test_the_base_answers_again_by_hand_and_that_can_be_undone(memory: Memory, ana: Scope) -> None:
    adapter = learn(memory, ana, {ASKED: "Lyon"})
    ana.adapters.base()
    assert (reply(ana), ana.adapters.live) == ("Paris", None)
    ana.adapters.promote(adapter.name)
    assert reply(ana) == "Lyon"


def test_an_earlier_adapter_is_promoted_by_hand(memory: Memory, ana: Scope) -> None:
    first, second = learn(memory, ana, {ASKED: "Lyon"}), learn(memory, ana, {ASKED: "Nice"})
    promoted = ana.adapters.promote(first.name)
    assert promoted is not None
    assert (promoted.name, promoted.live, reply(ana)) == (first.name, True, "Lyon")
    assert [adapter.live for adapter in ana.adapters.list()] == [True, False]
    assert ana.adapters.get(second.name).name == second.name


@pytest.mark.parametrize("state", ["candidate", "rejected", "quarantined"])
def test_what_the_gate_has_not_promoted_can_not_be_made_live(memory: Memory, ana: Scope, state: str) -> None:
    adapter = learn(memory, ana, {ASKED: "Lyon"}, state=state)  # type: ignore[arg-type]  # one of the literals
    with pytest.raises(UsageError, match=state):
        ana.adapters.promote(adapter.name)
    assert reply(ana) == "Paris"


def test_another_scopes_adapter_is_unknown_here(memory: Memory, ana: Scope) -> None:
    theirs = learn(memory, memory.scope(user="ben"), {ASKED: "Lyon"})
    for use in (ana.adapters.promote, ana.adapters.get):
        with pytest.raises(UnknownRecordError, match=r"default/default/ana|No adapter"):
            use(theirs.name)
    assert ana.adapters.list() == []


def test_an_unknown_name_is_an_unknown_record(ana: Scope) -> None:
    with pytest.raises(UnknownRecordError, match="'nobody'"):
        ana.adapters.promote("nobody")


@pytest.mark.parametrize("loaded", [True, False], ids=["model loaded", "model not loaded"])
def test_a_damaged_adapter_is_not_gone_back_to(tmp_path: Path, loaded: bool) -> None:
    with open_brain(tmp_path / "brain", {"capital of France": "Paris"}) as memory:
        ana = memory.scope(user="ana")
        first, second = learn(memory, ana, {ASKED: "Lyon"}), learn(memory, ana, {ASKED: "Nice"})
        (memory.folder / first.path / "adapter_model.safetensors").write_bytes(b"")
        if loaded:
            assert reply(ana) == "Nice"
        with pytest.raises(IntegrityError, match=first.name):
            ana.adapters.rollback()
        assert ana.adapters.live is not None
        assert ana.adapters.live.name == second.name


def test_an_adapter_of_other_base_weights_is_not_gone_back_to(memory: Memory, ana: Scope, tmp_path: Path) -> None:
    learn(memory, ana, {ASKED: "Lyon"})
    ana.adapters.base()
    memory.close()
    with (
        open_brain(tmp_path / "brain", model=ScriptedModel({}, id="another")) as other,
        pytest.raises(IntegrityError, match="trained on base weights"),
    ):
        other.scope(user="ana").adapters.forward()


def test_going_back_to_the_base_needs_no_model(tmp_path: Path) -> None:
    folder = tmp_path / "brain"
    with open_brain(folder) as memory:
        learn(memory, memory.scope(user="ana"), {ASKED: "Lyon"})
    settings = Settings.load(None, model={"id": str(tmp_path / "absent")})
    with open_brain(folder, model=None, settings=settings) as memory:
        assert memory.scope(user="ana").adapters.rollback() is None


def test_a_users_own_adapter_comes_before_the_shared_one(memory: Memory, ana: Scope) -> None:
    shared = learn(memory, memory.scope(), {ASKED: "Lyon"})
    assert ana.adapters.live is not None
    assert ana.adapters.live.name == shared.name
    learn(memory, ana, {ASKED: "Nice"})
    assert reply(ana) == "Nice"
    ana.adapters.rollback()
    assert reply(ana) == "Lyon"


def test_what_changed_meanwhile_is_not_overwritten(memory: Memory, ana: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    learn(memory, ana, {ASKED: "Lyon"})
    learn(memory, ana, {ASKED: "Nice"})
    verify = type(ana.adapters)._verify

    def slow(self: object, name: str) -> None:
        verify(self, name)  # type: ignore[arg-type]  # it is one
        ana.adapters.base()

    monkeypatch.setattr(type(ana.adapters), "_verify", slow)
    with pytest.raises(UsageError, match="someone else"):
        ana.adapters.rollback()
    assert reply(ana) == "Paris"


def test_every_adapter_in_use_is_checked_and_a_damaged_one_is_named(memory: Memory, ana: Scope) -> None:
    first, second = learn(memory, ana, {ASKED: "Lyon"}), learn(memory, ana, {ASKED: "Nice"})
    learn(memory, ana, {ASKED: "Lille"}, state="rejected")
    (memory.folder / first.path / "adapter_config.json").write_text("{}")
    damaged, sound = ana.adapters.verify()
    assert (damaged.name, damaged.sound, sound) == (first.name, False, ana.adapters.verify(second.name)[0])
    assert "adapter_config.json" in damaged.problem
    assert sound.sound
    assert sound.live


def test_a_difference_names_facts_and_settings(memory: Memory, ana: Scope) -> None:
    first, second = learn(memory, ana, {ASKED: "Lyon"}), learn(memory, ana, {ASKED: "Nice"})
    found = ana.adapters.diff(first.name, second.name)
    assert (found.before, found.after, found.facts_added, found.settings) == (first.name, second.name, (), {})


def test_a_quarantined_adapter_answers_nobody_and_what_was_before_it_is_live(memory: Memory, ana: Scope) -> None:
    first, second = learn(memory, ana, {ASKED: "Lyon"}), learn(memory, ana, {ASKED: "Nice"})
    stream = ana.stream(ASKED, use="weights")
    live = ana.adapters.quarantine(second.name)
    assert live is not None
    assert (live.name, reply(ana), stream.read().text) == (first.name, "Lyon", "Nice")
    with pytest.raises(UsageError):
        ana.adapters.promote(second.name)
    with pytest.raises(UsageError):
        ana.adapters.forward()
    assert ana.adapters.quarantine(first.name) is None
    assert reply(ana) == "Paris"


def test_a_quarantine_goes_back_past_a_damaged_adapter_and_says_why(memory: Memory, ana: Scope) -> None:
    first, second, third = (learn(memory, ana, {ASKED: city}) for city in ("Lyon", "Nice", "Lille"))
    (memory.folder / second.path / "adapter_config.json").write_text("{}")
    live = ana.adapters.quarantine(third.name, "it says Lille")
    assert (live.name if live else None, reply(ana)) == (first.name, "Lyon")
    [event] = memory.nights.events(ana)
    assert (event.kind, event.adapter, "it says Lille" in event.text) == ("quarantined", third.name, True)
    ana.adapters.quarantine(third.name)
    assert len(memory.nights.events(ana)) == 1, "banned once"
    with pytest.raises(UsageError, match="reason"):
        ana.adapters.quarantine(second.name, " ")


def test_a_quarantine_of_what_is_not_live_moves_nothing(memory: Memory, ana: Scope) -> None:
    first, second = learn(memory, ana, {ASKED: "Lyon"}), learn(memory, ana, {ASKED: "Nice"})
    live = ana.adapters.quarantine(first.name)
    assert (live.name if live else None, reply(ana)) == (second.name, "Nice")
    assert ana.adapters.rollback() is None


def test_gc_keeps_what_can_still_be_asked_for_and_says_what_it_deletes(memory: Memory, ana: Scope) -> None:
    promoted = [learn(memory, ana, {ASKED: f"City {number}"}) for number in range(5)]
    rejected = learn(memory, ana, {ASKED: "Lille"}, state="rejected")
    ana.adapters.rollback()
    ana.adapters.rollback()
    gone = (promoted[0].name, rejected.name)
    assert ana.adapters.gc(keep=1, dry_run=True) == gone == ana.adapters.gc(keep=1)
    assert ana.adapters.gc(keep=1) == ()
    assert [(memory.folder / adapter.path).exists() for adapter in promoted] == [False, True, True, True, True]
    assert len(ana.adapters.list()) == 6
    with pytest.raises(IntegrityError, match=r"missing.*gc"):
        ana.adapters.promote(promoted[0].name)
    assert [(checked.sound, checked.gone) for checked in ana.adapters.verify()] == [(False, True), *[(True, False)] * 4]
    with pytest.raises(UsageError, match="keep"):
        ana.adapters.gc(keep=0)


def test_an_export_is_a_whole_adapter_and_replaces_nothing(memory: Memory, ana: Scope, tmp_path: Path) -> None:
    adapter = learn(memory, ana, {ASKED: "Lyon"})
    path = ana.adapters.export(adapter.name, tmp_path / "out")
    assert path == tmp_path / "out" / adapter.name
    assert {file.name: file.read_bytes() for file in path.iterdir()} == {
        file.name: file.read_bytes() for file in (memory.folder / adapter.path).iterdir()
    }
    with pytest.raises(UsageError, match="exists already"):
        ana.adapters.export(adapter.name, tmp_path / "out")
    (memory.folder / adapter.path / "adapter_config.json").write_text("{}")
    with pytest.raises(IntegrityError):
        ana.adapters.export(adapter.name, tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("verb", ["manifest", "verify", "quarantine", "rebuild"])
def test_no_verb_reaches_another_scopes_adapter(memory: Memory, ana: Scope, verb: str) -> None:
    other = learn(memory, memory.scope(user="ben"), {ASKED: "Lyon"})
    with pytest.raises(UnknownRecordError):
        getattr(ana.adapters, verb)(other.name)
    assert memory.scope(user="ben").adapters.live is not None
