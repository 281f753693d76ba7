"""A CRM that lives on between reads: what was read in steps is what a fresh read gives."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from connectors.salesforce.sites import Site
from crmetrics.testing.data import SampleCrm
from crmetrics.testing.data.live import LiveRecords
from simulators.salesforce import Org, SalesforceSimulator
from simulators.salesforce.sample import serve_sample
from simulators.salesforce.sample.selling import STAGES
from simulators.salesforce.sample.service import STATUSES

ABSENT = ("web_sessions", "training_enrollments", "expenses", "benefits")
SEED, ROUNDS, CHANGES = 1, 3, 120
MERGEABLE = ("Account", "Contact", "Lead", "Case")
PURGEABLE = ("Lead", "Opportunity", "OpportunityLineItem", "Case", "Task", "Event",
             "Order", "CampaignMember", "EmailMessage", "AssetStatePeriod")  # fmt: skip
"""Without the bin in between. Not what other records are shown through: accounts leave children
behind, which a fresh read takes for orphans; a contact tells the account of a survey."""
DELETABLE = (*MERGEABLE, "Opportunity", "OpportunityLineItem", "Task", "Event", "Order",
             "CampaignMember", "EmailMessage", "AssetStatePeriod")  # fmt: skip


class Life:
    """What people do in an org, by seeded chance."""

    def __init__(self, org: Org, seed: int) -> None:
        self.org = org
        self.dice = random.Random(seed)

    def pick(self, name: str, *, is_deleted: bool = False) -> str:
        records = self.org.objects[name].records.values()
        return str(self.dice.choice([r["Id"] for r in records if r["IsDeleted"] is is_deleted]))

    def move_deal(self) -> None:
        deal = self.pick("Opportunity")
        stage, is_closed, is_won, category, shown = self.dice.choice(STAGES)
        amount = self.dice.randint(1, 90) * 100
        self.org.update(deal, StageName=stage, IsClosed=is_closed, IsWon=is_won, Amount=amount,
                        ForecastCategory=category, ForecastCategoryName=shown)  # fmt: skip
        self.org.create("OpportunityHistory", OpportunityId=deal, StageName=stage, Amount=amount,
                        CurrencyIsoCode="USD", Probability=50)  # fmt: skip

    def move_case(self) -> None:
        case = self.pick("Case")
        status, is_closed = self.dice.choice(STATUSES)
        found = self.org.find(case)
        assert found is not None
        if found["Status"] == status:
            return
        self.org.create("CaseHistory", CaseId=case, Field="Status", OldValue=found["Status"],
                        NewValue=status)  # fmt: skip
        closed = self.org.now() if is_closed else None
        self.org.update(case, Status=status, IsClosed=is_closed, ClosedDate=closed)

    def escalate(self) -> None:
        case = self.pick("Case")
        self.org.create("CaseHistory", CaseId=case, Field="IsEscalated", OldValue="false",
                        NewValue="true")  # fmt: skip

    def refund(self) -> None:
        self.org.create("Order", OriginalOrderId=self.pick("Order"), IsReductionOrder=True,
                        TotalAmount=-self.dice.randint(1, 50), EffectiveDate=self.org.now().date(),
                        Status="Activated", StatusCode="A")  # fmt: skip

    def invite(self) -> None:
        self.org.create("CampaignMember", CampaignId=self.pick("Campaign"),
                        LeadId=self.pick("Lead"), Status="Sent")  # fmt: skip

    def answer(self) -> None:
        invitation = self.pick("SurveyInvitation")
        self.org.create("SurveyResponse", InvitationId=invitation, Status="Completed",
                        CompletionDateTime=self.org.now())  # fmt: skip

    def rename(self) -> None:
        account = self.pick("Account")
        self.org.update(account, Industry=f"industry {self.dice.randint(1, 99)}")

    def delete(self) -> None:
        self.org.delete(self.pick(self.dice.choice(DELETABLE)))

    def restore(self) -> None:
        name = self.dice.choice(("Account", "Opportunity", "Lead"))
        records = self.org.objects[name].records.values()
        gone = [r["Id"] for r in records if r["IsDeleted"] and not r.get("MasterRecordId")]
        if gone:
            self.org.undelete(self.dice.choice(gone))

    def purge(self) -> None:
        self.org.purge(self.pick(self.dice.choice(PURGEABLE)))

    def merge(self) -> None:
        name = self.dice.choice(MERGEABLE)
        survivor, loser = self.pick(name), self.pick(name)
        if survivor != loser:
            self.org.merge(survivor, loser)

    @property
    def deeds(self) -> list[Callable[[], None]]:
        usual = [self.move_deal, self.move_case, self.rename, self.invite]
        rare = [self.escalate, self.refund, self.answer, self.delete, self.restore, self.purge,
                self.merge]  # fmt: skip
        return [*usual * 3, *rare]


def live(site: Site, datasets: Sequence[str]) -> LiveRecords:
    """The records of a warehouse as KPIs see them, by loops that know nothing of the engine."""
    known = site.project.registry.datasets
    found = {}
    for dataset in datasets:
        names = [column.name for column in known[dataset].columns]
        rows = site.rows(dataset, *names)
        found[dataset] = [dict(zip(names, row, strict=True)) for row in rows]
    return LiveRecords(found)


@pytest.mark.slow
def test_reads_in_steps_give_what_one_fresh_read_gives(tmp_path: Path) -> None:
    with SalesforceSimulator(is_multi_currency=True) as salesforce:
        serve_sample(salesforce.org, SampleCrm(seed=SEED, scale=0.05))
        stepwise = Site(tmp_path / "stepwise", salesforce)
        datasets = [name for name in stepwise.project.registry.datasets if name not in ABSENT]
        stepwise.only = datasets
        stepwise.synced()
        life = Life(salesforce.org, SEED)
        for _ in range(ROUNDS):
            for _ in range(CHANGES):
                salesforce.clock.advance(life.dice.randint(0, 90))
                life.dice.choice(life.deeds)()
            stepwise.later(minutes=20)
            stepwise.synced()
        fresh = Site(tmp_path / "fresh", salesforce, only=datasets)
        fresh.synced()
        ours, theirs = live(stepwise, datasets), live(fresh, datasets)
        told = []
        for dataset in (name for name in datasets if name != "exchange_rates"):
            found, expected = (
                Counter(tuple(row.items()) for row in map(plain, records.rows(dataset)))
                for records in (ours, theirs)
            )
            if found != expected:
                more, less = sorted(found - expected), sorted(expected - found)
                told.append(f"{dataset}: +{len(more)} {more[:1]}, -{len(less)} {less[:1]}")
        assert not told, "\n".join(told)


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Without what only tells of the reading."""
    return {key: value for key, value in row.items() if key not in ("source", "updated_at")}
