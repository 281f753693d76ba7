"""Products, deals with their history and lines, orders, subscriptions, targets and rates."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal

from simulators.salesforce.sample.people import SECRET_TEXT, owner_id
from simulators.salesforce.sample.world import Row, World, titled

STAGES = (
    # label, closed, won, forecast category of the API, its label
    ("Prospecting", False, False, "Pipeline", "Pipeline"),
    ("Qualification", False, False, "Pipeline", "Pipeline"),
    ("Proposal", False, False, "BestCase", "Best Case"),
    ("Negotiation", False, False, "Forecast", "Commit"),
    ("Closed Won", True, True, "Closed", "Closed"),
    ("Closed Lost", True, False, "Omitted", "Omitted"),
)
_CATEGORIES = {
    "pipeline": ("Pipeline", "Pipeline"),
    "best_case": ("BestCase", "Best Case"),
    "commit": ("Forecast", "Commit"),
    "closed": ("Closed", "Closed"),
    "omitted": ("Omitted", "Omitted"),
}
_ORDER_CODES = {"draft": "D", "cancelled": "C"}


def add_products(world: World) -> None:
    for row in world.rows["products"]:
        world.add(
            "products",
            row,
            {
                "Name": row["name"],
                "Family": row["family"],
                "IsActive": True,
                "Tier_Rank__c": row["tier_rank"],
                "Unit_Cost__c": row["unit_cost"],
                "Cost_Currency__c": row["currency"],
            },
        )


def add_stages(world: World) -> None:
    for number, (label, is_closed, is_won, category, shown) in enumerate(STAGES, 1):
        world.org.create(
            "OpportunityStage",
            MasterLabel=label,
            ApiName=label,
            IsActive=True,
            SortOrder=number,
            IsClosed=is_closed,
            IsWon=is_won,
            ForecastCategory=category,
            ForecastCategoryName=shown,
        )


def add_deals(world: World) -> None:
    items = {row["opportunity_id"] for row in world.rows["opportunity_items"]}
    for row in world.rows["opportunities"]:
        pipeline = row["pipeline"]
        category, shown = _CATEGORIES[row["forecast_category"]]
        world.add(
            "opportunities",
            row,
            {
                "Name": f"{SECRET_TEXT} {row['id']}",
                "NextStep": SECRET_TEXT,
                "AccountId": world.live_reference("accounts", row["account_id"]),
                "OwnerId": owner_id(world, row["owner_id"]),
                "CampaignId": world.id_of("campaigns", row["campaign_id"]),
                "RecordTypeId": world.once(
                    "RecordType", pipeline, Name=pipeline, SobjectType="Opportunity"
                ),
                "StageName": row["stage"],
                "Type": titled(row["opportunity_type"]),
                "LeadSource": row["lead_source"],
                "Amount": row["amount"],
                "Probability": _percent(row["probability"]),
                "ForecastCategory": category,
                "ForecastCategoryName": shown,
                "IsClosed": row["is_closed"],
                "IsWon": row["is_won"],
                "CloseDate": row["close_date"],
                "Lost_Reason__c": row.get("lost_reason"),
                "HasOpportunityLineItem": row["id"] in items,
            },
            created=row["created_at"],
        )


def add_stage_history(world: World) -> None:
    """A row per change; it has no end of its own, the next row is its end."""
    for row in world.rows["opportunity_stage_history"]:
        world.add(
            "opportunity_stage_history",
            {**row, "updated_at": row["entered_at"]},
            {
                "OpportunityId": world.id_of("opportunities", row["opportunity_id"]),
                "StageName": row["stage"],
                "Amount": row["amount"],
                "CloseDate": row["close_date"],
                "Probability": _percent(row["probability"]),
                **({"CurrencyIsoCode": _deal_currency(world, row)}),
            },
            created=row["entered_at"],
        )


def _deal_currency(world: World, row: Row) -> str:
    deal = world.org.find(world.id_of("opportunities", row["opportunity_id"]))
    return str(deal["CurrencyIsoCode"]) if deal else "USD"


def _percent(probability: float | None) -> float | None:
    return None if probability is None else round(probability * 100, 6)


def add_deal_items(world: World) -> None:
    for row in world.rows["opportunity_items"]:
        world.add(
            "opportunity_items",
            row,
            {
                "OpportunityId": world.id_of("opportunities", row["opportunity_id"]),
                "Product2Id": world.id_of("products", row["product_id"]),
                "Quantity": row["quantity"],
                "TotalPrice": row["total_amount"],
            },
        )


def add_orders(world: World) -> None:
    for row in world.rows["orders"]:
        world.add(
            "orders",
            row,
            {
                "AccountId": world.live_reference("accounts", row["account_id"]),
                "OpportunityId": world.id_of("opportunities", row["opportunity_id"]),
                "Campaign__c": world.id_of("campaigns", row["campaign_id"]),
                "EffectiveDate": row["ordered_at"].date(),
                "ActivatedDate": row["ordered_at"],
                "Status": titled(row["status"]),
                "StatusCode": _ORDER_CODES.get(row["status"], "A"),
                "TotalAmount": row["total_amount"],
                "Refunded_Amount__c": row["refunded_amount"],
                "Refunded_At__c": row["refunded_at"],
            },
            created=row["ordered_at"],
        )


def add_order_items(world: World) -> None:
    for row in world.rows["order_items"]:
        world.add(
            "order_items",
            row,
            {
                "OrderId": world.id_of("orders", row["order_id"]),
                "Product2Id": world.id_of("products", row["product_id"]),
                "Quantity": row["quantity"],
                "TotalPrice": row["total_amount"],
                "Unit_Cost__c": row["unit_cost"],
                "CurrencyIsoCode": _order_currency(world, row),
            },
        )


def _order_currency(world: World, row: Row) -> str:
    order = world.org.find(world.id_of("orders", row["order_id"]))
    return str(order["CurrencyIsoCode"]) if order else "USD"


def add_subscriptions(world: World) -> None:
    """A state period per segment, which ends with the last second of service."""
    for row in world.rows["subscriptions"]:
        account = world.live_reference("accounts", row["account_id"])
        product = world.id_of("products", row["product_id"])
        asset = world.once(
            "Asset",
            f"{row['subscription_id']}/{account}/{product}",
            Name=f"{SECRET_TEXT} {row['subscription_id']}",
            AccountId=account,
            Product2Id=product,
            CurrencyIsoCode=row["currency"] or "USD",
        )
        end = row.get("end_date")
        world.add(
            "subscriptions",
            row,
            {
                "AssetId": asset,
                "StartDate": _midnight(row["start_date"], world.zone),
                "EndDate": _midnight(end, world.zone) - timedelta(seconds=1) if end else None,
                "Mrr": row["mrr"],
                "Quantity": row.get("quantity"),
                "Contract__c": row["subscription_id"],
                "Product__c": product,
                "Cancel_Reason__c": row.get("cancel_reason"),
                "Is_Trial__c": row.get("is_trial", False),
            },
        )


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _period(world: World, start: date, end: date) -> str:
    """The month, quarter or other period; `end` is the first day after it."""
    months = (end.year - start.year) * 12 + end.month - start.month
    return world.once(
        "Period",
        f"{start}/{end}",
        StartDate=start,
        EndDate=end - timedelta(days=1),
        Type={1: "Month", 3: "Quarter"}.get(months, "Year"),
        IsForecastPeriod=True,
    )


def add_quotas(world: World) -> None:
    revenue = world.once("ForecastingType", "revenue", MasterLabel="Opportunity Revenue",
                         DeveloperName="OpportunityRevenue", IsActive=True)  # fmt: skip
    for row in world.rows["quotas"]:
        world.add(
            "quotas",
            row,
            {
                "QuotaOwnerId": world.id_of("users", row["owner_id"]),
                "QuotaAmount": row["target_amount"],
                "StartDate": row["period_start"],
                "PeriodId": _period(world, row["period_start"], row["period_end"]),
                "ForecastingTypeId": revenue,
                "IsAmount": True,
                "Kpi__c": row["kpi_id"],
            },
        )


def add_forecasts(world: World) -> None:
    for row in world.rows["forecasts"]:
        submission = world.org.create(
            "ForecastingSubmission",
            stamp=row["submitted_at"],
            ForecastOwnerId=world.id_of("users", row["owner_id"]),
            PeriodId=_period(world, row["period_start"], row["period_end"]),
        )
        world.add(
            "forecasts",
            row,
            {
                "ForecastingSubmissionId": submission,
                "ForecastingItemCategory": {
                    "commit": "CommitForecast",
                    "best_case": "BestCaseForecast",
                }[row["forecast_category"]],
                "Amount": row["forecast_amount"],
            },
            created=row["submitted_at"],
        )


def add_rates(world: World) -> None:
    """Units of the currency for one unit of the corporate currency, with six decimals."""
    by_currency: dict[str, list[Row]] = {}
    for row in sorted(world.rows["exchange_rates"], key=lambda row: row["valid_from"]):
        by_currency.setdefault(row["currency"], []).append(row)
    world.org.create("CurrencyType", IsoCode="USD", ConversionRate=1.0, IsActive=True,
                     IsCorporate=True, DecimalPlaces=2)  # fmt: skip
    for currency, rows in by_currency.items():
        world.org.create("CurrencyType", IsoCode=currency, IsActive=True, DecimalPlaces=2,
                         ConversionRate=conversion_rate(rows[-1]["rate"]))  # fmt: skip
        for row, following in zip(rows, [*rows[1:], None], strict=True):
            world.org.create(
                "DatedConversionRate",
                IsoCode=currency,
                StartDate=row["valid_from"],
                NextStartDate=following["valid_from"] if following else date(9999, 12, 31),
                ConversionRate=conversion_rate(row["rate"]),
            )


def conversion_rate(rate: Decimal) -> float:
    return round(1 / float(rate), 6)
