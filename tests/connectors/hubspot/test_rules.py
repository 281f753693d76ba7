"""Which options are rules of a dataset: when one changes, the dataset is read anew by it."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.hubspot.conftest import Connect
from crmetrics.datasets import canonical_datasets
from crmetrics_hubspot.options import HubSpotOptions
from crmetrics_hubspot.streams import streams_of
from simulators.hubspot import HubSpotSimulator

RULES: dict[str, tuple[Any, set[str]]] = {
    "leads_from": ("leads", {"leads"}),
    "lead_stages": ({"mql_at": ["Qualified"]}, {"leads"}),
    "subscriptions_from": ("line_items", {"subscriptions"}),
    "case_messages_from": (["notes"], {"case_messages"}),
    "ticket_stages": ({"Closed": "solved"}, {"case_status_history"}),
    "surveys": ({"Pulse": {"type": "csat", "min": 1, "max": 5}}, {"survey_responses"}),
    "test_email_domains": (["test.example"], {"contacts", "leads", "users"}),
    "automated_sources": (["BOT"], {"activities", "case_messages"}),
    "default_close_date": ("ignore", {"opportunities"}),
    "spend_dates": ("campaign", {"marketing_spend"}),
    "email_event_days": (40, {"campaign_members"}),
}
READING = {"auth", "base_url", "api_version", "refresh_every", "max_api_usage_percent",
           "max_calls_per_run", "email_events"}  # fmt: skip
"""Options that say how the account is read, not what its records mean."""


def test_every_option_of_hubspots_own_is_one_or_the_other() -> None:
    own = HubSpotOptions.__annotations__.keys() - {"datasets"}
    assert own == RULES.keys() | READING


def test_the_first_day_that_a_dataset_covers_is_none(
    service: HubSpotSimulator, connect: Connect
) -> None:
    name = "opportunity_stage_history"
    covering = connect(service, datasets={name: {"covers_from": "2026-01-01"}})
    assert covering.definition(name) == connect(service).definition(name)


@pytest.mark.parametrize("option", RULES)
def test_an_option_is_a_rule_of_the_datasets_that_it_says_something_of(
    service: HubSpotSimulator, connect: Connect, option: str
) -> None:
    value, expected = RULES[option]
    plain, other = connect(service), connect(service, **{option: value})
    names = canonical_datasets()
    changed = {name for name in names if plain.definition(name) != other.definition(name)}
    assert changed == expected
    # Whatever an option changes of the entries themselves is among them.
    read = {n for n in names if streams_of(n, plain.config) != streams_of(n, other.config)}
    assert read <= changed
