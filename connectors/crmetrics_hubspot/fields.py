"""The fields that the connector adds to a record's properties, for mappings to read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from crmetrics_hubspot import closing, ending, touches
from crmetrics_hubspot.account import Account
from crmetrics_hubspot.associations import FIELDS as ASSOCIATED
from crmetrics_hubspot.associations import chosen, read_ties
from crmetrics_hubspot.forecasts import FIELDS as FORECAST_FIELDS
from crmetrics_hubspot.forecasts import Forecasts
from crmetrics_hubspot.goals import FIELDS as GOAL_FIELDS
from crmetrics_hubspot.goals import Goals
from crmetrics_hubspot.objects import PAGE, Objects
from crmetrics_hubspot.pipelines import PROPERTIES, STAGE_FIELDS
from crmetrics_hubspot.values import INSTANT, Misfits, instant_of, typed

ENVELOPE_FIELDS = ("id", "archived", "changed_at")

_BEHIND: Mapping[str, str] = {
    "team_label": "hubspot_team_id",
    "unqualified_at": "hs_lead_status",
}
"""Fields made from a property."""

_UNQUALIFIED = "UNQUALIFIED"
_PLANS: Mapping[str, Sequence[str]] = {**GOAL_FIELDS, **FORECAST_FIELDS}
_PLANS_OF = {"goal_targets": GOAL_FIELDS, "forecasts": FORECAST_FIELDS}

_PLAIN = ("company_currency", "company_of_contact", "company_of_deal", "deal_is_won",
          "owner_of_ticket", touches.FIELD)  # fmt: skip


def is_added(name: str, kind: str) -> bool:
    """True for a field that the connector can add to records of this type."""
    if name in STAGE_FIELDS:
        return kind in PROPERTIES
    if name in _PLANS:
        return name in _PLANS_OF.get(kind, ())
    if name == closing.FIELD:
        return kind == "deals"
    if name == ending.FIELD:
        return kind == "subscriptions"
    return name in ENVELOPE_FIELDS or name in ASSOCIATED or name in _BEHIND or name in _PLAIN


def is_reached(name: str, account: Account) -> bool:
    """Whether the token reaches what an added field is made from: the other object, or owners."""
    if name in ASSOCIATED:
        return account.reaches(ASSOCIATED[name])
    if name == "owner_of_ticket":
        return account.reaches("tickets")
    if name == "company_of_contact":
        return account.reaches("contacts") and account.reaches("companies")
    if name == ending.FIELD:
        return ending.STATUS in account.properties.of("subscriptions")
    if name == touches.FIELD:
        return account.reaches("contacts") and account.reaches_campaigns
    if name == "team_label":
        return account.reaches_owners
    if name == "company_of_deal":
        return account.reaches("deals") and account.reaches("companies")
    return name != "deal_is_won" or account.reaches("deals")


_THROUGH: Mapping[str, str] = {"company_of_deal": "company_of_contact"}
"""Added fields that hold less, and not nothing, without another one."""


def with_through(names: Iterable[str]) -> list[str]:
    """These fields, and those without which they hold less."""
    found = list(names)
    return found + [_THROUGH[name] for name in found if name in _THROUGH]


def properties_behind(names: Sequence[str], kind: str) -> list[str]:
    """The properties that these added fields are made from."""
    found = [_BEHIND[name] for name in names if name in _BEHIND]
    found += [behind for name in names for behind in _PLANS.get(name, ())]
    if closing.FIELD in names:
        found += closing.BEHIND
    if ending.FIELD in names:
        found += ending.BEHIND
    if STAGE_FIELDS & set(names):
        found += PROPERTIES[kind]
    return found


_OF_DEAL_STAGES = {"deal_is_won", "goal_kpi", "forecast_counts"}
"""Fields of other objects that rest on the pipelines of deals."""


class AddedFields:
    """Makes the added fields of a batch of records of one type.

    labels: object -> the association label that counts.
    """

    def __init__(
        self, account: Account, kind: str, names: Sequence[str], labels: Mapping[str, str]
    ) -> None:
        self._account, self._kind, self._labels = account, kind, labels
        self._names = [name for name in names if name not in ENVELOPE_FIELDS]
        self._plans: Goals | Forecasts | None = None
        self._endings: ending.Endings | None = None
        self._touches: touches.FirstTouches | None = None
        self._strays: set[str] = set()

    @property
    def reach(self) -> bool:
        """Whether all of them come as they would with every scope: a company through a contact is
        null without the contacts."""
        is_through = {"company_of_contact", "company_of_deal"} & set(self._names)
        return not is_through or self._account.reaches("contacts")

    @property
    def staged(self) -> set[str]:
        """The objects whose pipelines say what these fields are."""
        own = {self._kind} if STAGE_FIELDS & set(self._names) else set()
        if _OF_DEAL_STAGES & set(self._names) and self._account.reaches("deals"):
            return own | {"deals"}
        return own

    def notices(self) -> list[str]:
        """What to tell the user of the records so far."""
        return self._plans.notices() if self._plans else []

    def remarks(self) -> list[str]:
        """What to tell besides: values that do not fit, and ends that HubSpot does not date."""
        unfit = self._plans.unfit() if self._plans else []
        ends = self._endings.notices() if self._endings else []
        met = self._touches.notices(self._kind) if self._touches else []
        return [*unfit, *ends, *met, *self._of_strays()]

    def _of_strays(self) -> list[str]:
        if self._kind != "tickets" or not self._strays:
            return []
        return [
            f"tickets: {len(self._strays)} are in a stage that no pipeline has any more. They are "
            "closed as hs_is_closed says, or where it says nothing, when they have a close date; "
            "move them in HubSpot, or map is_closed under `columns:`."
        ]

    def of(
        self, ids: Sequence[str], are_archived: Sequence[bool], texts: Callable[[str], Any]
    ) -> dict[str, Any]:
        """Name -> column. texts: gives a property as it came."""
        found: dict[str, Any] = {}
        if STAGE_FIELDS & set(self._names):
            pipeline, stage = PROPERTIES[self._kind]
            pipelines = self._account.pipelines(self._kind)
            found |= pipelines.fields(texts(pipeline), texts(stage))
            pairs = zip(ids, are_archived, texts(stage).to_pylist(), strict=True)
            self._strays |= {
                name for name, gone, s in pairs if s and not gone and s not in pipelines.stages
            }
        tied: dict[str, list[str | None]] = {}
        for name in self._names:
            if name in ASSOCIATED:
                tied[name] = self._tied(ids, ASSOCIATED[name])
                found[name] = _column(tied[name])
            elif name in _PLANS:
                found[name] = self._of_plans().of(name, len(ids), texts)
            elif name == closing.FIELD:
                made, ends = (texts(behind) for behind in closing.BEHIND)
                found[name] = closing.are_default(made, ends, self._account.zone)
            elif name == ending.FIELD:
                found[name] = self._of_endings().of(ids, are_archived, texts)
            elif name == "unqualified_at":
                found[name] = self._unqualified(ids, texts("hs_lead_status").to_pylist())
            elif name in _BEHIND:
                teams = self._account.teams
                found[name] = _column(
                    [teams.get(v or "") for v in texts(_BEHIND[name]).to_pylist()]
                )
            elif name == "company_currency":
                found[name] = pa.repeat(pa.scalar(self._account.currency), len(ids))
        return found | self._further(ids, tied)

    def _of_plans(self) -> Goals | Forecasts:
        if self._plans is None:
            known = frozenset(self._account.properties.of(self._kind))
            made = Goals if self._kind == "goal_targets" else Forecasts
            self._plans = made(self._account, known)
        return self._plans

    def _of_endings(self) -> ending.Endings:
        if self._endings is None:
            known = frozenset(self._account.properties.of(self._kind))
            self._endings = ending.Endings(self._account, known)
        return self._endings

    def _tied(self, ids: Sequence[str], other: str) -> list[str | None]:
        ties = read_ties(self._account.api, self._kind, other, ids)
        label = self._labels.get(other, "")
        return [chosen(ties.get(name, {}), label) for name in ids]

    def _unqualified(self, ids: Sequence[str], states: Sequence[str | None]) -> Any:
        """When those that are unqualified now first became so: the history of a few records."""
        named = [record for record, state in zip(ids, states, strict=True) if state == _UNQUALIFIED]
        objects = Objects(self._account.api, self._kind, (), ("hs_lead_status",))
        first: dict[str, str] = {}
        for start in range(0, len(named), objects.page):
            for record in json.loads(objects.of(named[start : start + objects.page]))["results"]:
                versions = (record.get("propertiesWithHistory") or {}).get("hs_lead_status") or ()
                told = [v.get("timestamp") for v in versions if v.get("value") == _UNQUALIFIED]
                stamps = [at for text in told if (at := instant_of(text))]
                if stamps:
                    first[str(record["id"])] = min(stamps).isoformat()
        texts = pa.RecordBatch.from_arrays([_column([first.get(n) for n in ids])], names=["at"])
        return typed(texts, {"at": INSTANT}, Misfits(self._kind))[0]

    def _further(self, ids: Sequence[str], tied: Mapping[str, list[str | None]]) -> dict[str, Any]:
        """Fields of associated records: the ticket's owner, the deal's company and outcome."""
        found: dict[str, Any] = {}
        api = self._account.api
        if touches.FIELD in self._names:
            found[touches.FIELD] = self._first_touches(ids, tied)
        if "owner_of_ticket" in self._names:
            tickets = tied.get("associated_ticket") or self._tied(ids, "tickets")
            owners = _values(Objects(api, "tickets", ("hubspot_owner_id",)), tickets)
            found["owner_of_ticket"] = _column([owners.get(t or "") for t in tickets])
        if "company_of_contact" in self._names:
            own = tied.get("associated_company") or [None] * len(ids)
            found["company_of_contact"] = _column(self._through_contacts(self._kind, ids, own))
        if {"company_of_deal", "deal_is_won"} & set(self._names):
            found |= self._of_deals(tied.get("associated_deal") or self._tied(ids, "deals"))
        return found

    def _of_deals(self, deals: Sequence[str | None]) -> dict[str, Any]:
        """The company and the outcome of the deal of each record, as far as they are wanted."""
        found: dict[str, Any] = {}
        api, named = self._account.api, sorted({deal for deal in deals if deal})
        if "company_of_deal" in self._names:
            ties = read_ties(api, "deals", "companies", named)
            own = [chosen(ties.get(name, {})) for name in named]
            through = self._through_contacts("deals", named, own)
            companies = {n: o or t for n, o, t in zip(named, own, through, strict=True)}
            found["company_of_deal"] = _column([companies.get(deal or "") for deal in deals])
        if "deal_is_won" in self._names:
            stages = _values(Objects(api, "deals", ("dealstage",)), deals)
            won = self._account.pipelines("deals").stages
            found["deal_is_won"] = pa.array(
                [(s := won.get(stages.get(d or "") or "")) is not None and s.is_won for d in deals],
                pa.bool_(),
            )
        return found

    def _first_touches(self, ids: Sequence[str], tied: Mapping[str, list[str | None]]) -> Any:
        """The campaign that the contact, or the associated contact, met first."""
        if self._touches is None:
            self._touches = touches.FirstTouches(self._account)
        if self._kind == "contacts":
            return self._touches.of(ids)
        return self._touches.of(tied.get("associated_contact") or self._tied(ids, "contacts"))

    def _through_contacts(
        self, kind: str, ids: Sequence[str], own: Sequence[str | None]
    ) -> list[str | None]:
        """The company of the contact, for records without one of their own; None for others."""
        lone = [name for name, company in zip(ids, own, strict=True) if company is None]
        if not self._account.reaches("contacts"):
            return [None] * len(ids)
        tied = read_ties(self._account.api, kind, "contacts", lone)
        label = self._labels.get("contacts", "")
        contacts = {name: chosen(found, label) for name, found in tied.items()}
        named = sorted({contact for contact in contacts.values() if contact})
        ties = read_ties(self._account.api, "contacts", "companies", named)
        companies = {name: chosen(found) for name, found in ties.items()}
        return [companies.get(contacts.get(name) or "") for name in ids]


def _values(objects: Objects, ids: Sequence[str | None]) -> dict[str, str | None]:
    """Record -> the one property that is read of it."""
    (name,) = objects.properties
    named = sorted({record for record in ids if record})
    found: dict[str, str | None] = {}
    for start in range(0, len(named), PAGE):
        for record in json.loads(objects.of(named[start : start + PAGE]))["results"]:
            found[str(record["id"])] = record["properties"].get(name)
    return found


def _column(values: list[str | None]) -> Any:
    return pa.array(values, pa.string())
