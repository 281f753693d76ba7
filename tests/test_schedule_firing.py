"""When a schedule fires: by hand around clock changes, against croniter everywhere else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import croniter
from hypothesis import assume, given
from hypothesis import strategies as st

from crmetrics.config.cron import parse_cron
from crmetrics.schedule import firings, next_firing

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe",
         "America/Sao_Paulo", "Pacific/Auckland")  # fmt: skip


def local(text: str, zone: ZoneInfo = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def fired(schedule: str, after: str, until: str, zone: ZoneInfo = BERLIN) -> list[str]:
    found = firings(parse_cron(schedule), zone, local(after, zone), local(until, zone))
    return [instant.astimezone(zone).isoformat(timespec="minutes") for instant in found]


def test_a_weekly_schedule_keeps_its_local_time_over_both_clock_changes() -> None:
    assert fired("0 8 * * MON", "2026-03-22", "2026-04-07") == [
        "2026-03-23T08:00+01:00",
        "2026-03-30T08:00+02:00",
        "2026-04-06T08:00+02:00",
    ]


def test_a_time_that_spring_skips_fires_when_the_clock_goes_on() -> None:
    assert fired("30 2 * * *", "2026-03-28T12:00", "2026-03-30T12:00") == [
        "2026-03-29T03:00+02:00",
        "2026-03-30T02:30+02:00",
    ]


def test_times_that_spring_skips_together_fire_once() -> None:
    assert fired("0,20,40 2 * * *", "2026-03-29", "2026-03-29T12:00") == ["2026-03-29T03:00+02:00"]


def test_a_time_that_autumn_repeats_fires_the_first_time() -> None:
    assert fired("30 2 * * *", "2026-10-24T12:00", "2026-10-26T12:00") == [
        "2026-10-25T02:30+02:00",
        "2026-10-26T02:30+01:00",
    ]


def test_a_schedule_for_every_hour_follows_real_time() -> None:
    autumn = fired("30 * * * *", "2026-10-25T01:00", "2026-10-25T04:00")
    assert autumn == ["2026-10-25T01:30+02:00", "2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00",
                      "2026-10-25T03:30+01:00"]  # fmt: skip
    spring = fired("30 * * * *", "2026-03-29T01:00", "2026-03-29T04:00")
    assert spring == ["2026-03-29T01:30+01:00", "2026-03-29T03:30+02:00"]


def test_midnight_that_does_not_exist_fires_with_the_day() -> None:
    zone = ZoneInfo("America/Sao_Paulo")
    assert fired("0 0 * * *", "2018-11-03T12:00", "2018-11-04T12:00", zone) == [
        "2018-11-04T01:00-02:00"
    ]


def test_day_or_weekday_is_enough_when_both_are_given() -> None:
    assert fired("0 9 1 * MON", "2026-01-30", "2026-02-10") == [
        "2026-02-01T09:00+01:00",
        "2026-02-02T09:00+01:00",
        "2026-02-09T09:00+01:00",
    ]


def test_a_rare_day_is_found() -> None:
    found = next_firing(parse_cron("0 0 29 2 *"), BERLIN, local("2097-01-01"))
    assert found.astimezone(BERLIN).date().isoformat() == "2104-02-29"


def test_the_instant_itself_is_not_its_own_next() -> None:
    cron = parse_cron("0 8 * * *")
    first = next_firing(cron, BERLIN, local("2026-01-01"))
    assert next_firing(cron, BERLIN, first) - first == timedelta(days=1)


FIELDS = st.tuples(
    st.sampled_from(["0", "30", "*/15", "5-50/9", "0,59"]),
    st.sampled_from(["0", "8", "9-17", "*/6", "4,22"]),
    st.sampled_from(["*", "1", "15", "31", "*/10"]),
    st.sampled_from(["*", "1", "2,11", "*/4"]),
    st.sampled_from(["*", "0", "7", "MON", "1-5", "SAT,SUN"]),
)


@given(
    FIELDS,
    st.sampled_from(ZONES),
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
)
def test_it_agrees_with_croniter_where_no_clock_changes(
    fields: tuple[str, ...], zone_name: str, after: datetime
) -> None:
    schedule, zone = " ".join(fields), ZoneInfo(zone_name)
    try:
        cron = parse_cron(schedule)
    except ValueError:
        return
    # Cron joins a weekday to a day such as */10 by "and", croniter by "or".
    assume(not (fields[2].startswith("*/") and fields[4] != "*"))
    # Wall-clock time without a zone: croniter then knows no clock changes.
    expected = croniter(schedule, after).get_next(datetime)
    assume(is_steady(after, zone) and is_steady(expected, zone))
    found = next_firing(cron, zone, after.replace(tzinfo=zone))
    assert found.astimezone(zone).replace(tzinfo=None) == expected


def is_steady(local: datetime, zone: ZoneInfo) -> bool:
    """True when no clock changes within a day of a local time."""
    days = (timedelta(days=-1), timedelta(), timedelta(days=1))
    return len({(local + shift).replace(tzinfo=zone).utcoffset() for shift in days}) == 1


@given(st.sampled_from(ZONES), st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)))
def test_a_daily_schedule_fires_once_for_every_local_day(zone_name: str, after: datetime) -> None:
    zone = ZoneInfo(zone_name)
    start = after.replace(tzinfo=UTC)
    found = list(firings(parse_cron("30 2 * * *"), zone, start, start + timedelta(days=20)))
    days = [instant.astimezone(zone).date() for instant in found]
    assert days == [days[0] + timedelta(days=n) for n in range(len(days))]
    assert len(days) in (19, 20, 21)
