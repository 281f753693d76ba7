"""What stands in the table after a load, and how every record is accounted for."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from math import nan
from pathlib import Path

import pyarrow as pa
import pytest
from msgspec.structs import replace

from crmetrics.errors import CrmetricsError, SourceError, WarehouseError
from crmetrics.warehouse import EngineSettings, Intake, LoadReport, LoadSession, open_for_load
from crmetrics.warehouse.landing import require_balance
from warehouse.loading import COLUMNS, DATASETS, load, on, open_warehouse, part, rows, stored


@pytest.fixture
def session(tmp_path: Path) -> Iterator[LoadSession]:
    with open_warehouse(tmp_path) as opened:
        yield opened


def counts(report: LoadReport) -> dict[str, int]:
    """The counts of a report that are not zero."""
    names = (
        "fetched",
        "landed",
        "inserted",
        "updated",
        "outdated",
        "rejected",
        "duplicates",
        "deleted",
        "replaced",
    )
    return {name: getattr(report, name) for name in names if getattr(report, name)}


# --- first load ------------------------------------------------------------------------------


def test_a_first_load_lands_every_row(session: LoadSession) -> None:
    report = load(session, rows(id=["1", "2"], stage=["new", "won"]), rows(id=["3"], stage=["x"]))
    assert counts(report) == {"fetched": 3, "landed": 3, "inserted": 3}
    assert report.rows == 3
    assert stored(session, "source", "id", "stage") == [
        ("crm", "1", "new"),
        ("crm", "2", "won"),
        ("crm", "3", "x"),
    ]


def test_the_table_has_all_columns_of_the_dataset_and_the_hidden_ones(session: LoadSession) -> None:
    load(session, rows(id=["1"]))
    found = {
        name
        for (name,) in session.rows(
            "select column_name from duckdb_columns() where schema_name = 'crm'"
        )
    }
    assert found == {*session.datasets["opportunities"].column_names, "_part", "_loaded_at"}


def test_an_empty_read_makes_an_empty_table(session: LoadSession) -> None:
    report = load(session)
    assert counts(report) == {}
    assert stored(session, "id") == []


def test_a_first_load_leaves_a_core_to_the_connector_and_later_ones_do_not(tmp_path: Path) -> None:
    asked = "select current_setting('threads')"
    settings = EngineSettings(tmp_path / "warehouse.duckdb", threads=3)
    with open_for_load(settings, DATASETS) as session:
        found = []
        for source in ("north", "north", "south"):
            load(session, rows(id=["1"]), source=source)
            found.append(session.scalar(asked))
    assert found == [2, 3, 2]


def test_an_empty_batch_is_no_row(session: LoadSession) -> None:
    empty = pa.record_batch([pa.array([], pa.string())], names=["id"])
    assert load(session, empty, rows(id=["1"]), empty).landed == 1


def test_flags_that_are_null_or_not_delivered_take_their_default(session: LoadSession) -> None:
    load(session, rows(id=["1", "2"], is_deleted=[None, True]))
    assert stored(session, "id", "is_deleted", "is_test") == [
        ("1", False, False),
        ("2", True, False),
    ]


def test_defaults_hold_on_the_common_way_too(session: LoadSession) -> None:
    load(session, rows(id=["1"]))
    load(session, rows(id=["2"], is_deleted=pa.array([None], pa.bool_())))
    assert stored(session, "id", "is_deleted", "is_test") == [
        ("1", False, False),
        ("2", False, False),
    ]


def test_columns_beyond_the_request_are_not_stored(session: LoadSession) -> None:
    load(session, rows(id=["1"], stage=["won"]), columns=("id",))
    assert stored(session, "id", "stage") == [("1", None)]


def test_two_sources_keep_their_rows_apart(session: LoadSession) -> None:
    load(session, rows(id=["1"], stage=["a"]), source="north")
    load(session, rows(id=["1"], stage=["b"]), source="south")
    load(session, rows(id=["1"], stage=["c"]), source="south")
    assert stored(session, "source", "stage") == [("north", "a"), ("south", "c")]


def test_small_batches_are_put_together_without_loss(session: LoadSession) -> None:
    pages = [rows(id=[str(page * 100 + n) for n in range(100)]) for page in range(60)]
    assert load(session, *pages).landed == 6_000
    assert session.scalar("select count(distinct id) from crm.opportunities") == 6_000


def test_a_batch_larger_than_the_pieces_it_is_taken_in_lands_whole(session: LoadSession) -> None:
    ids = [str(number) for number in range(300_000)]
    report = load(session, rows(id=ids[:290_000]), rows(id=ids[290_000:]))
    assert report.landed == 300_000
    assert session.scalar("select count(distinct id) from crm.opportunities") == 300_000


def test_unicode_quotes_and_long_texts_survive(session: LoadSession) -> None:
    texts = [
        "Ärger; drop table x",
        'it\'s "quoted"',
        "雪だるま ☃ \u202e",
        "line\nbreak\t",
        "x" * 100_000,
    ]
    ids = ["ä", "'", '"', "\u202e", "5"]
    load(session, rows(id=ids, stage=texts))
    assert dict(stored(session, "id", "stage")) == dict(zip(ids, texts, strict=True))


# --- rejected --------------------------------------------------------------------------------


def test_a_row_without_a_key_is_rejected_with_its_place(session: LoadSession) -> None:
    report = load(session, rows(id=["1", None, ""], stage=["a", "b", "c"]), run_id="run-1")
    assert counts(report) == {"fetched": 3, "landed": 1, "inserted": 1, "rejected": 2}
    found = session.rows(
        "select sync_id, source, dataset, place, reason, record::json->>'stage' "
        "from meta.rejected_rows order by place"
    )
    assert found == [
        (report.sync_id, "crm", "opportunities", "record 2 of the read", "missing id", "b"),
        (report.sync_id, "crm", "opportunities", "record 3 of the read", "missing id", "c"),
    ]


def test_the_place_of_a_rejected_row_names_its_part(session: LoadSession) -> None:
    load(session, rows(id=["1"]))
    load(session, part("deals.csv"), rows(id=["2", None]))
    assert session.scalar("select place from meta.rejected_rows") == (
        "deals.csv, record 2 of the read"
    )


def test_records_that_the_connector_rejects_count_as_fetched(session: LoadSession) -> None:
    report = load(
        session,
        rows(id=["1"]),
        lambda intake: intake.reject("7 fields, expected 8", where="deals.csv:17", record="a;b"),
    )
    assert counts(report) == {"fetched": 2, "landed": 1, "inserted": 1, "rejected": 1}
    assert session.rows("select place, reason, record from meta.rejected_rows") == [
        ("deals.csv:17", "7 fields, expected 8", "a;b")
    ]


def test_rejected_rows_of_old_syncs_are_forgotten(session: LoadSession) -> None:
    for day in range(1, 16):
        load(session, lambda intake: intake.reject("bad", where="x:1"), started=on(day))
    kept = session.rows("select distinct strftime(rejected_at, '%d') from meta.rejected_rows")
    assert sorted(day for (day,) in kept) == [f"{day:02d}" for day in range(6, 16)]


# --- duplicates ------------------------------------------------------------------------------


def test_of_several_copies_in_one_load_the_newest_stands(session: LoadSession) -> None:
    report = load(
        session,
        rows(
            id=["1", "1", "1"],
            updated_at=[on(2), on(3), None],
            stage=["older", "newest", "undated"],
        ),
    )
    assert counts(report) == {"fetched": 3, "landed": 1, "inserted": 1, "duplicates": 2}
    assert stored(session, "id", "stage") == [("1", "newest")]


def test_of_copies_of_the_same_instant_the_last_that_arrived_stands(session: LoadSession) -> None:
    load(session, rows(id=["1"] * 3, updated_at=[on(2)] * 3, stage=["a", "b", "c"]))
    load(
        session,
        rows(id=["2"], stage=["x"]),
        rows(id=["2"], stage=["y"]),
        rows(id=["2"], stage=["z"]),
    )
    assert stored(session, "id", "stage") == [("1", "c"), ("2", "z")]


def test_copies_with_different_columns_complete_each_other(session: LoadSession) -> None:
    report = load(
        session,
        rows(id=["1", "2"], updated_at=[on(2), on(2)], stage=["won", "lost"]),
        rows(id=["2", "1"], amount=["20", None]),
    )
    assert counts(report) == {"fetched": 4, "landed": 2, "inserted": 2, "duplicates": 2}
    assert stored(session, "id", "updated_at", "stage", "amount") == [
        ("1", "2026-01-02 00:00", "won", None),
        ("2", "2026-01-02 00:00", "lost", Decimal(20)),
    ]


def test_missing_keys_duplicates_and_mixed_columns_in_one_load_add_up(session: LoadSession) -> None:
    report = load(
        session,
        rows(id=["1", "1", None], stage=["a", "b", "c"]),
        rows(id=["1", "2", ""], amount=[1, 2, 3]),
        lambda intake: intake.reject("broken", where="x:9"),
    )
    assert counts(report) == {
        "fetched": 7,
        "landed": 2,
        "inserted": 2,
        "rejected": 3,
        "duplicates": 2,
    }
    assert stored(session, "id", "stage", "amount") == [
        ("1", "b", Decimal(1)),
        ("2", None, Decimal(2)),
    ]


# --- later loads -----------------------------------------------------------------------------


def test_an_incoming_row_takes_the_place_of_the_stored_one(session: LoadSession) -> None:
    load(session, rows(id=["1", "2"], updated_at=[on(1), on(1)], stage=["a", "b"]))
    report = load(session, rows(id=["2", "3"], updated_at=[on(2), on(2)], stage=["B", "C"]))
    assert counts(report) == {"fetched": 2, "landed": 2, "inserted": 1, "updated": 1}
    assert stored(session, "id", "stage") == [("1", "a"), ("2", "B"), ("3", "C")]


def test_a_stored_row_that_is_newer_stays(session: LoadSession) -> None:
    load(session, rows(id=["1", "2"], updated_at=[on(5), on(5)], stage=["new", "new"]))
    report = load(session, rows(id=["1", "2"], updated_at=[on(4), None], stage=["old", "undated"]))
    assert counts(report) == {"fetched": 2, "landed": 2, "outdated": 2}
    assert stored(session, "id", "stage") == [("1", "new"), ("2", "new")]


def test_without_a_change_time_the_incoming_row_wins(session: LoadSession) -> None:
    load(session, rows(id=["1"], updated_at=[on(5)], stage=["a"]))
    assert load(session, rows(id=["1"], stage=["b"])).updated == 1
    assert stored(session, "id", "updated_at", "stage") == [("1", "2026-01-05 00:00", "b")]


def test_columns_that_were_not_delivered_keep_their_values(session: LoadSession) -> None:
    load(session, rows(id=["1"], stage=["a"], amount=["5"]))
    load(session, rows(id=["1"], stage=["b"]))
    load(session, rows(id=["1"], amount=["6"]), columns=("id", "amount"))
    assert stored(session, "id", "stage", "amount") == [("1", "b", Decimal(6))]


def test_a_delivered_null_empties_the_column(session: LoadSession) -> None:
    load(session, rows(id=["1"], stage=["a"]))
    load(session, rows(id=["1"], stage=pa.array([None], pa.string())))
    assert stored(session, "id", "stage") == [("1", None)]


def test_rows_of_one_load_may_keep_different_columns(session: LoadSession) -> None:
    load(session, rows(id=["1", "2"], stage=["a", "b"], amount=[1, 2]))
    load(session, rows(id=["1"], stage=["A"]), rows(id=["2"], amount=[20]))
    assert stored(session, "id", "stage", "amount") == [
        ("1", "A", Decimal(1)),
        ("2", "b", Decimal(20)),
    ]


def test_the_same_load_again_changes_nothing(session: LoadSession) -> None:
    batch = rows(id=["1", "2"], updated_at=[on(1), None], stage=["a", "b"])
    load(session, batch)
    before = stored(session, "id", "updated_at", "stage", "is_deleted")
    report = load(session, batch)
    assert counts(report) == {"fetched": 2, "landed": 2, "updated": 2}
    assert stored(session, "id", "updated_at", "stage", "is_deleted") == before


def test_a_natural_key_identifies_exchange_rates(session: LoadSession) -> None:
    columns = ("currency", "valid_from", "rate")
    options = {"dataset": "exchange_rates", "columns": columns}
    days = pa.array(["2026-01-01", "2026-02-01", "2026-01-01", None])
    report = load(
        session,
        rows(currency=["EUR", "EUR", "USD", "USD"], valid_from=days, rate=[1.1, 1.2, 1, 2]),
        **options,
    )
    assert (report.landed, report.rejected) == (3, 1)
    load(session, rows(currency=["EUR"], valid_from=["2026-01-01"], rate=[1.5]), **options)
    found = stored(session, "currency", "valid_from::varchar", "rate", dataset="exchange_rates")
    assert found == [
        ("EUR", "2026-01-01", 1.5),
        ("EUR", "2026-02-01", 1.2),
        ("USD", "2026-01-01", 1),
    ]
    assert (
        session.scalar("select reason from meta.rejected_rows") == "missing currency or valid_from"
    )


# --- deletions and full reads ----------------------------------------------------------------


def test_deleted_records_are_marked_not_removed(session: LoadSession) -> None:
    load(session, rows(id=["1", "2", "3"], updated_at=[on(1), None, on(9)]))
    report = load(session, lambda intake: intake.delete(["1", "2", "3", "unknown"], at=on(5)))
    assert report.deleted == 2
    assert stored(session, "id", "is_deleted", "updated_at") == [
        ("1", True, "2026-01-05 00:00"),
        ("2", True, "2026-01-05 00:00"),
        ("3", False, "2026-01-09 00:00"),  # it changed after the deletion: it was restored
    ]


def test_an_older_version_does_not_revive_a_deleted_record(session: LoadSession) -> None:
    load(session, rows(id=["1"], updated_at=[on(1)]))
    load(session, lambda intake: intake.delete(["1"], at=on(5)))
    load(session, rows(id=["1"], updated_at=[on(4)], is_deleted=[False]))
    assert stored(session, "id", "is_deleted") == [("1", True)]
    load(session, rows(id=["1"], updated_at=[on(6)], is_deleted=[False]))
    assert stored(session, "id", "is_deleted") == [("1", False)]


def test_deletions_without_an_instant_hold_for_rows_of_the_same_load(session: LoadSession) -> None:
    report = load(
        session,
        rows(id=["1", "2"], updated_at=[on(1), on(1)]),
        lambda intake: intake.delete(["2"]),
        lambda intake: intake.delete([]),
    )
    assert report.deleted == 1
    assert stored(session, "id", "is_deleted") == [("1", False), ("2", True)]


def test_a_deletion_without_an_instant_holds_beside_one_of_long_ago(session: LoadSession) -> None:
    report = load(
        session,
        rows(id=["1", "2"], updated_at=[on(9), on(9)]),
        lambda intake: intake.delete(["1", "2"], at=on(5)),
        lambda intake: intake.delete(["1"]),
    )
    assert report.deleted == 1
    assert stored(session, "id", "is_deleted", "updated_at") == [
        ("1", True, "2026-01-09 00:00"),
        ("2", False, "2026-01-09 00:00"),
    ]


def test_records_go_with_those_that_they_belong_to(session: LoadSession) -> None:
    load(session, rows(id=["1", "2", "3", "4"], stage=["a", "b", "a", None]))
    load(session, rows(id=["1"], stage=["a"]), source="other")
    report = load(session, lambda intake: intake.delete(["a", "1"], of="stage"))
    assert report.deleted == 2
    gone = "select source, id from crm.opportunities where is_deleted order by all"
    assert session.rows(gone) == [("crm", "1"), ("crm", "3")]
    report = load(
        session,
        lambda intake: intake.retain(pa.array(["c"]), of="stage"),
        lambda intake: intake.retain(pa.array(["d"]), of="stage"),
    )
    assert report.deleted == 1
    left = "select id from crm.opportunities where source = 'crm' and not is_deleted"
    assert session.rows(left) == [("4",)]


def test_ids_of_two_columns_cannot_be_retained_in_one_read(session: LoadSession) -> None:
    with pytest.raises(SourceError, match="ids of id were retained, and now of stage"):
        load(
            session,
            lambda intake: intake.retain(pa.array(["1"])),
            lambda intake: intake.retain(pa.array(["a"]), of="stage"),
        )


def test_deletions_by_id_need_a_dataset_with_ids(session: LoadSession) -> None:
    with pytest.raises(SourceError, match="exchange_rates by id"):
        load(
            session,
            lambda intake: intake.delete(["EUR"]),
            dataset="exchange_rates",
            columns=("currency", "valid_from", "rate"),
        )


def test_a_full_read_replaces_all_rows_of_its_source(session: LoadSession) -> None:
    load(session, rows(id=["1", "2"], updated_at=[on(5), on(5)], stage=["a", "b"]))
    load(session, rows(id=["1"], stage=["other"]), source="other")
    report = load(
        session, rows(id=["2", "3"], updated_at=[on(4), on(4)], stage=["B", "C"]), replaces=True
    )
    assert counts(report) == {
        "fetched": 2,
        "landed": 2,
        "inserted": 1,
        "updated": 1,
        "replaced": 1,
    }
    assert stored(session, "source", "id", "stage") == [
        ("crm", "2", "B"),
        ("crm", "3", "C"),
        ("other", "1", "other"),
    ]


def test_a_full_read_that_gives_nothing_empties_the_dataset(session: LoadSession) -> None:
    load(session, rows(id=["1", "2"]))
    report = load(session, replaces=True)
    assert (report.replaced, report.rows) == (2, 0)


def test_a_read_that_may_replace_does_not_when_it_works_with_parts_or_state(
    session: LoadSession,
) -> None:
    load(session, rows(id=["1"]), may_replace=True)
    load(session, part("a"), rows(id=["2"]), may_replace=True)
    load(session, rows(id=["3"]), lambda intake: intake.save_state({"page": 3}), may_replace=True)
    assert stored(session, "id") == [("1",), ("2",), ("3",)]
    load(session, rows(id=["4"]), may_replace=True)
    assert stored(session, "id") == [("4",)]


# --- state and record ------------------------------------------------------------------------


def test_state_is_kept_until_it_is_saved_anew(session: LoadSession) -> None:
    assert not session.state("crm", "opportunities").exists
    load(session, lambda intake: intake.save_state({"etag": "x", "sizes": [1, 2]}), fingerprint="f")
    load(session, rows(id=["1"]), watermark=on(9), started=on(9, 12))
    state = session.state("crm", "opportunities")
    assert state.state == {"etag": "x", "sizes": [1, 2]}
    assert (state.columns, state.watermark) == (tuple(sorted(COLUMNS)), on(9))
    assert (state.synced_at, state.fingerprint) == (on(9, 12), "")
    load(session, lambda intake: intake.save_state({}))
    assert session.state("crm", "opportunities").state == {}


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"seen": {1, 2}}, "set is none of them"),
        ({(1, 2): 3}, "keys must be"),
        ({"n": nan}, "not JSON compliant"),
    ],
)
def test_a_state_that_is_no_json_is_the_connectors_defect(
    session: LoadSession, state: dict[str, object], reason: str
) -> None:
    with pytest.raises(SourceError, match=f"saved a state that is not text.*{reason}"):
        load(session, rows(id=["1"]), lambda intake: intake.save_state(state))
    assert stored_tables(session) == []


def test_instants_of_a_state_become_text(session: LoadSession) -> None:
    load(session, lambda intake: intake.save_state({"read_at": on(1), "day": on(2).date()}))
    state = session.state("crm", "opportunities").state
    assert state == {"read_at": "2026-01-01T00:00:00+00:00", "day": "2026-01-02"}


def test_every_sync_is_on_record(session: LoadSession) -> None:
    report = load(
        session,
        rows(id=["1", "1", None], stage=["a", "b", "c"]),
        lambda intake: intake.notice("two files"),
        lambda intake: intake.notice("two files"),
        run_id="run-7",
        is_full=True,
    )
    found = session.arrow("select * from meta.syncs").to_pylist()[0]
    assert report.columns == ("id", "stage")
    expected = {
        "sync_id": report.sync_id,
        "run_id": "run-7",
        "source": "crm",
        "dataset": "opportunities",
        "status": "ok",
        "is_full": True,
        "fetched": 3,
        "landed": 1,
        "rejected": 1,
        "duplicates": 1,
        "message": None,
        "notices": '["two files"]',
        "columns": ["id", "stage"],
    }
    assert {name: found[name] for name in expected} == expected
    assert found["started_at"] == on(10)
    assert found["finished_at"] >= on(10)


def test_progress_is_told_after_each_batch(session: LoadSession) -> None:
    told: list[int] = []
    batches = iter([rows(id=["1", "2"]), rows(id=["3"])])
    session.load("opportunities", "crm", batches, Intake(COLUMNS, on(10)), progress=told.append)
    assert told == [2, 3]


def test_counts_that_do_not_add_up_are_refused(session: LoadSession) -> None:
    report = load(session, rows(id=["1", "1", None]))
    require_balance(report, expected_rows=1)
    for wrong in (
        replace(report, landed=2),
        replace(report, duplicates=0),
        replace(report, rows=2),
    ):
        with pytest.raises(WarehouseError, match=r"the counts do not add up\. Fetched 3; landed"):
            require_balance(wrong, expected_rows=1)


def test_rows_edited_by_hand_do_not_confuse_the_next_load(session: LoadSession) -> None:
    load(session, rows(id=["1", "2"], stage=["a", "b"]))
    session.execute("delete from crm.opportunities where id = '1'")
    assert load(session, rows(id=["2", "3"], stage=["B", "C"])).rows == 2
    session.execute("delete from meta.row_counts")
    assert load(session, rows(id=["2"], stage=["BB"])).updated == 1
    assert stored(session, "id", "stage") == [("2", "BB"), ("3", "C")]


# --- failures --------------------------------------------------------------------------------


class SourceGaveUp(Exception):
    pass


def failing() -> Iterator[pa.RecordBatch]:
    yield rows(id=["1"], stage=["new"])
    raise SourceGaveUp("page 2 was empty")


def stored_tables(session: LoadSession) -> list[tuple[str]]:
    return session.rows("select table_name from duckdb_tables() where schema_name = 'crm'")


def test_a_failure_of_the_source_keeps_nothing_and_is_on_record(session: LoadSession) -> None:
    with pytest.raises(
        SourceError,
        match=r"source 'crm', dataset 'opportunities': .* failed with SourceGaveUp: page 2 was",
    ) as caught:
        session.load("opportunities", "crm", failing(), Intake(COLUMNS, on(10), run_id="r"))
    assert isinstance(caught.value.__cause__, SourceGaveUp)
    assert stored_tables(session) == []
    assert session.rows("select status, fetched, landed, run_id from meta.syncs") == [
        ("failed", 1, 0, "r")
    ]
    assert not session.state("crm", "opportunities").exists


@pytest.mark.parametrize("count", [1, 3])
def test_a_failure_after_rows_of_several_shapes_is_the_sources_and_no_crash(
    session: LoadSession, count: int
) -> None:
    def source() -> Iterator[pa.RecordBatch]:
        yield rows(id=["1"], stage=["new"])
        for number in range(count):
            yield rows(id=[f"2{number}"])
        raise SourceGaveUp("page 4 was empty")

    report = session.try_load("opportunities", "crm", source(), Intake(COLUMNS, on(10)))
    assert "page 4 was empty" in str(report.error)
    assert stored_tables(session) == []
    assert load(session, rows(id=["1"], stage=["a"])).inserted == 1


def test_what_a_source_forgets_stays_when_everything_is_read_anew(session: LoadSession) -> None:
    load(session, rows(id=["1", "2"], stage=["a", "b"]))
    intake = Intake(COLUMNS, on(11), is_full=True, replaces=True)
    intake.keep_unseen()
    session.load("opportunities", "crm", iter([rows(id=["2"], stage=["c"])]), intake)
    assert stored(session, "id", "stage") == [("1", "a"), ("2", "c")]


def test_a_later_failure_leaves_the_rows_of_the_last_load(session: LoadSession) -> None:
    load(session, rows(id=["1", "2"], stage=["a", "b"]))
    for options in ({}, {"replaces": True}):
        with pytest.raises(SourceError):
            session.load("opportunities", "crm", failing(), Intake(COLUMNS, on(11), **options))
    assert stored(session, "id", "stage") == [("1", "a"), ("2", "b")]
    load(session, rows(id=["1"], stage=["c"]))
    assert stored(session, "id", "stage") == [("1", "c"), ("2", "b")]


@pytest.mark.parametrize("given", [pa.table({"id": ["1"]}), [{"id": "1"}], None])
def test_a_connector_that_gives_no_batches_is_told(session: LoadSession, given: object) -> None:
    batches = iter([given, given])
    report = session.try_load("opportunities", "crm", batches, Intake(COLUMNS, on(10)))  # type: ignore[arg-type]
    kind = type(given).__name__
    assert f"gave a {kind} where a pyarrow.RecordBatch is expected" in str(report.error)


def test_a_defect_of_our_own_is_not_blamed_on_the_source(session: LoadSession) -> None:
    def broken(_: int) -> None:
        raise ZeroDivisionError

    batches = iter([rows(id=["1"])])
    with pytest.raises(ZeroDivisionError):
        session.load("opportunities", "crm", batches, Intake(COLUMNS, on(10)), progress=broken)
    assert stored_tables(session) == []
    assert session.rows("select status from meta.syncs") == [("failed",)]


def test_a_source_error_is_named_once(session: LoadSession) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        raise SourceError("401 Unauthorized: renew the token.")
        yield

    report = session.try_load("opportunities", "crm", batches(), Intake(COLUMNS, on(10)))
    assert report.failed
    assert str(report.error) == (
        "source 'crm', dataset 'opportunities': 401 Unauthorized: renew the token."
    )


def test_the_connector_is_told_to_stop_when_a_value_does_not_fit(session: LoadSession) -> None:
    ended: list[bool] = []

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield rows(id=["1"], amount=["1"])
            yield rows(id=["2"], amount=["a lot"])
            yield rows(id=["3"], amount=["3"])
        finally:
            ended.append(True)

    with pytest.raises(SourceError, match=r"'amount' \(money.*from amount = 'a lot', id = '2'"):
        session.load("opportunities", "crm", batches(), Intake(COLUMNS, on(10)))
    assert ended == [True]


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (
            rows(id=["1"], stge=["x"]),
            "column 'stge', which opportunities has not. Did you mean 'stage'",
        ),
        (rows(stage=["x"]), "records of opportunities without id"),
        (rows(id=["1"], amount=[1e30]), "'amount' .money, DECIMAL.18,4.. cannot be read from"),
        (rows(id=["1"], close_date=["tomorrow"]), "'close_date' .date, DATE."),
        (rows(id=["1"], is_won=["perhaps"]), "'is_won' .bool, BOOLEAN."),
        (
            pa.record_batch([pa.array(["1"]), pa.array(["2"])], names=["id", "id"]),
            "gave a column of opportunities twice",
        ),
    ],
)
def test_what_does_not_fit_the_dataset_is_the_sources_failure(
    session: LoadSession, batch: pa.RecordBatch, message: str
) -> None:
    columns = session.datasets["opportunities"].column_names[1:]
    with pytest.raises(SourceError, match=message):
        load(session, batch, columns=("id", *(name for name in columns if name != "source")))
    assert stored_tables(session) == []


def test_an_interrupted_load_keeps_nothing_and_the_session_goes_on(session: LoadSession) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield rows(id=["1"])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session.load("opportunities", "crm", batches(), Intake(COLUMNS, on(10)))
    assert stored_tables(session) == []
    assert load(session, rows(id=["1"])).landed == 1


def test_the_state_of_a_failed_load_is_not_kept(session: LoadSession) -> None:
    load(session, lambda intake: intake.save_state({"page": 1}))
    intake = Intake(COLUMNS, on(11))
    intake.save_state({"page": 2})
    with pytest.raises(CrmetricsError):
        session.load("opportunities", "crm", failing(), intake)
    assert session.state("crm", "opportunities").state == {"page": 1}
