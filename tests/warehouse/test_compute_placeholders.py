"""Placeholders: where they are found and what they become."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import duckdb
import pytest

from crmetrics.errors import ConfigError
from crmetrics.warehouse.placeholders import identifier, literal, placeholders, render, words


@pytest.fixture
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("set TimeZone = 'UTC'")
    yield connection
    connection.close()


def test_a_placeholder_becomes_a_literal_and_the_rest_stays() -> None:
    assert render("select $a + $b", {"a": 1, "b": 2}) == "select 1 + 2"


@pytest.mark.parametrize(
    "sql",
    [
        "select '$a'",
        "select 'it''s $a'",
        'select 1 as "$a"',
        "select 1 -- $a",
        "select 1 /* $a\n$a */",
        "select $$ $a $$",
        "select $tag$ $a $tag$",
        r"select e'\' $a'",
        "select 1 /* $a",
    ],
)
def test_texts_comments_and_quoted_names_are_left_alone(sql: str) -> None:
    assert render(sql, {}) == sql
    assert placeholders(sql) == ()


def test_a_placeholder_after_a_comment_and_a_text_is_found() -> None:
    sql = "select '--' as x, $a -- $no\n, $b"
    assert placeholders(sql) == ("a", "b")
    assert render(sql, {"a": 1, "b": 2}) == "select '--' as x, 1 -- $no\n, 2"


def test_a_longer_name_is_not_cut_to_a_known_one() -> None:
    with pytest.raises(ConfigError, match=r"\$as_of_days"):
        render("select $as_of_days", {"as_of": 1, "as_of_day": 2})


def test_every_unknown_name_is_reported_with_its_place_and_a_suggestion() -> None:
    with pytest.raises(ConfigError) as caught:
        render("select $currencyy,\n  $zzz", {"currency": "USD"}, file="sql/x.sql")
    first, second = caught.value.findings
    assert str(first) == "sql/x.sql:1:8: unknown placeholder $currencyy. Did you mean 'currency'?"
    assert (second.line, second.column) == (2, 3)
    assert second.hint == "Known here: $currency."


@pytest.mark.parametrize(
    "value",
    [
        "",
        "it's",
        "naïve 💶\n; drop table x --",
        0,
        -7,
        2**62,
        0.1,
        -1e-05,
        True,
        False,
        None,
        date(1, 2, 3),
        date(2026, 1, 31),
        [],
        ["a", "b'c"],
        [1, -2],
    ],
)
def test_duckdb_reads_a_literal_back_as_the_value(
    duck: duckdb.DuckDBPyConnection, value: object
) -> None:
    row = duck.execute(render("select $value", {"value": value})).fetchone()
    assert row == (value,)


def test_an_instant_keeps_its_microseconds_and_its_zone(duck: duckdb.DuckDBPyConnection) -> None:
    instant = datetime(2026, 1, 1, 0, 30, 0, 1, tzinfo=timezone(timedelta(hours=2)))
    text = literal(instant)
    assert text == "timestamptz '2025-12-31 22:30:00.000001+00'"
    found = duck.execute(f"select epoch_us({text})").fetchone()
    assert found == (1767220200000001,)


def test_an_instant_of_the_first_century_has_four_digits_of_year() -> None:
    assert literal(datetime(33, 4, 3, tzinfo=UTC)).startswith("timestamptz '0033-04-03 ")


def test_a_float_stays_a_float_and_a_decimal_a_decimal(duck: duckdb.DuckDBPyConnection) -> None:
    sql = render("select typeof($f), typeof($d)", {"f": 0.1, "d": Decimal("0.10")})
    assert duck.execute(sql).fetchone() == ("DOUBLE", "DECIMAL(3,2)")


def test_subtracting_a_negative_value_does_not_begin_a_comment(
    duck: duckdb.DuckDBPyConnection,
) -> None:
    assert duck.execute(render("select 1-$x", {"x": -3})).fetchone() == (4,)


def test_a_list_can_be_searched_even_when_it_is_empty(duck: duckdb.DuckDBPyConnection) -> None:
    sql = "select 'a' in $list, 'a' not in $list"
    assert duck.execute(render(sql, {"list": []})).fetchone() == (False, True)
    assert duck.execute(render(sql, {"list": ["a"]})).fetchone() == (True, False)


def test_a_mapping_is_looked_up_even_when_it_is_empty(duck: duckdb.DuckDBPyConnection) -> None:
    sql = "select coalesce($map['social'], 'unmapped')"
    assert duck.execute(render(sql, {"map": {}})).fetchone() == ("unmapped",)
    assert duck.execute(render(sql, {"map": {"social": "x'y"}})).fetchone() == ("x'y",)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), datetime(2026, 1, 1), object(), b"x", Decimal("NaN")]
)
def test_a_value_without_a_literal_is_refused_by_name(value: object) -> None:
    with pytest.raises(ConfigError, match=r"\$limit"):
        render("select $limit", {"limit": value})


def test_words_leave_out_comments_and_texts() -> None:
    found = words("select A.b -- live_x\nfrom live_a as \"live_b\" where c = 'live_c' and $live_d")
    assert found == {"select", "a", "b", "from", "live_a", "as", "where", "c", "and"}


def test_only_a_name_that_needs_it_is_quoted() -> None:
    assert identifier("order") == "order"
    assert identifier("Größe") == '"Größe"'
    assert identifier('a"b') == '"a""b"'
