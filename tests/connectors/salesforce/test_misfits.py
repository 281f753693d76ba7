"""Custom fields that are declared wrongly: queries and bulk jobs take them alike."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from connectors.salesforce.orgs import Connect
from crmetrics.errors import SourceError
from crmetrics.testing import CollectingRequest
from simulators.salesforce import SalesforceSimulator

WAYS = pytest.mark.parametrize("transport", ["rest", "bulk"])
AT = datetime(2026, 1, 31, 8, tzinfo=UTC)
# Type as declared: the values of the records, and the texts that come of them.
VALUES: dict[str, tuple[list[Any], list[str | None]]] = {
    "double": ([5, 2.5, "abc", None, "1E3"], ["5.0", "2.5", "abc", None, "1000.0"]),
    "boolean": ([True, False, "perhaps", False, True],
                ["true", "false", "perhaps", "false", "true"]),
    "date": (["2026-01-31", "31.1.2026", None, None, "soon"],
             ["2026-01-31", "31.1.2026", None, None, "soon"]),
    "datetime": ([AT, "yesterday", None, AT, AT],
                 ["2026-01-31 08:00:00+00", "yesterday", None, "2026-01-31 08:00:00+00",
                  "2026-01-31 08:00:00+00"]),
}  # fmt: skip


def fill(salesforce: SalesforceSimulator, name: str, kind: str) -> list[str]:
    salesforce.org.add_fields(name, f"Odd__c:{kind}")
    made = [salesforce.org.create(name) for _ in range(5)]
    for identity, value in zip(made, VALUES[kind][0], strict=True):
        salesforce.org.recalculate(identity, Odd__c=value)
    return made


def by_id(table: pa.Table) -> dict[str, str]:
    return dict(zip(table["id"].to_pylist(), table["segment"].to_pylist(), strict=True))


@WAYS
@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("page", [1, 2, 50], ids=["each alone", "two", "all at once"])
def test_values_of_another_type_become_texts_whichever_way_they_come(
    salesforce: SalesforceSimulator, connect: Connect, kind: str, transport: str, page: int
) -> None:
    made = fill(salesforce, "Account", kind)
    salesforce.rest.batch_cap = page
    mapping = {"segment": "Odd__c"}
    with CollectingRequest("accounts", columns=["segment"], mapping=mapping) as request:
        found = request.collect(connect(transport=transport, page_rows=page).read(request))
        assert by_id(found) == dict(zip(made, VALUES[kind][1], strict=True))
        [notice] = [n for n in request.notices if "Account.Odd__c is declared as" in n]
        assert "such as '" in notice


@WAYS
def test_rows_of_several_objects_take_them_too(
    salesforce: SalesforceSimulator, connect: Connect, transport: str
) -> None:
    made = fill(salesforce, "Opportunity", "double")
    salesforce.org.update(made[0], IsClosed=True)
    salesforce.org.create("OpportunityHistory", OpportunityId=made[0], StageName="Won")
    salesforce.rest.batch_cap = 2
    columns, mapping = ["pipeline", "closed_at"], {"pipeline": "Odd__c"}
    with CollectingRequest("opportunities", columns=columns, mapping=mapping) as request:
        found = request.collect(connect(transport=transport, page_rows=2).read(request))
    rows = {row["id"]: row for row in found.to_pylist()}
    assert [rows[name]["pipeline"] for name in made] == VALUES["double"][1]
    assert [rows[name]["closed_at"] is not None for name in made] == [True] + [False] * 4


@WAYS
def test_who_computes_with_them_is_told_the_record_and_the_value(
    salesforce: SalesforceSimulator, connect: Connect, transport: str
) -> None:
    made = fill(salesforce, "Opportunity", "double")
    mapping = {"amount": "Odd__c"}
    with (
        CollectingRequest("opportunities", columns=["amount"], mapping=mapping) as request,
        pytest.raises(SourceError) as failure,
    ):
        request.collect(connect(transport=transport).read(request))
    assert "Odd__c = 'abc'" in str(failure.value)
    assert made[2] in str(failure.value)
    assert "Correct the mapping of 'amount'" in str(failure.value)


def test_groups_of_fields_are_joined_although_one_holds_them(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    made = fill(salesforce, "Account", "double")
    names = [f"Field_With_A_Long_Name_{n:04}__c" for n in range(700)]
    salesforce.org.add_fields("Account", " ".join(names))
    salesforce.rest.batch_cap = 2
    text = f"concat(Odd__c, {', '.join(names)})"
    with CollectingRequest("accounts", columns=["segment"], mapping={"segment": text}) as request:
        found = request.collect(connect(transport="rest").read(request))
    assert by_id(found) == {
        name: text or "" for name, text in zip(made, VALUES["double"][1], strict=True)
    }
