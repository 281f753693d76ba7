"""Reading a source: how far back, which columns, and what a failure leaves behind."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from crmetrics.datasets import canonical_datasets
from crmetrics.errors import SourceError
from crmetrics.extract import sync
from crmetrics.options import DatasetOptions, SourceOptions
from crmetrics.plugin import Connector, ConnectorContext, ReadRequest, Supply
from crmetrics.warehouse import EngineSettings, LoadReport, LoadSession, open_for_load

DATASETS = canonical_datasets()
NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

Reading = Callable[[ReadRequest], Iterator[pa.RecordBatch]]


class Scripted(Connector):
    """A connector whose reads are given by the test; it remembers what it was asked."""

    name = "scripted"

    def __init__(
        self,
        readings: Mapping[str, Reading],
        supplies: Sequence[Supply],
        options: SourceOptions | None = None,
    ) -> None:
        super().__init__(
            options or SourceOptions(),
            ConnectorContext("crm", Path(), timezone="Europe/Berlin", datasets=DATASETS),
        )
        self.readings = readings
        self.supplies = supplies
        self.asked: list[ReadRequest] = []

    def datasets(self) -> Sequence[Supply]:
        return self.supplies

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        self.asked.append(request)
        return self.readings[request.dataset.name](request)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[LoadSession]:
    with open_for_load(EngineSettings(tmp_path / "w.duckdb", threads=1), DATASETS) as opened:
        yield opened


def run(
    session: LoadSession,
    connector: Connector,
    requests: Mapping[str, Sequence[str]],
    *,
    now: datetime = NOON,
    **options: Any,
) -> list[LoadReport]:
    return sync(
        session,
        connector,
        "crm",
        requests,
        options=connector.config,
        datasets=DATASETS,
        now=now,
        **options,
    )


def giving(*batches: dict[str, list[Any]]) -> Reading:
    """A reading that yields these batches."""
    return lambda request: iter([pa.record_batch(batch) for batch in batches])


def leads(
    reading: Reading,
    *columns: str,
    incremental: bool = False,
    options: SourceOptions | None = None,
) -> Scripted:
    """A source of leads only."""
    supply = Supply("leads", ("id", *columns), incremental=incremental)
    return Scripted({"leads": reading}, [supply], options)


def lead_rows(session: LoadSession, *columns: str) -> list[tuple[Any, ...]]:
    return session.rows(f"select {', '.join(columns)} from crm.leads order by all")


# --- columns ---------------------------------------------------------------------------------


def test_a_request_holds_the_key_the_change_time_and_what_the_source_can_give(
    session: LoadSession,
) -> None:
    source = leads(giving({"id": ["1"]}), "updated_at", "status", "lead_source")
    run(session, source, {"leads": ("status", "campaign_id")})
    (asked,) = source.asked
    assert asked.columns == ("id", "updated_at", "status")
    assert asked.dataset is DATASETS["leads"]
    assert (asked.since, asked.until, asked.is_full, asked.state) == (None, None, False, {})


def test_columns_of_earlier_reads_stay_in(session: LoadSession) -> None:
    source = leads(giving({"id": ["1"]}), "status", "lead_source", incremental=True)
    run(session, source, {"leads": ("status", "lead_source")})
    run(session, source, {"leads": ("status",)})
    assert source.asked[1].columns == ("id", "lead_source", "status")
    assert source.asked[1].since is not None


def test_a_new_column_makes_a_full_read(session: LoadSession) -> None:
    source = leads(giving({"id": ["1"]}), "status", "lead_source", incremental=True)
    run(session, source, {"leads": ("status",)})
    (report,) = run(session, source, {"leads": ("lead_source",)})
    assert (source.asked[1].since, source.asked[1].is_full) == (None, True)
    assert report.is_full


def test_a_changed_mapping_makes_a_full_read(session: LoadSession) -> None:
    def mapped(expression: str) -> Scripted:
        own = {"leads": DatasetOptions(columns={"status": expression, "lead_source": "x"})}
        source = SourceOptions(datasets=own)
        return leads(giving({"id": ["1"]}), "status", incremental=True, options=source)

    for expression, is_full in (
        ("a", False),
        ("a", False),
        ("upper(a)", True),
        ("upper(a)", False),
    ):
        source = mapped(expression)
        run(session, source, {"leads": ("status",)})
        assert source.asked[0].is_full is is_full


def test_another_zone_of_the_source_makes_a_full_read(session: LoadSession) -> None:
    for zone, is_full in ((None, False), ("Europe/Berlin", False), ("Asia/Tokyo", True)):
        source = leads(giving({"id": ["1"]}), options=SourceOptions(timezone=zone))
        run(session, source, {"leads": ()})
        assert source.asked[0].is_full is is_full


# --- how far back ----------------------------------------------------------------------------


def test_an_incremental_read_reaches_back_and_holds_back(session: LoadSession) -> None:
    source = leads(giving({"id": ["1"]}), incremental=True)
    run(session, source, {"leads": ()}, now=NOON)
    run(session, source, {"leads": ()}, now=NOON + 60 * MINUTE)
    first, second = source.asked
    assert (first.since, first.until) == (None, None)
    # All changes before NOON - 5 minutes are loaded for certain.
    assert second.since == NOON - 5 * MINUTE - 10 * MINUTE
    assert second.until == NOON + 55 * MINUTE
    assert session.state("crm", "leads").watermark == NOON + 55 * MINUTE


def test_no_change_falls_between_two_reads_whatever_the_settings(session: LoadSession) -> None:
    options = SourceOptions(overlap=timedelta(0), hold_back=30 * MINUTE)
    source = leads(giving({"id": ["1"]}), incremental=True, options=options)
    for hour in range(4):
        run(session, source, {"leads": ()}, now=NOON + hour * 60 * MINUTE)
    bounds = [(asked.since, asked.until) for asked in source.asked[1:]]
    for (_, until), (since, _) in pairwise(bounds):
        assert until == since


def test_after_a_clock_that_was_ahead_all_is_read_again(session: LoadSession) -> None:
    source = leads(giving({"id": ["1"]}), incremental=True)
    run(session, source, {"leads": ()}, now=NOON)
    (report,) = run(session, source, {"leads": ()}, now=NOON - 600 * MINUTE)
    assert (source.asked[1].since, source.asked[1].is_full) == (None, True)
    assert "a clock that was ahead (it tells of changes up to 2026-01-10 11:55 UTC)" in str(
        report.notices
    )
    run(session, source, {"leads": ()}, now=NOON - 590 * MINUTE)
    assert source.asked[2].since == NOON - 615 * MINUTE


def test_a_clock_that_was_set_back_a_little_asks_for_no_negative_range(
    session: LoadSession,
) -> None:
    source = leads(giving({"id": ["1"]}), incremental=True)
    run(session, source, {"leads": ()}, now=NOON)
    run(session, source, {"leads": ()}, now=NOON - MINUTE)
    second = source.asked[1]
    assert second.since is not None and second.until is not None
    assert second.since <= second.until <= NOON


def test_full_reads_everything_again_and_replaces(session: LoadSession) -> None:
    run(session, leads(giving({"id": ["1", "2"]}), incremental=True), {"leads": ()})
    source = leads(giving({"id": ["2", "3"]}), incremental=True)
    (report,) = run(session, source, {"leads": ()}, full=True)
    assert (source.asked[0].since, source.asked[0].is_full) == (None, True)
    assert (report.inserted, report.updated, report.replaced) == (1, 1, 1)
    assert lead_rows(session, "id") == [("2",), ("3",)]


def test_an_incremental_read_keeps_what_it_does_not_give(session: LoadSession) -> None:
    run(session, leads(giving({"id": ["1", "2"]}), incremental=True), {"leads": ()})
    run(session, leads(giving({"id": ["2", "3"]}), incremental=True), {"leads": ()})
    assert lead_rows(session, "id") == [("1",), ("2",), ("3",)]


def test_a_source_that_gives_everything_each_time_replaces(session: LoadSession) -> None:
    run(session, leads(giving({"id": ["1", "2"]})), {"leads": ()})
    run(session, leads(giving({"id": ["2"]})), {"leads": ()})
    assert lead_rows(session, "id") == [("2",)]


def test_a_source_with_a_state_decides_itself_what_leaves(session: LoadSession) -> None:
    def reading(request: ReadRequest) -> Iterator[pa.RecordBatch]:
        if request.is_full or request.state.get("size") != 7:
            request.begin_part("leads.csv")
            yield pa.record_batch({"id": ["1", "2"]})
        request.save_state({"size": 7})

    source = leads(reading)
    (first,) = run(session, source, {"leads": ()})
    (second,) = run(session, source, {"leads": ()})
    (third,) = run(session, source, {"leads": ()}, full=True)
    assert [report.fetched for report in (first, second, third)] == [2, 0, 2]
    assert lead_rows(session, "id", "_part") == [("1", "leads.csv"), ("2", "leads.csv")]


# --- the account -----------------------------------------------------------------------------


def of_account(name: str | None, ids: list[str]) -> Reading:
    """A reading of this account's records."""

    def reading(request: ReadRequest) -> Iterator[pa.RecordBatch]:
        request.name_account(name)
        yield pa.record_batch({"id": ids})

    return reading


def test_records_of_another_account_do_not_come_in_until_all_is_read_again(
    session: LoadSession,
) -> None:
    run(session, leads(of_account("org 1", ["1"])), {"leads": ()})
    (report,) = run(session, leads(of_account("org 2", ["2"])), {"leads": ()})
    assert "the access is to org 2, and what is loaded came from org 1" in str(report.error)
    assert lead_rows(session, "id") == [("1",)]
    (unknown,) = run(session, leads(of_account(None, ["3"])), {"leads": ()})
    assert not unknown.failed and lead_rows(session, "id") == [("3",)]
    (report,) = run(session, leads(of_account("org 2", ["2"])), {"leads": ()})
    assert "came from org 1" in str(report.error)
    (report,) = run(session, leads(of_account("org 2", ["2"])), {"leads": ()}, full=True)
    assert not report.failed and lead_rows(session, "id") == [("2",)]
    assert not run(session, leads(of_account("org 2", ["2"])), {"leads": ()})[0].failed


def test_an_account_that_is_told_no_more_is_an_error_where_it_is_required(
    session: LoadSession,
) -> None:
    def of_nobody(request: ReadRequest) -> Iterator[pa.RecordBatch]:
        request.name_account(None, is_required=True)
        yield pa.record_batch({"id": ["2"]})

    assert not run(session, leads(of_nobody), {"leads": ()})[0].failed, "it was never told"
    run(session, leads(of_account("org 1", ["1"])), {"leads": ()})
    (report,) = run(session, leads(of_nobody), {"leads": ()})
    assert "what is loaded came from org 1" in str(report.error)
    assert lead_rows(session, "id") == [("1",)]
    assert not run(session, leads(of_nobody), {"leads": ()}, full=True)[0].failed
    assert not run(session, leads(of_nobody), {"leads": ()})[0].failed
    assert lead_rows(session, "id") == [("2",)]


def test_more_columns_do_not_bring_in_another_account(session: LoadSession) -> None:
    run(session, leads(of_account("org 1", ["1"]), "status"), {"leads": ()})
    (report,) = run(session, leads(of_account("org 2", ["2"]), "status"), {"leads": ("status",)})
    assert report.failed and lead_rows(session, "id") == [("1",)]


def test_other_rules_do_not_bring_in_another_account(session: LoadSession) -> None:
    mapped = DatasetOptions(columns={"status": "'open'"})
    run(session, leads(of_account("org 1", ["1"]), "status"), {"leads": ("status",)})
    other = leads(
        of_account("org 2", ["2"]), "status", options=SourceOptions(datasets={"leads": mapped})
    )
    (report,) = run(session, other, {"leads": ("status",)})
    assert "came from org 1" in str(report.error) and lead_rows(session, "id") == [("1",)]


def test_another_address_brings_in_its_account(session: LoadSession) -> None:
    def at(address: str, name: str) -> Reading:
        def reading(request: ReadRequest) -> Iterator[pa.RecordBatch]:
            request.name_account(name, at=address)
            yield pa.record_batch({"id": [name]})

        return reading

    supplies = [Supply(name, ("id",)) for name in ("leads", "users")]

    def source(address: str, name: str) -> Scripted:
        return Scripted(dict.fromkeys(("leads", "users"), at(address, name)), supplies)

    run(session, source("one.example", "org 1"), {"leads": ()})
    # Of two datasets one is read for the first time.
    reports = run(session, source("two.example", "org 2"), {"leads": (), "users": ()})
    assert not any(report.failed for report in reports)
    assert lead_rows(session, "id") == [("org 2",)]
    (report,) = run(session, source("two.example", "org 1"), {"leads": ()})
    assert report.failed


def test_a_dataset_that_is_new_is_held_against_what_the_source_gave_before(
    session: LoadSession,
) -> None:
    supplies = [Supply("leads", ("id",)), Supply("users", ("id",))]

    def source(account: str) -> Scripted:
        reading = of_account(account, ["1"])
        return Scripted({"leads": reading, "users": reading}, supplies)

    run(session, source("org 1"), {"leads": ()})
    (report,) = run(session, source("org 2"), {"users": ()})
    assert "came from org 1" in str(report.error)
    assert not run(session, source("org 1"), {"users": ()})[0].failed


def test_what_a_source_forgets_leaves_with_its_account(session: LoadSession) -> None:
    def logins(account: str, ids: list[str]) -> Scripted:
        reading = of_account(account, ids)
        return Scripted({"user_activity": reading}, [Supply("user_activity", ("id",), keeps=True)])

    def there() -> list[tuple[str]]:
        return session.rows("select id from crm.user_activity order by id")

    run(session, logins("org 1", ["1"]), {"user_activity": ()})
    run(session, logins("org 1", ["2"]), {"user_activity": ()}, full=True)
    assert there() == [("1",), ("2",)]
    run(session, logins("org 2", ["3"]), {"user_activity": ()}, full=True)
    assert there() == [("3",)]


def test_the_account_is_no_part_of_the_connectors_state(session: LoadSession) -> None:
    def reading(request: ReadRequest) -> Iterator[pa.RecordBatch]:
        request.name_account("org 1")
        request.save_state({"size": 7})
        yield pa.record_batch({"id": ["1"]})

    source = leads(reading)
    for _ in range(2):
        run(session, source, {"leads": ()})
    assert [asked.state for asked in source.asked] == [{}, {"size": 7}]


# --- what earlier reads left -----------------------------------------------------------------


def recalling(found: list[tuple[Any, ...]], *, ids: Sequence[str] | None = None) -> Reading:
    """Gives one lead, after it wrote down what is stored of all."""

    def reading(request: ReadRequest) -> Iterator[pa.RecordBatch]:
        for batch in request.stored(("id", "status", "mql_at"), ids=ids):
            found.extend(tuple(row.values()) for row in batch.to_pylist())
        yield pa.record_batch({"id": ["3"], "status": ["new"]})

    return reading


def first_read(session: LoadSession) -> None:
    batch = {"id": ["1", "2"], "status": ["open", None]}
    run(session, leads(giving(batch), "status", incremental=True), {"leads": ("status",)})


STORED = [("1", "open", None), ("2", None, None)]


def test_a_connector_may_look_at_what_earlier_reads_left(session: LoadSession) -> None:
    first_read(session)
    for ids, expected in ((None, STORED), (["2", "9"], STORED[1:]), ([], [])):
        found: list[tuple[Any, ...]] = []
        source = leads(recalling(found, ids=ids), "status", incremental=True)
        run(session, source, {"leads": ("status",)})
        assert sorted(row for row in found if row[0] != "3") == expected


def test_stored_rows_are_there_when_all_is_read_anew_for_a_further_column(
    session: LoadSession,
) -> None:
    first_read(session)
    found: list[tuple[Any, ...]] = []
    source = leads(recalling(found), "status", "lead_source", incremental=True)
    (report,) = run(session, source, {"leads": ("status", "lead_source")})
    assert (report.is_full, sorted(found)) == (True, STORED)
    assert lead_rows(session, "id") == [("3",)]


def test_stored_rows_are_there_when_all_is_read_anew_for_a_further_mapped_column(
    session: LoadSession,
) -> None:
    own = {"status": "s", "lead_source": "upper(x)"}
    options = SourceOptions(datasets={"leads": DatasetOptions(columns=own)})
    for columns, expected in ((("status",), []), (("status", "lead_source"), ["3"])):
        found: list[tuple[Any, ...]] = []
        source = leads(recalling(found), "status", incremental=True, options=options)
        (report,) = run(session, source, {"leads": columns})
        assert [row[0] for row in found] == expected
        assert report.is_full is bool(expected) and "rules" not in str(report.notices)


def test_stored_rows_are_there_when_only_the_time_zone_changed(session: LoadSession) -> None:
    first_read(session)
    found: list[tuple[Any, ...]] = []
    other = SourceOptions(timezone="Asia/Tokyo")
    source = leads(recalling(found), "status", incremental=True, options=other)
    (report,) = run(session, source, {"leads": ("status",)})
    assert (report.is_full, sorted(found)) == (True, STORED)


def test_stored_rows_are_there_when_an_older_version_made_them(session: LoadSession) -> None:
    first_read(session)
    session._connection.execute("update meta.sync_state set fingerprint = '0123456789abcdef'")
    found: list[tuple[Any, ...]] = []
    source = leads(recalling(found), "status", incremental=True)
    (report,) = run(session, source, {"leads": ("status",)})
    assert (report.is_full, sorted(found)) == (True, STORED)
    assert "rules" not in str(report.notices)


def test_nothing_is_stored_for_a_first_or_full_read_or_one_by_other_rules(
    session: LoadSession,
) -> None:
    found: list[tuple[Any, ...]] = []
    source = leads(recalling(found), "status", incremental=True)
    run(session, source, {"leads": ("status",)})
    run(session, source, {"leads": ("status",)}, full=True)
    own = SourceOptions(datasets={"leads": DatasetOptions(columns={"status": "'x'"})})
    (report,) = run(
        session,
        leads(recalling(found), "status", incremental=True, options=own),
        {"leads": ("status",)},
    )
    assert found == []
    assert [notice.partition(",")[0] for notice in report.notices] == [
        "read whole",
        "what only earlier reads had seen of it (stays",
    ]


def test_a_dataset_of_which_nothing_is_remembered_is_told_of_no_loss(session: LoadSession) -> None:
    def reading(request: ReadRequest) -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"id": ["1"], "status": ["x"]})

    run(session, leads(reading, "status", incremental=True), {"leads": ("status",)})
    own = SourceOptions(datasets={"leads": DatasetOptions(columns={"status": "'x'"})})
    source = leads(reading, "status", incremental=True, options=own)
    (report,) = run(session, source, {"leads": ("status",)})
    assert [notice.partition(",")[0] for notice in report.notices] == ["read whole"]


def test_stored_rows_of_former_rules_are_there_for_who_asks_for_them(session: LoadSession) -> None:
    own = SourceOptions(datasets={"leads": DatasetOptions(columns={"status": "'x'"})})
    found: list[list[str]] = []

    def reading(request: ReadRequest) -> Iterator[pa.RecordBatch]:
        stored = request.stored(("id", "status"), even_former=True)
        found.append([row["status"] for batch in stored for row in batch.to_pylist()])
        yield pa.record_batch({"id": ["3"], "status": ["new"]})

    run(session, leads(reading, "status"), {"leads": ("status",)})
    run(session, leads(reading, "status", options=own), {"leads": ("status",)})
    run(session, leads(reading, "status", options=own), {"leads": ("status",)}, full=True)
    assert found == [[], ["new"], ["new"]]


def test_a_whole_read_leaves_nothing_of_a_column_that_is_no_longer_given(
    session: LoadSession,
) -> None:
    own = SourceOptions(datasets={"leads": DatasetOptions(columns={"status": "'old'"})})

    def reading(request: ReadRequest) -> Iterator[pa.RecordBatch]:
        batch = pa.record_batch({"id": ["1", "2"]})
        mapped = request.evaluate(batch).columns if request.mapping else []
        yield pa.record_batch([batch.column(0), *mapped], names=["id", *request.mapping])

    run(session, leads(reading, incremental=True, options=own), {"leads": ("status",)})
    assert lead_rows(session, "status") == [("old",), ("old",)]
    (report,) = run(session, leads(reading, incremental=True), {"leads": ("status",)})
    assert report.is_full
    assert lead_rows(session, "id", "status") == [("1", None), ("2", None)]


def test_stored_rows_can_be_looked_at_while_the_rows_of_the_read_are_stored(
    session: LoadSession,
) -> None:
    first_read(session)
    found: list[list[str]] = []

    def reading(request: ReadRequest) -> Iterator[pa.RecordBatch]:
        for begin in range(10, 50_000, 10_000):
            yield pa.record_batch({"id": [str(n) for n in range(begin, begin + 10_000)]})
            found.append([i for b in request.stored(("id",)) for i in b.column(0).to_pylist()])

    (report,) = run(session, leads(reading, "status", incremental=True), {"leads": ("status",)})
    assert (report.landed, found) == (50_000, [["1", "2"]] * 5)


# --- the mapping -----------------------------------------------------------------------------


def test_mapped_columns_are_computed_in_the_zone_of_the_source(session: LoadSession) -> None:
    def reading(request: ReadRequest) -> Iterator[pa.RecordBatch]:
        assert request.source_fields == ("Id", "Status", "entered")
        assert tuple(request.mapping) == ("id", "status", "created_at")
        batch = pa.record_batch(
            {"Id": [7], "Status": ["New"], "entered": ["2026-01-01"], "Other": [1]}
        )
        yield request.evaluate(batch)

    own = {"id": "Id", "status": "lower(Status)", "created_at": "entered", "lead_source": "Other"}
    options = SourceOptions(datasets={"leads": DatasetOptions(columns=own)})
    source = leads(reading, "status", "created_at", options=options)
    run(session, source, {"leads": ("status", "created_at")})
    assert lead_rows(session, "id", "status", "epoch(created_at)::int") == [
        ("7", "new", int(datetime(2025, 12, 31, 23, tzinfo=UTC).timestamp()))
    ]


def test_some_mapped_columns_can_be_asked_for(session: LoadSession) -> None:
    found: list[list[str]] = []

    def reading(request: ReadRequest) -> Iterator[pa.RecordBatch]:
        batch = pa.record_batch({"a": ["1"], "b": ["2"]})
        found.append(request.evaluate(batch, ["status"]).schema.names)
        yield request.evaluate(batch, ("id",))
        request.evaluate(batch, ["lead_source"])

    options = SourceOptions(datasets={"leads": DatasetOptions(columns={"id": "a", "status": "b"})})
    (report,) = run(session, leads(reading, "status", options=options), {"leads": ("status",)})
    assert found == [["status"]]
    assert "maps no column 'lead_source'" in str(report.error)


def test_a_mapping_that_fails_names_source_dataset_column_and_value(session: LoadSession) -> None:
    def reading(request: ReadRequest) -> Iterator[pa.RecordBatch]:
        yield request.evaluate(pa.record_batch({"id": ["1", "2"], "d": ["2026-01-01", "soon"]}))

    own = {"id": "id", "created_at": "strptime(d, '%Y-%m-%d')"}
    options = SourceOptions(datasets={"leads": DatasetOptions(columns=own)})
    (report,) = run(
        session, leads(reading, "created_at", options=options), {"leads": ("created_at",)}
    )
    assert str(report.error).startswith(
        "source 'crm', dataset 'leads': column 'created_at' (timestamp, TIMESTAMPTZ) cannot be "
        "read by strptime(d, '%Y-%m-%d') from d = 'soon', id = '2': "
    )


# --- failures --------------------------------------------------------------------------------


def failing(request: ReadRequest) -> Iterator[pa.RecordBatch]:
    yield pa.record_batch({"id": ["9"]})
    raise SourceError("503 Service Unavailable after 5 attempts.")


def test_one_dataset_that_fails_does_not_stop_the_others(session: LoadSession) -> None:
    supplies = [Supply(name, ("id",)) for name in ("leads", "cases", "accounts")]
    good = giving({"id": ["1"]})
    source = Scripted({"leads": good, "cases": failing, "accounts": good}, supplies)
    reports = run(session, source, {"leads": (), "cases": (), "accounts": ()}, run_id="run-1")
    assert [(report.dataset, report.status) for report in reports] == [
        ("leads", "ok"),
        ("cases", "failed"),
        ("accounts", "ok"),
    ]
    assert (reports[1].fetched, reports[1].landed, reports[1].rows) == (1, 0, 0)
    assert str(reports[1].error) == (
        "source 'crm', dataset 'cases': 503 Service Unavailable after 5 attempts."
    )
    assert not session.inventory()["cases"].exists
    assert session.rows("select dataset, status, run_id from meta.syncs order by 1") == [
        ("accounts", "ok", "run-1"),
        ("cases", "failed", "run-1"),
        ("leads", "ok", "run-1"),
    ]


def test_after_a_failure_the_next_run_reads_from_where_the_last_good_one_ended(
    session: LoadSession,
) -> None:
    good, bad = giving({"id": ["1"]}), failing
    for hour, reading in enumerate((good, bad, good)):
        source = leads(reading, incremental=True)
        run(session, source, {"leads": ()}, now=NOON + hour * 60 * MINUTE)
    assert source.asked[0].since == NOON - 15 * MINUTE
    assert lead_rows(session, "id") == [("1",)]


def test_a_connector_that_breaks_is_told_from_a_source_that_fails(session: LoadSession) -> None:
    def broken(request: ReadRequest) -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"id": [{}["properties"]]})

    (report,) = run(session, leads(broken), {"leads": ()})
    assert "the connector failed with KeyError: 'properties'. This is a defect" in str(report.error)


@pytest.mark.parametrize("step", ["prepare", "definition", "left_out", "datasets"])
def test_a_connector_that_breaks_before_its_reads_ends_nothing_else(
    session: LoadSession, caplog: pytest.LogCaptureFixture, step: str
) -> None:
    class Broken(Scripted):
        def datasets(self) -> Sequence[Supply]:
            if step == "datasets":
                raise KeyError("rules")
            return self.supplies

        def prepare(self, requests: Sequence[ReadRequest]) -> None:
            if step == "prepare":
                sys.exit("no driver")

        def definition(self, dataset: str) -> str:
            if step == "definition" and dataset == "leads":
                raise KeyError("rules")
            return ""

        def left_out(self, dataset: str) -> str:
            raise KeyError("rules")

    supplies = [] if step == "left_out" else [Supply("leads", ("id",))]
    source = Broken({"leads": giving({"id": ["1"]})}, supplies)
    (report,) = run(session, source, {"leads": ()})
    if step == "prepare":
        assert lead_rows(session, "id") == [("1",)]
        assert "source 'crm': the connector failed with SystemExit: no driver" in caplog.text
    else:
        assert "the connector failed with KeyError: 'rules'. This is" in str(report.error)
        assert not session.inventory()["leads"].exists


def test_a_dataset_that_the_source_does_not_give_is_named(session: LoadSession) -> None:
    (report,) = run(session, leads(giving()), {"cases": ()})
    assert str(report.error) == (
        "source 'crm', dataset 'cases': the source gives no cases; it gives leads."
    )


class Narrowed(Scripted):
    """A connector whose options leave out the cases."""

    def left_out(self, dataset: str) -> str:
        return "`cases: false`" if dataset == "cases" else ""


def test_a_dataset_that_an_option_leaves_out_is_removed_and_told_once(
    session: LoadSession,
) -> None:
    supply = Supply("cases", ("id", "status"), incremental=True)
    both = {"cases": giving({"id": ["1", "2"], "status": ["open", "open"]})}
    run(session, Scripted(both, [supply]), {"cases": ()})
    (report,) = run(session, Narrowed({}, [Supply("leads", ("id",))]), {"cases": ()})
    assert (report.status, report.replaced, report.rows) == ("ok", 2, 0)
    told = "`cases: false` leaves it out; what earlier reads gave is removed."
    assert report.notices == (told,)
    assert session.rows("select id from crm.cases") == []
    assert not session.inventory()["cases"].exists, "it is missing, and not empty"
    assert not session.state("crm", "cases").exists
    again = Scripted(both, [supply])
    (report,) = run(session, again, {"cases": ()})
    assert again.asked[0].since is None and report.rows == 2


def test_a_dataset_that_is_missing_without_an_option_stays_and_is_an_error(
    session: LoadSession,
) -> None:
    both = {"cases": giving({"id": ["1", "2"]})}
    run(session, Scripted(both, [Supply("cases", ("id",))]), {"cases": ()})
    (report,) = run(session, leads(giving()), {"cases": ()})
    assert "the source gives no cases" in str(report.error)
    assert session.inventory()["cases"].rows == 2


def test_a_source_that_cannot_say_what_it_gives_fails_for_each_dataset(
    session: LoadSession,
) -> None:
    class Silent(Scripted):
        def datasets(self) -> Sequence[Supply]:
            raise SourceError("leads.csv: no such file.")

    reports = run(session, Silent({}, []), {"leads": (), "cases": ()})
    assert [str(report.error) for report in reports] == [
        "source 'crm', dataset 'leads': leads.csv: no such file.",
        "source 'crm', dataset 'cases': leads.csv: no such file.",
    ]


def test_ctrl_c_stops_the_sync_and_keeps_the_datasets_before(session: LoadSession) -> None:
    def interrupted(request: ReadRequest) -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"id": ["1"]})
        raise KeyboardInterrupt

    supplies = [Supply("leads", ("id",)), Supply("cases", ("id",))]
    source = Scripted({"leads": giving({"id": ["1"]}), "cases": interrupted}, supplies)
    with pytest.raises(KeyboardInterrupt):
        run(session, source, {"leads": (), "cases": ()})
    assert session.inventory()["leads"].rows == 1
    assert not session.inventory()["cases"].exists


# --- what others are told --------------------------------------------------------------------


class Watching:
    """An observer that writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, str, int]] = []

    def crmetrics_dataset_loaded(
        self, run_id: str, source: str, dataset: str, report: LoadReport
    ) -> None:
        self.heard.append((run_id, source, dataset, report.landed))


def test_observers_hear_of_committed_datasets_only(session: LoadSession) -> None:
    watching = Watching()
    supplies = [Supply("leads", ("id",)), Supply("cases", ("id",))]
    source = Scripted({"leads": giving({"id": ["1", "2"]}), "cases": failing}, supplies)
    run(session, source, {"leads": (), "cases": ()}, run_id="r", observer=watching)
    assert watching.heard == [("r", "crm", "leads", 2)]


def test_progress_is_told_per_batch(session: LoadSession) -> None:
    told: list[tuple[str, str, int]] = []
    source = leads(giving({"id": ["1", "2"]}, {"id": ["3"]}))
    run(session, source, {"leads": ()}, progress=lambda *told_of: told.append(told_of))
    assert told == [("crm", "leads", 2), ("crm", "leads", 3)]


def test_covers_from_of_the_project_file_is_kept(session: LoadSession) -> None:
    own = DatasetOptions(covers_from=datetime(2024, 1, 1, tzinfo=UTC).date())
    source = leads(giving(), options=SourceOptions(datasets={"leads": own}))
    run(session, source, {"leads": ()})
    assert session.inventory()["leads"].covers_from == own.covers_from


# --- what a connector is told and may tell -----------------------------------------------------


def accounts_of(*ids: str) -> Reading:
    def read(request: ReadRequest) -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pydict({"id": list(ids)})

    return read


def test_stored_records_that_the_source_no_longer_has_are_marked_deleted(
    session: LoadSession,
) -> None:
    supplies = [Supply("accounts", ("id", "updated_at"), incremental=True, deletes=True)]
    readings = {"accounts": accounts_of("a", "b", "c", "d")}
    connector = Scripted(readings, supplies)
    run(session, connector, {"accounts": ["id"]})

    def only_ids(request: ReadRequest) -> Iterator[pa.RecordBatch]:
        request.retain(pa.array(["a"]))
        request.retain(pa.array(["c", "z"]))
        yield from accounts_of("e")(request)

    connector.readings = {"accounts": only_ids}
    (report,) = run(session, connector, {"accounts": ["id"]}, now=NOON + MINUTE)
    assert report.deleted == 3
    rows = session.rows("select id, is_deleted from crm.accounts order by id")
    assert rows == [("a", False), ("b", True), ("c", False), ("d", True), ("e", True)]


def test_an_empty_list_of_ids_marks_everything(session: LoadSession) -> None:
    supplies = [Supply("accounts", ("id", "updated_at"), incremental=True, deletes=True)]
    connector = Scripted({"accounts": accounts_of("a")}, supplies)
    run(session, connector, {"accounts": ["id"]})

    def nothing(request: ReadRequest) -> Iterator[pa.RecordBatch]:
        request.retain(pa.array([], pa.string()))
        yield from ()

    connector.readings = {"accounts": nothing}
    run(session, connector, {"accounts": ["id"]}, now=NOON + MINUTE)
    assert session.rows("select is_deleted from crm.accounts") == [(True,)]


def test_a_connector_is_told_all_reads_before_the_first(session: LoadSession) -> None:
    told: list[list[str]] = []

    class Prepared(Scripted):
        def prepare(self, requests: Sequence[ReadRequest]) -> None:
            assert not self.asked
            told.append([request.dataset.name for request in requests])

    supplies = [Supply(name, ("id",)) for name in ("accounts", "contacts")]
    connector = Prepared({name: accounts_of("1") for name in ("accounts", "contacts")}, supplies)
    run(session, connector, {"accounts": ["id"], "contacts": ["id"], "leads": ["id"]})
    assert told == [["accounts", "contacts"]]


def test_own_fields_and_the_users_mapping_give_the_wanted_columns(session: LoadSession) -> None:
    fields = {"id": "Id", "industry": "Industry", "segment": "Size", "country": "Home.Country"}

    def read(request: ReadRequest) -> Iterator[pa.RecordBatch]:
        assert set(request.fields_of(fields)) == {"Id", "Tier", "Home.Country"}
        raw = {"Id": ["a"], "Tier": ["gold"], "Home.Country": ["DE"], "Other": [1]}
        yield request.derive(pa.RecordBatch.from_pydict(raw), fields)

    options = SourceOptions(
        datasets={"accounts": DatasetOptions(columns={"segment": "upper(Tier)"})}
    )
    supplies = [Supply("accounts", ("id", "segment", "country", "industry"))]
    connector = Scripted({"accounts": read}, supplies, options)
    run(session, connector, {"accounts": ["segment", "country"]})
    assert session.rows("select id, segment, country from crm.accounts") == [("a", "GOLD", "DE")]
