"""Deals with their history, lines, products, orders, subscriptions, targets and forecasts."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from simulators.hubspot.account import Pipeline, Stage
from simulators.hubspot.records import Record, milliseconds
from simulators.hubspot.sample.world import Row, World, noon, versions

_PROBABILITIES = {"Prospecting": 0.1, "Qualification": 0.25, "Proposal": 0.5, "Negotiation": 0.75,
                  "Closed Won": 1.0, "Closed Lost": 0.0}  # fmt: skip
_PIPELINES = {"New and expansion": "1100", "Renewals": "1200"}
_TYPES = {"new_business": "newbusiness", "expansion": "existingbusiness"}
_CATEGORIES = {"omitted": "OMIT"}
_TAX, _SHIPPING = Decimal("19.50"), Decimal("7.25")


def stage_id(pipeline: str, stage: str) -> str:
    return str(int(_PIPELINES[pipeline]) + 1 + list(_PROBABILITIES).index(stage))


def add_deals(world: World) -> None:
    account = world.account
    account.pipelines["deals"] = [
        Pipeline(
            identity,
            label,
            [
                Stage(
                    stage_id(label, stage),
                    stage,
                    {"isClosed": str(share in (0.0, 1.0)).lower(), "probability": str(share)},
                )
                for stage, share in _PROBABILITIES.items()
            ],
        )
        for label, identity in _PIPELINES.items()
    ]
    history: dict[str, list[Row]] = {}
    for row in world.rows["opportunity_stage_history"]:
        history.setdefault(row["opportunity_id"], []).append(row)
    for number, row in enumerate(world.rows["opportunities"]):
        record = _add_deal(world, row)
        _write_history(world, row, record, history.get(row["id"], []))
        world.tie("deals", record, "companies", "accounts", row["account_id"], (5, "Primary"))
        if number % 10 == 0 and row["account_id"]:
            # A partner on the deal: associated, and not the buyer.
            partner = world.rows["accounts"][number % len(world.rows["accounts"])]["id"]
            world.tie("deals", record, "companies", "accounts", partner)


def _add_deal(world: World, row: Row) -> Record:
    kind, category = row["opportunity_type"], row["forecast_category"]
    return world.add(
        "deals",
        "opportunities",
        row,
        {
            "dealname": "A deal",
            "pipeline": _PIPELINES[row["pipeline"]],
            "dealstage": stage_id(row["pipeline"], row["stage"]),
            "dealtype": _TYPES.get(kind, kind),
            "amount": row["amount"],
            "deal_currency_code": row["currency"],
            "closedate": noon(row["close_date"]),
            "hs_v2_date_entered_current_stage": row.get("closed_at") or row["updated_at"],
            "hs_is_closed": row["is_closed"],
            "hs_is_closed_won": row["is_won"],
            "hs_deal_stage_probability": row["probability"],
            "hs_manual_forecast_category": _CATEGORIES.get(category, category.upper()),
            "closed_lost_reason": row.get("lost_reason"),
            "hubspot_owner_id": world.id_of("users", row["owner_id"]),
            "deal_origin": row["lead_source"],
            "source_campaign": world.ids.get(("campaigns", row["campaign_id"] or "")),
        },
        created="created_at",
    )


def _write_history(world: World, deal: Row, record: Record, rows: list[Row]) -> None:
    rows = sorted(rows, key=lambda row: row["entered_at"])
    stages = [(r["entered_at"], stage_id(deal["pipeline"], r["stage"])) for r in rows]
    days = [(r["entered_at"], noon(r["close_date"]) if r["close_date"] else None) for r in rows]
    record.history["dealstage"] = versions(stages)
    record.history["amount"] = versions([(r["entered_at"], r["amount"]) for r in rows])
    record.history["closedate"] = versions(days)


def add_products(world: World) -> None:
    for row in world.rows["products"]:
        world.add(
            "products",
            "products",
            row,
            {
                "name": row["name"],
                "hs_product_type": row["family"],
                "tier": row["tier_rank"],
                "hs_cost_of_goods_sold": row["unit_cost"],
                "cost_currency": row["currency"],
            },
        )


def add_lines(world: World) -> None:
    """Line items of deals and of orders are the same object."""
    for dataset, kind, parent, key in (
        ("opportunity_items", "deals", "opportunities", "opportunity_id"),
        ("order_items", "orders", "orders", "order_id"),
    ):
        for row in world.rows[dataset]:
            record = world.add(
                "line_items",
                dataset,
                row,
                {
                    "hs_product_id": world.id_of("products", row["product_id"]),
                    "quantity": row["quantity"],
                    "amount": row["total_amount"],
                    "price": row["total_amount"],
                    "hs_line_item_currency_code": row.get("currency"),
                    "hs_cost_of_goods_sold": row.get("unit_cost"),
                },
            )
            world.tie("line_items", record, kind, parent, row[key])


def add_orders(world: World) -> None:
    for row in world.rows["orders"]:
        record = world.add(
            "orders",
            "orders",
            row,
            {
                "hs_external_created_date": row["ordered_at"],
                "hs_external_order_status": row["status"].capitalize(),
                "hs_total_price": row["total_amount"] + _TAX + _SHIPPING,
                "hs_tax": _TAX,
                "hs_shipping_cost": _SHIPPING,
                "hs_refund_amount": row["refunded_amount"],
                "hs_currency_code": row["currency"],
                "refunded_on": row["refunded_at"],
                "source_campaign": world.ids.get(("campaigns", row["campaign_id"] or "")),
            },
            created="ordered_at",
        )
        world.tie("orders", record, "companies", "accounts", row["account_id"])
        world.tie("orders", record, "deals", "opportunities", row["opportunity_id"])


def add_subscriptions(world: World) -> None:
    for row in world.rows["subscriptions"]:
        record = world.add(
            "subscriptions",
            "subscriptions",
            row,
            {
                "hs_status": "active" if row["end_date"] is None else "canceled",
                "hs_recurring_billing_start_date": row["start_date"],
                "hs_recurring_billing_end_date": row["end_date"],
                "hs_mrr": row["mrr"],
                "quantity": row.get("quantity"),
                "hs_currency_code": row["currency"],
                "hs_product_id": world.id_of("products", row["product_id"]),
                "contract": row["subscription_id"],
                "cancel_reason": row.get("cancel_reason"),
                "is_trial": row.get("is_trial", False),
            },
        )
        world.tie("subscriptions", record, "companies", "accounts", row["account_id"])


SALES_QUOTA = {
    "hs_goal_type": "sales_quota",
    "hs_kpi_object_type_id": "0-3",
    "hs_kpi_metric_type": "SUM",
    "hs_kpi_property_name": "amount_in_home_currency",
    "hs_kpi_filter_groups": '[{"filters":[{"property":"hs_is_closed_won","operator":"EQ",'
    '"value":"true"}]}]',
    "hs_kpi_time_period_property": "closedate",
}
"""What HubSpot says of a goal that measures won deals."""


def _midnight(day: date) -> int:
    """In milliseconds, of UTC."""
    return milliseconds(datetime(day.year, day.month, day.day, tzinfo=UTC))


def add_targets(world: World) -> None:
    for row in world.rows["quotas"]:
        last = row["period_end"] - timedelta(days=1)
        is_won = row["kpi_id"] == "won_amount"
        world.add(
            "goal_targets",
            "quotas",
            row,
            {
                "hs_goal_name": "A goal",
                "hs_assignee_user_id": world.ids.get(("user ids", row["owner_id"] or "")),
                "hs_start_datetime": datetime(*row["period_start"].timetuple()[:3], tzinfo=UTC),
                "hs_end_datetime": datetime(*last.timetuple()[:3], 23, 59, 59, 999000, tzinfo=UTC),
                "hs_target_amount": row["target_amount"],
                **(SALES_QUOTA if is_won else {"other_kpi": row["kpi_id"]}),
            },
        )
    for row in world.rows["forecasts"]:
        world.add(
            "forecasts",
            "forecasts",
            row,
            {
                "hs_created_by_user_id": world.ids.get(("user ids", row["owner_id"] or "")),
                "category": row["forecast_category"],
                "hs_amount": row["forecast_amount"],
                "hs_forecast_start_date": _midnight(row["period_start"]),
                "hs_forecast_end_date": _midnight(row["period_end"]) - 1,
            },
            created="submitted_at",
        )
