"""The sample CRM: the same for a seed, whole, and as dirty as it says."""

from __future__ import annotations

import csv
import hashlib
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from crmetrics.datasets import canonical_datasets
from crmetrics.errors import UsageError
from crmetrics.testing.data import SampleCrm
from crmetrics.testing.data.company import Row
from crmetrics.testing.data.dice import Dice, workday
from crmetrics.testing.data.tables import FINANCE

DATASETS = canonical_datasets()
END = datetime(2026, 1, 1, tzinfo=UTC)

# Fixed on CPython 3.11. A difference on another version or machine is a defect of the dice; after a
# wanted change of the sample, put the new value here.
FINGERPRINT = "ad498c59cb8b01d65ac745eadec6ba80544b2ceed41b77e5dbc4e0293f44ee88"


@pytest.fixture(scope="module")
def crm() -> SampleCrm:
    return SampleCrm()


@pytest.fixture(scope="module")
def clean() -> SampleCrm:
    """The same company before the dirt."""
    return SampleCrm(is_dirty=False)


def fingerprint(crm: SampleCrm) -> str:
    """A hash of every value of every record, in order."""
    digest = hashlib.sha256()
    for name in DATASETS:
        for row in crm.records[name]:
            known = sorted((key, str(value)) for key, value in row.items() if value is not None)
            digest.update(repr((name, known)).encode())
    return digest.hexdigest()


# --- the same everywhere ------------------------------------------------------------------------


def test_a_seed_gives_the_same_records_on_every_machine() -> None:
    assert fingerprint(SampleCrm(seed=7, scale=0.2)) == FINGERPRINT


def test_another_seed_is_another_company() -> None:
    assert fingerprint(SampleCrm(seed=8, scale=0.2)) != FINGERPRINT


def test_dice_use_only_what_python_promises_to_keep() -> None:
    # The first throws of a stream, as whole numbers: they depend on nothing but random().
    dice = Dice("7/promise")
    assert [dice.between(0, 999) for _ in range(6)] == [889, 817, 458, 989, 61, 699]


# --- size and shape -----------------------------------------------------------------------------


def test_every_canonical_dataset_has_rows_and_exactly_its_columns(crm: SampleCrm) -> None:
    assert list(crm.tables) == list(DATASETS)
    for name, table in crm.tables.items():
        assert table.schema.equals(DATASETS[name].arrow_schema()), name
        assert table.num_rows > 0, name


def test_the_default_size_is_a_small_company(crm: SampleCrm) -> None:
    rows = {name: table.num_rows for name, table in crm.tables.items()}
    assert 280 <= rows["accounts"] <= 330
    assert 2_400 <= rows["opportunities"] <= 2_650
    assert 50_000 <= sum(rows.values()) <= 70_000


def test_scale_multiplies_the_business(crm: SampleCrm) -> None:
    double = SampleCrm(scale=2.0)
    for name in ("opportunities", "leads", "cases", "campaign_members"):
        assert len(double.records[name]) / len(crm.records[name]) == pytest.approx(2, rel=0.15)


def test_the_smallest_sample_still_fills_every_dataset() -> None:
    small = SampleCrm(scale=0.05, end=date(2024, 3, 1), start=date(2024, 1, 1))
    assert all(table.num_rows for table in small.tables.values())


def test_generating_and_writing_stays_fast(tmp_path: Path) -> None:
    # CPU time, not the clock: other work on the machine does not count.
    start = time.process_time()
    SampleCrm(seed=11).write_csv(tmp_path)
    assert time.process_time() - start < 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"end": date(2026, 1, 2)}, "first of a month"),
        ({"end": date(2026, 1, 1), "start": date(2026, 1, 1)}, "start before end"),
        ({"scale": 0}, "from 0.05 to 100"),
    ],
)
def test_a_window_or_scale_that_cannot_be_is_refused(
    arguments: dict[str, date], expected: str
) -> None:
    with pytest.raises(UsageError, match=expected):
        SampleCrm(**arguments)  # type: ignore[arg-type]


# --- whole --------------------------------------------------------------------------------------


def test_required_columns_are_filled(crm: SampleCrm) -> None:
    for name, table in crm.tables.items():
        for column in DATASETS[name].columns:
            if not column.nullable:
                assert table[column.name].null_count == 0, f"{name}.{column.name}"


def test_an_unread_column_does_not_exist(crm: SampleCrm) -> None:
    for name, rows in crm.records.items():
        unknown = {key for row in rows for key in row} - set(DATASETS[name].column_names)
        assert not unknown, f"{name}: {unknown}"


def test_ids_are_unique_but_for_the_planned_copies(crm: SampleCrm) -> None:
    for name, rows in crm.records.items():
        key = DATASETS[name].key
        seen = Counter(tuple(row[column] for column in key) for row in rows)
        repeated = sum(count - 1 for count in seen.values())
        assert repeated == crm.dirt.get((name, "duplicate"), 0), name


def references(crm: SampleCrm) -> Iterator[tuple[str, str, Row, str]]:
    """(dataset, foreign key, row, the id it points to) for every filled foreign key."""
    for name, rows in crm.records.items():
        for column in DATASETS[name].foreign_keys:
            for row in rows:
                if row.get(column.name) is not None:
                    yield name, column.name, row, row[column.name]


def test_every_reference_is_found_in_a_clean_sample(clean: SampleCrm) -> None:
    ids = {name: {row.get("id") for row in rows} for name, rows in clean.records.items()}
    broken = {
        (name, key, target)
        for name, key, _, target in references(clean)
        if target not in ids[str(DATASETS[name].column(key).references)]
    }
    # A queue is a real owner that is no user (catalogue, leads.owner_id).
    assert {target for _, _, target in broken} == {"queue-inbound"}


def test_orphans_are_exactly_the_planned_ones(crm: SampleCrm) -> None:
    ids = {name: {row.get("id") for row in rows} for name, rows in crm.records.items()}
    found: Counter[str] = Counter()
    for name, key, row, target in references(crm):
        if target not in ids[str(DATASETS[name].column(key).references)]:
            # Copies (deleted, test, merged, older) of an orphan are orphans too.
            is_original = not any(row.get(flag) for flag in ("is_deleted", "is_test")) and (
                row["id"].count("-") == 1
            )
            found[name] += is_original and target != "queue-inbound"
    planned = {name: rows for (name, kind), rows in crm.dirt.items() if kind == "orphan"}
    older = sum(rows for (_, kind), rows in crm.dirt.items() if kind == "duplicate")
    assert set(+found) == set(planned)
    assert sum(planned.values()) <= sum(found.values()) <= sum(planned.values()) + older


def test_spans_of_a_deal_follow_each_other_and_only_the_last_is_open(clean: SampleCrm) -> None:
    spans: dict[str, list[Row]] = {}
    for row in clean.records["opportunity_stage_history"]:
        spans.setdefault(row["opportunity_id"], []).append(row)
    for rows in spans.values():
        for row, following in pairwise(rows):
            assert row["entered_at"] < row["exited_at"] == following["entered_at"]
        assert rows[-1]["exited_at"] is None


def test_a_deal_says_what_its_last_span_says(clean: SampleCrm) -> None:
    last = {row["opportunity_id"]: row for row in clean.records["opportunity_stage_history"]}
    for deal in clean.records["opportunities"]:
        span = last[deal["id"]]
        for name in ("stage", "amount", "probability", "is_closed", "is_won", "close_date"):
            assert deal[name] == span[name], (deal["id"], name)
        assert (deal.get("closed_at") is not None) == deal["is_closed"]


def test_segments_of_a_subscription_do_not_overlap(clean: SampleCrm) -> None:
    segments: dict[str, list[Row]] = {}
    for row in clean.records["subscriptions"]:
        segments.setdefault(row["subscription_id"], []).append(row)
    for rows in segments.values():
        for row, following in pairwise(rows):
            assert row["start_date"] < row["end_date"] <= following["start_date"]


def test_the_history_of_a_case_ends_in_its_status(clean: SampleCrm) -> None:
    last = {row["case_id"]: row for row in clean.records["case_status_history"]}
    for case in clean.records["cases"]:
        assert last[case["id"]]["status"] == case["status"]
        assert case["is_closed"] == (last[case["id"]]["status_category"] == "solved")


def test_nothing_was_recorded_after_the_export(crm: SampleCrm) -> None:
    for name, rows in crm.records.items():
        for row in rows:
            changed = row.get("updated_at")
            assert changed is None or changed <= crm.exported_at, (name, row["id"])


# --- everything the catalogue needs -------------------------------------------------------------


def test_what_kpis_must_survive_is_in_the_sample(crm: SampleCrm) -> None:
    stages = crm.records["opportunity_stage_history"]
    per_stay = Counter(row["stay_id"] for row in stages if row["stay_id"] is not None)
    per_deal = Counter((row["opportunity_id"], row["is_closed"]) for row in stages)
    assert max(per_stay.values()) > 1  # amount or close date changed during a stay
    assert any(row["stay_id"] is None for row in stages)
    assert any(count > 1 for (_, is_closed), count in per_deal.items() if is_closed)  # reopened
    assert any(row.get("is_trial") for row in crm.records["subscriptions"])
    assert any(row["spend_date"] is None for row in crm.records["marketing_spend"])
    assert any(row.get("is_automated") for row in crm.records["activities"])
    assert {row["author_type"] for row in crm.records["case_messages"]} >= {"bot", "agent"}
    assert {row["user_type"] for row in crm.records["users"] if "user_type" in row}
    assert any(row["owner_id"] is None for row in crm.records["quotas"])
    assert any(row["owner_id"] is None for row in crm.records["forecasts"])
    assert {row["currency"] for row in crm.records["exchange_rates"]} == {"EUR", "GBP"}
    assert any(row["currency"] == "CHF" for row in crm.records["opportunities"])
    assert any(row["created_at"] >= END for row in crm.records["opportunities"])
    assert any((row.get("closed_at") or END) > END for row in crm.records["opportunities"])


@pytest.mark.parametrize(
    ("dataset", "kind", "low", "high"),
    [
        ("opportunities", "deleted", 0.005, 0.02),
        ("opportunities", "test", 0.004, 0.02),
        ("opportunities", "duplicate", 0.003, 0.01),
        ("opportunities", "null_amount", 0.01, 0.03),
        ("opportunities", "orphan", 0.003, 0.01),
        ("opportunities", "back_dated", 0.002, 0.02),
        ("opportunities", "deleted_reference", 0.002, 0.01),
        ("accounts", "merged", 0.01, 0.04),
        ("leads", "merged", 0.005, 0.03),
        ("contacts", "merged", 0.005, 0.03),
        ("cases", "merged", 0.005, 0.02),
        ("cases", "spam", 0.005, 0.03),
    ],
)
def test_dirt_is_rare_and_known(
    crm: SampleCrm, dataset: str, kind: str, low: float, high: float
) -> None:
    assert low <= crm.dirt[dataset, kind] / len(crm.records[dataset]) <= high


def test_flags_are_as_many_as_the_sample_says(crm: SampleCrm) -> None:
    for name, rows in crm.records.items():
        tests = sum(bool(row.get("is_test")) for row in rows)
        merged = sum(row.get("merged_into_id") is not None for row in rows)
        deleted = sum(
            bool(row.get("is_deleted")) and row.get("merged_into_id") is None for row in rows
        )
        assert tests == crm.dirt.get((name, "test"), 0), name
        assert merged == crm.dirt.get((name, "merged"), 0), name
        assert deleted == crm.dirt.get((name, "deleted"), 0), name


def test_a_clean_sample_has_no_record_that_does_not_count(clean: SampleCrm) -> None:
    for name, rows in clean.records.items():
        if name != "users":
            assert not any(row.get("is_deleted") or row.get("is_test") for row in rows), name


# --- files --------------------------------------------------------------------------------------


def test_csv_files_hold_the_canonical_columns_without_the_source(
    crm: SampleCrm, tmp_path: Path
) -> None:
    paths = crm.write_csv(tmp_path)
    assert {path.name for path in paths} == {f"{name}.csv" for name in DATASETS}
    with (tmp_path / "opportunities.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        name for name in DATASETS["opportunities"].column_names if name != "source"
    ]
    assert len(rows) == len(crm.records["opportunities"])
    for text, row in zip(rows, crm.records["opportunities"], strict=True):
        assert text["id"] == row["id"]
        assert text["is_won"] == ("true" if row["is_won"] else "false")
        assert datetime.fromisoformat(text["created_at"]) == row["created_at"]
        assert (Decimal(text["amount"]) if text["amount"] else None) == row["amount"]
        assert (text["lost_reason"] or None) == row.get("lost_reason")


def test_csv_keeps_letters_beyond_ascii(crm: SampleCrm, tmp_path: Path) -> None:
    crm.write_csv(tmp_path)
    assert "Évergreen" in (tmp_path / "campaigns.csv").read_text(encoding="utf-8")


def test_split_files_separate_the_crm_from_the_other_departments(
    crm: SampleCrm, tmp_path: Path
) -> None:
    crm.write_csv(tmp_path, split=True)
    assert {path.stem for path in (tmp_path / "finance").iterdir()} == FINANCE
    assert {path.stem for path in (tmp_path / "crm").iterdir()} == set(DATASETS) - FINANCE


def test_parquet_reads_back_as_it_was(crm: SampleCrm, tmp_path: Path) -> None:
    for path in crm.write_parquet(tmp_path):
        expected = crm.tables[path.stem].drop_columns(["source"])
        assert pa.parquet.read_table(path).equals(expected)


# --- dice ---------------------------------------------------------------------------------------


def test_around_stays_within_its_bounds_and_has_its_median() -> None:
    dice = Dice("around")
    drawn = sorted(dice.around(1000) for _ in range(4001))
    assert drawn[0] >= 250
    assert drawn[-1] <= 4200
    assert 950 < drawn[2000] < 1050


def test_a_sample_takes_each_choice_at_most_once() -> None:
    assert sorted(Dice("sample").sample(range(5), 9)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2025, 1, 3), date(2025, 1, 3)),
        (date(2025, 1, 4), date(2025, 1, 6)),
        (date(2025, 1, 5), date(2025, 1, 6)),
    ],
)
def test_a_weekend_becomes_the_monday_after(day: date, expected: date) -> None:
    assert workday(day) == expected
