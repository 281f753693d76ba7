"""Products, accounts and their contacts."""

from __future__ import annotations

from datetime import date, timedelta

from crmetrics.testing.data.company import Account, Company, Row
from crmetrics.testing.data.dice import Dice, money, workday

SEGMENTS = (("enterprise", 16), ("mid_market", 34), ("smb", 50))
CURRENCIES = {"US": "USD", "CA": "USD", "DE": "EUR", "FR": "EUR", "NL": "EUR", "GB": "GBP"}
"""Billing currency by country; Swiss accounts pay in CHF, for which nobody maintains a rate."""

_COUNTRIES = (("US", 46), ("DE", 15), ("GB", 13), ("FR", 8), ("CA", 8), ("NL", 7), ("CH", 3))
_INDUSTRIES = ("software", "manufacturing", "retail", "health", "finance", "logistics", "education")
_OPTED_OUT_PERCENT = 6

PRODUCTS = (
    # name, family, tier, cost in cents, currency
    ("Platform Starter", "Platform", 1, 1_200, "USD"),
    ("Platform Business", "Platform", 2, 3_400, "USD"),
    ("Platform Enterprise", "Platform", 3, 9_800, "USD"),
    ("Analytics Basic", "Analytics", 1, 900, "USD"),
    ("Analytics Pro", "Analytics", 2, 2_600, "USD"),
    ("Support Standard", "Support", 1, 1_500, "EUR"),
    ("Support Premium", "Support", 2, 4_100, "EUR"),
    ("Gateway S", "Hardware", 1, 11_000, "USD"),
    ("Gateway L", "Hardware", 2, 24_500, "USD"),
    ("Onboarding", "Services", None, 6_000, "USD"),
    ("Custom work", "Services", None, None, None),
    ("Gift card", None, None, 0, "USD"),
)


def add_products(company: Company) -> None:
    """Four families with tiers, and products without tier, family or cost."""
    created = company.dice("products").office_time(company.start - timedelta(days=800))
    for name, family, tier, cost, currency in PRODUCTS:
        company.add(
            "products",
            id=company.new_id("products", "prd"),
            name=name,
            family=family,
            tier_rank=tier,
            unit_cost=None if cost is None else money(cost),
            currency=currency,
            updated_at=created,
        )


def add_accounts(company: Company) -> None:
    """Accounts: almost half exist before the start, the others arrive over the window."""
    dice = company.dice("accounts")
    total = company.sized(300)
    before = total * 45 // 100
    days = [workday(company.start - timedelta(days=dice.between(20, 900))) for _ in range(before)]
    days += list(company.days(dice, total - before, growth=140))
    for day in sorted(days):
        _add_account(company, dice, day)
    for child in dice.share(company.accounts, 6):
        child.row["parent_account_id"] = dice.pick(company.accounts).id
        if child.row["parent_account_id"] == child.id:
            child.row["parent_account_id"] = None


def _add_account(company: Company, dice: Dice, day: date) -> None:
    segment = dice.weighted(SEGMENTS)
    country = dice.weighted(_COUNTRIES)
    team = "Enterprise" if segment == "enterprise" else dice.pick(("Commercial East",
                                                                   "Commercial West"))  # fmt: skip
    identity = company.new_id("accounts", "acc")
    created = dice.office_time(day)
    row = company.add(
        "accounts",
        id=identity,
        account_type="partner" if dice.chance(2) else "prospect",
        segment=segment if dice.chance(97) else None,
        industry=dice.pick(_INDUSTRIES),
        country=country,
        owner_id=dice.pick(company.active_users(team, company.end)).id,
        created_at=created,
        updated_at=created,
    )
    company.accounts.append(
        Account(row, identity, segment, CURRENCIES.get(country, "CHF"), team, day)
    )


def add_contacts(company: Company) -> None:
    """One to four contacts per account, more at larger ones, and a few without an employer."""
    dice = company.dice("contacts")
    for account in company.accounts:
        for _ in range(dice.between(1, {"enterprise": 5, "mid_market": 3}.get(account.segment, 2))):
            day = min(account.created + timedelta(days=dice.around(30)), company.exported_day)
            row = _add_contact(company, dice, workday(day), account)
            account.contacts.append(row["id"])
    for day in company.days(dice, company.sized(12)):
        _add_contact(company, dice, day, None)
        company.count_dirt("contacts", "null_account")


def _add_contact(company: Company, dice: Dice, day: date, account: Account | None) -> Row:
    created = min(dice.office_time(day), company.exported_at - timedelta(minutes=5))
    return company.add(
        "contacts",
        id=company.new_id("contacts", "con"),
        account_id=account.id if account else None,
        owner_id=account.row["owner_id"] if account else None,
        lifecycle_stage="lead",
        email_opted_out=dice.chance(_OPTED_OUT_PERCENT),
        created_at=created,
        updated_at=created,
    )


def set_customer_fields(company: Company) -> None:
    """Complete accounts and contacts with what the subscriptions made of them."""
    dice = company.dice("customer fields")
    stages = {}
    for account in company.accounts:
        if account.customer_since is not None:
            _set_customer(company, dice, account)
        kind = account.row["account_type"]
        stages[account.id] = "customer" if kind == "customer" else None
    for contact in company.rows["contacts"]:
        contact["lifecycle_stage"] = stages.get(contact["account_id"]) or dice.pick(
            ("subscriber", "lead", "mql", "sql", "opportunity")
        )


def _set_customer(company: Company, dice: Dice, account: Account) -> None:
    row = account.row
    today = company.exported_day - timedelta(days=1)
    since = account.customer_since
    assert since is not None
    if dice.chance(80):
        row["customer_since_at"] = dice.office_time(since)
    row["updated_at"] = max(row["updated_at"], dice.office_time(min(since, today)))
    row["account_type"] = "customer"
    if not account.is_customer_on(today):
        row["account_type"] = "former_customer"
        row["churn_reason"] = dice.pick(("price", "competitor", "closed business", None))
        ended = max(end for _, end in account.active if end is not None)
        row["updated_at"] = max(row["updated_at"], dice.office_time(min(ended, today)))
    if account.is_loyal:
        joined = dice.office_time(workday(since + timedelta(days=dice.between(5, 200))))
        if company.is_over(joined):
            row["loyalty_joined_at"] = joined
            row["updated_at"] = max(row["updated_at"], joined)
    if dice.chance(40):
        row["is_referenceable"] = dice.chance(55)
