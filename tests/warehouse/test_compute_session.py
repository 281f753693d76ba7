"""Read sessions: what is made when, what can be shown, what is locked."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from crmetrics.datasets import Column, Dataset, canonical_datasets, extend
from crmetrics.errors import ConfigError, QueryError, WarehouseError
from crmetrics.periods import Calendar
from crmetrics.warehouse.compute import open_for_binding, open_for_compute
from crmetrics.warehouse.connection import EngineSettings
from crmetrics.warehouse.derived import ViewSettings
from warehouse.sample_crm import LATE, ask, open_crm, write_crm

TABLES = """
@accounts
id,merged_into_id,is_deleted,created_at
A,,false,2025-01-01T00:00:00Z
B,A,false,2025-01-01T00:00:00Z
C,,true,2025-01-01T00:00:00Z
@subscriptions
account_id,start_date,end_date,mrr,currency
A,2026-01-01,2026-02-01,10,EUR
B,2026-02-01,,20,
C,2026-02-01,,20,
@leads
id,account_id,created_at
1,B,2026-01-01T00:00:00Z
@activities
lead_id,direction,occurred_at
1,outbound,2026-01-02T00:00:00Z
@exchange_rates
currency,valid_from,rate
EUR,2026-01-01,1.1
@orders
id,account_id,ordered_at,total_amount
1,B,2026-01-05T00:00:00Z,10
2,C,2026-01-05T00:00:00Z,10
"""

VIEW = ViewSettings(Calendar("Europe/Berlin"), "USD", LATE, False, date(2026, 12, 31))

MACROS = (
    *("active_on", "mrr_on", "local_day", "day_start", "source_of_"),
    *("business_seconds", "worked_by_", "worked_on_wall_"),
)


def test_a_relation_is_made_when_it_is_asked_for_and_with_all_it_reads(tmp_path: Path) -> None:
    made = (
        "select view_name from duckdb_views() where not internal union all "
        "select table_name from duckdb_tables() where temporary order by 1"
    )
    with open_crm(tmp_path, TABLES) as crm:
        assert crm.rows(made) == []
        crm.relation("customer_first_days")
        assert [name for (name,) in crm.rows(made)] == [
            "customer_first_days",
            "customer_spans",
            "gone_accounts",
            "live_subscriptions",
            "merged_accounts",
        ]
        crm.relation("customer_first_days")


def test_every_relation_can_be_made_and_read(tmp_path: Path) -> None:
    with open_crm(tmp_path, TABLES, timezone="Europe/Berlin") as crm:
        for name in sorted(crm.relations):
            crm.relation(name)
            if not name.startswith(MACROS):
                crm.arrow(f"select * from {name}")


def test_before_anything_is_loaded_every_relation_has_its_columns(tmp_path: Path) -> None:
    datasets = canonical_datasets()
    with open_for_binding(datasets, VIEW) as empty, open_crm(tmp_path, TABLES) as crm:
        assert empty.relations == crm.relations
        for name in sorted(empty.relations):
            if not name.startswith(MACROS):
                found = empty.describe(name)
                assert found
                if not name.startswith(("merged_", "earliest_", "gone_", "ambiguous_")):
                    assert found == crm.describe(name), name
                assert empty.scalar(f"select count(*) from {name}") == 0


def test_an_unknown_relation_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    with (
        open_crm(tmp_path, TABLES) as crm,
        pytest.raises(ConfigError, match=r"'live_acounts'. Did you mean .*'live_accounts'"),
    ):
        crm.relation("live_acounts")


def test_prepare_finds_relations_in_the_code_and_not_in_texts(tmp_path: Path) -> None:
    with open_crm(tmp_path, TABLES) as crm:
        named = crm.prepare(
            "select 'live_orders', count(*) from LIVE_LEADS -- live_cases\nwhere local_day(null) "
            "is null"
        )
        assert named == ("live_leads", "local_day")


def test_the_prelude_runs_as_it_stands_in_plain_duckdb(tmp_path: Path) -> None:
    wanted = ["customer_spells", "mrr_on", "lead_first_response", "counted_orders"]
    query = (
        "select account_id, start_date::varchar, end_date::varchar from customer_spells "
        "order by all"
    )
    with open_crm(tmp_path, TABLES) as crm:
        statements = crm.prelude(wanted)
        answer = ask(crm, query)
    assert answer == [("A", "2026-01-01", None)]
    with duckdb.connect(str(tmp_path / "warehouse.duckdb"), read_only=True) as plain:
        plain.execute("set TimeZone = 'Asia/Tokyo'")
        for statement in statements:
            plain.execute(statement)
        assert plain.execute(query).fetchall() == answer
        assert plain.execute(
            "select account_id, mrr::double from mrr_on(date '2026-01-15')"
        ).fetchall() == [("A", 11.0)]


def test_the_prelude_holds_what_is_needed_and_nothing_else(tmp_path: Path) -> None:
    with open_crm(tmp_path, TABLES) as crm:
        crm.relation("live_cases")
        crm.relation("spend_by_day")
        statements = crm.prelude(["live_orders"])
        assert [statement.split(" as\n")[0] for statement in statements] == [
            "create or replace temp table merged_accounts",
            "create or replace temp table gone_accounts",
            "create or replace temp view live_orders",
        ]
        assert crm.prelude([]) == []


def test_describe_binds_a_query_and_does_not_run_it(tmp_path: Path) -> None:
    with open_crm(tmp_path, TABLES) as crm:
        sql = "with a as (select id from live_orders) select id, error('run') as x from a -- end"
        assert crm.describe(sql) == {"id": "VARCHAR", "x": '"NULL"'}
        assert crm.describe("select 1 as one;") == {"one": "INTEGER"}
        with pytest.raises(QueryError, match="totl_amount"):
            crm.describe("select totl_amount from live_orders")


def test_a_registered_table_is_read_like_a_relation(tmp_path: Path) -> None:
    with open_crm(tmp_path, TABLES) as crm:
        crm.register("periods", pa.table({"period_start": [date(2026, 1, 1)]}))
        found = crm.arrow("select period_start from periods")
        assert found.to_pydict() == {"period_start": [date(2026, 1, 1)]}


@pytest.mark.parametrize(
    "statement",
    [
        "create table crm.x (i int)",
        "delete from crm.orders",
        "insert into crm.orders (id) values ('x')",
        "attach ':memory:' as other",
        "copy (select 1) to 'x.csv'",
        "select * from read_csv('/etc/passwd')",
        "set memory_limit = '1GB'",
        "install httpfs",
    ],
)
def test_the_file_and_the_machine_are_out_of_reach(tmp_path: Path, statement: str) -> None:
    with open_crm(tmp_path, TABLES) as crm:
        crm.relation("counted_orders")
        with pytest.raises(QueryError):
            crm.execute(statement)
        assert ask(crm, "select count(*) from counted_orders") == [(1,)]


def test_a_warehouse_that_is_not_there_is_an_error_that_helps(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="crmetrics sync"):
        open_for_compute(EngineSettings(tmp_path / "none.duckdb"), canonical_datasets(), VIEW)


def test_a_column_that_a_plugin_added_since_the_last_load_is_null_or_its_default(
    tmp_path: Path,
) -> None:
    settings = write_crm(
        tmp_path,
        "@orders\nid,account_id,total_amount\n1,A,10\n@accounts\nid,merged_into_id\nA,\nB,A",
    )
    further = Dataset(
        "orders",
        "",
        (
            Column("channel", "string"),
            Column("is_gift", "bool", default=False),
            Column("payer_id", "string", references="accounts"),
        ),
    )
    datasets = extend(canonical_datasets(), [further])
    with open_for_compute(settings, datasets, VIEW) as crm:
        assert crm.describe("live_orders")["channel"] == "VARCHAR"
        assert ask(crm, "select id, channel, is_gift, payer_id from live_orders") == [
            ("1", None, False, None)
        ]


def test_a_dataset_of_a_plugin_is_live_like_the_others(tmp_path: Path) -> None:
    visits = Dataset(
        "site_visits",
        "",
        (
            Column("order", "string", references="orders"),
            Column("Größe", "int"),
            Column("at", "timestamp"),
            Column("merged_into_id", "string", references="site_visits"),
        ),
        created="at",
        parent="order",
    )
    datasets = extend(canonical_datasets(), [visits])
    with open_for_binding(datasets, VIEW) as crm:
        crm.relation("live_orders")
    tables = (
        "@orders\nid,account_id,is_deleted\n1,A,true\n2,A,false\n"
        "@site_visits\nid,order,Größe,at,merged_into_id\n"
        "a,1,1,2026-01-01T00:00:00Z,\nb,2,2,2026-01-02T00:00:00Z,\nc,2,3,2026-01-01T00:00:00Z,b\n"
    )
    with open_crm(tmp_path, tables, datasets=datasets) as crm:
        crm.relation("live_site_visits")
        assert crm.rows('select "order", "Größe", "at"::date::varchar from live_site_visits') == [
            ("2", 2, "2026-01-01")
        ]


def test_as_of_is_seen_in_the_reporting_zone() -> None:
    view = ViewSettings(
        Calendar("America/New_York"),
        "USD",
        datetime(2026, 2, 1, 3, tzinfo=UTC),
        True,
        date(2026, 1, 15),
    )
    assert view.as_of_day == date(2026, 1, 31)
    assert view.last_day == date(2026, 1, 31)
