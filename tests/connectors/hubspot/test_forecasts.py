"""Forecasts: for which days, whose, and which of them are of all that a person sells."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from connectors.hubspot.conftest import Connect
from connectors.hubspot.connecting import collect
from crmetrics.testing import CollectingRequest
from simulators.hubspot import HubSpotSimulator, Owner, Pipeline, own_properties

MADE = datetime(2025, 11, 3, 9, tzinfo=UTC)
COLUMNS = ("id", "owner_id", "period_start", "period_end", "submitted_at", "forecast_amount",
           "currency")  # fmt: skip
NOVEMBER = {"hs_forecast_start_date": "1761955200000", "hs_forecast_end_date": "1764547199999"}
OF_SEVEN = {"hubspot_owner_id": "7", "hs_created_by_user_id": "80", "hs_amount": "5000"}


@pytest.fixture
def account(service: HubSpotSimulator) -> HubSpotSimulator:
    """Two pipelines, and the owners 7 (user 70) and 8 (user 80)."""
    service.account.owners = {"7": Owner("7", 70), "8": Owner("8", 80)}
    service.account.pipelines = {"deals": [Pipeline("a", "A", []), Pipeline("b", "B", [])]}
    return service


def forecasts(
    service: HubSpotSimulator, connect: Connect, *each: dict[str, Any], **options: Any
) -> tuple[list[dict[str, Any]], list[str]]:
    for values in each:
        service.account.create("forecasts", values, at=MADE)
    mapping = options.pop("mapping", None)
    if mapping:
        options["datasets"] = {"forecasts": {"columns": mapping}}
    columns = (*COLUMNS, *(mapping or ()))
    with CollectingRequest("forecasts", columns=columns, mapping=mapping) as request:
        found = collect(request, connect(service, **options)).to_pylist()
        return found, list(request.notices)


def test_a_forecast_is_its_owners_for_its_days(account: HubSpotSimulator, connect: Connect) -> None:
    ((row,), notices) = forecasts(account, connect, {**OF_SEVEN, **NOVEMBER, "hs_team_id": "3"})
    del row["id"]
    assert row == {
        "owner_id": "7", "period_start": date(2025, 11, 1), "period_end": date(2025, 12, 1),
        "submitted_at": MADE, "forecast_amount": 5000, "currency": "USD",
    }  # fmt: skip
    assert not notices


@pytest.mark.parametrize(
    "told, first, end",
    [
        (("2025", "monthly", "11", None, "0"), date(2025, 11, 1), date(2025, 12, 1)),
        (("2025", "monthly", "12", "4", "0"), date(2025, 12, 1), date(2026, 1, 1)),
        (("2025", "quarterly", None, "4", "0"), date(2025, 10, 1), date(2026, 1, 1)),
        (("2024", "QUARTERLY", "2", "1", "0"), date(2024, 1, 1), date(2024, 4, 1)),
        (("2025", "yearly", None, None, "0"), date(2025, 1, 1), date(2026, 1, 1)),
        # To which calendar year a month of another fiscal year belongs HubSpot does not say.
        (("2025", "monthly", "11", None, "1"), None, None),
        (("2025", "monthly", "11", None, None), None, None),
        (("2025", "monthly", None, None, "0"), None, None),
        (("2025", "monthly", "13", None, "0"), None, None),
        (("2025", "weekly", "1", None, "0"), None, None),
        ((None, "monthly", "1", None, "0"), None, None),
        (("9" * 40, "yearly", "1", None, "0"), None, None),
    ],
)
def test_without_days_they_are_those_of_the_month_or_quarter(
    account: HubSpotSimulator,
    connect: Connect,
    told: tuple[str | None, ...],
    first: date | None,
    end: date | None,
) -> None:
    names = ("hs_year", "hs_milestone", "hs_fiscal_month", "hs_fiscal_quarter",
             "hs_forecast_fiscal_offset")  # fmt: skip
    values = {**OF_SEVEN, **dict(zip(names, told, strict=True))}
    ((row,), notices) = forecasts(account, connect, values)
    assert (row["period_start"], row["period_end"]) == (first, end)
    said = [text for text in notices if "1 do not say for which days they are" in text]
    assert len(said) == (first is None)


def test_what_is_not_of_all_that_a_person_sells_is_left_out_and_told(
    account: HubSpotSimulator, connect: Connect
) -> None:
    """A team's forecast is not the company's, and one of a pipeline not its owner's."""
    of_team = {"hs_team_id": "3", "hs_created_by_user_id": "80", "hs_amount": "9", **NOVEMBER}
    of_pipeline = {**OF_SEVEN, **NOVEMBER, "hs_deal_pipeline_id": "a"}
    ((row,), notices) = forecasts(account, connect, of_team, of_pipeline, {**OF_SEVEN, **NOVEMBER})
    assert row["forecast_amount"] == 5000
    (told,) = notices
    assert "forecasts: 2 are not used" in told and "1 of a team, 1 of one pipeline" in told
    account.account.pipelines["deals"].pop()  # the other one is all that there is
    found, _ = forecasts(account, connect)
    assert len(found) == 2


def test_a_forecast_without_an_owner_is_its_creators_and_never_the_companys(
    account: HubSpotSimulator, connect: Connect
) -> None:
    by_owner, by_stranger = ({"hs_created_by_user_id": user, **NOVEMBER} for user in ("80", "99"))
    found, _ = forecasts(account, connect, by_owner, by_stranger)
    assert [row["owner_id"] for row in found] == ["8", "99"]


def test_the_project_file_says_whose_they_are_and_how_sure(
    account: HubSpotSimulator, connect: Connect
) -> None:
    account.account.objects["forecasts"].define(*own_properties(["seller"], "string"))
    of_team = {"hs_team_id": "3", "seller": "7", "hs_amount": "9", **NOVEMBER}
    mapping = {"owner_id": "seller", "forecast_category": "'commit'"}
    ((row,), notices) = forecasts(account, connect, of_team, mapping=mapping)
    assert (row["owner_id"], row["forecast_category"]) == ("7", "commit") and not notices
