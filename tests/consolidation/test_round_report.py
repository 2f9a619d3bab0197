"""What a round says of itself: intervals that hold what they should, and how much of a choice was luck."""

from seal_agent.consolidation.policies import POLICIES
from seal_agent.consolidation.promoting import decide
from seal_agent.consolidation.round_report import Judgement, Tried, interval, winner_curse


def tried(context: str, choosing: float | None, reporting: float | None) -> Tried:
    return Tried(context=context, policy=POLICIES[0], written=1, refused=0, choosing=choosing, reporting=reporting)


def judged(*differences: float) -> list[Judgement]:
    return [Judgement(context=str(place), untrained=1.0, trained=1.0 + value) for place, value in enumerate(differences)]


def test_the_curse_is_what_the_other_repeats_do_not_confirm() -> None:
    confirmed = [tried("a", 2.0, 2.0), tried("a", 0.0, 0.0)]
    luck = [tried("a", 2.0, 1.0), tried("a", 0.0, 1.0)]
    assert winner_curse(confirmed) == 0.0
    assert winner_curse(luck) == 1.0
    assert winner_curse([*confirmed, *(tried("b", 2.0, 1.0), tried("b", 0.0, 1.0))]) == 0.5


def test_without_a_choice_or_a_report_nothing_is_said_of_luck() -> None:
    assert winner_curse([]) is None
    assert winner_curse([tried("a", 1.0, 1.0)]) is None
    assert winner_curse([tried("a", 1.0, None), tried("a", 0.0, None)]) is None


def test_an_interval_holds_the_mean_and_narrows_with_agreement() -> None:
    low, high = interval([0.0, 1.0, 2.0, 3.0])
    assert low < 1.5 < high
    assert interval([1.0, 1.0]) == (1.0, 1.0)


def test_only_a_gain_beyond_chance_promotes() -> None:
    assert decide(judged(0.2, 0.3, 0.1)).verdict == "promote"
    assert decide(judged(0.5, -0.4, 0.1)).verdict == "reject"
    assert decide(judged(0.0, 0.0)).verdict == "reject"
    assert decide(judged(0.9)).reasons == ("judged on 1 contexts (at least 2)",)
