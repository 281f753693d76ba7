"""Dirt at a low, known rate: what every CRM has and every number must survive.

Rows are added, or made to point elsewhere, so that the live records (`live.py`) stay what they
were before but for the references: deleted and test records with their children, losers of
merges, older copies, and references to nothing or to deleted records.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from crmetrics.testing.data.company import Company, Row
from crmetrics.testing.data.dice import Dice

# Dataset -> deleted, test and older copies in percent of its rows.
_RATES = {
    "accounts": (1.0, 1.0, 0),
    "contacts": (1.0, 1.0, 0.4),
    "leads": (0.8, 1.0, 0.6),
    "opportunities": (1.0, 0.8, 0.6),
    "orders": (0.6, 0.4, 0),
    "subscriptions": (0.6, 0.6, 0),
    "campaign_members": (0.3, 0, 0),
    "activities": (0.5, 0.2, 0.2),
    "cases": (0.6, 0.6, 0.4),
    "survey_responses": (0.3, 0.2, 0),
    "products": (3, 0, 0),
    "web_sessions": (0, 0.3, 0),
}
_CHILDREN = {
    "opportunities": (
        ("opportunity_stage_history", "opportunity_id"),
        ("opportunity_items", "opportunity_id"),
    ),
    "orders": (("order_items", "order_id"),),
    "cases": (("case_status_history", "case_id"), ("case_messages", "case_id")),
    "accounts": (("subscriptions", "account_id"), ("orders", "account_id")),
}
_MERGED_PERCENT = {"accounts": 2.0, "contacts": 1.5, "leads": 1.2, "cases": 1.0}
_REFERRERS = {
    "accounts": ("contacts", "opportunities", "orders", "subscriptions", "cases", "activities",
                 "leads", "survey_responses"),
    "contacts": ("cases", "activities", "campaign_members", "survey_responses"),
    "leads": ("activities", "campaign_members"),
    "cases": ("activities", "survey_responses"),
}  # fmt: skip
# Dataset, foreign key, percent of its rows that point to nothing.
_ORPHANS = (
    ("opportunities", "account_id", 0.5),
    ("opportunity_items", "product_id", 0.5),
    ("contacts", "account_id", 0.5),
    ("cases", "account_id", 0.5),
    ("activities", "user_id", 0.4),
    ("order_items", "product_id", 0.4),
    ("web_sessions", "campaign_id", 0.4),
    ("survey_responses", "user_id", 0.4),
)
_FORMER: dict[str, Row] = {
    "opportunities": {"stage": "Qualification", "is_closed": False, "is_won": False,
                      "closed_at": None, "lost_reason": None},
    "leads": {"status": "new", "converted_at": None, "converted_opportunity_id": None},
    "cases": {"status": "open", "is_closed": False, "closed_at": None},
    "contacts": {"lifecycle_stage": "subscriber"},
    "activities": {"is_completed": False},
}  # fmt: skip
"""What an older copy said before the last change."""


def add_dirt(company: Company) -> None:
    """Every kind of dirt, counted in `company.dirt` as (dataset, kind) -> rows."""
    dice = company.dice("dirt")
    for dataset, key, percent in _ORPHANS:
        rows = [row for row in company.rows[dataset] if row.get(key) is not None]
        for number, row in enumerate(dice.share(rows, percent)):
            row[key] = f"lost-{number:03d}"
            company.count_dirt(dataset, "orphan")
    for dataset, percent in _MERGED_PERCENT.items():
        _merge(company, dice, dataset, percent)
    for dataset, (deleted, test, older) in _RATES.items():
        clean = [row for row in company.rows[dataset] if row.get("merged_into_id") is None]
        for kind, percent in (("deleted", deleted), ("test", test)):
            if percent:
                _copy_with_children(company, dataset, dice.share(clean, percent), kind)
        if older:
            _add_older_copies(company, dice, dataset, dice.share(clean, older))
    _point_to_deleted(company, dice)


def _merge(company: Company, dice: Dice, dataset: str, percent: float) -> None:
    """Losers of merges, with some children of their survivor; the first survivor has a chain."""
    survivors = dice.share(company.rows[dataset], percent, least=2)
    losers: dict[str, list[str]] = {}
    for number, survivor in enumerate(survivors):
        losers[survivor["id"]] = [f"{survivor['id']}-m"]
        _add_loser(company, dataset, survivor, survivor["id"], number)
    first = survivors[0]
    _add_loser(company, dataset, {**first, "id": f"{first['id']}-m"}, f"{first['id']}-m", 1)
    losers[first["id"]].append(f"{first['id']}-m-m")
    key = f"{dataset.removesuffix('s')}_id"
    for referrer in _REFERRERS[dataset]:
        for row in company.rows[referrer]:
            if row.get(key) in losers and dice.chance(45):
                row[key] = dice.pick(losers[row[key]])


def _add_loser(company: Company, dataset: str, like: Row, into: str, number: int) -> None:
    loser = f"{like['id']}-m"
    # Sources delete the loser of a merge, but not all of them say so. A third of the losers are
    # older than their survivor, which then counts from the older day.
    hours = -5 if number % 3 == 0 else 5
    company.add(
        dataset,
        **{
            **like,
            "id": loser,
            "merged_into_id": into,
            "is_deleted": number % 2 == 0,
            "created_at": like["created_at"] + timedelta(hours=hours),
        },
    )
    company.count_dirt(dataset, "merged")
    if dataset == "cases":
        _copy_children(company, "cases", {into: loser}, "m", "merged")


def _copy_with_children(
    company: Company, dataset: str, originals: Iterable[Row], kind: str
) -> None:
    """Further records that no KPI may count; their children carry no flag of their own."""
    # The dataset is part of the suffix: an order may be copied itself and with its account.
    suffix = f"{kind[0]}{dataset[0]}"
    copies = {}
    for row in originals:
        copies[row["id"]] = f"{row['id']}-{suffix}"
        company.add(dataset, **{**row, "id": copies[row["id"]], f"is_{kind}": True})
        company.count_dirt(dataset, kind)
    _copy_children(company, dataset, copies, suffix, kind)


def _copy_children(
    company: Company, dataset: str, copies: dict[str, str], suffix: str, kind: str
) -> None:
    for child, key in _CHILDREN.get(dataset, ()):
        for row in [row for row in company.rows[child] if row[key] in copies]:
            company.add(child, **{**row, "id": f"{row['id']}-{suffix}", key: copies[row[key]]})
            company.count_dirt(child, f"child_of_{kind}")


def _add_older_copies(company: Company, dice: Dice, dataset: str, originals: Iterable[Row]) -> None:
    """The same id with an earlier `updated_at` and what the record said then, anywhere between."""
    for row in originals:
        earlier = {"updated_at": row["updated_at"] - timedelta(days=3)}
        place = dice.between(0, len(company.rows[dataset]))
        company.rows[dataset].insert(place, {**row, **_FORMER[dataset], **earlier})
        company.count_dirt(dataset, "duplicate")


def _point_to_deleted(company: Company, dice: Dice) -> None:
    """Live deals of a deleted account or user: they count, but belong to no group."""
    accounts = [row["id"] for row in company.rows["accounts"] if row["id"].endswith("-da")]
    deals: dict[str, list[Row]] = {}
    for row in company.rows["opportunities"]:
        deals.setdefault(row["id"], []).append(row)
    for identity in dice.share(list(deals), 0.4, least=2):
        change = (
            {"account_id": dice.pick(accounts)} if dice.chance(60) else {"owner_id": "usr-gone"}
        )
        for row in deals[identity]:
            row.update(change)
        company.count_dirt("opportunities", "deleted_reference")
