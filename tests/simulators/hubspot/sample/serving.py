"""All parts of the sample put together, in the order in which they refer to each other."""

from __future__ import annotations

from crmetrics.testing import SampleCrm
from simulators.hubspot.account import Account
from simulators.hubspot.sample import activities, people, selling, sends, service
from simulators.hubspot.sample.columns import OWN
from simulators.hubspot.sample.world import World
from simulators.hubspot.schema import own_properties

_PARTS = (
    people.add_users,
    people.add_rates,
    selling.add_products,
    people.add_companies,
    people.add_contacts,
    people.add_campaigns,
    people.add_leads,
    selling.add_deals,
    people.tie_leads_to_deals,
    selling.add_orders,
    selling.add_lines,
    selling.add_subscriptions,
    service.add_tickets,
    service.add_messages,
    service.add_surveys,
    activities.add_activities,
    people.add_touches,
    sends.add_sends,
    people.add_user_activity,
    selling.add_targets,
)


def serve_sample(account: Account, crm: SampleCrm) -> World:
    """Fill the account with the records of the sample; the ids that they got come back."""
    account.time_zone = "UTC"
    account.login_days = None  # the sample is a year that a warehouse would have kept
    for kind, types in OWN.items():
        for type_name, names in types.items():
            account.objects[kind].define(*own_properties(names.split(), type_name))
    world = World(account, crm.records)
    for add in _PARTS:
        add(world)
    return world
