"""Orders and their lines: most follow a won deal, the others come from the web shop."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from crmetrics.testing.data.company import Account, Company, Row
from crmetrics.testing.data.dice import Dice, money

_STATUSES = (("paid", 46), ("fulfilled", 44), ("placed", 5), ("cancelled", 3), ("draft", 2))


def add_orders(company: Company) -> None:
    """An order behind nine of ten won deals, and shop orders of customers."""
    dice = company.dice("orders")
    by_id = {account.id: account for account in company.accounts}
    lines: dict[str, list[Row]] = {}
    for line in company.rows["opportunity_items"]:
        lines.setdefault(line["opportunity_id"], []).append(line)
    for deal in company.rows["opportunities"]:
        if deal["is_won"] and deal["amount"] is not None and dice.chance(90):
            ordered = deal["closed_at"] + timedelta(hours=dice.between(1, 100))
            if company.is_over(ordered):
                order = _add_order(company, dice, by_id[deal["account_id"]], ordered,
                                   deal["amount"], deal)  # fmt: skip
                for line in lines.get(deal["id"], ()):
                    _add_line(company, dice, order, line["product_id"], line["quantity"],
                              line["total_amount"])  # fmt: skip
    _add_shop_orders(company, dice)


def _add_shop_orders(company: Company, dice: Dice) -> None:
    products = company.rows["products"]
    for day in company.days(dice, company.sized(620), growth=180):
        account = dice.pick(company.accounts)
        # Loyal members buy twice as often; who is no customer rarely buys at all.
        if not dice.chance(100 if account.is_loyal else 55) or account.created > day:
            continue
        if not account.is_customer_on(day) and not dice.chance(12):
            continue
        chosen = dice.sample(products, dice.weighted([(1, 55), (2, 30), (3, 15)]))
        cents = [dice.around(18_000) // 100 * 100 for _ in chosen]
        order = _add_order(company, dice, account, dice.office_time(day), money(sum(cents)), None)
        for product, part in zip(chosen, cents, strict=True):
            quantity = float(dice.weighted([(1, 60), (2, 25), (4, 15)]))
            _add_line(company, dice, order, product["id"], quantity, money(part))
        if dice.chance(3):
            _add_line(company, dice, order, chosen[0]["id"], -1.0, -money(cents[0] // 2))


def _add_order(
    company: Company, dice: Dice, account: Account, ordered: datetime,
    total: Decimal, deal: Row | None,
) -> Row:  # fmt: skip
    """One order; four of a hundred are refunded, one of them whole."""
    refund, refunded_at = None, None
    if dice.chance(4):
        refund = (
            total
            if dice.chance(25)
            else (total * dice.between(10, 60) / 100).quantize(Decimal("0.01"))
        )
        later = ordered + timedelta(days=dice.between(2, 40))
        refunded_at = later if company.is_over(later) and dice.chance(90) else None
    return company.add(
        "orders",
        id=company.new_id("orders", "ord"),
        account_id=account.id,
        opportunity_id=deal["id"] if deal else None,
        campaign_id=deal["campaign_id"] if deal else _shop_campaign(company, dice, ordered),
        ordered_at=ordered,
        status=dice.weighted(_STATUSES),
        total_amount=total,
        refunded_amount=refund,
        refunded_at=refunded_at,
        currency=account.currency,
        updated_at=refunded_at or ordered,
    )


def _shop_campaign(company: Company, dice: Dice, ordered: datetime) -> str | None:
    if not dice.chance(20):
        return None
    running = [
        row["id"]
        for row in company.rows["campaigns"]
        if row["start_date"] and 0 <= (ordered.date() - row["start_date"]).days <= 60
    ]
    return dice.pick(running) if running else None


def _add_line(
    company: Company, dice: Dice, order: Row, product: str | None, quantity: float, total: Decimal
) -> None:
    # Most lines know their own cost per unit, the others take the product's.
    cost = None
    if dice.chance(82):
        per_unit = int(abs(total) * 100) // max(1, int(abs(quantity)))
        cost = money(per_unit * dice.between(28, 55) // 100)
    company.add(
        "order_items",
        id=company.new_id("order_items", "ori"),
        order_id=order["id"],
        product_id=product,
        quantity=quantity,
        total_amount=total,
        unit_cost=cost,
        updated_at=order["updated_at"],
    )
