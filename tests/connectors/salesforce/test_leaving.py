"""Records that leave a dataset although nobody deleted them, and come back."""

from __future__ import annotations

import pytest

from connectors.salesforce.sites import Site, load_of
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


# --- sharing, which moves no stamp and is in no log --------------------------------------------


@pytest.fixture
def orders(site: Site, salesforce: SalesforceSimulator) -> list[str]:
    """Three orders that are loaded; a field of their parent has them read whole once a day."""
    site.only = ("orders",)
    made = [salesforce.org.create("Order", TotalAmount=n) for n in (1, 2, 3)]
    site.later(hours=1)
    site.synced()
    assert site.ids("orders") == made
    return made


def test_who_is_no_longer_shared_leaves_and_comes_back_with_the_next_read_of_everything(
    site: Site, salesforce: SalesforceSimulator, orders: list[str]
) -> None:
    records = salesforce.org.objects["Order"].records
    unshared = records.pop(orders[1])
    site.later(days=1)
    assert load_of(site.synced(), "orders").deleted == 1
    assert site.ids("orders") == [orders[0], orders[2]]
    records[orders[1]] = unshared
    site.later(days=1)
    site.synced()
    assert site.ids("orders") == orders


def test_a_sharing_that_is_lost_for_many_is_told(
    site: Site, salesforce: SalesforceSimulator, orders: list[str]
) -> None:
    made = [salesforce.org.create("Order", TotalAmount=n) for n in range(30)]
    site.later(days=1)
    assert not [n for n in load_of(site.synced(), "orders").notices if "have left" in n]
    records = salesforce.org.objects["Order"].records
    for name in made[:25]:
        records.pop(name)
    site.later(days=1)
    [told] = [n for n in load_of(site.synced(), "orders").notices if "have left" in n]
    assert told.startswith("25 of 33 records have left: the source gives them no more.")


def test_a_record_that_changes_while_everything_is_read_stays(
    site: Site, salesforce: SalesforceSimulator, orders: list[str]
) -> None:
    site.later(days=1)
    salesforce.org.update(orders[0], TotalAmount=9)  # within `hold_back` of the read
    assert load_of(site.synced(), "orders").deleted == 0
    assert site.ids("orders") == orders


def test_a_page_that_lacks_records_makes_nobody_leave(
    site: Site, salesforce: SalesforceSimulator, orders: list[str]
) -> None:
    site.later(days=1)
    salesforce.faults.answer(
        200, b'{"totalSize":3,"done":true,"records":[]}', on="FROM Order", times=None
    )
    assert load_of(site.sync(), "orders").failed
    assert site.ids("orders") == orders


# --- conditions with a query in them -----------------------------------------------------------


@pytest.mark.parametrize("plain", ["", "Industry = 'x' AND "])
def test_records_leave_a_condition_with_a_subquery_once_a_day(
    site: Site, salesforce: SalesforceSimulator, plain: str
) -> None:
    org = salesforce.org
    first, second, _ = (org.create("Account", Industry="x") for _ in range(3))
    deals = [org.create("Opportunity", AccountId=name) for name in (first, second)]
    site.datasets = {"accounts": {"where": f"{plain}Id IN (SELECT AccountId FROM Opportunity)"}}
    site.later(hours=1)
    site.synced()
    assert site.ids("accounts") == [first, second]
    org.purge(deals[0])
    org.update(first, Industry="y")
    site.later(hours=1)
    site.synced()
    assert site.ids("accounts") == [first, second]
    site.later(days=1)
    site.synced()
    assert site.ids("accounts") == [second]
    asked = [query for query in salesforce.queries if "SELECT AccountId" in query]
    assert not [query for query in asked if "NOT" in query or f"({plain}Id IN" in query]


def test_marks_by_a_subquery_come_without_brackets(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    org = salesforce.org
    first, second = (org.create("Account", Industry="x") for _ in range(2))
    org.create("Opportunity", AccountId=first)
    rule = "Industry = 'x' AND Id IN (SELECT AccountId FROM Opportunity)"
    site.datasets = {"accounts": {"is_test": rule, "where": "Industry = 'x' OR Industry = 'y'"}}
    site.later(hours=1)
    site.synced()
    assert site.rows("accounts", "id", "is_test") == [(first, True), (second, False)]
    assert not [query for query in salesforce.queries if f"({rule})" in query]
    assert [q for q in salesforce.queries if "(Industry = 'x' OR Industry = 'y')" in q]
