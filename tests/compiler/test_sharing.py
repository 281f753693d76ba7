"""Work done once for a question: sums by day, parents with what lies behind them, kept models."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from crmetrics.engine import Project
from crmetrics.engine.answer import Question
from crmetrics.engine.records import records
from crmetrics.errors import ConfigError
from crmetrics.testing.examples import read_example
from crmetrics.testing.projects import load_tables, write_project

NOW = datetime(2025, 8, 20, 7, 30, tzinfo=UTC)
DEFINITIONS = """
kpis:
  sold:
    title: Sold
    question: How much?
    unit: currency
    better: higher
    from: opportunities
    time: close_date
    window: {trailing_days: 45}
    value: sum(amount_rc)
    variants:
      count: {value: count(*), unit: count}
      amounts: {value: count(amount), unit: count}
      mean: {value: avg(amount) filter (where is_won)}
      least: {value: min(amount)}
      most: {value: max(amount) filter (where is_won)}
      median: {value: "quantile_cont(amount::double, 0.5)"}
      accounts: {value: count(distinct account_id), unit: count}
      created:
        time: created_at
        value: count(*)
        unit: count
  history:
    title: Rows of history
    question: How many?
    unit: count
    better: higher
    from: opportunity_stage_history
    time: entered_at
    value: count(*)
    variants:
      left: {time: exited_at}
  both:
    title: Deals and their history
    question: How many rows are there?
    unit: count
    better: higher
    inputs:
      deals: {kpi: amounts.count}
      entered: {kpi: history}
      left: {kpi: history.left}
    value: deals + entered + left
  latest:
    title: Latest stages
    question: How many?
    unit: count
    better: higher
    from: late_rows
    time: entered_at
    covered_by: [opportunity_stage_history.entered_at]
    value: count(*)
    variants:
      open: {span: [entered_at, exited_at], time: ""}
      left: {time: exited_at, covered_by: [opportunity_stage_history.exited_at]}
  amounts:
    title: Amounts of deals
    question: How much?
    unit: currency
    better: higher
    from: opportunities
    time: close_date
    value: sum(amount)
    variants:
      mean: {value: avg(amount) filter (where is_won)}
      most: {value: max(amount)}
      median: {value: "quantile_cont(amount::double, 0.5)"}
      count: {value: count(*), unit: count}
  dated:
    title: Dated deals
    question: How many deals have their date in the period?
    unit: count
    better: higher
    from: dated_deals
    shape: period
    covered_by: [opportunities.close_date]
    value: count(*)
  kept:
    title: Dated deals, kept
    question: How many deals have their date in the period?
    unit: count
    better: higher
    from: kept_deals
    shape: period
    covered_by: [opportunities.close_date]
    value: count(*)
    variants:
      even: {value: count(distinct id)}
  kept_lately:
    title: Dated deals of 45 days
    question: How many deals had their date in the 45 days to the end of the period?
    unit: count
    better: higher
    inputs:
      lately: {kpi: kept, window: {trailing_days: 45}}
    value: lately
"""
ROWS = ["count", "amounts", "mean", "least", "most", "median", "accounts", "created"]


def team_of(deal: dict[str, Any]) -> str:
    return {"u1": "East", "u2": "West"}.get(deal["owner_id"], "(none)")


def shown(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value).replace(" ", "T")


class Deals:
    """Forty deals around the periods asked for; some without an amount, owner or account."""

    def __init__(self, seed: int) -> None:
        dice = random.Random(seed)
        self.rows = [
            {
                "id": str(number),
                "close_date": date(2025, 1, 1) + timedelta(days=dice.randrange(230)),
                "created_at": datetime(2025, 1, 1, tzinfo=UTC)
                + timedelta(minutes=dice.randrange(330_000)),
                "amount": dice.choice([None, dice.randrange(900), dice.randrange(900)]),
                "is_won": dice.random() < 0.5,
                "owner_id": dice.choice(["u1", "u2", "u3", "gone", ""]),
                "account_id": dice.choice("abcd"),
            }
            for number in range(40)
        ]

    def text(self, dead: Sequence[dict[str, Any]] = ()) -> str:
        names = [*self.rows[0], "is_deleted"]
        lines = ["@opportunities", ",".join(names)]
        for row in [*({**row, "is_deleted": False} for row in self.rows), *dead]:
            values = (row[name] for name in names)
            lines.append(",".join(shown(value) for value in values))
        lines += ["@users", "id,team", "u1,East", "u2,West", "u3,"]
        lines += ["@opportunity_stage_history", "id,opportunity_id,stage,entered_at,exited_at"]
        for row in self.rows[:30]:
            entered = row["created_at"]
            left = (entered + timedelta(days=9)).isoformat() if row["is_won"] else ""
            lines.append(f"h{row['id']},{row['id']},open,{entered.isoformat()},{left}")
        lines.append(f"h99,nothing,open,{datetime(2025, 3, 3, tzinfo=UTC).isoformat()},")
        return "\n".join(lines)

    @property
    def dead(self) -> list[dict[str, Any]]:
        """Some of the deals again, deleted."""
        return [{**row, "id": f"dead-{row['id']}", "is_deleted": True} for row in self.rows[::9]]

    def within(self, start: date, end: date) -> list[dict[str, Any]]:
        return [row for row in self.rows if start <= row["close_date"] < end]


@pytest.fixture(scope="module", params=[1, 2])
def deals(request: pytest.FixtureRequest) -> Deals:
    return Deals(request.param)


@pytest.fixture(scope="module")
def project(deals: Deals, tmp_path_factory: Any) -> Project:
    return project_of(tmp_path_factory.mktemp("sharing"), deals.text())


@pytest.fixture(scope="module")
def project_with_dead(deals: Deals, tmp_path_factory: Any) -> Project:
    return project_of(tmp_path_factory.mktemp("dead"), deals.text(deals.dead))


def project_of(directory: Path, text: str) -> Project:
    write_project(directory, {}, packs=(), reporting={"timezone": "America/New_York"})
    (directory / "metrics" / "sql").mkdir(parents=True)
    (directory / "metrics" / "own.yaml").write_text(DEFINITIONS)
    (directory / "metrics" / "sql" / "late_rows.sql").write_text(
        "-- materialized\nselect source, id, opportunity_id, entered_at, exited_at\n"
        "from live_opportunity_stage_history\n"
        "where exited_at is null or exited_at >= (select start_at from looked_at)\n"
    )
    (directory / "metrics" / "sql" / "dated_deals.sql").write_text(
        "select d.period_start, o.id\nfrom live_opportunities o\n"
        "join period_days d on d.day = o.close_date\n"
    )
    (directory / "metrics" / "sql" / "kept_deals.sql").write_text(
        "-- materialized\nselect d.period_start, o.id\nfrom live_opportunities o\n"
        "join period_days d on d.day = o.close_date\n"
    )
    load_tables(directory, read_example(text).tables)
    return Project(directory, environ={}, now=lambda: NOW)


def expected(rows: list[dict[str, Any]], variant: str) -> float | None:
    amounts = [row["amount"] for row in rows if row["amount"] is not None]
    won = [r["amount"] for r in rows if r["is_won"] and r["amount"] is not None]
    ordered = sorted(amounts)
    middle = len(ordered) // 2
    median = None
    if ordered:
        median = (ordered[middle] + ordered[~middle]) / 2
    return {
        "": sum(amounts),
        "count": len(rows),
        "amounts": len(amounts),
        "mean": sum(won) / len(won) if won else None,
        "least": min(amounts, default=None),
        "most": max(won, default=None),
        "median": median,
        "accounts": len({row["account_id"] for row in rows}),
    }[variant]


@pytest.mark.parametrize("by", [(), ("team",)])
@pytest.mark.parametrize("grain", ["week", "month"])
def test_overlapping_windows_are_what_each_window_gives(
    grain: str, by: tuple[str, ...], project: Project, deals: Deals
) -> None:
    teams = {"u1": "East", "u2": "West"}
    names = ["sold", *(f"sold.{name}" for name in ROWS if name != "created")]
    table = project.query(names, start="2025-02-01", end="2025-08-01", grain=grain, by=by)
    rows = table.to_pylist()
    assert len(rows) >= len(names) * 6
    for row in rows:
        found = deals.within(row["period_end"] - timedelta(days=45), row["period_end"])
        if by:
            (team,) = dict(row["segment"]).values()
            found = [r for r in found if teams.get(r["owner_id"], "(none)") == team]
        assert (row["value"] or 0) == pytest.approx(expected(found, row["variant"]) or 0), row


def test_overlapping_windows_over_instants_follow_the_local_day(
    project: Project, deals: Deals
) -> None:
    table = project.query(["sold.created"], start="2025-03-01", end="2025-08-01", grain="week")
    for row in table.to_pylist():
        first = row["period_end"] - timedelta(days=45)
        local = [project.calendar.local_day(deal["created_at"]) for deal in deals.rows]
        assert row["value"] == sum(first <= day < row["period_end"] for day in local)


def scans(project: Project, names: tuple[str, ...], grain: str, by: tuple[str, ...]) -> list[str]:
    periods = tuple(project.calendar.periods(date(2025, 2, 1), date(2025, 8, 1), grain))  # type: ignore[arg-type]
    with project.answerer(periods) as answerer:
        program = answerer.program(Question(names, periods, (by,)))
        return [statement.sql for statement in program.statements]


def test_only_sums_over_overlapping_windows_go_by_way_of_days(project: Project) -> None:
    assert "by_piece as" in " ".join(scans(project, ("sold", "sold.mean"), "week", ()))
    assert "by_piece as" not in " ".join(scans(project, ("sold", "sold.mean"), "quarter", ()))
    (accounts,) = (
        sql for sql in scans(project, ("sold.accounts",), "week", ()) if "table rowset_" in sql
    )
    added, _, others = accounts.lower().partition("others as")
    assert "count(distinct" in others and "count(distinct" not in added


@pytest.mark.parametrize("by", [(), ("team",), ("account_id",)])
def test_periods_and_the_days_before_their_ends_are_read_once(
    by: tuple[str, ...], project: Project, deals: Deals
) -> None:
    names = ("amounts", "amounts.mean", "amounts.most", "amounts.median", "sold", "sold.least")
    periods = tuple(project.calendar.periods(date(2025, 2, 1), date(2025, 8, 1), "month"))
    with project.answerer(periods) as answerer:
        question = Question(names, periods, (by,))
        assert len(answerer.program(question).scans()) == 1
        rows = answerer.answer(question).to_pylist()
    assert len(rows) >= len(names) * 6
    for row in rows:
        start = row["period_start"]
        if row["kpi"] == "sold":
            start = row["period_end"] - timedelta(days=45)
        found = deals.within(start, row["period_end"])
        for name, entry in dict(row["segment"]).items():
            found = [
                deal
                for deal in found
                if (deal["account_id"] if name == "account_id" else team_of(deal)) == entry
            ]
        wanted = expected(found, row["variant"])
        if row["variant"] == "most":
            wanted = max((r["amount"] for r in found if r["amount"] is not None), default=None)
        assert (row["value"] is None) == (wanted is None or (wanted == 0 and not found)), row
        assert (row["value"] or 0) == pytest.approx(wanted or 0), row


def test_what_cannot_be_added_up_is_not_computed_for_the_windows_of_others(
    project: Project,
) -> None:
    apart = scans(project, ("amounts", "sold.accounts"), "month", ())
    assert sum("table rowset_" in sql for sql in apart) == 2
    (medians,) = (
        sql
        for sql in scans(project, ("amounts.median", "sold"), "month", ())
        if "table rowset_" in sql
    )
    assert "p.window_id in (0, 1, 2, 3, 4, 5)" in medians


def test_a_parent_is_joined_with_its_parents_once_for_all_row_sets(project: Project) -> None:
    statements = scans(project, ("history", "history.left"), "month", ("opportunity.owner.team",))
    kept = [sql for sql in statements if "opportunities_with_parents_kept as" in sql]
    assert len(kept) == 1
    assert "f.source" not in kept[0], "no join reads it where one source names all owners"
    assert sum("live_users" in sql for sql in statements) == 1
    alone = scans(project, ("history",), "month", ("opportunity.owner.team",))
    assert not any("_kept" in sql for sql in alone), "one reader needs no table"


def test_kept_parents_of_two_sources_are_told_apart(deals: Deals, tmp_path: Path) -> None:
    project = project_of(tmp_path, deals.text())
    other = deals.text().replace("u1,East", "u1,North").replace("u2,West", "u2,South")
    load_tables(tmp_path, read_example(other).tables, source="other")
    by = "opportunity.owner.team"
    (kept,) = (
        sql
        for sql in scans(project, ("history", "history.left"), "month", (by,))
        if "opportunities_with_parents_kept as" in sql
    )
    assert "f.source" in kept
    table = project.query(
        ["history", "history.left"], start="2025-02-01", end="2025-08-01", grain="month", by=[by]
    )
    entered = [project.calendar.local_day(deal["created_at"]) for deal in deals.rows[:30]]
    found = {
        (row["period_start"], dict(row["segment"])[by]): row
        for row in table.to_pylist()
        if not row["variant"]
    }
    teams = {"East": "u1", "North": "u1", "West": "u2", "South": "u2"}
    for month in project.calendar.periods(date(2025, 2, 1), date(2025, 8, 1), "month"):
        for team, owner in teams.items():
            wanted = sum(
                deal["owner_id"] == owner and month.start <= day < month.end
                for deal, day in zip(deals.rows, entered, strict=False)
            )
            row = found.get((month.start, team))
            assert (row["value"] if row else 0) == wanted


def test_a_parent_is_kept_for_one_row_set_and_what_was_left_out_of_it(
    project_with_dead: Project,
) -> None:
    months = tuple(project_with_dead.calendar.periods(date(2025, 1, 1), date(2025, 8, 1), "month"))
    question = Question(("history", "amounts"), months, ((), ("team",)))
    with project_with_dead.answerer(months) as answerer:
        program = answerer.program(question)
        (history, deals) = program.scans()
        counts = [each.sql for each in program.statements if each.kind == "excluded"]
        together = answerer.answer(question)
        apart = [
            answerer.answer(Question((name,), months, question.groupings)) for name in question.kpis
        ]
    assert any("excluded_opportunity_stage_history" in sql for sql in counts)
    assert "from opportunities_with_parents f" in deals
    assert "left join live_users" not in history + deals
    found, wanted = (
        table.drop_columns(["run_id", "computed_at"]).to_pylist()
        for table in (together, pa.concat_tables(apart))
    )
    assert found == wanted


def test_deals_are_read_where_they_are_kept_for_their_history(
    project_with_dead: Project, deals: Deals
) -> None:
    names = ("amounts", "amounts.count", "amounts.median", "history", "history.left", "both")
    months = tuple(project_with_dead.calendar.periods(date(2025, 1, 1), date(2025, 8, 1), "month"))
    question = Question(names, months, ((), ("team",)))
    found = {}
    with project_with_dead.answerer(months) as answerer:
        program = answerer.program(question)
        assert sum("left join live_users" in text for text in program.scans()) == 0
        together = answerer.answer(question).drop_columns(["run_id", "computed_at"]).to_pylist()
        for row in together:
            found[
                row["kpi"], row["variant"], row["period_start"], *dict(row["segment"]).values()
            ] = row
        for name in names[:-1]:
            alone = answerer.answer(Question((name,), months, question.groupings))
            wanted = alone.drop_columns(["run_id", "computed_at"]).to_pylist()
            assert wanted == [
                row for row in together if f"{row['kpi']}.{row['variant']}".strip(".") == name
            ]
    for month in months:
        for team in ("East", "West", "(none)"):
            inside = deals.within(month.start, month.end)
            dead = [row for row in deals.rows[::9] if row in inside and team_of(row) == team]
            row = found.get(("amounts", "count", month.start, team))
            count = sum(team_of(each) == team for each in inside)
            assert (row["value"] if row else 0) == count
            if row:
                assert dict(row["coverage"]).get("excluded_deleted", 0) == len(dead)
            lost = sum(each["owner_id"] == "gone" for each in inside) if team == "(none)" else 0
            assert (dict(row["coverage"]).get("orphan", 0) if row else 0) == lost


def test_records_of_kept_deals_have_all_their_columns(
    project_with_dead: Project, deals: Deals
) -> None:
    march = (project_with_dead.calendar.parse("2025-03", NOW),)
    with project_with_dead.answerer(march) as answerer:
        listed = records(answerer, Question(("both",), march, (("team",),))).to_pylist()
    shown = [row for row in listed if row["input"] == "deals"]
    inside = deals.within(march[0].start, march[0].end)
    dead = [f"dead-{row['id']}" for row in deals.rows[::9] if row in inside]
    assert sorted(row["record"] for row in shown) == sorted([*(r["id"] for r in inside), *dead])
    teams = {row["id"]: team_of(row) for row in deals.rows}
    for row in shown:
        assert dict(row["segment"]) == {"team": teams[row["record"].removeprefix("dead-")]}


@pytest.mark.parametrize("names", [["history"], ["history", "history.left"]])
def test_groups_behind_a_parent_are_those_of_each_row(
    names: list[str], project: Project, deals: Deals
) -> None:
    teams = {"u1": "East", "u2": "West"}
    owner = {row["id"]: row["owner_id"] for row in deals.rows}
    table = project.query(
        names, start="2025-01-01", end="2026-01-01", grain="year", by=["opportunity.owner.team"]
    )
    found = {
        dict(row["segment"])["opportunity.owner.team"]: (row["value"], dict(row["coverage"]))
        for row in table.to_pylist()
        if not row["variant"]
    }
    wanted: dict[str, int] = {}
    lost = 1  # the row of history without a deal
    for row in deals.rows[:30]:
        team = teams.get(row["owner_id"], "(none)")
        wanted[team] = wanted.get(team, 0) + 1
        lost += owner[row["id"]] == "gone"
    wanted["(none)"] = wanted.get("(none)", 0) + 1
    assert {team: value for team, (value, _) in found.items()} == wanted
    assert found["(none)"][1]["orphan"] == lost


def test_a_materialized_model_is_computed_once_and_anew_for_each_question(
    project: Project, deals: Deals
) -> None:
    statements = scans(project, ("latest", "latest.open"), "month", ())
    filled = [sql for sql in statements if "temp table late_rows as" in sql]
    assert len(filled) == 1
    spring = tuple(project.calendar.periods(date(2025, 2, 1), date(2025, 6, 1), "month"))
    summer = tuple(project.calendar.periods(date(2025, 7, 1), date(2025, 8, 1), "month"))
    with project.answerer((*spring, *summer)) as answerer:
        answerer.answer(Question(("latest.open",), summer))
        rows = answerer.answer(Question(("latest.open",), spring)).to_pylist()
    entered = [row["created_at"] for row in deals.rows[:30]]
    left = [r["created_at"] + timedelta(days=9) if r["is_won"] else None for r in deals.rows[:30]]
    for row in rows:
        at = project.calendar.instant(row["period_end"])
        known = sum(e < at and (x is None or x >= at) for e, x in zip(entered, left, strict=True))
        assert row["value"] == known + (at > datetime(2025, 3, 3, tzinfo=UTC))


def test_a_materialized_model_keeps_the_columns_that_are_read(
    project: Project, deals: Deals
) -> None:
    spring = tuple(project.calendar.periods(date(2025, 2, 1), date(2025, 6, 1), "month"))
    columns = "select column_name from duckdb_columns() where table_name = 'late_rows'"
    with project.answerer(spring) as answerer:
        entered = answerer.answer(Question(("latest",), spring)).column("value").to_pylist()
        assert answerer.session.rows(columns) == [("entered_at",)]
        answerer.answer(Question(("latest.open",), spring))
        assert sorted(answerer.session.rows(columns)) == [("entered_at",), ("exited_at",)]
        assert entered == answerer.answer(Question(("latest",), spring)).column("value").to_pylist()
    with project.answerer(spring) as answerer:
        found = records(answerer, Question(("latest",), spring[:1])).column("record").to_pylist()
    assert len(found) == entered[0] > 0
    assert all(found)


def test_a_materialized_model_keeps_the_rows_of_the_days_that_are_looked_at(
    project: Project, deals: Deals
) -> None:
    summer = tuple(project.calendar.periods(date(2025, 6, 1), date(2025, 8, 1), "month"))
    start = project.calendar.instant(summer[0].start)
    stays = [(row["created_at"], row["is_won"]) for row in deals.rows[:30]]
    spans = [(e, e + timedelta(days=9) if won else None) for e, won in stays]
    spans.append((datetime(2025, 3, 3, tzinfo=UTC), None))

    def counted(instants: Sequence[datetime | None]) -> list[int]:
        bounds = [
            (project.calendar.instant(p.start), project.calendar.instant(p.end)) for p in summer
        ]
        return [sum(at is not None and a <= at < b for at in instants) for a, b in bounds]

    late = [span for span in spans if span[0] >= start or (span[1] and span[1] >= start)]
    with project.answerer(summer) as answerer:
        rows = answerer.answer(Question(("latest", "latest.left"), summer)).to_pylist()
        kept = answerer.session.rows("select entered_at, exited_at from late_rows")
        assert [row["value"] for row in rows] == [
            *counted([entered for entered, _ in spans]),
            *counted([left for _, left in spans]),
        ]
        assert len(kept) == len(late) < len(spans)
        # What was open before is still open: a span looks further back than a day.
        answerer.answer(Question(("latest", "latest.open"), summer))
        (count,) = answerer.session.rows("select count(*) from late_rows")[0]
        assert count > len(late)


def test_a_materialized_model_that_reads_periods_is_filled_for_each_set_of_periods(
    project: Project, deals: Deals
) -> None:
    months = tuple(project.calendar.periods(date(2025, 2, 1), date(2025, 8, 1), "month"))
    quarter = tuple(project.calendar.periods(date(2025, 4, 1), date(2025, 7, 1), "quarter"))
    names = ("kept", "kept_lately", "kept.even")
    filled = [sql for sql in scans(project, names, "month", ()) if "table kept_deals as" in sql]
    assert len(filled) == 2
    with project.answerer((*months, *quarter)) as answerer:
        for periods in (months, quarter, months):
            for row in answerer.answer(Question(names, periods)).to_pylist():
                start, end = row["period_start"], row["period_end"]
                if row["kpi"] == "kept_lately":
                    start = end - timedelta(days=45)
                assert row["value"] == len(deals.within(start, end)), row


def test_a_materialized_model_is_not_filled_again_for_the_same_periods(project: Project) -> None:
    months = tuple(project.calendar.periods(date(2025, 2, 1), date(2025, 8, 1), "month"))
    with project.answerer(months) as answerer:
        first = answerer.answer(Question(("kept",), months))
        answerer.session.execute("delete from kept_deals")
        assert {row["value"] for row in first.to_pylist()} != {None}
        again = answerer.answer(Question(("kept",), months)).to_pylist()
        assert {row["value"] for row in again} <= {0, None}
        other = answerer.answer(Question(("kept",), months[1:]))
        assert other.column("value").to_pylist() == first.column("value").to_pylist()[1:]


def test_a_materialized_model_cannot_say_how_far_back_it_reaches(tmp_path: Path) -> None:
    write_project(tmp_path, {}, packs=())
    (tmp_path / "metrics" / "sql").mkdir(parents=True)
    text = DEFINITIONS.replace("    covered_by: [opportunity_stage_history.entered_at]\n", "")
    (tmp_path / "metrics" / "own.yaml").write_text(text)
    (tmp_path / "metrics" / "sql" / "late_rows.sql").write_text(
        "-- materialized\nselect * from live_opportunity_stage_history\n"
    )
    load_tables(tmp_path, read_example(Deals(1).text()).tables)
    project = Project(tmp_path, environ={}, now=lambda: NOW)
    with pytest.raises(ConfigError, match=r"late_rows.*covered_by"):
        project.query(["latest"], period="2025-03")


@pytest.mark.parametrize("grain", ["month", "quarter"])
def test_a_period_keeps_its_value_beside_the_part_of_it_that_it_is_compared_with(
    grain: str, project: Project, deals: Deals
) -> None:
    # The running period is compared with as many days of the one before it, which is reported too:
    # two periods that begin on one day.
    rows = project.query(
        ["dated"], start="2025-04-01", end="2025-10-01", grain=grain, compare=["previous"]
    ).to_pylist()
    today = NOW.date() + timedelta(days=1)
    for row in rows:
        start, end = row["period_start"], row["period_end"]
        assert row["value"] == len(deals.within(start, end)), start
        if start <= NOW.date() < end:
            before = project.calendar.periods(start - timedelta(days=1), start, grain)[0]
            assert row["previous_value"] == len(
                deals.within(before.start, before.start + (today - start))
            )


def test_several_groupings_are_added_up_from_one(project: Project, deals: Deals) -> None:
    names = ("amounts", "amounts.mean", "amounts.most", "amounts.count")
    periods = tuple(project.calendar.periods(date(2025, 2, 1), date(2025, 8, 1), "month"))
    question = Question(names, periods, ((), ("owner.team",), ("is_won",)))
    with project.answerer(periods) as answerer:
        assert "from cells" in answerer.program(question).scans()[0]
        rows = answerer.answer(question).to_pylist()
    assert {tuple(dict(row["segment"])) for row in rows} == {(), ("owner.team",), ("is_won",)}
    team_of = {"u1": "East", "u2": "West"}
    for row in rows:
        segment = dict(row["segment"])
        within = [
            deal
            for deal in deals.within(row["period_start"], row["period_end"])
            if segment.get("owner.team") in (None, team_of.get(deal["owner_id"], "(none)"))
            and segment.get("is_won") in (None, str(deal["is_won"]).lower())
        ]
        known = [deal["amount"] for deal in within if deal["amount"] is not None]
        won = [d["amount"] for d in within if d["is_won"] and d["amount"] is not None]
        expected = {
            "": sum(known),
            "mean": sum(won) / len(won) if won else None,
            "most": max(known, default=None),
            "count": len(within),
        }[row["variant"]]
        assert row["value"] == pytest.approx(expected), (row["variant"], row["segment"])


def test_a_few_sums_go_with_medians_of_all_rows(project: Project, deals: Deals) -> None:
    names = ("amounts.median", "amounts", "amounts.count")
    periods = tuple(project.calendar.periods(date(2025, 2, 1), date(2025, 8, 1), "month"))
    question = Question(names, periods, ((), ("owner.team",), ("is_won",)))
    with project.answerer(periods) as answerer:
        (scan,) = answerer.program(question).scans()
        rows = answerer.answer(question).to_pylist()
    assert "grouping sets" in scan
    assert "cells" not in scan
    for row in rows:
        segment = dict(row["segment"])
        within = [
            deal
            for deal in deals.within(row["period_start"], row["period_end"])
            if segment.get("owner.team") in (None, team_of(deal))
            and segment.get("is_won") in (None, str(deal["is_won"]).lower())
        ]
        known = [deal["amount"] for deal in within if deal["amount"] is not None]
        expected = {
            "median": statistics.median(known) if known else None,
            "": sum(known),
            "count": len(within),
        }[row["variant"]]
        assert row["value"] == pytest.approx(expected), (row["variant"], row["segment"])
        if row["variant"] != "count":
            left_out = dict(row["coverage"]).get("missing_amount", 0)
            assert left_out == len(within) - len(known), (row["variant"], row["segment"])


def test_keys_are_not_grouped_together(project: Project) -> None:
    periods = tuple(project.calendar.periods(date(2025, 2, 1), date(2025, 8, 1), "month"))
    question = Question(("amounts",), periods, ((), ("owner_id",), ("is_won",)))
    with project.answerer(periods) as answerer:
        assert "grouping sets" in answerer.program(question).scans()[0]
        assert "cells" not in answerer.program(question).scans()[0]
