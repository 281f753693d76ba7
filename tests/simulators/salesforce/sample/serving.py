"""All parts of the sample put together, in the order in which they refer to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING

from simulators.salesforce.org import Org
from simulators.salesforce.sample import people, selling, service
from simulators.salesforce.sample.columns import OWN
from simulators.salesforce.sample.world import Row, World

if TYPE_CHECKING:
    from crmetrics.testing.data import SampleCrm

_PARTS = (
    people.add_users,
    selling.add_rates,
    selling.add_products,
    people.add_campaigns,
    people.add_accounts,
    people.add_contacts,
    selling.add_stages,
    selling.add_deals,
    selling.add_stage_history,
    selling.add_deal_items,
    people.add_leads,
    people.add_campaign_members,
    selling.add_orders,
    selling.add_order_items,
    selling.add_subscriptions,
    service.add_case_statuses,
    service.add_cases,
    service.add_case_history,
    service.add_case_messages,
    service.add_activities,
    service.add_surveys,
    people.add_logins,
    selling.add_quotas,
    selling.add_forecasts,
)


def serve_sample(org: Org, crm: SampleCrm, *, zone: tzinfo = UTC) -> World:
    """Fill a multi-currency org with the sample; the ids that its records got come back.

    zone: where the days begin that Salesforce keeps as instants.
    """
    for name, text in OWN.items():
        org.add_fields(name, text)
    # The user of the app itself is none of the company's.
    org.update(org.user, Is_Test__c=True)
    world = World(org, crm.records, zone)
    for add in _PARTS:
        add(world)
    return world


def as_salesforce_keeps(records: Mapping[str, Sequence[Row]]) -> dict[str, list[Row]]:
    """The records with what Salesforce loses of them.

    Rates have six decimals the other way round, an amount always says its currency, a message its
    sender, and of what users do only logins are told. All else is kept exactly, partly in custom
    fields.
    """
    kept = {name: list(rows) for name, rows in records.items()}
    kept["exchange_rates"] = [
        {**row, "rate": 1 / selling.conversion_rate(row["rate"])} for row in kept["exchange_rates"]
    ]
    for name in ("opportunities", "opportunity_items", "campaigns", "orders", "subscriptions"):
        kept[name] = [{**row, "currency": row["currency"] or "USD"} for row in kept[name]]
    kept["case_messages"] = [
        {**row, "user_id": row["user_id"] or people.ROBOT} if row["author_type"] == "agent" else row
        for row in kept["case_messages"]
    ]
    kept["user_activity"] = [
        row for row in kept["user_activity"] if row["activity_type"] == "login"
    ]
    return kept
