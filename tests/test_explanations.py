"""Why something is believed: facts, words and the adapter, each named."""

from pathlib import Path

from seal_agent.testing import HashEmbedder
from tests.brains import learn, open_brain


def test_explain_names_the_facts_the_words_and_the_adapter_behind_a_belief(tmp_path: Path) -> None:
    with open_brain(tmp_path / "brain", embedder=HashEmbedder(256)) as memory:
        ana = memory.scope(user="ana")
        fact = ana.remember("Ana drinks tea in the morning.")
        adapter = learn(memory, ana, {"Tea?": "yes"}, facts=[fact])
        ana.add("The tea was cold today.")
        found = ana.explain("What does she drink in the morning, tea?")
        assert [(one.fact.id, one.adapter.name if one.adapter else None) for one in found.beliefs] == [(fact.id, adapter.name)]
        assert [hit.text for hit in found.episodes] == ["The tea was cold today."]
        assert found.adapter == adapter.name
        assert [event.change for event in found.beliefs[0].events] == ["recorded", "learned"]
        assert ana.explain(fact.id).beliefs[0].fact.id == fact.id
