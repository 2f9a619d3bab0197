"""What can't be sampled with is refused by name, before any model sees it."""

import math
from typing import Any

import pytest

from seal_agent.errors import UsageError
from seal_agent.sampling import Sampling, check_timeout, cut_at


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("max_tokens", value) for value in (0, -1, True, 1.5, "8", None)],
        *[("temperature", value) for value in (-0.1, 2.1, math.nan, math.inf, "hot")],
        *[("top_p", value) for value in (0, -1, 1.1, math.nan, None)],
        *[("seed", value) for value in (-1, 2**63, 1.0, True)],
        *[("stop", value) for value in ("end", ("",), ("x" * 201,), ("x",) * 17, (1,))],
    ],
)
def test_what_can_not_be_sampled_with_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(UsageError, match=field):
        Sampling(**{field: value})


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, "1", True])
def test_what_is_no_time_to_wait_is_refused(seconds: Any) -> None:
    with pytest.raises(UsageError, match="timeout"):
        check_timeout(seconds)


def test_a_text_is_cut_at_the_stop_that_comes_first() -> None:
    assert cut_at("one two three", ("three", "two")) == ("one ", True)
    assert cut_at("one two", ("four",)) == ("one two", False)
