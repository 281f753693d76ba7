"""The settings of the KPIs (rule Q8 of the catalogue): names, types, defaults, meaning.

A setting stands flat under `metrics.settings`, or under the id of the KPI it is for; the KPI's own
value wins over the flat one, the flat one over the default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from itertools import pairwise
from typing import Annotated, Any, Literal

from msgspec import Struct, field
from pydantic import AfterValidator, Field

from crmetrics.config.expectations import (
    Count,
    CountOrZero,
    Number,
    PositiveDuration,
    Text,
    Timezone,
    Unique,
    expected,
    stated,
)
from crmetrics.options import Options


def _ascending(bounds: tuple[float, ...]) -> tuple[float, ...]:
    if any(later <= earlier for earlier, later in pairwise(bounds)):
        raise stated("the bounds must rise from the first to the last")
    return bounds


def _clock(value: str) -> str:
    match = re.fullmatch(r"(\d\d?):(\d\d)", value)
    if not match or int(match[2]) > 59 or int(match[1]) * 60 + int(match[2]) > 24 * 60:
        raise expected("a time of day such as 09:00")
    return f"{int(match[1]):02d}:{match[2]}"


def _opening(hours: tuple[str, str]) -> tuple[str, str]:
    if hours[0] >= hours[1]:
        raise stated("the opening time must lie before the closing time")
    return hours


Bounds = Annotated[tuple[Number, ...], Field(min_length=1), AfterValidator(_ascending)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
PositiveNumber = Annotated[Number, Field(gt=0)]
NumberOrZero = Annotated[Number, Field(ge=0)]
Texts = tuple[str, ...]
Clock = Annotated[str, AfterValidator(_clock)]
WorkDay = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class TeamHours(Options):
    """When a team works; what it leaves out is as in the default."""

    weekdays: Annotated[tuple[WorkDay, ...], Field(min_length=1), Unique] = (
        "mon",
        "tue",
        "wed",
        "thu",
        "fri",
    )
    hours: Annotated[tuple[Clock, Clock], AfterValidator(_opening)] = ("09:00", "17:00")
    holidays: tuple[date, ...] = ()
    timezone: Timezone | None = Field(default=None, description="default: the reporting zone")


def _teams(teams: dict[str, TeamHours]) -> dict[str, TeamHours]:
    if any(not team.strip() for team in teams):
        raise stated("a team without a name")
    return {"default": TeamHours(), **teams}


class Setting(Struct, frozen=True):
    """One setting.

    type: what its value must be, as a pydantic annotation. default: None = unset. kpis: the KPIs
    that alone read it (it is checked under their id); empty = every KPI that has the concept.
    per_kpi: defaults of single KPIs.
    """

    type: Any
    about: str
    default: Any = None
    kpis: tuple[str, ...] = ()
    per_kpi: Mapping[str, Any] = field(default_factory=dict)


SETTINGS: Mapping[str, Setting] = {
    "customer_model": Setting(
        Literal["subscription", "purchase", "field"],
        "what makes a customer; default: subscription if subscriptions are loaded, else purchase "
        "if orders are, else field",
    ),
    "purchase_days": Setting(Count, "days that a purchase keeps a customer active", 365),
    "grace_days": Setting(CountOrZero, "gap in days that does not end a subscription", 0),
    "min_sample": Setting(
        CountOrZero,
        "denominator below which a value is flagged low_sample",
        20,
        per_kpi={"net_promoter_score": 10, "nps_by_product": 10, "csat": 10},
    ),
    "min_base": Setting(PositiveNumber, "smallest previous value for a relative change"),
    "min_coverage": Setting(Fraction, "share of rows used below which a value is marked", 0.95),
    "max_age": Setting(PositiveDuration, "age of a source from which its values are stale"),
    "restate_periods": Setting(CountOrZero, "earlier periods that each run computes again", 2),
    "restate_threshold": Setting(NumberOrZero, "smallest change that is reported again", 0),
    "alerts": Setting(bool, "values unlike those before them are told as unusual", True),
    "alert_below": Setting(Number, "value below which it is told as unusual"),
    "alert_above": Setting(Number, "value above which it is told as unusual"),
    "alert_change": Setting(
        PositiveNumber, "relative change that is unusual where most values are equal", 0.5
    ),
    "exclude_lost_reasons": Setting(
        Texts, "deals lost for these reasons do not count", (), ("win_rate",)
    ),
    "exclude_lead_sources": Setting(Texts, "leads of these sources do not count", ()),
    "top_n": Setting(
        Count, "groups shown, the rest is (other); default: 10 in messages, all in tables"
    ),
    "max_attempts": Setting(
        Count, "attempts without an answer that make a lead unresponsive", 5,
        ("unresponsive_prospects",),
    ),
    "last_sends": Setting(
        Count, "sends without a reaction that make a contact disengaged", 5,
        ("disengaged_contacts",),
    ),
    "missing_as_zero": Setting(
        bool, "a forecast that was never given counts as zero", False,
        ("sales_forecast_accuracy",),
    ),
    "merge_same_day": Setting(
        bool, "orders of one day count as one", False, ("repeat_purchase_rate",)
    ),
    "max_lifespan_years": Setting(
        PositiveNumber, "upper limit of the lifespan", None, ("customer_lifetime_value",)
    ),
    "lifespan_years": Setting(
        PositiveNumber, "lifespan to use instead of the measured one", None,
        ("customer_lifetime_value",),
    ),
    "orders_from": Setting(
        Literal["orders", "opportunities"], "what stands for orders", "orders"
    ),
    "cogs_from": Setting(
        Literal["lines", "ledger"], "costs of goods: order lines or expenses", "lines",
    ),
    "bulk_import_size": Setting(
        Count, "records created at once that count as an import", 200,
        ("user_activity_frequency",),
    ),
    "lag_days": Setting(
        CountOrZero, "lag of the variants `lagged`; default: the median sales cycle"
    ),
    "business_hours": Setting(
        Annotated[dict[str, TeamHours], AfterValidator(_teams)],
        "working hours by team; `default` for teams that are not named",
        {"default": {
            "weekdays": ("mon", "tue", "wed", "thu", "fri"),
            "hours": ("09:00", "17:00"),
            "holidays": (),
            "timezone": None,
        }},
    ),
    "amount_bands": Setting(Bounds, "bounds of amount_band and value_band", (1000, 10000, 100000)),
    "age_bands": Setting(Bounds, "bounds of age_band in days", (1, 3, 7, 30)),
    "tenure_bands": Setting(Bounds, "bounds of tenure_band in days", (90, 365)),
    "window_days": Setting(Count, "days of the window; default: the window of the KPI"),
    "target_seconds": Setting(
        PositiveNumber,
        "target of the variants `within_target`",
        None,
        ("lead_response_time", "first_response_time"),
        {"lead_response_time": 900, "first_response_time": 3600},
    ),
    "base": Setting(
        Literal["won_amount", "revenue"], "what grows", "won_amount", ("sales_growth_rate",)
    ),
    "lock_days": Setting(
        CountOrZero, "days into the period until the forecast is final", 0,
        ("sales_forecast_accuracy",),
    ),
    "channel_to_lead_source": Setting(
        dict[str, str], "channel of the spend: lead source it belongs to", {}, ("cost_per_lead",)
    ),
    "threshold": Setting(
        Fraction, "share of the scale from which an answer is satisfied", 0.75,
        ("csat", "escalation_rate"),
    ),
    "exclude_families": Setting(
        Texts, "product families left out", (), ("items_per_order",)
    ),
    "cac_periods": Setting(
        Count, "periods over which acquisition costs are averaged", 3, ("ltv_to_cac_ratio",)
    ),
    "required_fields": Setting(
        dict[str, tuple[Text, ...]], "dataset: columns that must be filled", None,
        ("data_completeness_rate",),
    ),
    "placeholders": Setting(
        Texts, "texts that count as empty", ("", "n/a", "unknown", "-"),
        ("data_completeness_rate",),
    ),
    "zero_is_empty": Setting(
        Texts, "columns whose 0 counts as empty", (), ("data_completeness_rate",)
    ),
    "match_keys": Setting(
        dict[str, tuple[Text, ...]], "dataset: columns that make two records duplicates", None,
        ("data_completeness_rate",),
    ),
    "rules": Setting(
        dict[str, tuple[Text, ...]], "dataset: SQL conditions that each record must meet", None,
        ("data_completeness_rate",),
    ),
}  # fmt: skip
"""Every setting of the built-in packs by name."""


def setting_value(settings: Mapping[str, Any], name: str, kpi: str = "") -> Any:
    """The value of a setting for a KPI: its own, else the flat one, else the default.

    settings: `ProjectConfig.metrics.settings`. None = unset. KeyError if there is no such setting.
    """
    own = settings.get(kpi)
    if isinstance(own, Mapping) and name in own:
        return own[name]
    if name in settings:
        return settings[name]
    setting = SETTINGS[name]
    return setting.per_kpi.get(kpi, setting.default)
