"""The table of deliveries in the warehouse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from crmetrics.deliver import DeliveryRecord, DeliveryStatus, Ledger, create_deliveries, deliveries
from crmetrics.deliver.ledger import Place, channel_of
from crmetrics.deliver.past import past_of
from crmetrics.warehouse.connection import Connection, EngineSettings, connect
from result_rows import AS_OF


@pytest.fixture
def settings(tmp_path: Path) -> EngineSettings:
    return EngineSettings(path=tmp_path / "warehouse.duckdb", timezone="Europe/Berlin")


@pytest.fixture
def session(settings: EngineSettings) -> Iterator[Connection]:
    with connect(settings, read_only=False) as connection:
        create_deliveries(connection)
        yield connection


PLACE = Place("weekly", "week", "team", "hooks.slack.com …abcd", channel_of("hooks.slack.com"))


def attempt(key: str, status: DeliveryStatus, **parts: Any) -> DeliveryRecord:
    values: dict[str, Any] = {
        "run_id": "run-1",
        "job": "weekly",
        "sink": "team",
        "destination": "hooks.slack.com …abcd",
        "at": AS_OF,
        "period_start": date(2026, 1, 26),
        "period_end": date(2026, 2, 2),
        "grain": "week",
        **parts,
    }
    return DeliveryRecord(key=key, status=status, **values)


def test_attempts_come_back_as_they_were_recorded_in_their_order(session: Connection) -> None:
    ledger = Ledger(session)
    records = [
        attempt("k1", "started", fingerprint="f", told={"goals": {"win_rate": "on_track"}}),
        attempt("k1", "delivered", receipt={"reference": "1763712000.000100", "rows": 3}),
    ]
    for record in records:
        ledger.record(record)
    ledger.record(attempt("k2", "failed", error="no route to hôst"))
    days = (date(2026, 1, 26), date(2026, 2, 2))
    failed = attempt("k2", "failed", error="no route to hôst")
    assert ledger.reports(PLACE, *days) == [*records, failed]


def test_what_was_told_before_is_that_of_the_last_earlier_period_there(
    session: Connection,
) -> None:
    ledger = Ledger(session)
    for day, told in ((5, "a"), (19, "c"), (12, "b"), (26, "now")):
        start = date(2026, 1, day)
        ledger.record(attempt("k", "delivered", period_start=start, told={"said": told}))
    ledger.record(attempt("k", "failed", period_start=date(2026, 1, 20), told={"said": "no"}))
    ledger.record(attempt("k", "delivered", job="other", told={"said": "other"}))
    assert ledger.told_before(PLACE, date(2026, 1, 26)) == {"said": "c"}
    assert ledger.told_before(PLACE, date(2026, 1, 5)) == {}
    elsewhere = replace(PLACE, destination="elsewhere")
    assert ledger.told_before(elsewhere, date(2026, 1, 26)) == {}


def test_a_channel_is_found_whatever_of_its_name_is_masked(session: Connection) -> None:
    ledger = Ledger(session)
    ledger.record(
        attempt("k", "delivered", destination="hooks.********.com", channel="c1", told={"said": 1})
    )
    here = replace(PLACE, channel="c1")
    assert ledger.told_before(here, date(2026, 2, 2)) == {"said": 1}
    assert ledger.told_before(replace(here, channel="c2"), date(2026, 2, 2)) == {}


def test_a_channel_of_an_older_version_counts_for_the_sink_that_has_its_name(
    session: Connection,
) -> None:
    ledger = Ledger(session)
    ledger.record(attempt("a", "delivered", channel="c0", told={"said": "a"}))
    here = replace(PLACE, channel="c1", channel_before="c0")
    assert ledger.told_before(here, date(2026, 2, 2)) == {"said": "a"}
    assert ledger.held(here) == (date(2026, 1, 26), date(2026, 2, 2))
    assert ledger.told_before(replace(here, sink="sales"), date(2026, 2, 2)) == {}
    assert ledger.held(replace(here, channel_before="")) is None


def test_reports_on_a_period_are_found_under_whatever_key_and_name(session: Connection) -> None:
    ledger, days = Ledger(session), (date(2026, 1, 26), date(2026, 2, 2))
    ledger.record(attempt("a", "failed", channel=PLACE.channel))
    ledger.record(attempt("b", "delivered", sink="sales", channel=PLACE.channel))
    ledger.record(attempt("c", "delivered", channel="c9"))
    ledger.record(attempt("d", "delivered", channel=PLACE.channel, job="daily"))
    assert [one.key for one in ledger.reports(PLACE, *days)] == ["a", "b"]
    assert ledger.reports(PLACE, date(2026, 1, 19), date(2026, 1, 26)) == []


def test_a_place_holds_what_was_delivered_there_last(session: Connection) -> None:
    ledger = Ledger(session)
    assert ledger.held(PLACE) is None
    ledger.record(attempt("k", "delivered", channel=PLACE.channel))
    earlier = {"period_start": date(2026, 1, 19), "period_end": date(2026, 1, 26)}
    ledger.record(attempt("k2", "delivered", channel=PLACE.channel, **earlier))
    ledger.record(attempt("k3", "failed", channel=PLACE.channel))
    day = {"grain": "day", "period_start": date(2026, 2, 3), "period_end": date(2026, 2, 4)}
    ledger.record(attempt("k4", "delivered", channel=PLACE.channel, **day))
    assert ledger.held(PLACE) == (date(2026, 1, 19), date(2026, 1, 26))


def test_what_was_made_anew_since_a_job_delivered_there_is_known_to_it(
    session: Connection,
) -> None:
    ledger, made = Ledger(session), {"receipt": {"made": "the table"}}
    ledger.record(attempt("k", "delivered", channel=PLACE.channel, job="daily", **made))
    assert ledger.made_since(PLACE) is None
    ledger.record(attempt("k", "delivered", channel=PLACE.channel, **made))
    assert ledger.made_since(PLACE) == ""
    ledger.record(attempt("k", "delivered", channel="c9", job="daily", **made))
    assert ledger.made_since(PLACE) == ""
    ledger.record(attempt("k", "started", channel=PLACE.channel, job="daily", **made))
    ledger.record(attempt("k", "failed", channel=PLACE.channel, job="daily"))
    assert ledger.made_since(PLACE) == "the table"
    ledger.record(attempt("k", "delivered", channel=PLACE.channel))
    assert ledger.made_since(PLACE) == ""


def test_where_a_sink_went_before_is_known_until_its_place_has_a_report(
    session: Connection,
) -> None:
    ledger = Ledger(session)
    assert ledger.moved_from(PLACE) == ""
    ledger.record(attempt("k", "delivered", channel="c1", destination="hall"))
    ledger.record(attempt("k", "delivered", channel="c2", destination="door", sink="sales"))
    ledger.record(attempt("k", "unknown", channel="c3", destination="yard"))
    assert ledger.moved_from(PLACE) == "hall"
    ledger.record(attempt("k", "delivered", channel=PLACE.channel, sink="sales"))
    assert ledger.moved_from(PLACE) == ""


def test_what_may_have_been_told_counts_where_it_is_asked_for(session: Connection) -> None:
    ledger, asked = Ledger(session), (PLACE, date(2026, 2, 2))
    ledger.record(attempt("a", "unknown", channel=PLACE.channel, told={"said": "a"}))
    ledger.record(attempt("b", "started", channel=PLACE.channel, told={"said": "b"}))
    ledger.record(attempt("b", "failed", channel=PLACE.channel, told={"said": "b"}))
    assert ledger.told_before(*asked) == {}
    assert ledger.told_before(*asked, or_maybe=True) == {"said": "a"}


@pytest.mark.parametrize(
    ("ends", "is_held"),
    [
        ((), True),
        (("unknown",), True),
        (("failed",), False),
        (("delivered",), True),
    ],
)
def test_a_place_may_hold_what_an_attempt_without_an_end_brought(
    session: Connection, ends: tuple[DeliveryStatus, ...], is_held: bool
) -> None:
    ledger = Ledger(session)
    earlier = {"period_start": date(2026, 1, 19), "period_end": date(2026, 1, 26)}
    ledger.record(attempt("k", "delivered", channel=PLACE.channel, **earlier))
    for status in ("started", *ends):
        ledger.record(attempt("k2", status, channel=PLACE.channel, run_id="run-2"))
    ledger.record(attempt("k2", "blocked", channel=PLACE.channel, run_id="run-3"))
    held = (date(2026, 1, 26), date(2026, 2, 2)) if is_held else tuple(earlier.values())
    assert ledger.held(PLACE) == held


def test_what_a_name_delivered_is_known_wherever_it_went(session: Connection) -> None:
    ledger, days = Ledger(session), (date(2026, 1, 26), date(2026, 2, 2))
    for status, parts in (
        ("delivered", {"channel": "c1"}),
        ("failed", {"channel": "c2"}),
        ("delivered", {"channel": "c3", "sink": "sales"}),
        ("delivered", {"channel": "c4", "period_start": date(2026, 1, 19)}),
    ):
        ledger.record(attempt("k", status, **parts))  # type: ignore[arg-type]
    assert [one.channel for one in ledger.delivered_by(PLACE, *days)] == ["c1"]


def test_the_last_receipt_of_each_place_of_a_job_comes_with_its_channel(
    session: Connection,
) -> None:
    ledger = Ledger(session)
    for reference, parts in (
        ("1", {"channel": "c1"}),
        ("2", {"channel": "c1", "sink": "sales"}),
        ("3", {"channel": "c2"}),
        ("4", {"channel": "c2", "job": "daily"}),
        ("5", {}),
    ):
        receipt = {"reference": reference}
        ledger.record(attempt("k", "delivered", receipt=receipt, **parts))  # type: ignore[arg-type]
    ledger.record(attempt("k", "unknown", channel="c1", receipt={"reference": "6"}))
    found = sorted((channel, it["reference"]) for channel, it in ledger.receipts("weekly"))
    assert found == [("c1", "2"), ("c2", "3")]


def test_a_place_is_the_same_whatever_the_sink_is_called(session: Connection) -> None:
    ledger = Ledger(session)
    first = {"period_start": date(2026, 1, 12), "period_end": date(2026, 1, 19)}
    ledger.record(attempt("k", "delivered", channel=PLACE.channel, **first, told={"said": 1}))
    ledger.record(attempt("k", "delivered", channel=PLACE.channel, told={"said": 2}))
    here = replace(PLACE, sink="sales")
    assert ledger.held(here) == (date(2026, 1, 26), date(2026, 2, 2))
    assert ledger.told_before(here, date(2026, 2, 2)) == {"said": 2}
    assert ledger.told_before(here, date(2026, 2, 2), others=["team"]) == {}
    ledger.record(
        attempt("k", "delivered", sink="sales", channel=PLACE.channel, **first, told={"said": 3})
    )
    assert ledger.told_before(here, date(2026, 2, 2)) == {"said": 3}
    assert ledger.told_before(here, date(2026, 2, 2), others=["team"]) == {"said": 3}


@pytest.mark.parametrize(
    ("history", "arrived", "pending"),
    [
        ("", None, None),
        ("1 started", None, "1"),
        ("1 started,1 failed", None, None),
        ("1 started,1 delivered", "1", None),
        ("1 started,1 unknown", None, "1"),
        ("1 started,1 unknown,2 started,2 failed", None, "1"),
        ("1 started,1 unknown,2 started,2 delivered", "2", None),
        ("1 delivered,2 started", "1", "2"),
        ("1 unknown,2 blocked", None, "1"),
    ],
)
def test_what_a_history_comes_to(history: str, arrived: str | None, pending: str | None) -> None:
    records = []
    for step in filter(None, history.split(",")):
        run_id, status = step.split()
        records.append(attempt("k", status, run_id=run_id))  # type: ignore[arg-type]
    past = past_of(records)
    assert (past.arrived and past.arrived.run_id, past.pending and past.pending.run_id) == (
        arrived,
        pending,
    )


def test_what_a_failed_attempt_had_sent_is_not_forgotten() -> None:
    records = [
        attempt("k", "started"),
        attempt("k", "started", receipt={"reference": "ts-1"}),
        attempt("k", "failed", error="the thread was refused"),
    ]
    past = past_of(records)
    assert past.pending is not None
    assert past.pending.receipt == {"reference": "ts-1"}


def test_the_list_shows_an_attempt_once_the_newest_first(session: Connection) -> None:
    ledger = Ledger(session)
    for record in (
        attempt("k1", "started"),
        attempt("k1", "delivered", receipt={"reference": "ts-1", "rows": 3}),
        attempt("k2", "started", sink="other"),
        attempt("k3", "started", run_id="run-2"),
        attempt("k3", "unknown", run_id="run-2", error="no answer"),
    ):
        ledger.record(record)
    found = deliveries(session)
    assert found is not None
    rows = [(row["status"], row["reference"], row["rows"]) for row in found.to_pylist()]
    assert rows == [("unknown", None, None), ("started", None, None), ("delivered", "ts-1", 3)]
    only = deliveries(session, sink="other")
    assert only is not None
    assert only.num_rows == 1


OLD = (
    "create table meta.deliveries (key varchar, run_id varchar, job varchar, sink varchar, "
    "destination varchar, status varchar, receipt varchar, attempted_at timestamptz, "
    "error varchar, attempt bigint)"
)


def test_a_table_of_an_older_version_is_read_and_extended(settings: EngineSettings) -> None:
    with connect(settings, read_only=False) as writer:
        writer.execute("create schema meta")
        writer.execute(OLD)
        writer.execute(
            "insert into meta.deliveries values "
            "('k', 'r', 'j', 's', 'd', 'delivered', '{}', '2026-02-02 07:00Z', '', 1)"
        )
    place = Place("j", "week", "s", "d", channel_of("d unmasked"))
    days = (date(2026, 1, 26), date(2026, 2, 2))
    with connect(settings, read_only=True) as reader:
        found = deliveries(reader)
        assert found is not None
        assert found.column("period_start").to_pylist() == [None]
        assert Ledger(reader).reports(place, *days) == []
    with connect(settings, read_only=False) as writer:
        create_deliveries(writer)
        writer.execute("update meta.deliveries set grain = 'week', period_start = '2026-01-26',"
                       " period_end = '2026-02-02'")  # fmt: skip
        assert Ledger(writer).held(place) == days
        [record] = Ledger(writer).reports(place, *days)
        assert (record.key, record.at, record.told) == (
            "k",
            datetime(2026, 2, 2, 7, tzinfo=UTC),
            {},
        )


def test_a_warehouse_without_ledger_has_no_deliveries(settings: EngineSettings) -> None:
    with connect(settings, read_only=False) as fresh:
        fresh.execute("create table t (a int)")
    with connect(settings, read_only=True) as reader:
        assert deliveries(reader) is None
        assert Ledger(reader).reports(PLACE, date(2026, 1, 1), date(2026, 1, 8)) == []
        assert Ledger(reader).told_before(PLACE, date(2026, 1, 1)) == {}
