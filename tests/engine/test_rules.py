"""Cross-cutting rules of the catalogue, each on a table small enough to count by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.errors import ConfigError, UsageError
from crmetrics.testing.examples import read_example
from crmetrics.testing.projects import load_tables, write_project

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
HEAD = (
    "@opportunities\nid,created_at,close_date,is_closed,is_won,amount,currency,owner_id,account_id"
)


def ask(
    directory: Path,
    text: str,
    kpis: list[str],
    *,
    reporting: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    now: datetime = NOW,
    **asked: Any,
) -> list[dict[str, Any]]:
    """The result rows of a question over the tables of an example."""
    write_project(directory, {}, settings=settings, reporting=reporting)
    load_tables(directory, read_example(text).tables)
    project = Project(directory, environ={}, now=lambda: now)
    rows = project.query(kpis, **asked).to_pylist()
    for row in rows:
        row["segment"], row["coverage"] = dict(row["segment"]), dict(row["coverage"])
    return rows


def one(rows: list[dict[str, Any]]) -> dict[str, Any]:
    assert len(rows) == 1, rows
    return rows[0]


def test_a_period_is_half_open(tmp_path: Path) -> None:
    row = one(
        ask(
            tmp_path,
            f"{HEAD}\n1,2025-12-01,2026-01-01,true,true,1,,,\n2,2025-12-01,2026-01-31,true,true,10,,,"
            "\n3,2025-12-01,2026-02-01,true,true,100,,,\n4,2025-11-01,2025-12-31,true,true,1000,,,",
            ["won_amount"],
            period="2026-01",
        )
    )
    assert row["value"] == 11


def test_an_instant_belongs_to_the_local_day_of_the_reporting_zone(tmp_path: Path) -> None:
    text = (
        "@opportunities\nid,created_at,closed_at,close_date,is_closed,is_won,amount\n"
        "1,2025-12-01,2026-02-01T04:59:59Z,2026-01-31,true,true,1\n"
        "2,2025-12-01,2026-02-01T05:00:00Z,2026-01-31,true,true,10\n"
        "3,2025-12-01,2026-01-01T05:00:00Z,2026-01-31,true,true,100\n"
        "4,2025-12-01,2026-01-01T04:59:59Z,2026-01-31,true,true,1000"
    )
    row = one(
        ask(
            tmp_path,
            text,
            ["won_amount.by_closed_at"],
            period="2026-01",
            reporting={"timezone": "America/New_York"},
        )
    )
    assert row["value"] == 101


def test_an_incomplete_period_is_partial_and_compared_with_the_same_days(tmp_path: Path) -> None:
    rows = [
        ("2026-05-10", 100),  # day 10 of May: among the first 15 days
        ("2026-05-16", 1000),  # day 16: not elapsed of June yet
        ("2026-06-10", 150),
    ]
    text = "\n".join(
        [HEAD, *(f"{n},2026-01-01,{d},true,true,{a},,," for n, (d, a) in enumerate(rows))]
    )
    row = one(ask(tmp_path, text, ["won_amount"], period="2026-06", compare=["previous"]))
    assert (row["value"], row["status"]) == (150, "partial")
    assert row["previous_value"] == 100
    assert row["change"] == pytest.approx(0.5)


def test_percentages_change_in_points_and_money_relatively(tmp_path: Path) -> None:
    text = (
        f"{HEAD}\n1,2026-01-01,2026-04-10,true,true,100,,,\n2,2026-01-01,2026-04-10,true,false,,,,"
        "\n3,2026-01-01,2026-05-10,true,true,150,,,"
    )
    rows = ask(tmp_path, text, ["win_rate", "won_amount"], period="2026-05", compare=["previous"])
    assert [row["change"] for row in rows] == pytest.approx([0.5, 0.5])
    assert [row["previous_value"] for row in rows] == pytest.approx([0.5, 100])


def test_no_denominator_is_no_number(tmp_path: Path) -> None:
    text = f"{HEAD}\n1,2026-01-01,2026-04-10,true,true,100,,,"
    rows = ask(tmp_path, text, ["win_rate", "won_amount", "average_deal_size"], period="2026-05")
    found = {row["kpi"]: (row["value"], row["status"]) for row in rows}
    assert found == {
        "win_rate": (None, "no_data"),
        "won_amount": (0, "ok"),
        "average_deal_size": (None, "no_data"),
    }


def test_a_period_before_the_data_is_not_zero(tmp_path: Path) -> None:
    text = f"{HEAD}\n1,2026-01-01,2026-04-10,true,true,100,,,"
    row = one(ask(tmp_path, text, ["won_amount"], period="2026-03"))
    assert (row["value"], row["status"]) == (None, "missing_dataset")


def test_a_dataset_that_nobody_loads_costs_its_kpis_alone(tmp_path: Path) -> None:
    text = f"{HEAD}\n1,2026-01-01,2026-04-10,true,true,100,,,"
    rows = ask(
        tmp_path, text, ["won_amount", "stage_duration", "quota_attainment"], period="2026-04"
    )
    assert [(row["kpi"], row["value"], row["status"]) for row in rows] == [
        ("won_amount", 100, "ok"),
        ("stage_duration", None, "missing_dataset"),
        ("quota_attainment", None, "missing_dataset"),
    ]
    assert rows[1]["flags"] == ["missing_dataset:opportunity_stage_history"]


def test_amounts_of_a_currency_without_rate_are_left_out_and_counted(tmp_path: Path) -> None:
    text = (
        f"{HEAD}\n1,2026-01-01,2026-04-10,true,true,100,USD,,\n2,2026-01-01,2026-04-10,true,true,10,EUR,,"
        "\n3,2026-01-01,2026-04-20,true,true,10,EUR,,\n4,2026-01-01,2026-04-10,true,true,7,XAU,,"
        "\n5,2026-01-01,2026-04-10,true,true,,USD,,\n@exchange_rates\ncurrency,valid_from,rate\n"
        "EUR,2026-04-01,2\nEUR,2026-04-15,3"
    )
    row = one(ask(tmp_path, text, ["won_amount"], period="2026-04"))
    assert row["value"] == 150
    assert row["n"] == 3
    assert row["coverage"] == {"rows_used": 3, "missing_rate": 1, "missing_amount": 1}


def test_constant_currency_takes_the_rate_of_the_as_of_day(tmp_path: Path) -> None:
    text = (
        f"{HEAD}\n1,2026-01-01,2026-04-10,true,true,10,EUR,,\n@exchange_rates\n"
        "currency,valid_from,rate\nEUR,2026-04-01,2\nEUR,2026-06-01,5"
    )
    rows = ask(tmp_path, text, ["won_amount", "won_amount.constant_currency"], period="2026-04")
    assert [row["value"] for row in rows] == [20, 50]


def test_groups_have_rows_only_where_there_are_records_and_totals_only_when_asked(
    tmp_path: Path,
) -> None:
    text = (
        f"{HEAD}\n1,2026-01-01,2026-04-10,true,true,100,,u1,\n2,2026-01-01,2026-04-10,true,true,5,,u9,"
        "\n3,2026-01-01,2026-05-10,true,true,7,,u1,\n4,2026-01-01,2026-05-10,false,false,9,,u2,"
        "\n@users\nid,team\nu1,East\nu2,West"
    )
    rows = ask(
        tmp_path,
        text,
        ["won_amount"],
        start="2026-04-01",
        end="2026-06-01",
        grain="month",
        by=["team"],
    )
    assert [(r["period_start"].month, r["segment"], r["value"]) for r in rows] == [
        (4, {"team": "(none)"}, 5),
        (4, {"team": "East"}, 100),
        (5, {"team": "East"}, 7),
    ]


def test_totals_come_beside_groups_when_asked(tmp_path: Path) -> None:
    text = f"{HEAD}\n1,2026-01-01,2026-04-10,true,true,100,,u1,\n@users\nid,team\nu1,East"
    rows = ask(tmp_path, text, ["won_amount"], period="2026-04", by=["owner.team"], totals=True)
    assert [row["segment"] for row in rows] == [{}, {"owner.team": "East"}]


def test_two_dimensions_make_one_grouping_and_two_lists_make_two(tmp_path: Path) -> None:
    text = (
        f"{HEAD}\n1,2026-01-01,2026-04-10,true,true,100,,u1,a1\n@users\nid,team\nu1,East\n"
        "@accounts\nid,segment\na1,large"
    )
    both = ask(tmp_path, text, ["won_amount"], period="2026-04", by=["team", "segment"])
    assert [row["segment"] for row in both] == [{"team": "East", "segment": "large"}]
    project = Project(tmp_path, environ={}, now=lambda: NOW)
    each = project.query(["won_amount"], period="2026-04", by=[["team"], ["segment"]]).to_pylist()
    assert [dict(row["segment"]) for row in each] == [{"segment": "large"}, {"team": "East"}]


def test_a_filter_reads_columns_of_the_rows_and_along_keys(tmp_path: Path) -> None:
    text = (
        f"{HEAD}\n1,2026-01-01,2026-04-10,true,true,100,,u1,\n2,2026-01-01,2026-04-10,true,true,5,,u2,"
        "\n@users\nid,team\nu1,East\nu2,West"
    )
    row = one(
        ask(
            tmp_path,
            text,
            ["won_amount"],
            period="2026-04",
            where="owner.team = 'East' and amount > 10",
        )
    )
    assert row["value"] == 100


@pytest.mark.parametrize(
    "where",
    ["amount >", "select 1", "amount = 1; drop table x", "1 as one", "amount", "1", "1 + 1"],
)
def test_a_filter_that_is_no_condition_is_refused(where: str, tmp_path: Path) -> None:
    text = f"{HEAD}\n1,2026-01-01,2026-04-10,true,true,100,,,"
    with pytest.raises((ConfigError, UsageError)):
        ask(tmp_path, text, ["won_amount"], period="2026-04", where=where)


def test_an_unknown_name_is_refused_with_the_close_match(tmp_path: Path) -> None:
    text = f"{HEAD}\n1,2026-01-01,2026-04-10,true,true,100,,,"
    for asked, match in (
        ({"kpis": ["won_amout"]}, "won_amount"),
        ({"kpis": ["won_amount.won_cont"]}, "won_count"),
        ({"kpis": ["won_amount"], "by": ["owner.taem"]}, "owner.team"),
        ({"kpis": ["won_amount"], "grain": "weak"}, "week"),
        ({"kpis": ["won_amount"], "compare": ["previos"]}, "previous"),
    ):
        kpis = asked.pop("kpis")
        with pytest.raises(UsageError, match=match):
            ask(tmp_path, text, kpis, **{"period": "2026-04", **asked})  # type: ignore[arg-type]


def test_rows_after_as_of_are_invisible_and_changed_ones_are_told(tmp_path: Path) -> None:
    text = (
        "@opportunities\nid,created_at,close_date,is_closed,is_won,amount,updated_at\n"
        "1,2026-01-01,2026-03-10,true,true,100,2026-03-10T00:00:00Z\n"
        "2,2026-01-01,2026-03-11,true,true,10,2026-05-01T00:00:00Z\n"
        "3,2026-04-20,2026-03-12,true,true,1,2026-04-20T00:00:00Z"
    )
    row = one(ask(tmp_path, text, ["won_amount"], period="2026-03", as_of="2026-04-10"))
    assert (row["value"], row["status"]) == (110, "not_reproducible")
    project = Project(tmp_path, environ={}, now=lambda: NOW)
    (now,) = project.query(["won_amount"], period="2026-03").to_pylist()
    assert (now["value"], now["status"]) == (111, "ok")


def test_a_windowed_rate_matures_when_its_window_is_over(tmp_path: Path) -> None:
    text = (
        f"{HEAD}\n1,2026-04-02,2026-04-10,true,true,100,,,\n2,2026-04-03,2026-06-30,false,false,,,,"
    )
    row = one(ask(tmp_path, text, ["win_rate.cohort"], period="2026-04"))
    assert (row["value"], row["status"]) == (0.5, "maturing")
    later = Project(tmp_path, environ={}, now=lambda: datetime(2026, 11, 1, tzinfo=UTC))
    (ripe,) = later.query(["win_rate.cohort"], period="2026-04").to_pylist()
    assert ripe["status"] == "ok"


def test_settings_of_the_kpi_win_over_flat_ones_and_defaults(tmp_path: Path) -> None:
    text = (
        f"{HEAD}\n1,2026-01-02,2026-01-20,true,true,100,,,\n2,2026-01-03,2026-01-05,true,true,,,,"
    )
    settings = {"window_days": 90, "win_rate": {"window_days": 10}}
    row = one(ask(tmp_path, text, ["win_rate.cohort"], period="2026-01", settings=settings))
    assert row["value"] == 0.5


def test_excluded_lost_reasons_leave_the_rate(tmp_path: Path) -> None:
    text = (
        "@opportunities\nid,created_at,close_date,is_closed,is_won,lost_reason\n"
        "1,2026-01-01,2026-01-20,true,true,\n2,2026-01-01,2026-01-20,true,false,duplicate\n"
        "3,2026-01-01,2026-01-20,true,false,price"
    )
    settings = {"exclude_lost_reasons": ["duplicate"]}
    row = one(ask(tmp_path, text, ["win_rate"], period="2026-01", settings=settings))
    assert row["value"] == 0.5


def test_small_samples_are_flagged_and_rates_carry_their_interval(tmp_path: Path) -> None:
    text = f"{HEAD}\n1,2026-01-01,2026-01-20,true,true,,,,\n2,2026-01-01,2026-01-20,true,false,,,,"
    row = one(ask(tmp_path, text, ["win_rate"], period="2026-01"))
    assert row["flags"] == ["low_sample"]
    # Wilson, 1 of 2 at 95 %: (0.5 + z²/4 ± z·sqrt(0.125 + z²/16)) / (1 + z²/2), z = 1.95996
    assert (row["interval_low"], row["interval_high"]) == pytest.approx((0.0945, 0.9055), abs=1e-4)


def test_a_definition_hash_changes_with_a_setting_that_makes_the_number(tmp_path: Path) -> None:
    text = f"{HEAD}\n1,2026-01-01,2026-01-20,true,true,100,,,"
    first = one(ask(tmp_path / "a", text, ["win_rate.cohort"], period="2026-01"))
    same = one(ask(tmp_path / "b", text, ["win_rate.cohort"], period="2026-01"))
    other = one(
        ask(
            tmp_path / "c",
            text,
            ["win_rate.cohort"],
            period="2026-01",
            settings={"win_rate": {"window_days": 30}},
        )
    )
    assert first["definition_hash"] == same["definition_hash"]
    assert first["definition_hash"] != other["definition_hash"]


def test_bands_have_inclusive_lower_bounds(tmp_path: Path) -> None:
    amounts = ("999.99", "1000", "9999", "10000", "100000", "")
    text = "\n".join(
        [HEAD, *(f"{n},2026-01-01,2026-01-20,true,true,{a},,," for n, a in enumerate(amounts))]
    )
    rows = ask(tmp_path, text, ["won_amount.won_count"], period="2026-01", by=["amount_band"])
    assert {row["segment"]["amount_band"]: row["value"] for row in rows} == {
        "<1000": 1,
        "1000-10000": 2,
        "10000-100000": 1,
        ">=100000": 1,
        "(none)": 1,
    }


def test_sunday_weeks_and_fiscal_quarters_cut_the_same_rows_differently(tmp_path: Path) -> None:
    text = (
        f"{HEAD}\n1,2026-01-01,2026-02-01,true,true,1,,,\n2,2026-01-01,2026-02-07,true,true,10,,,"
        "\n3,2026-01-01,2026-02-08,true,true,100,,,"
    )
    reporting = {"week_start": "sunday", "fiscal_year_start": "02-01"}
    week = one(ask(tmp_path, text, ["won_amount"], period="2026-W06", reporting=reporting))
    assert (week["value"], str(week["period_start"])) == (11, "2026-02-01")
    project = Project(tmp_path, environ={}, now=lambda: NOW)
    (quarter,) = project.query(["won_amount"], period="2027-Q1").to_pylist()
    assert (quarter["value"], str(quarter["period_start"])) == (111, "2026-02-01")


def test_a_reference_to_nowhere_is_kept_and_counted_as_an_orphan(tmp_path: Path) -> None:
    text = (
        f"{HEAD}\n1,2026-01-01,2026-04-10,true,true,100,,u1,\n2,2026-01-01,2026-04-10,true,true,5,,u9,"
        "\n3,2026-01-01,2026-04-10,true,true,7,,,\n4,2026-01-01,2026-04-10,true,false,7,,u9,"
        "\n@users\nid,team\nu1,East"
    )
    rows = ask(tmp_path, text, ["won_amount"], period="2026-04", by=["team"])
    assert {row["segment"]["team"]: row["coverage"] for row in rows} == {
        "(none)": {"rows_used": 2, "orphan": 1},
        "East": {"rows_used": 1},
    }
    by_key = ask(tmp_path / "key", text, ["won_amount"], period="2026-04", by=["owner_id"])
    assert [row["segment"]["owner_id"] for row in by_key] == ["(none)", "u1", "u9"]


def test_what_is_dated_after_as_of_has_not_happened_yet(tmp_path: Path) -> None:
    wins = [("2026-01-05", 100), ("2026-01-25", 900), ("2026-02-03", 150), ("2026-02-20", 5000)]
    text = "\n".join(
        [HEAD, *(f"{n},2025-01-01,{d},true,true,{a},,," for n, (d, a) in enumerate(wins))]
    )
    won, growth = ask(
        tmp_path,
        text,
        ["won_amount", "sales_growth_rate"],
        period="2026-02",
        as_of="2026-02-11",
        compare=["previous"],
    )
    assert (won["value"], won["previous_value"], won["change"]) == (150, 100, 0.5)
    assert growth["value"] == pytest.approx(0.5)


def test_kpis_that_all_lack_their_dataset_have_a_row_each(tmp_path: Path) -> None:
    text = f"{HEAD}\n1,2026-01-01,2026-04-10,true,true,100,,,"
    rows = ask(tmp_path, text, ["quota_attainment", "stage_duration"], period="2026-04")
    assert [row["status"] for row in rows] == ["missing_dataset", "missing_dataset"]


def test_coverage_does_not_depend_on_what_else_is_asked(tmp_path: Path) -> None:
    text = (
        "@opportunities\nid,created_at,close_date,is_closed,is_won,amount,is_deleted\n"
        "1,2026-01-01,2026-04-10,true,true,100,false\n2,2026-01-01,2026-04-10,true,false,5,true\n"
        "3,2026-01-01,2026-04-10,true,true,5,true"
    )
    alone = one(ask(tmp_path, text, ["win_rate"], period="2026-04"))
    project = Project(tmp_path, environ={}, now=lambda: NOW)
    both = project.query(["won_amount", "win_rate"], period="2026-04").to_pylist()
    assert alone["coverage"] == {"rows_used": 1, "excluded_deleted": 2}
    assert dict(both[1]["coverage"]) == alone["coverage"]
    assert dict(both[0]["coverage"]) == {"rows_used": 1, "excluded_deleted": 1}


def test_a_short_name_is_suggested_for_a_misspelt_one(tmp_path: Path) -> None:
    text = f"{HEAD}\n1,2026-01-01,2026-04-10,true,true,100,,,"
    with pytest.raises(UsageError, match="'team'"):
        ask(tmp_path, text, ["won_amount"], period="2026-04", by=["tem"])


def test_a_range_that_cuts_periods_says_what_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = f"{HEAD}\n1,2026-01-01,2026-04-10,true,true,100,,,"
    ask(tmp_path, text, ["won_amount"], start="2026-04-05", end="2026-04-20")
    assert "2026-04-01 to 2026-05-01" in caplog.text


@pytest.mark.parametrize(
    "asked",
    [
        {"period": "9999-12-31"},
        {"period": "0001"},
        {"start": "9998-01-01", "end": "9999-12-01"},
        {"period": "2026-04", "as_of": "0001-01-01", "compare": ["year_ago"]},
    ],
)
def test_years_beyond_what_can_be_computed_are_refused(
    asked: dict[str, Any], tmp_path: Path
) -> None:
    text = f"{HEAD}\n1,2026-01-01,2026-04-10,true,true,100,,,"
    with pytest.raises(UsageError, match="1900"):
        ask(tmp_path, text, ["won_amount"], **asked)
