"""Windows of local time become moments in UTC, whatever the clocks do."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from seal_agent.config import NightSettings
from seal_agent.nights.calendar import Window, latest, night_of, upcoming

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Europe/Helsinki", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu")


def window(text: str = "01:00-05:00", zone: str = "Europe/Berlin") -> Window:
    return Window.of(NightSettings(window=text, time_zone=zone))


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]  # year, month, day, hour, minute


def test_a_window_of_local_time_is_told_in_utc() -> None:
    night = night_of(window(), date(2026, 7, 1))
    assert night is not None
    assert (night.opens, night.closes) == (utc(2026, 6, 30, 23), utc(2026, 7, 1, 3))


def test_a_window_may_cross_midnight_and_belongs_to_the_date_it_opens_on() -> None:
    night = night_of(window("22:00-03:00"), date(2026, 1, 10))
    assert night is not None
    assert (night.opens, night.closes) == (utc(2026, 1, 10, 21), utc(2026, 1, 11, 2))
    assert latest(window("22:00-03:00"), utc(2026, 1, 11, 1)).date == date(2026, 1, 10)


def test_equal_times_are_the_whole_day() -> None:
    night = night_of(window("02:00-02:00", "UTC"), date(2026, 1, 10))
    assert night is not None
    assert night.closes - night.opens == timedelta(days=1)


def test_a_time_that_the_clocks_skip_opens_when_they_have_been_moved() -> None:
    night = night_of(window("02:30-02:45"), date(2026, 3, 29))
    assert night is not None
    assert night.opens.astimezone(ZoneInfo("Europe/Berlin")).time() == time(3, 30)


def test_a_time_that_comes_twice_opens_at_the_first_and_closes_at_the_second() -> None:
    night = night_of(window("02:15-02:45"), date(2026, 10, 25))
    assert night is not None
    assert (night.opens, night.closes) == (utc(2026, 10, 25, 0, 15), utc(2026, 10, 25, 1, 45))


def test_a_date_that_the_zone_skipped_has_no_night() -> None:
    samoa = window(zone="Pacific/Apia")
    assert night_of(samoa, date(2011, 12, 30)) is None
    assert upcoming(samoa, utc(2011, 12, 29, 12)).date == date(2011, 12, 31)
    assert latest(samoa, utc(2011, 12, 30, 10, 30)).date == date(2011, 12, 29)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("text", ["00:00-05:00", "01:30-04:00", "02:00-06:00", "03:00-03:30", "23:00-02:30"])
def test_every_date_of_three_years_has_one_night_and_they_come_in_order(zone: str, text: str) -> None:
    its = window(text, zone)
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(3 * 365)]
    nights = [night_of(its, day) for day in days]
    known = [night for night in nights if night is not None]
    assert [night.date for night in known] == days
    assert all(one.opens < one.closes <= two.opens for one, two in pairwise(known))


def test_the_latest_night_is_the_one_whose_window_opened_last_and_the_upcoming_the_next() -> None:
    its = window(zone="UTC")
    before, at = utc(2026, 1, 10, 0, 59), utc(2026, 1, 10, 1)
    assert (latest(its, before).date, upcoming(its, before).date) == (date(2026, 1, 9), date(2026, 1, 10))
    assert (latest(its, at).date, upcoming(its, at).date) == (date(2026, 1, 10), date(2026, 1, 11))
