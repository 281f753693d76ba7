"""Records that leave a dataset although nobody deleted them, and come back."""

from __future__ import annotations

import pytest

from connectors.salesforce.sites import Site
from simulators.salesforce import SalesforceSimulator


@pytest.mark.parametrize("is_own", [False, True], ids=["users", "an object of its own"])
def test_a_record_that_no_field_calls_deleted_comes_back_with_its_condition(
    site: Site, salesforce: SalesforceSimulator, is_own: bool
) -> None:
    org = salesforce.org
    if is_own:
        org.add_object("Badge__c", "a01", "IsActive:boolean")
        del org.objects["Badge__c"].fields["IsDeleted"]
        name, dataset = "Badge__c", "products"
    else:
        name, dataset = "User", "users"
    site.only = (dataset,)
    site.datasets = {dataset: {"where": "IsActive = true", **({"object": name} if is_own else {})}}
    made = [org.create(name, IsActive=True) for _ in range(2)]
    site.later(hours=1)
    site.synced()
    assert {*made} <= {*site.ids(dataset)}
    org.update(made[0], IsActive=False)
    site.later(hours=1)
    site.synced()
    assert made[0] not in site.ids(dataset)
    org.update(made[0], IsActive=True)
    site.later(hours=1)
    site.synced()
    assert {*made} <= {*site.ids(dataset)}
