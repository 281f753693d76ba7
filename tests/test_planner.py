"""Which columns are read of which source, and what is out of reach."""

from __future__ import annotations

import pytest

from crmetrics.datasets import canonical_datasets
from crmetrics.planner import Plan, Read, plan_reads
from crmetrics.plugin import Supply

DATASETS = canonical_datasets()


def test_only_what_is_needed_is_read_with_the_key_and_what_decides_about_rows() -> None:
    supply = Supply(
        "opportunities",
        ("id", "stage", "amount", "updated_at", "is_deleted", "created_at", "lead_source"),
    )
    plan = plan_reads({"opportunities": {"amount"}}, {"crm": [supply]}, DATASETS)
    columns = ("id", "is_deleted", "updated_at", "amount", "created_at")
    assert plan == Plan((Read("crm", "opportunities", columns),))


def test_datasets_that_are_not_needed_are_not_read() -> None:
    supplies = {"crm": [Supply("leads", ("id",)), Supply("cases", ("id",))]}
    assert plan_reads({"leads": ()}, supplies, DATASETS).requests("crm") == {"leads": ("id",)}


def test_the_key_is_read_even_when_the_connector_does_not_list_it() -> None:
    supplies = {"rates": [Supply("exchange_rates", ("rate",))]}
    plan = plan_reads({"exchange_rates": ["rate"]}, supplies, DATASETS)
    assert plan.requests("rates") == {"exchange_rates": ("currency", "valid_from", "rate")}


def test_a_child_is_read_with_the_key_of_its_parent() -> None:
    supplies = {"crm": [Supply("case_messages", ("id", "case_id", "sent_at", "is_public"))]}
    plan = plan_reads({"case_messages": ["is_public"]}, supplies, DATASETS)
    (columns,) = plan.requests("crm").values()
    assert set(columns) == {"id", "case_id", "sent_at", "is_public"}


def test_each_source_is_asked_for_what_it_has() -> None:
    supplies = {
        "north": [Supply("accounts", ("id", "segment"))],
        "south": [Supply("accounts", ("id", "industry"))],
    }
    plan = plan_reads({"accounts": ["segment", "industry", "country"]}, supplies, DATASETS)
    assert plan.sources == ("north", "south")
    assert plan.requests("north") == {"accounts": ("id", "segment")}
    assert plan.requests("south") == {"accounts": ("id", "industry")}
    assert plan.missing_columns == {"accounts": ("country",)}


def test_a_dataset_that_no_source_supplies_is_named() -> None:
    needs = {"leads": ["id"], "quotas": ["target"]}
    plan = plan_reads(needs, {"crm": [Supply("leads", ("id",))]}, DATASETS)
    assert plan.missing_datasets == ("quotas",)
    assert plan.missing_columns == {}


def test_columns_with_a_default_and_the_source_are_never_missing() -> None:
    needs = {"cases": ["source", "is_spam", "is_deleted", "id", "priority", "no_such_column"]}
    plan = plan_reads(needs, {"crm": [Supply("cases", ("id",))]}, DATASETS)
    assert plan.missing_columns == {"cases": ("priority", "no_such_column")}


def test_without_needs_everything_is_read() -> None:
    supplies = {"crm": [Supply("leads", ("status", "id", "source"))], "files": []}
    plan = plan_reads(None, supplies, DATASETS)
    assert plan.reads == (Read("crm", "leads", ("id", "status")),)
    assert (plan.missing_datasets, plan.missing_columns) == ((), {})


def test_nothing_needed_gives_an_empty_plan() -> None:
    assert plan_reads({}, {"crm": [Supply("leads", ("id",))]}, DATASETS) == Plan()


def test_a_plan_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Plan().reads = ()  # type: ignore[misc]
