"""The layout follows the datasets: nothing that was loaded is ever lost."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from crmetrics.datasets import Column, ColumnType, Dataset
from crmetrics.errors import WarehouseError
from crmetrics.warehouse import EngineSettings, Intake, open_for_load
from crmetrics.warehouse.connection import connect
from crmetrics.warehouse.inventory import inventory
from warehouse.loading import DATASETS, gone, load, on, open_warehouse, part, rows, stored

COLUMNS = ("id", "score")


def deals(*columns: Column) -> dict[str, Dataset]:
    """A dataset `deals` of these columns beside the common ones."""
    common = DATASETS["products"].columns[:5]
    return {"deals": Dataset("deals", "deals of a plugin", (*common, *columns))}


def scored(kind: ColumnType) -> dict[str, Dataset]:
    return deals(Column("score", kind))


# --- columns that come, go and change --------------------------------------------------------


def test_a_new_column_is_added_and_filled_by_the_next_load(tmp_path: Path) -> None:
    with open_warehouse(tmp_path, deals()) as session:
        load(session, rows(id=["1"]), dataset="deals", columns=("id",))
    wider = deals(Column("score", "int"), Column("is_hot", "bool", nullable=False, default=True))
    with open_warehouse(tmp_path, wider) as session:
        assert stored(session, "id", "score", "is_hot", dataset="deals") == [("1", None, True)]
        load(session, rows(id=["2"], score=[7]), dataset="deals", columns=COLUMNS)
        assert stored(session, "id", "score", "is_hot", dataset="deals") == [
            ("1", None, True),
            ("2", 7, True),
        ]


def test_a_column_that_no_dataset_has_any_more_keeps_its_values(tmp_path: Path) -> None:
    with open_warehouse(tmp_path, scored("int")) as session:
        load(session, rows(id=["1", "2"], score=[7, 8]), dataset="deals", columns=COLUMNS)
    with open_warehouse(tmp_path, deals()) as session:
        load(session, rows(id=["1", "3"]), dataset="deals", columns=("id",))
        assert stored(session, "id", "score", dataset="deals") == [
            ("1", 7),
            ("2", 8),
            ("3", None),
        ]


def test_a_table_of_a_plugin_that_is_gone_is_left_alone(tmp_path: Path) -> None:
    with open_warehouse(tmp_path, scored("int")) as session:
        load(session, rows(id=["1"], score=[7]), dataset="deals", columns=COLUMNS)
    with open_warehouse(tmp_path) as session:
        load(session, rows(id=["1"]))
        assert stored(session, "score", dataset="deals") == [(7,)]
        assert "deals" not in session.inventory()


def test_a_changed_type_is_cast_when_no_value_is_lost(tmp_path: Path) -> None:
    with open_warehouse(tmp_path, scored("string")) as session:
        load(session, rows(id=["1", "2"], score=["7", None]), dataset="deals", columns=COLUMNS)
    with open_warehouse(tmp_path, scored("int")) as session:
        report = load(session, rows(id=["3"], score=[8]), dataset="deals", columns=COLUMNS)
        assert report.notices == ()
        assert stored(session, "id", "score", dataset="deals") == [("1", 7), ("2", None), ("3", 8)]
        assert session.state("crm", "deals").columns == ("id", "score")


@pytest.mark.parametrize("values", [["7", "high"], ["007"], ["7.5"]])
def test_a_changed_type_keeps_values_that_do_not_fit_under_another_name(
    tmp_path: Path, values: list[str]
) -> None:
    ids = [str(number) for number in range(len(values))]
    with open_warehouse(tmp_path, scored("string")) as session:
        load(session, rows(id=ids, score=values), dataset="deals", columns=COLUMNS)
    with open_warehouse(tmp_path, scored("int")) as session:
        # The state forgets the column, so that the next sync reads it anew.
        assert session.state("crm", "deals").columns == ("id",)
        assert "score" not in session.inventory()["deals"].columns
        assert stored(session, "score__old", "score", dataset="deals") == sorted(
            (value, None) for value in values
        )
        report = load(session, rows(id=["0"], score=[9]), dataset="deals", columns=COLUMNS)
        assert "deals.score changed from VARCHAR to BIGINT" in report.notices[0]
        assert "kept as score__old" in report.notices[0]
        assert (values[0], 9) in stored(session, "score__old", "score", dataset="deals")
        assert not load(session, dataset="deals", columns=COLUMNS).notices


def test_a_type_that_changes_twice_keeps_both_former_columns(tmp_path: Path) -> None:
    kinds: list[tuple[ColumnType, list[object]]] = [("string", ["x"]), ("bool", [True])]
    for kind, values in kinds:
        with open_warehouse(tmp_path, scored(kind)) as session:
            load(session, rows(id=["1"], score=values), dataset="deals", columns=COLUMNS)
    with open_warehouse(tmp_path, scored("date")) as session:
        found = stored(session, "score__old", "score__old2", "score", dataset="deals")
        assert found == [("x", True, None)]


def test_a_money_column_widens_without_loss(tmp_path: Path) -> None:
    with open_warehouse(tmp_path, scored("int")) as session:
        load(session, rows(id=["1"], score=[7]), dataset="deals", columns=COLUMNS)
    with open_warehouse(tmp_path, scored("money")) as session:
        assert stored(session, "score", dataset="deals") == [(7,)]
        assert session.state("crm", "deals").columns == ("id", "score")


def test_waiting_copies_follow_a_new_column(tmp_path: Path) -> None:
    with open_warehouse(tmp_path, deals()) as session:
        load(
            session,
            part("a"),
            rows(id=["1"]),
            part("b"),
            rows(id=["1"]),
            dataset="deals",
            columns=("id",),
        )
    with open_warehouse(tmp_path, scored("int")) as session:
        load(session, part("c"), rows(id=["1"], score=[3]), dataset="deals", columns=COLUMNS)
        load(session, gone("c"), dataset="deals", columns=COLUMNS)
        assert stored(session, "id", "_part", "score", dataset="deals") == [("1", "b", None)]


def test_names_that_the_warehouse_keeps_for_itself_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match=r"'deals' has a column '_part'.*Rename"):
        open_warehouse(tmp_path, deals(Column("_part", "string")))


def test_odd_names_of_datasets_and_columns_work(tmp_path: Path) -> None:
    common = DATASETS["products"].columns[:5]
    odd = Dataset("select", "odd", (*common, Column('or"der by', "string"), Column("at", "int")))
    with open_warehouse(tmp_path, {"select": odd}) as session:
        columns = ("id", 'or"der by', "at")
        batch = rows(id=["1", "1", ""], **{'or"der by': ["a", "b", "c"]}, at=[1, 2, 3])
        assert load(session, batch, dataset="select", columns=columns).landed == 1
        load(session, part("p"), batch, dataset="select", columns=columns)
        load(session, part("q"), batch, dataset="select", columns=columns)
        found = session.rows('select "or""der by", "at" from crm."select"')
        assert found == [("b", 2)]


# --- the version of the layout ---------------------------------------------------------------


def test_a_warehouse_of_a_newer_crmetrics_is_refused(tmp_path: Path) -> None:
    settings = EngineSettings(tmp_path / "w.duckdb", lock_timeout_s=0)
    with open_for_load(settings, DATASETS) as session:
        load(session, rows(id=["1"]))
        session.execute("update meta.version set layout = 99, written_by = 'crmetrics 9.0'")
    message = r"a newer crmetrics wrote it \(crmetrics 9.0, layout 99\).*Upgrade crmetrics"
    with pytest.raises(WarehouseError, match=message):
        open_for_load(settings, DATASETS)
    with (
        connect(settings, read_only=True) as connection,
        pytest.raises(WarehouseError, match=message),
    ):
        inventory(connection, DATASETS)


def test_a_database_of_another_program_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "theirs.duckdb"
    with duckdb.connect(str(path)) as theirs:
        theirs.execute("create table invoices as select 1 as number")
    with pytest.raises(WarehouseError, match=r"another program \(it holds 'invoices'\).*move this"):
        open_for_load(EngineSettings(path), DATASETS)
    with duckdb.connect(str(path)) as theirs:
        assert theirs.execute("select schema_name, table_name from duckdb_tables()").fetchall() == [
            ("main", "invoices")
        ]


def test_an_empty_database_file_becomes_a_warehouse(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    duckdb.connect(str(path)).close()
    settings = EngineSettings(path, lock_timeout_s=0)
    with connect(settings, read_only=True) as connection:
        assert not inventory(connection, DATASETS)["accounts"].exists
    with open_for_load(settings, DATASETS) as session:
        assert session.scalar("select count(*) from meta.version") == 1


def test_the_layout_is_made_once(tmp_path: Path) -> None:
    for _ in range(2):
        with open_warehouse(tmp_path) as session:
            session.execute("create table if not exists meta.runs (run_id varchar)")
            assert session.scalar("select count(*) from meta.version") == 1


# --- growth ----------------------------------------------------------------------------------


def test_a_file_does_not_grow_with_every_load_of_the_same_rows(tmp_path: Path) -> None:
    ids = [f"{number:018d}" for number in range(20_000)]
    sizes = []
    for day in range(1, 9):
        with open_warehouse(tmp_path) as session:
            load(session, rows(id=ids, stage=ids), started=on(day))
        sizes.append((tmp_path / "warehouse.duckdb").stat().st_size)
    assert sizes[-1] < 3 * sizes[0]


# --- what is held ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "plain", "text"),
    [("opportunities", ["id"], "stage"), ("opportunity_stage_history", ["id", "stay_id"], "stage")],
)
def test_ids_are_stored_as_they_are_and_other_texts_compressed(
    tmp_path: Path, dataset: str, plain: list[str], text: str
) -> None:
    ids = [f"006{number:012}" for number in range(20_000)]
    given = dict.fromkeys(plain, ids) | {text: ["Discovery"] * 20_000}
    with open_warehouse(tmp_path) as session:
        load(session, rows(**given), dataset=dataset, columns=tuple(given))
    with open_warehouse(tmp_path) as session:
        found = session.rows(
            f"select distinct column_name, compression from pragma_storage_info('crm.{dataset}')"
            " where segment_type = 'VARCHAR' and column_name in ('id', 'stay_id', 'stage')"
            " order by column_name"
        )
    assert found == sorted([*((name, "Uncompressed") for name in plain), (text, "DICT_FSST")])


def test_the_inventory_tells_what_each_source_gave(tmp_path: Path) -> None:
    columns = (
        "id",
        "updated_at",
        "is_spam",
        "is_test",
        "is_deleted",
        "merged_into_id",
        "source",
    )
    with open_warehouse(tmp_path) as session:
        load(
            session,
            rows(
                id=["1", "2", "3", "4"],
                is_spam=[True, False, None, False],
                is_test=[True, True, False, False],
                merged_into_id=[None, None, "1", None],
            ),
            lambda intake: intake.delete(["2"]),
            dataset="cases",
            columns=columns,
            source="desk",
            watermark=on(9),
            covers_from=on(2).date(),
        )
        load(
            session,
            rows(id=["1"], updated_at=[on(1)]),
            dataset="cases",
            columns=("id", "updated_at"),
            source="chat",
            started=on(11),
            covers_from=on(3).date(),
        )
        held = session.inventory()["cases"]
        desk = held.by_source["desk"]
        assert (desk.rows, desk.deleted, desk.test, desk.merged, desk.spam) == (4, 1, 2, 1, 1)
        assert desk.columns == {"id", "is_spam", "is_test", "is_deleted", "merged_into_id"}
        assert (desk.watermark, desk.last_sync, desk.covers_from) == (on(9), on(10), on(2).date())
        assert (held.rows, held.deleted, held.test, held.merged, held.spam) == (5, 1, 2, 1, 1)
        assert (held.sources, held.exists) == (("chat", "desk"), True)
        assert held.columns == desk.columns | {"updated_at"}
        assert held.last_sync == {"chat": on(11), "desk": on(10)}
        assert held.covers_from == on(2).date()
        assert session.inventory().sources == ("chat", "desk")


def test_the_inventory_lists_datasets_that_hold_nothing(tmp_path: Path) -> None:
    with open_warehouse(tmp_path) as session:
        load(session, dataset="leads", columns=("id", "created_at"))
        found = session.inventory()
        assert set(found) == set(DATASETS)
        assert (found["leads"].exists, found["leads"].rows) == (True, 0)
        assert found["leads"].columns == {"id", "created_at"}
        accounts = found["accounts"]
        assert (accounts.exists, accounts.rows, accounts.columns) == (False, 0, frozenset())
        assert accounts.covers_from is None


def test_a_failed_sync_does_not_count_as_the_last_one(tmp_path: Path) -> None:
    with open_warehouse(tmp_path) as session:
        load(session, rows(id=["1"]), started=on(5))
        batches = iter([rows(idd=["1"])])
        assert session.try_load("opportunities", "crm", batches, Intake(("id",), on(6))).failed
        assert session.inventory()["opportunities"].last_sync == {"crm": on(5)}


def test_a_column_that_is_not_read_any_more_is_not_computed_with(tmp_path: Path) -> None:
    with open_warehouse(tmp_path) as session:
        load(session, rows(id=["1"], stage=["won"], amount=[5]))
        load(session, rows(id=["2"], stage=["lost"]), columns=("id", "stage"))
        assert session.inventory()["opportunities"].columns == {"id", "stage"}
        assert stored(session, "id", "amount") == [("1", 5), ("2", None)]
        # Its values are kept all the same, also where the row itself comes again.
        load(session, rows(id=["1"], stage=["lost"]), columns=("id", "stage"))
        assert stored(session, "id", "amount") == [("1", 5), ("2", None)]
