"""The sample CRM: the themes put together, as records and as Arrow tables."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from crmetrics.datasets import Dataset, canonical_datasets
from crmetrics.periods import add_months
from crmetrics.testing.data import (
    accounts,
    buying,
    dirt,
    finance,
    leads,
    marketing,
    outreach,
    people,
    pipeline,
    service,
    subscriptions,
    surveys,
    targets,
)
from crmetrics.testing.data.company import Company, Row

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics.testing.data.truth import Truth

# In this order: each theme reads what the ones before it made.
_THEMES = (
    people.add_users,
    finance.add_exchange_rates,
    accounts.add_products,
    accounts.add_accounts,
    accounts.add_contacts,
    subscriptions.seed_customers,
    marketing.add_campaigns,
    pipeline.add_opportunities,
    subscriptions.add_subscriptions,
    accounts.set_customer_fields,
    leads.add_leads,
    marketing.add_campaign_members,
    marketing.add_marketing_spend,
    marketing.add_web_sessions,
    buying.add_orders,
    outreach.add_activities,
    service.add_cases,
    surveys.add_surveys,
    people.add_training,
    people.add_user_activity,
    finance.add_expenses,
    finance.add_benefits,
    targets.add_quotas,
    targets.add_forecasts,
)


class SampleCrm:
    """A believable CRM, the same for a seed on every machine.

    seed: another seed is another company. scale: 1 gives about 300 accounts, 2,500 opportunities
    and 65,000 rows in total; the number of rows grows with it (about 1 kB of memory each).
    end: the first day after the reported months, the first of a month; start: 36 months earlier
    unless given. The export is made ten days after the end, so that some events lie behind it.

    The story: enterprise deals are few, large and slow, small business is the reverse; quarter ends
    are strong and summers quiet; Commercial West loses its deals from 15 months before the end on.
    """

    def __init__(
        self,
        seed: int = 7,
        scale: float = 1.0,
        end: date = date(2026, 1, 1),
        *,
        start: date | None = None,
        is_dirty: bool = True,
    ) -> None:
        company = Company(seed, scale, start or add_months(end, -36), end)
        for add in _THEMES:
            add(company)
        if is_dirty:
            dirt.add_dirt(company)
        self.seed, self.scale = seed, scale
        self.start, self.end = company.start, company.end
        self.exported_at = company.exported_at
        self.records: Mapping[str, list[Row]] = company.rows
        self.dirt: Mapping[tuple[str, str], int] = company.dirt
        """Planned defects: (dataset, kind) -> number of rows."""

    @cached_property
    def datasets(self) -> dict[str, Dataset]:
        return canonical_datasets()

    @cached_property
    def tables(self) -> dict[str, pa.Table]:
        """The 27 canonical datasets as Arrow, with exactly their columns; `source` is `sample`."""
        return {name: self.table(name) for name in self.datasets}

    def table(self, dataset: str) -> pa.Table:
        """One dataset as Arrow."""
        from crmetrics.testing.data.tables import to_table

        return to_table(self.datasets[dataset], self.records[dataset])

    @cached_property
    def truth(self) -> Truth:
        """The known answers for the reporting zone UTC."""
        return self.truth_in("UTC")

    def truth_in(self, timezone: str) -> Truth:
        """The known answers for another reporting zone."""
        from crmetrics.testing.data.truth import Truth

        return Truth(self.records, self.start, self.end, timezone=timezone)

    def write_csv(self, directory: str | Path, *, split: bool = False) -> list[Path]:
        """One CSV per dataset; see `tables.write_csv`. Returns the files written."""
        from crmetrics.testing.data.tables import write_csv

        return write_csv(self.tables, Path(directory), split=split)

    def write_parquet(self, directory: str | Path, *, split: bool = False) -> list[Path]:
        """One Parquet file per dataset; see `tables.write_parquet`. Returns the files written."""
        from crmetrics.testing.data.tables import write_parquet

        return write_parquet(self.tables, Path(directory), split=split)
