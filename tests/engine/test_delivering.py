"""What a run sends when its data are late, old or missing, and when it is repeated."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from crmetrics.engine import Project
from crmetrics.errors import ExitCode
from simulators.slack import everything_seen
from simulators.slack_workspace import SlackWorkspace
from simulators.webhooks import Receiver

CONFIG = """
version: 1
project: acme
sources:
  crm: {connector: csv, path: data}
metrics: {packs: [sales], settings: {SETTINGS}}
sinks:
  board: {sink: board}
  history: {sink: database, url: "duckdb:///results.duckdb", table: kpis}
  reports: {sink: files, path: reports, formats: [json]}
jobs:
  monthly: {kpis: [won_amount], sinks: [board, history, reports], block_on: [BLOCK]}
"""

BOARD = '''
import json
from crmetrics.plugin import Options, Receipt, Sink, SinkError, UnknownOutcomeError, hookimpl


class BoardSink(Sink):
    """A chat that keeps its messages in a file; it can answer to a message, not replace it."""

    name = "board"
    Config = Options

    def destination(self, delivery):
        return "the board"

    def preview(self, delivery):
        return self._text(delivery)

    def why_not_again(self, delivery):
        return "" if delivery.restated else "no figure has changed"

    def write(self, delivery):
        if (self.context.project_dir / "down").exists():
            raise SinkError("the board is down")
        if (self.context.project_dir / "lost").exists():
            raise UnknownOutcomeError("no answer")
        with (self.context.project_dir / "board.txt").open("a", encoding="utf-8") as out:
            out.write(self._text(delivery) + "\\n")
        return Receipt("the board", reference=delivery.run_id)

    def _text(self, delivery):
        changes = [f"{one.before} -> {one.after}" for one in delivery.restated]
        return json.dumps([delivery.message.period_label, delivery.message.headline, changes])


@hookimpl
def crmetrics_sinks():
    return [BoardSink]
'''

HEADER = "id,name,owner_id,stage,created_at,close_date,amount,is_closed,is_won,currency\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    configure(tmp_path)
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "board.py").write_text(BOARD)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "users.csv").write_text("id,team\nu1,EMEA\n")
    won(tmp_path, november=900, december=1000)
    return tmp_path


def configure(directory: Path, *, settings: str = "", block_on: str = "") -> None:
    text = CONFIG.replace("SETTINGS", settings).replace("BLOCK", block_on)
    (directory / "crmetrics.yaml").write_text(text)


def won(directory: Path, **months: int) -> None:
    """One deal per month, won for so much."""
    days = {"november": "2025-11-20", "december": "2025-12-10", "january": "2026-01-15"}
    rows = [
        f"{month},Deal,u1,Won,2025-10-01T00:00:00Z,{days[month]},{amount},true,true,USD"
        for month, amount in months.items()
    ]
    (directory / "data" / "opportunities.csv").write_text(HEADER + "\n".join(rows) + "\n")


def recorded(directory: Path, day: str) -> list[float]:
    """The versions of a period's value in the warehouse, the first one first."""
    with duckdb.connect(str(directory / ".crmetrics" / "warehouse.duckdb")) as warehouse:
        rows = warehouse.execute(
            "select value from meta.results where period_start = ? order by version", [day]
        ).fetchall()
    return [value for (value,) in rows]


def reported_in(file: Path) -> set[str]:
    """The first days of the periods in a report."""
    return {row["period_start"] for row in json.loads(file.read_text("utf-8"))}


def run(directory: Path, at: datetime, **options: Any) -> Any:
    return Project(directory, environ={}, now=lambda: at).run("monthly", **options)


JANUARY = datetime(2026, 1, 5, 8, tzinfo=UTC)
FEBRUARY = datetime(2026, 2, 5, 8, tzinfo=UTC)


def board(directory: Path) -> list[Any]:
    file = directory / "board.txt"
    return (
        [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []
    )


def statuses(report: Any) -> list[tuple[str, str, str]]:
    return [(outcome.period, outcome.sink, outcome.status) for outcome in report.outcomes]


def kept(directory: Path) -> dict[str, float]:
    """First day of the period -> value, as the database sink has it."""
    with duckdb.connect(str(directory / "results.duckdb"), read_only=True) as connection:
        rows = connection.execute(
            "select period_start, value from kpis where variant = '' and segment = '{}'"
        ).fetchall()
    return {str(day): value for day, value in rows}


# --- repeats and late data --------------------------------------------------------------------


def test_a_repeat_tells_nobody_twice(directory: Path) -> None:
    run(directory, JANUARY)
    report = run(directory, JANUARY)
    assert report.exit_code == ExitCode.OK
    assert statuses(report)[0] == ("2025-12", "board", "skipped")
    assert len(board(directory)) == 1


def test_a_late_deal_restates_the_month_before_everywhere(directory: Path) -> None:
    run(directory, JANUARY)
    won(directory, november=900, december=1250, january=500)
    report = run(directory, FEBRUARY)
    assert report.exit_code == ExitCode.OK
    assert report.restated == (date(2025, 12, 1),)
    assert statuses(report) == [
        ("2025-12", "board", "delivered"),
        ("2025-12", "history", "delivered"),
        ("2025-12", "reports", "delivered"),
        ("2026-01", "board", "delivered"),
        ("2026-01", "history", "delivered"),
        ("2026-01", "reports", "delivered"),
    ]
    assert [(label, changes) for label, _, changes in board(directory)] == [
        ("2025-12", []),
        ("2025-12", ["1,000 USD -> 1,250 USD"]),
        ("2026-01", []),
    ]
    assert kept(directory) == {"2025-12-01": 1250.0, "2026-01-01": 500.0}
    written = json.loads((directory / "reports" / "monthly_2025-12.json").read_text())
    assert [row["value"] for row in written] == [1250.0]
    again = run(directory, FEBRUARY)
    assert ("2025-12", "board", "delivered") not in statuses(again)
    assert len(board(directory)) == 3


def test_a_change_below_the_threshold_is_kept_and_not_told(directory: Path) -> None:
    configure(directory, settings="restate_threshold: 0.5")
    run(directory, JANUARY)
    won(directory, november=900, december=1250, january=500)
    assert len(statuses(run(directory, FEBRUARY))) == 3
    assert [label for label, _, _ in board(directory)] == ["2025-12", "2026-01"]


def test_small_changes_are_told_when_they_come_to_a_large_one(directory: Path) -> None:
    configure(directory, settings="restate_threshold: 0.5")
    run(directory, JANUARY)
    for day, december in enumerate((1200, 1400, 1499), start=5):
        won(directory, november=900, december=december, january=500)
        run(directory, datetime(2026, 2, day, 8, tzinfo=UTC))
    assert [label for label, _, _ in board(directory)] == ["2025-12", "2026-01"]
    assert kept(directory)["2025-12-01"] == 1000.0
    assert recorded(directory, "2025-12-01") == [1000.0, 1200.0, 1400.0, 1499.0]
    won(directory, november=900, december=1500, january=500)
    report = run(directory, datetime(2026, 2, 9, 8, tzinfo=UTC))
    assert ("2025-12", "board", "delivered") in statuses(report)
    assert board(directory)[-1][2] == ["1,000 USD -> 1,500 USD"]
    assert kept(directory)["2025-12-01"] == 1500.0
    again = run(directory, datetime(2026, 2, 10, 8, tzinfo=UTC))
    assert not again.restated


def test_each_sink_is_compared_with_what_it_was_told_itself(directory: Path) -> None:
    configure(directory, settings="restate_threshold: 0.5")
    run(directory, JANUARY)
    # The same day once more: the table takes the new figure, the board was told the former.
    won(directory, november=900, december=1400)
    run(directory, datetime(2026, 1, 5, 9, tzinfo=UTC))
    assert (kept(directory)["2025-12-01"], len(board(directory))) == (1400.0, 1)
    won(directory, november=900, december=1600, january=500)
    report = run(directory, FEBRUARY)
    assert [one for one in statuses(report) if one[0] == "2025-12"] == [
        ("2025-12", "board", "delivered")
    ]
    assert board(directory)[1][2] == ["1,000 USD -> 1,600 USD"]


def test_a_table_that_holds_one_period_ends_with_the_newest(directory: Path) -> None:
    file = directory / "crmetrics.yaml"
    file.write_text(
        file.read_text()
        .replace("table: kpis", "table: kpis, mode: replace")
        .replace("path: reports", "path: reports, name: '{job}'")
    )
    run(directory, JANUARY)
    won(directory, november=900, december=1250, january=500)
    run(directory, FEBRUARY)
    assert kept(directory) == {"2026-01-01": 500.0}
    # Once January is there, nothing of December takes its place.
    won(directory, november=900, december=1300, january=600)
    later = run(directory, datetime(2026, 2, 6, 8, tzinfo=UTC))
    assert [name for label, name, _ in statuses(later) if label == "2025-12"] == ["board"]
    assert kept(directory) == {"2026-01-01": 600.0}
    asked = run(directory, FEBRUARY, date="2025-12-31")
    assert [one[2] for one in statuses(asked)] == ["skipped", "skipped", "skipped"]
    assert "it holds a later period (from 2026-01-01)" in asked.outcomes[1].note
    assert kept(directory) == {"2026-01-01": 600.0}
    run(directory, FEBRUARY, date="2025-12-31", resend=True)
    assert kept(directory) == {"2025-12-01": 1300.0}
    assert reported_in(directory / "reports" / "monthly.json") == {"2025-12-01"}
    run(directory, FEBRUARY)
    assert kept(directory) == {"2026-01-01": 600.0}
    assert reported_in(directory / "reports" / "monthly.json") == {"2026-01-01"}


def test_a_table_whose_run_was_killed_before_it_noted_it_does_not_go_back(directory: Path) -> None:
    file = directory / "crmetrics.yaml"
    file.write_text(file.read_text().replace("table: kpis", "table: kpis, mode: replace"))
    run(directory, JANUARY)
    won(directory, november=900, december=1000, january=500)
    run(directory, FEBRUARY)
    with duckdb.connect(str(directory / ".crmetrics" / "warehouse.duckdb")) as warehouse:
        warehouse.execute(
            "delete from meta.deliveries where sink = 'history' and status = 'delivered' "
            "and period_start = '2026-01-01'"
        )
    asked = run(directory, FEBRUARY, date="2025-12-31")
    assert statuses(asked)[1] == ("2025-12", "history", "skipped")
    assert kept(directory) == {"2026-01-01": 500.0}


def rename_sinks(directory: Path) -> None:
    file = directory / "crmetrics.yaml"
    text = file.read_text().replace("[board, history, reports]", "[wall, table, files]")
    for before, after in (("board", "wall"), ("history", "table"), ("reports", "files")):
        text = text.replace(f"  {before}:", f"  {after}:")
    file.write_text(text)


def test_sinks_of_other_names_know_what_their_places_were_told(directory: Path) -> None:
    run(directory, JANUARY)
    rename_sinks(directory)
    assert statuses(run(directory, JANUARY))[0] == ("2025-12", "wall", "skipped")
    assert len(board(directory)) == 1
    won(directory, november=900, december=1250, january=500)
    assert run(directory, FEBRUARY).restated == (date(2025, 12, 1),)
    assert [(label, changes) for label, _, changes in board(directory)] == [
        ("2025-12", []),
        ("2025-12", ["1,000 USD -> 1,250 USD"]),
        ("2026-01", []),
    ]
    assert kept(directory) == {"2025-12-01": 1250.0, "2026-01-01": 500.0}
    written = json.loads((directory / "reports" / "monthly_2025-12.json").read_text())
    assert [row["value"] for row in written] == [1250.0]


def test_a_place_of_one_period_does_not_go_back_when_its_sink_is_renamed(directory: Path) -> None:
    file = directory / "crmetrics.yaml"
    text = file.read_text().replace("table: kpis", "table: kpis, mode: replace")
    file.write_text(text.replace("path: reports", "path: reports, name: '{job}'"))
    run(directory, JANUARY)
    won(directory, november=900, december=1000, january=500)
    run(directory, FEBRUARY)
    rename_sinks(directory)
    asked = run(directory, FEBRUARY, date="2025-12-31")
    assert statuses(asked)[1:] == [("2025-12", "table", "skipped"), ("2025-12", "files", "skipped")]
    assert "it holds a later period (from 2026-01-01)" in asked.outcomes[1].note
    assert kept(directory) == {"2026-01-01": 500.0}
    assert reported_in(directory / "reports" / "monthly.json") == {"2026-01-01"}


def test_a_deal_that_moves_to_another_group_is_told_also_when_the_total_stays(
    directory: Path,
) -> None:
    file = directory / "crmetrics.yaml"
    file.write_text(
        file.read_text().replace("kpis: [won_amount]", "kpis: [won_amount], by: [stage]")
    )
    run(directory, JANUARY)
    deals = directory / "data" / "opportunities.csv"
    deals.write_text(deals.read_text().replace("Deal,u1,Won,2025-10-01", "Deal,u1,Paid,2025-10-01"))
    assert ("2025-12", "board", "delivered") in statuses(run(directory, FEBRUARY))
    [_, (label, _, changes), _] = board(directory)
    assert (label, changes) == ("2025-12", ["none -> 1,000 USD", "1,000 USD -> none"])
    assert ("2025-12", "board", "delivered") not in statuses(run(directory, FEBRUARY))


def owners(directory: Path, **amounts: int) -> None:
    """Two deals of December, won by these users."""
    rows = [
        f"{name},Deal,{name},Won,2025-10-01T00:00:00Z,2025-12-10,{amount},true,true,USD"
        for name, amount in amounts.items()
    ]
    (directory / "data" / "opportunities.csv").write_text(HEADER + "\n".join(rows) + "\n")


def rows_to(hub: Receiver, directory: Path) -> None:
    """A job that gives its rows, by owner, to a system that takes them."""
    (directory / "crmetrics.yaml").write_text(
        "version: 1\nproject: acme\nsources: {crm: {connector: csv, path: data}}\n"
        "metrics: {packs: [sales], settings: {restate_threshold: 0.1}}\n"
        f"sinks: {{hub: {{sink: webhook, url: '{hub.url}', include: results}}}}\n"
        "jobs: {monthly: {kpis: [won_amount], by: [owner_id], sinks: [hub]}}\n"
    )


def test_a_system_that_takes_rows_learns_of_those_that_no_message_shows(directory: Path) -> None:
    with Receiver() as hub:
        rows_to(hub, directory)
        for at, amounts in (
            (JANUARY, {"u1": 100, "u2": 900}),
            (JANUARY, {"u1": 900, "u2": 100}),
            (JANUARY, {"u1": 900, "u2": 100}),
            (FEBRUARY, {"u1": 901, "u2": 99}),
            (FEBRUARY, {"u1": 400, "u2": 600}),
            (FEBRUARY, {"u1": 400, "u2": 600}),
        ):
            owners(directory, **amounts)
            run(directory, at)
        told = [
            [row["value"] for row in document["results"] if row["segment"]]
            for document in hub.documents.values()
            if document["period_start"] == "2025-12-01"
        ]
    assert [sorted(values) for values in told] == [[100, 900], [100, 900], [400, 600]]
    assert told[0] != told[1]
    assert len(hub.documents) == 4


def test_rows_that_go_back_correct_what_may_have_arrived_of_them(directory: Path) -> None:
    with Receiver() as hub:
        rows_to(hub, directory)
        for at, amounts in (
            (JANUARY, {"u1": 100, "u2": 900}),
            (FEBRUARY, {"u1": 400, "u2": 600}),
            (FEBRUARY, {"u1": 100, "u2": 900}),
            (FEBRUARY, {"u1": 100, "u2": 900}),
        ):
            owners(directory, **amounts)
            if amounts["u1"] == 400:
                hub.faults.hang_up(acts=True)
            run(directory, at)
        told = [
            sorted(row["value"] for row in document["results"] if row["segment"])
            for document in hub.documents.values()
            if document["period_start"] == "2025-12-01"
        ]
    assert told == [[100, 900], [400, 600], [100, 900]]


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(0.1, [[100, 900], [111, 889]]), (0, [[100, 900], [104, 896], [111, 889]])],
)
def test_small_steps_of_rows_are_told_to_a_system_when_they_come_to_the_threshold(
    directory: Path, threshold: float, expected: list[list[int]]
) -> None:
    with Receiver() as hub:
        (directory / "crmetrics.yaml").write_text(
            "version: 1\nproject: acme\nsources: {crm: {connector: csv, path: data}}\n"
            f"metrics: {{packs: [sales], settings: {{restate_threshold: {threshold}}}}}\n"
            f"sinks: {{hub: {{sink: webhook, url: '{hub.url}', include: results}}}}\n"
            "jobs: {monthly: {kpis: [won_amount], by: [owner_id], sinks: [hub]}}\n"
        )
        for first in (100, 104, 111):
            owners(directory, u1=first, u2=1000 - first)
            run(directory, JANUARY)
        told = [one["results"] for one in hub.documents.values()]
    assert [sorted(row["value"] for row in rows if row["segment"]) for rows in told] == expected


def in_groups_alone(directory: Path) -> None:
    file = directory / "crmetrics.yaml"
    text = file.read_text().replace("block_on:", "by: [owner.team], totals: false, block_on:")
    file.write_text(text)


def rows_of(directory: Path, day: str) -> list[tuple[str, float | None]]:
    """Segment -> value of the table that the database sink keeps."""
    with duckdb.connect(str(directory / "results.duckdb"), read_only=True) as connection:
        return connection.execute(
            "select segment, value from kpis where period_start = ? order by all", [day]
        ).fetchall()


def test_groups_that_all_go_and_come_again_are_told_without_a_total_too(directory: Path) -> None:
    in_groups_alone(directory)
    run(directory, JANUARY)
    assert rows_of(directory, "2025-12-01") == [('{"owner.team": "EMEA"}', 1000.0)]
    won(directory, november=900, january=500)
    gone = run(directory, FEBRUARY)
    assert gone.restated == (date(2025, 12, 1),)
    assert board(directory)[1][::2] == ["2025-12", ["1,000 USD -> none"]]
    assert rows_of(directory, "2025-12-01") == [("{}", 0.0)]
    won(directory, november=900, december=700, january=500)
    run(directory, FEBRUARY)
    assert board(directory)[-1][::2] == ["2025-12", ["none -> 700.00 USD"]]
    assert rows_of(directory, "2025-12-01") == [('{"owner.team": "EMEA"}', 700.0)]
    assert len(board(directory)) == 4
    run(directory, FEBRUARY)
    assert len(board(directory)) == 4


def test_a_kpi_in_groups_alone_whose_data_are_missing_says_so(directory: Path) -> None:
    in_groups_alone(directory)
    run(directory, JANUARY)
    won(directory, january=500)  # nothing tells of the months before any more
    run(directory, FEBRUARY)
    assert board(directory)[1][::2] == ["2025-12", ["1,000 USD -> no value"]]
    assert rows_of(directory, "2025-12-01") == [("{}", None)]
    again = run(directory, JANUARY)
    assert again.exit_code == ExitCode.PARTIAL
    (line,) = again.message.kpis
    assert line.status_text.startswith("not available: a dataset it needs")


def test_a_ledger_of_the_version_before_is_restated_from_what_it_recorded(
    directory: Path,
) -> None:
    run(directory, JANUARY)
    with duckdb.connect(str(directory / ".crmetrics" / "warehouse.duckdb")) as warehouse:
        warehouse.execute("update meta.deliveries set key = 'old-' || key")
        for column in ("deliveries drop channel", "deliveries drop recording",
                       "results drop recording", "results drop closed_by"):  # fmt: skip
            warehouse.execute(f"alter table meta.{column}")
        warehouse.execute("update meta.results set definition_hash = 'another'")
    preview = run(directory, JANUARY, dry_run=True)
    assert [outcome.status for outcome in preview.outcomes] == ["previewed"] * 3
    again = run(directory, JANUARY)
    assert [one[2] for one in statuses(again)] == ["skipped", "delivered", "delivered"]
    assert len(board(directory)) == 1
    won(directory, november=900, december=1250, january=500)
    run(directory, FEBRUARY)
    assert [(label, changes) for label, _, changes in board(directory)] == [
        ("2025-12", []),
        ("2025-12", ["1,000 USD -> 1,250 USD"]),
        ("2026-01", []),
    ]


def test_a_figure_that_comes_after_its_report_corrects_it(directory: Path) -> None:
    (directory / "data" / "opportunities.csv").unlink()
    assert run(directory, JANUARY).exit_code == ExitCode.PARTIAL
    won(directory, november=900, december=1000)
    assert run(directory, JANUARY).exit_code == ExitCode.OK
    (_, _, none), (_, _, changes) = board(directory)
    assert (none, changes) == ([], ["no value -> 1,000 USD"])


def test_a_period_that_was_never_reported_is_not_restated(directory: Path) -> None:
    run(directory, JANUARY)
    won(directory, november=999, december=1000, january=500)
    assert len(statuses(run(directory, FEBRUARY))) == 3


def test_nothing_is_restated_when_no_period_is_to_be_computed_again(directory: Path) -> None:
    configure(directory, settings="restate_periods: 0")
    run(directory, JANUARY)
    won(directory, november=900, december=1250, january=500)
    assert len(statuses(run(directory, FEBRUARY))) == 3


def test_a_resend_sends_what_was_sent(directory: Path) -> None:
    run(directory, JANUARY)
    report = run(directory, JANUARY, resend=True)
    assert statuses(report)[0] == ("2025-12", "board", "delivered")
    assert len(board(directory)) == 2


def test_an_unknown_end_is_told_again_until_the_policy_has_settled_it(directory: Path) -> None:
    run(directory, JANUARY)
    (directory / "lost").touch()
    won(directory, november=900, december=1000, january=500)
    assert run(directory, FEBRUARY).exit_code == ExitCode.SINK
    (directory / "lost").unlink()
    repeat = run(directory, datetime(2026, 2, 5, 9, tzinfo=UTC))
    assert repeat.exit_code == ExitCode.SINK
    assert statuses(repeat)[0] == ("2026-01", "board", "unknown")
    assert "may have arrived" in repeat.outcomes[0].note
    project = Project(directory, environ={}, now=lambda: datetime(2026, 3, 5, 8, tzinfo=UTC))
    owed, march = project.run_due("monthly")
    assert (owed.exit_code, statuses(owed)[0]) == (ExitCode.OK, ("2026-01", "board", "skipped"))
    assert "may have arrived" in owed.outcomes[0].note
    assert march.exit_code == ExitCode.OK
    assert [label for label, _, _ in board(directory)] == ["2025-12", "2026-02"]
    assert [found.period.start for found in project.run_due("monthly")] == [march.period.start]


def test_a_correction_that_may_have_arrived_silences_no_later_one(directory: Path) -> None:
    run(directory, JANUARY)
    (directory / "lost").touch()
    won(directory, november=900, december=1100)
    assert run(directory, JANUARY).exit_code == ExitCode.SINK
    (directory / "lost").unlink()
    won(directory, november=900, december=2000)
    assert statuses(run(directory, JANUARY))[0] == ("2025-12", "board", "delivered")
    assert board(directory)[-1][2] == ["1,000 USD -> 2,000 USD"]


def test_a_dry_run_shows_all_that_a_run_would_send_in_its_order(directory: Path) -> None:
    run(directory, JANUARY)
    won(directory, november=900, december=1250, january=500)
    march = Project(directory, environ={}, now=lambda: datetime(2026, 3, 5, 8, tzinfo=UTC))
    shown = list(march.run_due("monthly", dry_run=True))
    before = (directory / "board.txt").read_text()
    previews = [one for report in shown for one in report.outcomes]
    assert [one.period for one in previews if one.sink == "board"] == [
        "2025-12", "2026-01", "2026-02",
    ]  # fmt: skip
    assert (directory / "board.txt").read_text() == before
    sent = [one for report in march.run_due("monthly") for one in report.outcomes]
    assert [(one.period, one.sink) for one in previews] == [(one.period, one.sink) for one in sent]
    said = [one.preview for one in previews if one.sink == "board"]
    assert said == (directory / "board.txt").read_text().splitlines()[1:]


def test_a_dry_run_sends_and_records_nothing(directory: Path) -> None:
    run(directory, JANUARY)
    before = (directory / "board.txt").read_text()
    report = run(directory, JANUARY, dry_run=True)
    assert {outcome.status for outcome in report.outcomes} == {"previewed"}
    assert report.outcomes[0].note.startswith("would not be sent: delivered before")
    assert (directory / "board.txt").read_text() == before
    assert statuses(run(directory, JANUARY))[0][2] == "skipped"


# --- figures that take long to be final -----------------------------------------------------------


def created_in_december(directory: Path, *won_on: str) -> None:
    """Three deals, all created in December; the first so many were won on these days."""
    rows = [
        f"d{number},Deal,u1,Open,2025-12-10T00:00:00Z,{day},10,{bool(day)},{bool(day)},USD"
        for number, day in enumerate([*won_on, "", "", ""][:3])
    ]
    (directory / "data" / "opportunities.csv").write_text(HEADER + "\n".join(rows) + "\n")


def december_cohort(directory: Path) -> tuple[float, str]:
    with duckdb.connect(str(directory / "results.duckdb"), read_only=True) as connection:
        [found] = connection.execute(
            "select round(value, 4), status from kpis where period_start = '2025-12-01'"
        ).fetchall()
    return (found[0], found[1])


def cohorts(directory: Path) -> None:
    configure(directory, settings="win_rate: {window_days: 120}, min_sample: 1")
    file = directory / "crmetrics.yaml"
    file.write_text(file.read_text().replace("kpis: [won_amount]", "kpis: [win_rate.cohort]"))


def test_a_table_learns_that_a_figure_is_final_also_when_it_did_not_change(
    directory: Path,
) -> None:
    cohorts(directory)
    created_in_december(directory, "2025-12-20")
    for month in range(1, 5):
        run(directory, datetime(2026, month, 5, 8, tzinfo=UTC))
        assert december_cohort(directory) == (0.3333, "maturing")
    report = run(directory, datetime(2026, 5, 5, 8, tzinfo=UTC))
    assert december_cohort(directory) == (0.3333, "ok")
    assert ("2025-12", "board", "delivered") not in statuses(report)


def test_a_cohort_is_followed_until_its_window_is_over(directory: Path) -> None:
    cohorts(directory)
    created_in_december(directory)
    run(directory, JANUARY)
    assert december_cohort(directory) == (0.0, "maturing")
    created_in_december(directory, "2026-01-10")
    run(directory, FEBRUARY)
    assert december_cohort(directory) == (0.3333, "maturing")
    run(directory, datetime(2026, 3, 5, 8, tzinfo=UTC))
    # Older than `restate_periods` by now: the table follows it, the board waits for the end.
    created_in_december(directory, "2026-01-10", "2026-03-20")
    april = run(directory, datetime(2026, 4, 5, 8, tzinfo=UTC))
    assert ("2025-12", "history", "delivered") in statuses(april)
    assert ("2025-12", "board", "delivered") not in statuses(april)
    assert december_cohort(directory) == (0.6667, "maturing")
    created_in_december(directory, "2026-01-10", "2026-03-20", "2026-04-05")
    run(directory, datetime(2026, 5, 5, 8, tzinfo=UTC))
    assert december_cohort(directory) == (1.0, "ok")
    told = [changes for label, _, changes in board(directory) if label == "2025-12"]
    assert told == [[], ["0.0 % -> 33.3 %"], ["33.3 % -> 100.0 %"]]
    june = run(directory, datetime(2026, 6, 5, 8, tzinfo=UTC))
    assert date(2025, 12, 1) not in june.restated
    created_in_december(directory)
    late = run(directory, datetime(2026, 9, 5, 8, tzinfo=UTC))
    assert date(2025, 12, 1) not in late.restated


# --- the quality gate -------------------------------------------------------------------------


def test_missing_data_are_marked_unless_they_block(directory: Path) -> None:
    run(directory, JANUARY)
    (directory / "data" / "opportunities.csv").unlink()
    report = run(directory, FEBRUARY)
    assert report.exit_code == ExitCode.SOURCE
    assert "Based on partial data" in board(directory)[-1][1]


def test_a_restatement_on_data_that_were_half_read_is_marked_too(directory: Path) -> None:
    run(directory, JANUARY)
    won(directory, november=900, december=1250, january=500)
    (directory / "data" / "users.csv").write_text("id,team,created_at\nu1,EMEA,yesterday\n")
    report = run(directory, FEBRUARY)
    assert report.exit_code == ExitCode.SOURCE
    assert [(label, "Based on partial data" in said) for label, said, _ in board(directory)] == [
        ("2025-12", False),
        ("2025-12", True),
        ("2026-01", True),
    ]
    assert board(directory)[1][2] == ["1,000 USD -> 1,250 USD"]


def test_the_mark_of_a_restatement_goes_once_its_data_are_whole(directory: Path) -> None:
    with SlackWorkspace() as slack:
        text = CONFIG.replace("SETTINGS", "").replace("BLOCK", "").replace("[json]", "[markdown]")
        address = f"base_url: '{slack.base_url}'"
        bot = f"{{sink: slack, token: {slack.bot()}, channel: C0GENERAL, {address}}}"
        text = text.replace("sinks: [board", "sinks: [bot, board")
        (directory / "crmetrics.yaml").write_text(
            text.replace("  board:", f"  bot: {bot}\n  board:")
        )
        run(directory, JANUARY)
        [december] = slack.general.parents
        report = directory / "reports" / "monthly_2025-12.md"
        users = (directory / "data" / "users.csv").read_text()
        won(directory, november=900, december=1250, january=500)
        (directory / "data" / "users.csv").write_text("id,team,created_at\nu1,EMEA,yesterday\n")
        assert run(directory, FEBRUARY).exit_code == ExitCode.SOURCE
        assert "partial data" in everything_seen(december)
        assert "partial data" in report.read_text()
        (directory / "data" / "users.csv").write_text(users)
        whole = run(directory, FEBRUARY)
        assert whole.restated == (date(2025, 12, 1),)
        assert [name for label, name, _ in statuses(whole) if label == "2025-12"] == [
            "bot", "history", "reports"
        ]  # fmt: skip
        assert "partial data" not in everything_seen(december)
        assert "1,250 USD" in everything_seen(december)
        assert "partial data" not in report.read_text()
        # No figure has changed, so that nobody is told anything.
        assert len(slack.general.replies(december["ts"])) == 1
        assert len(board(directory)) == 3
        assert run(directory, FEBRUARY).restated == ()


def test_the_gate_keeps_back_what_rests_on_a_source_that_failed(directory: Path) -> None:
    run(directory, JANUARY)
    configure(directory, block_on="partial")
    (directory / "data" / "opportunities.csv").unlink()
    report = run(directory, FEBRUARY)
    assert report.exit_code == ExitCode.QUALITY
    assert report.blocked == "kept back by the quality gate: not read: crm.opportunities"
    assert {outcome.status for outcome in report.outcomes} == {"blocked"}
    assert len(board(directory)) == 1
    assert kept(directory) == {"2025-12-01": 1000.0}
    won(directory, november=900, december=1000, january=500)
    healed = run(directory, FEBRUARY)
    assert healed.exit_code == ExitCode.OK
    assert len(board(directory)) == 2


def test_the_gate_keeps_back_old_data(directory: Path) -> None:
    configure(directory, settings="max_age: 1d", block_on="stale")
    assert run(directory, JANUARY).exit_code == ExitCode.OK
    (directory / "data" / "opportunities.csv").unlink()
    report = run(directory, FEBRUARY)
    assert report.exit_code == ExitCode.QUALITY
    assert report.blocked == "kept back by the quality gate: old data behind won_amount"


def test_the_gate_keeps_back_figures_that_leave_too_much_out(directory: Path) -> None:
    configure(directory, block_on="low_coverage")
    file = directory / "data" / "opportunities.csv"
    deal = "x,Deal,u1,Won,2025-10-01T00:00:00Z,2025-12-11,,true,true,USD\n"
    file.write_text(file.read_text() + deal)
    report = run(directory, JANUARY)
    assert report.exit_code == ExitCode.QUALITY
    assert report.blocked.endswith("too few rows could be used for won_amount")
    assert board(directory) == []


def test_the_gate_looks_at_each_group_where_there_is_no_total(directory: Path) -> None:
    configure(directory, block_on="low_coverage")
    file = directory / "crmetrics.yaml"
    file.write_text(
        file.read_text().replace("block_on:", "by: [owner_id], totals: false, block_on:")
    )
    deals = directory / "data" / "opportunities.csv"
    deal = "x,Deal,u1,Won,2025-10-01T00:00:00Z,2025-12-11,,true,true,USD\n"
    deals.write_text(deals.read_text() + deal)
    report = run(directory, JANUARY)
    assert report.exit_code == ExitCode.QUALITY
    assert report.blocked.endswith("too few rows could be used for won_amount")


def test_the_gate_keeps_back_a_restatement_until_its_data_are_good(directory: Path) -> None:
    configure(directory, block_on="low_coverage")
    run(directory, JANUARY)
    won(directory, november=900, december=1250, january=500)
    file = directory / "data" / "opportunities.csv"
    whole = file.read_text()
    file.write_text(whole + "x,Deal,u1,Won,2025-10-01T00:00:00Z,2025-12-11,,true,true,USD\n")
    report = run(directory, FEBRUARY)
    assert report.exit_code == ExitCode.QUALITY
    assert [said[0] for said in board(directory)] == ["2025-12", "2026-01"]
    file.write_text(whole)
    assert run(directory, FEBRUARY).exit_code == ExitCode.OK
    assert board(directory)[-1][0] == "2025-12"
    assert board(directory)[-1][2] == ["1,000 USD -> 1,250 USD"]
    assert kept(directory)["2025-12-01"] == 1250.0


def test_a_restatement_that_a_sink_could_not_take_is_told_by_the_next_run(directory: Path) -> None:
    run(directory, JANUARY)
    won(directory, november=900, december=1250, january=500)
    (directory / "down").touch()
    assert run(directory, FEBRUARY).exit_code == ExitCode.SINK
    assert [said[0] for said in board(directory)] == ["2025-12"]
    (directory / "down").unlink()
    assert run(directory, FEBRUARY).exit_code == ExitCode.OK
    said = [(label, changes) for label, _, changes in board(directory)]
    assert said == [("2025-12", []), ("2025-12", ["1,000 USD -> 1,250 USD"]), ("2026-01", [])]
    assert run(directory, FEBRUARY).exit_code == ExitCode.OK
    assert len(board(directory)) == 3


# --- a sink that cannot be opened -------------------------------------------------------------

ODD = """
from crmetrics.plugin import Options, Receipt, Secret, Sink, hookimpl

class OddOptions(Options):
    token: Secret

class Odd(Sink):
    name = "odd"
    Config = OddOptions

    def __init__(self, config, context):
        super().__init__(config, context)
        if (context.project_dir / "closed").exists():
            raise RuntimeError(f"refused {config.token.reveal()}")

    def destination(self, delivery):
        return "there"

    def preview(self, delivery):
        return "odd"

    def why_not_again(self, delivery):
        return ""

    def write(self, delivery):
        with (self.context.project_dir / "odd.txt").open("a") as out:
            changes = [f"{one.before} -> {one.after}" for one in delivery.restated]
            print(delivery.message.period_label, *changes, file=out)
        return Receipt("there")

    def close(self):
        if (self.context.project_dir / "jammed").exists():
            raise OSError("the door is jammed")

@hookimpl
def crmetrics_sinks():
    return [Odd]
"""
TOKEN = "odd-secret-3f9c2a"


@pytest.fixture
def with_odd(directory: Path) -> Path:
    """The project with the sink `odd` before the others; it cannot be opened while there is a file
    `closed`, nor closed while there is one called `jammed`."""
    (directory / "plugins" / "odd.py").write_text(ODD)
    file = directory / "crmetrics.yaml"
    text = file.read_text().replace("sinks: [board", "sinks: [odd, board")
    file.write_text(text.replace("sinks:\n", f"sinks:\n  odd: {{sink: odd, token: {TOKEN}}}\n", 1))
    return directory


def told_odd(directory: Path) -> list[str]:
    return (directory / "odd.txt").read_text().splitlines()


def test_a_sink_that_cannot_be_opened_fails_alone_and_is_tried_again(with_odd: Path) -> None:
    (with_odd / "closed").touch()
    report = run(with_odd, JANUARY)
    assert report.exit_code == ExitCode.SINK
    assert [outcome.status for outcome in report.outcomes] == ["failed", *["delivered"] * 3]
    assert (len(board(with_odd)), kept(with_odd)) == (1, {"2025-12-01": 1000.0})
    assert "sink 'odd' (odd) could not be opened: RuntimeError: refused ***" in str(
        report.outcomes[0].error
    )
    with duckdb.connect(str(with_odd / ".crmetrics" / "warehouse.duckdb")) as warehouse:
        rows = warehouse.execute(
            "select status, error from meta.deliveries where sink = 'odd'"
        ).fetchall()
        told = str(warehouse.execute("select summary from meta.runs").fetchall())
    [(status, error)] = rows
    assert (status, error) == ("failed", str(report.outcomes[0].error))
    assert (TOKEN in error, TOKEN in told) == (False, False)
    (with_odd / "closed").unlink()
    report = run(with_odd, JANUARY)
    assert report.exit_code == ExitCode.OK
    assert told_odd(with_odd) == ["2025-12"]
    assert len(board(with_odd)) == 1


def test_a_restatement_waits_for_a_sink_that_cannot_be_opened(with_odd: Path) -> None:
    run(with_odd, JANUARY)
    won(with_odd, november=900, december=1250, january=500)
    (with_odd / "closed").touch()
    assert run(with_odd, FEBRUARY).exit_code == ExitCode.SINK
    assert [label for label, _, _ in board(with_odd)] == ["2025-12", "2025-12", "2026-01"]
    (with_odd / "closed").unlink()
    assert run(with_odd, FEBRUARY).exit_code == ExitCode.OK
    assert told_odd(with_odd) == ["2025-12", "2025-12 1,000 USD -> 1,250 USD", "2026-01"]
    assert len(board(with_odd)) == 3


def test_a_dry_run_shows_what_the_other_sinks_would_send(with_odd: Path) -> None:
    (with_odd / "closed").touch()
    report = run(with_odd, JANUARY, dry_run=True)
    assert [outcome.status for outcome in report.outcomes] == ["failed", *["previewed"] * 3]


def test_a_sink_that_cannot_be_closed_has_delivered_all_the_same(
    with_odd: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (with_odd / "jammed").touch()
    report = run(with_odd, JANUARY)
    assert report.exit_code == ExitCode.OK
    assert [outcome.status for outcome in report.outcomes] == ["delivered"] * 4
    assert "sink 'odd' could not be closed: OSError: the door is jammed" in caplog.text


# --- through a real sink ----------------------------------------------------------------------


def test_a_bot_keeps_its_message_of_a_month_up_to_date(directory: Path) -> None:
    with SlackWorkspace() as slack:
        text = CONFIG.replace("SETTINGS", "").replace("BLOCK", "")
        address = f"base_url: '{slack.base_url}'"
        bot = f"{{sink: slack, token: {slack.bot()}, channel: C0GENERAL, {address}}}"
        (directory / "crmetrics.yaml").write_text(text.replace("{sink: board}", bot))
        run(directory, JANUARY)
        [december] = slack.general.parents
        assert "1,000 USD" in everything_seen(december)
        assert statuses(run(directory, JANUARY))[0][2] == "skipped"
        preview = run(directory, JANUARY, dry_run=True).outcomes[0].preview
        assert json.loads(preview)[-1]["method"] == "chat.update"
        won(directory, november=900, december=1250, january=500)
        report = run(directory, FEBRUARY)
        assert statuses(report)[0::3] == [
            ("2025-12", "board", "delivered"),
            ("2026-01", "board", "delivered"),
        ]
        assert len(slack.general.parents) == 2
        assert "1,250 USD" in everything_seen(december)
        [reply] = slack.general.replies(december["ts"])
        assert "was 1,000 USD, is now 1,250 USD" in everything_seen(reply)
