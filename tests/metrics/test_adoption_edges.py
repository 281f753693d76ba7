"""The pack `adoption` at its edges: bounds, statuses, bulk imports, checks that a project names."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from crmetrics.engine import Project
from crmetrics.errors import ConfigError
from crmetrics.testing.examples import read_tables
from crmetrics.testing.projects import load_tables, write_project

LATE = datetime(2030, 1, 1, tzinfo=UTC)


def _project(
    directory: Path,
    tables: dict[str, pa.Table],
    *,
    covers_from: date | None = None,
    **checks: Any,
) -> Project:
    settings = {"data_completeness_rate": checks} if checks else {}
    write_project(directory, {}, packs=("adoption",), settings=settings)
    load_tables(directory, tables, covers_from=covers_from)
    return Project(directory, environ={}, now=lambda: LATE)


def _ask(project: Project, kpi: str, **asked: Any) -> dict[str, Any]:
    asked.setdefault("period", "2026-01")
    (row,) = project.query([kpi], **asked).to_pylist()
    return {**row, "coverage": dict(row["coverage"])}


def _by(project: Project, kpi: str, *by: str, **asked: Any) -> dict[tuple[str, ...], Any]:
    asked.setdefault("period", "2026-01")
    table = project.query([kpi], by=list(by), **asked)
    rows = [row for row in table.to_pylist() if row["segment"]]
    return {tuple(dict(row["segment"])[name] for name in by): row["value"] for row in rows}


# --- use -----------------------------------------------------------------------------------------

USERS = """
@users
id,created_at,deactivated_at,is_licensed,is_test,is_deleted,user_type
u1,2025-01-01T00:00:00Z,,true,false,false,human
u2,2025-01-01T00:00:00Z,2026-02-01T00:00:00Z,true,false,false,human
u3,2026-02-01T00:00:00Z,,true,false,false,human
u4,2025-01-01T00:00:00Z,,true,true,false,human
u5,2025-01-01T00:00:00Z,,true,false,true,human
"""
EVENTS = "@user_activity\nuser_id,activity_type,object_type,occurred_at,is_success\n"


def test_seats_are_those_of_the_periods_last_moment(tmp_path: Path) -> None:
    text = USERS + EVENTS + "u1,report_run,,2026-01-31T23:59:59Z,true\n"
    project = _project(tmp_path, read_tables(text))
    # u2 leaves at the first moment after January, u3 comes then; u4 is a test, u5 is deleted.
    row = _ask(project, "user_adoption_rate")
    assert (row["numerator"], row["denominator"]) == (1, 2)
    assert _ask(project, "user_adoption_rate", period="2026-02")["denominator"] == 2
    assert "low_sample" in row["flags"]


def test_a_running_period_is_measured_on_its_elapsed_days(tmp_path: Path) -> None:
    events = "".join(f"u1,login,,2026-01-{day:02d}T12:00:00Z,true\n" for day in range(1, 11))
    project = _project(tmp_path, read_tables(USERS + EVENTS + events))
    row = _ask(project, "user_adoption_rate.stickiness", as_of="2026-01-06")
    assert (row["value"], row["status"]) == (1.0, "partial")
    whole = _ask(project, "user_adoption_rate.stickiness")
    assert whole["value"] == pytest.approx(10 / 31)


@pytest.mark.parametrize(("entries", "counted"), [(200, 200), (201, 1)])
def test_more_than_the_bulk_size_within_a_clock_minute_is_one_event(
    entries: int, counted: int, tmp_path: Path
) -> None:
    rows = "".join(
        f"u1,record_created,leads,2026-01-05T10:00:{n % 60:02d}Z,true\n" for n in range(entries)
    )
    rows += "u1,record_updated,cases,2026-01-05T10:01:00Z,true\n"  # the next minute
    project = _project(tmp_path, read_tables(USERS + EVENTS + rows))
    groups = _by(project, "user_activity_frequency", "activity_group")
    assert groups == {
        ("data_entry",): (counted + 1) / 2,
        ("login",): 0,
        ("report_run",): 0,
    }
    by_object = _by(project, "user_activity_frequency", "activity_group", "object_type")
    assert by_object == {("data_entry", "leads"): counted / 2, ("data_entry", "cases"): 1 / 2}


def test_nothing_loaded_delivered_or_done_is_told_apart(tmp_path: Path) -> None:
    tables = read_tables(USERS + EVENTS)
    nothing = _project(tmp_path / "users", {"users": tables["users"]})
    assert _ask(nothing, "user_adoption_rate")["status"] == "missing_dataset"
    short = dict(tables)
    short["user_activity"] = tables["user_activity"].drop_columns(["object_type"])
    row = _ask(_project(tmp_path / "short", short), "user_activity_frequency.depth")
    assert "missing_column:user_activity.object_type" in row["flags"]
    quiet = _project(tmp_path / "quiet", tables, covers_from=date(2020, 1, 1))
    assert _ask(quiet, "user_adoption_rate")["value"] == 0
    row = _ask(quiet, "user_activity_frequency.depth")
    assert (row["value"], row["status"]) == (None, "no_data")


# --- training ------------------------------------------------------------------------------------


def test_the_latest_enrollment_says_whether_a_course_is_required_and_done(tmp_path: Path) -> None:
    text = (
        USERS + "@training_enrollments\n"
        "id,user_id,course,is_required,assigned_at,due_at,completed_at\n"
        "1,u1,a,true,2025-01-01T00:00:00Z,2025-02-01T00:00:00Z,2025-01-09T00:00:00Z\n"
        "2,u1,a,true,2026-01-05T00:00:00Z,2026-01-20T00:00:00Z,2026-01-20T00:00:00Z\n"
        "3,u2,a,true,2025-01-01T00:00:00Z,,\n"
        "4,u2,a,false,2026-01-05T00:00:00Z,,\n"
        "5,u2,b,true,2026-01-05T00:00:00Z,2026-01-31T23:59:59Z,2026-02-01T00:00:00Z\n"
        "6,u1,b,true,2026-02-01T00:00:00Z,,\n"
    )
    project = _project(tmp_path, read_tables(text))
    row = _ask(project, "training_completion_rate")
    assert (row["numerator"], row["denominator"]) == (1, 2)
    assert _ask(project, "training_completion_rate.on_time")["value"] == 1 / 2
    assert _ask(project, "training_completion_rate.overdue")["value"] == 1
    assert _by(project, "training_completion_rate.by_course", "course") == {("a",): 1, ("b",): 0}


# --- checks of the data --------------------------------------------------------------------------

RECORDS = """
@opportunities
id,created_at,amount,probability,close_date,owner_id,lead_source,updated_at,is_closed
1,2025-12-01T00:00:00Z,0,0,2026-02-01,u1,Ünknown ,2026-01-01T00:00:00Z,false
2,2025-12-01T00:00:00Z,5,0,2025-11-01,, UNKNOWN ,2026-01-01T00:00:00Z,false
3,2026-02-01T00:00:00Z,,,,,,,false
@campaigns
id,name,budgeted_cost
C1,x,10
C2,-,
"""


def test_texts_and_zeros_count_as_empty_where_the_settings_say_so(tmp_path: Path) -> None:
    project = _project(
        tmp_path,
        read_tables(RECORDS),
        required_fields={
            "opportunities": ["amount", "probability", "lead_source"],
            "campaigns": ["name", "budgeted_cost"],
        },
        zero_is_empty=["opportunities.amount"],
    )
    assert _by(project, "data_completeness_rate", "dataset", "field") == {
        ("opportunities", "amount"): 1 / 2,
        ("opportunities", "probability"): 1,
        ("opportunities", "lead_source"): 1 / 2,
        # A campaign has no day of creation and no owner: it is always there, and nobody's.
        ("campaigns", "name"): 1 / 2,
        ("campaigns", "budgeted_cost"): 1 / 2,
    }
    assert _by(project, "data_completeness_rate", "owner_id") == {
        ("u1",): 2 / 3,
        ("(none)",): (2 + 2) / (3 + 4),
    }
    assert _ask(project, "data_completeness_rate", period="2026-02")["denominator"] == 9 + 4


@pytest.mark.parametrize(
    ("variant", "setting"),
    [
        ("", "required_fields"),
        (".duplicate_rate", "match_keys"),
        (".stale_rate", "required_fields"),
        (".validity", "rules"),
    ],
)
def test_a_check_without_its_list_says_that_none_is_configured(
    variant: str, setting: str, tmp_path: Path
) -> None:
    row = _ask(_project(tmp_path, read_tables(RECORDS)), f"data_completeness_rate{variant}")
    assert (row["value"], row["status"]) == (None, "missing_column")
    assert any(f"the setting {setting} names no dataset" in flag for flag in row["flags"])


def test_a_checked_dataset_or_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    tables = read_tables(RECORDS)
    absent = _project(tmp_path / "absent", tables, required_fields={"cases": ["channel"]})
    assert "missing_dataset:cases" in _ask(absent, "data_completeness_rate")["flags"]
    tables["opportunities"] = tables["opportunities"].drop_columns(["lead_source"])
    fields = {"opportunities": ["lead_source"]}
    short = _project(tmp_path / "short", tables, required_fields=fields)
    flags = _ask(short, "data_completeness_rate")["flags"]
    assert "missing_column:opportunities.lead_source" in flags


@pytest.mark.parametrize(
    ("checks", "message"),
    [
        ({"required_fields": {"oportunities": ["amount"]}}, "did you mean 'opportunities'"),
        ({"required_fields": {"opportunities": ["amont"]}}, "did you mean 'amount'"),
        ({"rules": {"opportunities": ["amont > 1"]}}, "did you mean 'amount'"),
        ({"rules": {"opportunities": ["(select true)"]}}, "expected one expression"),
        ({"rules": {"opportunities": ["true) or (true"]}}, "no SQL expression"),
    ],
)
def test_a_list_that_names_what_does_not_exist_is_refused(
    checks: Any, message: str, tmp_path: Path
) -> None:
    project = _project(tmp_path, read_tables(RECORDS), **checks)
    variant = "" if "required_fields" in checks else ".validity"
    with pytest.raises(ConfigError) as refused:
        _ask(project, f"data_completeness_rate{variant}")
    assert message.lower() in str(refused.value).lower()


def test_rules_pass_only_when_they_are_true(tmp_path: Path) -> None:
    rules = {"opportunities": ["close_date >= created_at::date -- typed by people", "amount > 0"]}
    project = _project(tmp_path, read_tables(RECORDS), rules=rules)
    assert _ask(project, "data_completeness_rate.validity")["value"] == 2 / 4
    later = _ask(project, "data_completeness_rate.validity", period="2026-02")
    assert (later["numerator"], later["denominator"]) == (2, 6)  # the third deal is all unknown


def test_duplicates_share_all_keys_and_none_is_empty(tmp_path: Path) -> None:
    tables = read_tables(
        "@contacts\nid,account_id,lifecycle_stage,created_at,is_deleted\n"
        "1,Ä,lead,2025-01-01T00:00:00Z,false\n"
        "2,Ä,lead,2026-02-01T00:00:00Z,false\n"
        "3,Ä,mql,2025-01-01T00:00:00Z,false\n"
        "4,,lead,2025-01-01T00:00:00Z,false\n"
        "5,,lead,2025-01-01T00:00:00Z,false\n"
        "6,Ä,mql,2025-01-01T00:00:00Z,true\n"
    )
    keys = {"contacts": ["account_id", "lifecycle_stage"]}
    project = _project(tmp_path, tables, match_keys=keys)
    row = _ask(project, "data_completeness_rate.duplicate_rate")
    assert (row["numerator"], row["denominator"]) == (1, 4)


def test_open_deals_are_stale_after_90_days_without_a_change(tmp_path: Path) -> None:
    fields = {"opportunities": ["amount"], "campaigns": ["name"]}
    project = _project(tmp_path, read_tables(RECORDS), required_fields=fields)
    name = "data_completeness_rate.stale_rate"
    assert _ask(project, name, as_of="2026-04-01")["value"] == 0  # exactly 90 days
    row = _ask(project, name, as_of="2026-04-02", period="2026-02")
    assert (row["numerator"], row["denominator"]) == (2, 2)
    assert row["coverage"]["missing_updated_at"] == 1


# --- work ----------------------------------------------------------------------------------------


def test_items_count_for_the_role_of_their_owner_and_employees_by_their_time(
    tmp_path: Path,
) -> None:
    text = (
        "@users\nid,role,created_at,deactivated_at,user_type\n"
        "s1,sales,2025-01-01T00:00:00Z,,human\n"
        "s2,sales,2026-01-16T12:00:00Z,,human\n"
        "a1,admin,2025-01-01T00:00:00Z,,human\n"
        "m1,marketing,2025-01-01T00:00:00Z,2026-01-01T00:00:00Z,human\n"
        "@opportunities\nid,owner_id,close_date,is_closed,is_won,amount,currency\n"
        "1,s1,2026-01-05,true,true,300,\n"
        "2,s2,2026-01-20,true,true,,\n"
        "3,s2,2026-01-21,true,true,50,EUR\n"
        "4,a1,2026-01-21,true,true,900,\n"
        "5,queue,2026-01-21,true,true,900,\n"
        "6,,2026-01-21,true,true,900,\n"
        "7,s1,2026-01-21,true,false,900,\n"
        "@leads\nid,owner_id,mql_at,created_at\n1,m1,2026-01-05T00:00:00Z,2026-01-01T00:00:00Z\n"
        "@cases\nid\n"
    )
    project = _project(tmp_path, read_tables(text))
    table = project.query(["employee_productivity"], period="2026-01").to_pylist()
    rows = {dict(row["segment"])["role"]: row for row in table}
    assert rows["sales"]["value"] == pytest.approx(3 / 1.5)
    assert dict(rows["sales"]["coverage"])["unassigned"] == 2
    # The marketer left before January: an item, and nobody to divide it by.
    assert (rows["marketing"]["value"], rows["marketing"]["status"]) == (None, "no_data")
    assert "admin" not in rows
    (amount,) = project.query(
        ["employee_productivity.amount_per_rep"], period="2026-01"
    ).to_pylist()
    assert amount["value"] == pytest.approx(300 / 1.5)
    counts = dict(amount["coverage"])
    assert (counts["missing_amount"], counts["missing_rate"]) == (1, 1)
