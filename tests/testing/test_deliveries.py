"""What sinks are given in tests has the shape of what the engine gives."""

from __future__ import annotations

from datetime import date

from crmetrics.results import STATUSES, UNITS, result_schema
from crmetrics.testing import empty_delivery, results_table, sample_delivery


def test_the_sample_has_the_result_schema_and_known_words() -> None:
    table = results_table()
    assert table.schema.equals(result_schema())
    assert set(table["status"].to_pylist()) <= set(STATUSES)
    assert set(table["unit"].to_pylist()) <= set(UNITS)


def test_a_row_says_what_matters_and_the_rest_is_filled() -> None:
    (row,) = results_table([{"kpi": "x", "value": 1.5}], start=date(2025, 12, 1)).to_pylist()
    assert (row["kpi"], row["value"], row["status"]) == ("x", 1.5, "ok")
    assert (row["period_start"], row["period_end"]) == (date(2025, 12, 1), date(2026, 1, 1))


def test_message_and_results_of_a_delivery_tell_of_one_month() -> None:
    delivery = sample_delivery(start=date(2025, 12, 1), job="weekly")
    assert delivery.job == "weekly"
    assert delivery.period_end == date(2026, 1, 1)
    assert delivery.message.period_label == "2025-12"
    assert delivery.message.period_end == "2026-01-01"
    assert set(delivery.results["period_start"].to_pylist()) == {date(2025, 12, 1)}


def test_an_empty_delivery_has_no_results_but_a_headline() -> None:
    delivery = empty_delivery()
    assert delivery.results.num_rows == 0
    assert delivery.results.schema.equals(result_schema())
    assert delivery.message.headline
