"""LoCoMo's format is read as it is, evidence is counted as the paper counts it, and the command prints the documented keys."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seal_agent.bench import locomo
from seal_agent.bench.vectors_on_file import VectorsOnFile
from seal_agent.cli import main
from seal_agent.errors import UsageError
from seal_agent.testing import HashEmbedder
from seal_agent.turns import to_turns
from tests.brains import open_brain

TALK = {
    "sample_id": "talk-1",
    "conversation": {
        "speaker_a": "Noor",
        "speaker_b": "Emil",
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [
            {"speaker": "Noor", "dia_id": "D1:1", "text": "I adopted a beagle called Pixel."},
            {"speaker": "Emil", "dia_id": "D1:2", "text": "Lovely! I started pottery classes.", "blip_caption": "a blue vase"},
        ],
        "session_2_date_time": "9:00 am on 1 June, 2023",
        "session_2": [{"speaker": "Emil", "dia_id": "D2:1", "text": "My kiln arrived on Friday."}],
    },
    "qa": [
        {"question": "What is Noor's beagle called?", "answer": "Pixel", "evidence": ["D1:1"], "category": 4},
        {"question": "What does Emil need for pottery?", "answer": "a kiln", "evidence": ["D1:02; D:2:1"], "category": 1},
        {"question": "Nothing to go by?", "answer": "-", "evidence": [], "category": 5},
        {"question": "Evidence that is not there?", "answer": "-", "evidence": ["D9:9"], "category": 5},
        {"question": "Half an id?", "answer": "-", "evidence": ["D1:1", "D"], "category": 5},
    ],
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "talks.json"
    file.write_text(json.dumps([TALK] * 6), encoding="utf-8")
    return file


def test_the_file_is_read_with_speakers_times_captions_and_evidence(data: Path) -> None:
    talk = locomo.read_locomo(data)[0]
    turn = to_turns(talk.sessions[0].messages)[1]
    assert (turn.name, turn.content) == ("Emil", "Lovely! I started pottery classes. [image: a blue vase]")
    assert talk.sessions[0].at is not None
    assert talk.sessions[0].at.isoformat() == "2023-05-08T13:56:00+00:00"
    assert [(one.category, one.evidence) for one in talk.questions] == [
        ("single_hop", frozenset({(0, 0)})),
        ("multi_hop", frozenset({(0, 1), (1, 0)})),
    ]
    assert talk.unresolved == 3


def test_recall_is_the_mean_share_of_evidence_found(data: Path, tmp_path: Path) -> None:
    talks = locomo.read_locomo(data)
    with open_brain(tmp_path / "brain") as memory:
        locomo.record(memory, talks)
        asked = locomo.ask(memory, talks)
    scored = locomo.score(asked)
    assert (scored.n, scored.recall_at_50) == (12, 100.0)
    assert scored.categories["single_hop"]["recall_at_1"] == 100.0
    assert scored.categories["multi_hop"]["recall_at_1"] == 50.0
    assert scored.recall_at_1 == 75.0
    assert 0.0 < scored.p50_ms <= scored.p95_ms
    assert {one.conversation for one in locomo.test_half(asked)} == {5}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '[{"qa": []}]', json.dumps([{**TALK, "qa": []}])])
def test_what_is_not_locomo_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "other.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"other\.json"):
        locomo.read_locomo(file)
    with pytest.raises(UsageError, match="snap-research"):
        locomo.read_locomo(tmp_path / "absent.json")


def test_the_command_prints_the_documented_keys_and_keeps_the_vectors(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("seal_agent.memory.build_embedder", lambda *_: HashEmbedder())
    kept = tmp_path / "vectors.npz"
    assert main(["bench", "locomo", "--data", str(data), "--vectors", str(kept), "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    keys = {"n", "p50_ms", "p95_ms", "categories", *(f"recall_at_{cut}" for cut in (1, 5, 10, 20, 50))}
    assert keys | {"test", "unresolved", "embedder", "weights"} == set(result)
    assert set(result["test"]) == keys
    assert (result["n"], result["test"]["n"], result["unresolved"]) == (12, 2, 18)
    assert kept.exists()
    assert main(["bench", "locomo", "--data", str(data), "--vectors", str(kept)]) == 0
    assert "held back" in capsys.readouterr().out


def test_vectors_on_file_are_asked_for_once(tmp_path: Path) -> None:
    class Counted(HashEmbedder):
        asked = 0

        def embed(self, texts: Any) -> Any:  # Any: passed through
            self.asked += len(texts)
            return super().embed(texts)

    file = tmp_path / "v.npz"
    embedder = Counted()
    first = VectorsOnFile(embedder, file)
    vectors = first.embed(["one", "two", "one"])
    np.testing.assert_array_equal(vectors, HashEmbedder().embed(["one", "two", "one"]))
    first.save()
    np.testing.assert_array_equal(VectorsOnFile(embedder, file).embed(["two", "one"]), vectors[[1, 0]])
    assert embedder.asked == 2
    with pytest.raises(UsageError, match="hash-8"):
        VectorsOnFile(HashEmbedder(dim=8), file)
    file.write_bytes(b"nothing")
    with pytest.raises(UsageError, match="no vectors"):
        VectorsOnFile(embedder, file)
