"""A local HubSpot: an account behind HubSpot's API, with its rules, limits and moods.

    with HubSpotSimulator() as hubspot:
        hubspot.account.create("deals", {"amount": "43", "dealstage": "closedwon"})
        ...call hubspot.base_url with the token hubspot.token...

It serves the dated API and the old one (`serves_old = False` proves that no old path is used),
and refuses what HubSpot refuses, with HubSpot's statuses and words. `hubspot.clock` is its time.
"""

from __future__ import annotations

from simulators.hubspot.account import Account, Campaign, Owner, Pipeline, Stage
from simulators.hubspot.limits import Limits
from simulators.hubspot.records import ObjectStore, Property, Record
from simulators.hubspot.schema import PERSONAL, own_properties, property_of
from simulators.hubspot.service import ALL_SCOPES, HubSpotSimulator

__all__ = [
    "ALL_SCOPES",
    "PERSONAL",
    "Account",
    "Campaign",
    "HubSpotSimulator",
    "Limits",
    "ObjectStore",
    "Owner",
    "Pipeline",
    "Property",
    "Record",
    "Stage",
    "own_properties",
    "property_of",
]
