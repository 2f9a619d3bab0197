"""Whole nights on the fakes, of several scopes: whose facts get into whose adapter."""

from tests.consolidation.brains import ANA, BEN, DIET, HOME, SUPPORT, Brain


def test_a_shared_fact_that_the_agent_s_own_adapter_has_learnt_is_picked_up_by_a_user_s(brain: Brain) -> None:
    brain.hear(DIET, HOME, scope=ANA)
    brain.night(ANA)
    shared = brain.state("The shop in Rotterdam is closed on Sundays.", SUPPORT)
    assert brain.with_settings(gate={"min_gain": 0.0}).night(SUPPORT).state == "promoted"
    assert [found.id for found in brain.facts(SUPPORT, "learned", "not_learned")] == [shared.id]
    report = brain.night(ANA)
    assert report.state == "promoted"
    assert shared.text in brain.lessons(str(report.adapter))
    assert brain.night(ANA).state == "skipped"


def test_who_has_nothing_of_their_own_gets_no_adapter_for_shared_facts(brain: Brain) -> None:
    brain.state("The shop in Rotterdam is closed on Sundays.", SUPPORT)
    brain.hear("hi there", scope=ANA)
    assert brain.night(ANA).state == "skipped"


def test_no_adapter_of_a_user_holds_another_user_s_fact(brain: Brain) -> None:
    brain.hear(DIET, scope=ANA)
    brain.hear(HOME, scope=BEN)
    ana, ben = brain.night(ANA), brain.night(BEN)
    assert DIET in brain.lessons(str(ana.adapter))
    assert HOME not in brain.lessons(str(ana.adapter))
    assert HOME in brain.lessons(str(ben.adapter))
    assert DIET not in brain.lessons(str(ben.adapter))
    assert [outcome.text for outcome in ana.facts] == [f"Ana said: {DIET}"]
    assert brain.quotes("learned", scope=ANA) == [DIET]


def test_facts_shared_by_the_agent_are_taught_to_its_users_adapters(brain: Brain) -> None:
    shared = brain.state("The shop in Rotterdam is closed on Sundays.", SUPPORT)
    brain.hear(DIET, scope=ANA)
    report = brain.night(ANA)
    assert shared.text in brain.lessons(str(report.adapter))
    assert brain.facts(SUPPORT) == [shared]
    assert brain.live(SUPPORT) is None


def test_a_users_facts_are_never_taught_to_the_agents_adapter(brain: Brain) -> None:
    brain.hear(DIET, scope=ANA)
    brain.state("The shop in Rotterdam is closed on Sundays.", SUPPORT)
    report = brain.with_settings(gate={"min_gain": 0.0}).night(SUPPORT)
    assert len(report.facts) == 1
    assert DIET not in brain.lessons(str(report.adapter))


def test_a_shared_fact_with_too_little_material_is_not_tried_again_every_night(brain: Brain) -> None:
    brain.state("Closed.", SUPPORT)
    brain.hear(DIET, HOME, scope=ANA)
    strict = brain.with_settings(self_edit={"min_documents_per_fact": 12})
    report = strict.night(ANA)
    assert report.state == "promoted"
    assert min(outcome.documents for outcome in report.facts) < 12
    assert strict.night(ANA).state == "skipped"


def test_a_shared_fact_of_a_rejected_candidate_is_not_tried_again_every_night(brain: Brain) -> None:
    brain.state("The shop in Rotterdam is closed on Sundays.", SUPPORT)
    brain.hear(DIET, scope=ANA)
    assert brain.with_settings(gate={"min_gain": 1.0}).night(ANA).state == "rejected"
    assert brain.night(ANA).state == "skipped"
