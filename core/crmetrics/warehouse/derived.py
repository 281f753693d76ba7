"""The derived relations of the catalogue: customers, orders, responses, spend, rates.

Each is a file in `sql/` with `$name` placeholders; a setting or what is loaded decides between two
files where a relation has several rules. All are per (source, account_id) where accounts are
concerned, and `source` is the one in which the account is found, so that two of them can be joined.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from functools import cache
from importlib import resources
from typing import Any, Literal, cast, get_args

from msgspec import Struct, field

from crmetrics.datasets import Dataset
from crmetrics.errors import ConfigError, did_you_mean
from crmetrics.periods import Calendar
from crmetrics.warehouse.business_hours import SETTING, BusinessHours, own_hours_suffix
from crmetrics.warehouse.inventory import Inventory
from crmetrics.warehouse.local_time import day_start_macro, local_day_macro
from crmetrics.warehouse.placeholders import render
from crmetrics.warehouse.references import References, source_macro

CustomerModel = Literal["subscription", "purchase", "field"]

_FIRST_DAY = date(1970, 1, 1)  # no day before it gets a rate or a share of spend

_NAMES = (
    "account_first_lead",
    "active_on",
    "campaign_spend",
    "case_solves",
    "counted_order_items",
    "counted_orders",
    "customer_cover",
    "customer_first_days",
    "customer_spans",
    "customer_spells",
    "integration_users",
    "lead_first_response",
    "mrr_on",
    "rates_by_day",
    "spend_by_day",
    "undated_spend",
)


class ViewSettings(Struct, frozen=True):
    """From where a run looks at the data.

    as_of: UTC; nothing later is visible. is_past: as_of was asked for. horizon: the last day that
    any query of the run looks at. settings: the flat settings of the catalogue (Q8); a missing one
    has its default. own_hours: KPI -> its own `business_hours`.
    """

    calendar: Calendar
    currency: str
    as_of: datetime
    is_past: bool
    horizon: date
    settings: Mapping[str, object] = field(default_factory=dict)
    own_hours: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def as_of_day(self) -> date:
        """The local day of as_of (rule P10)."""
        return self.calendar.local_day(self.as_of)

    @property
    def last_day(self) -> date:
        """The last day that needs a rate: of the periods, or of constant currency (rule C5)."""
        return max(self.horizon, self.as_of_day)


def customer_model(inventory: Inventory, settings: Mapping[str, object]) -> CustomerModel:
    """The model of `customer_spells`: the setting, else by what is loaded.

    Datasets that hold rows go first, as a source may supply one that it never fills.
    Raises ConfigError for a model that does not exist.
    """
    chosen = settings.get("customer_model")
    if chosen is not None:
        models = get_args(CustomerModel)
        return cast(CustomerModel, _one_of("customer_model", chosen, models))
    candidates: tuple[tuple[CustomerModel, str], ...] = (
        ("subscription", "subscriptions"),
        ("purchase", orders_from(settings)),
    )
    for model, dataset in candidates:
        if inventory[dataset].rows:
            return model
    for model, dataset in candidates:
        # Won deals are orders only when somebody said so; then an empty table is one as well.
        if inventory[dataset].exists:
            return model
    return "field"


def orders_from(settings: Mapping[str, object]) -> str:
    """The dataset that gives orders: `orders`, or `opportunities` when the setting says so."""
    chosen = settings.get("orders_from") or "orders"
    return _one_of("orders_from", chosen, ("orders", "opportunities"))


def _one_of(setting: str, value: object, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ConfigError(
            f"setting {setting}: expected {' or '.join(known)}, found {value!r}. "
            f"{did_you_mean(str(value), known)}".rstrip()
        )
    return str(value)


class DerivedRelations(Struct, frozen=True):
    """Texts of the derived relations and of the macros they use.

    Macros: `local_day(instant)`, `day_start(day)`, and per dataset `source_of_{dataset}(source,
    id)`, the source in which a foreign key resolves.
    """

    datasets: Mapping[str, Dataset]
    inventory: Inventory
    references: References
    view: ViewSettings

    @property
    def names(self) -> Iterator[str]:
        yield from _NAMES
        yield from ("local_day", "day_start")
        for hours in self._business_hours:
            yield from hours.names
        yield from (
            f"source_of_{name}" for name, dataset in self.datasets.items() if "id" in dataset
        )

    @property
    def _business_hours(self) -> list[BusinessHours]:
        """The hours of all KPIs, and those of KPIs that have their own."""
        view = self.view
        flat = cast("Mapping[str, Any]", view.settings.get(SETTING) or {})
        stated = {"": flat, **{own_hours_suffix(kpi): own for kpi, own in view.own_hours.items()}}
        return [
            BusinessHours(hours, view.calendar, view.last_day, suffix)
            for suffix, hours in stated.items()
        ]

    @property
    def customer_model(self) -> CustomerModel:
        return customer_model(self.inventory, self.view.settings)

    def text(self, name: str) -> str:
        """The statement that makes the relation or macro `name` (one of `names`)."""
        if name == "local_day":
            return local_day_macro(self.view.calendar, self.view.last_day)
        if name == "day_start":
            return day_start_macro(self.view.calendar, self.view.last_day)
        for hours in self._business_hours:
            if name in hours.names:
                return hours.text(name)
        if name.startswith("source_of_"):
            return source_macro(name.removeprefix("source_of_"), self.references)
        file = self._file(name)
        return render(_read(file), self._values, file=file)

    def _file(self, name: str) -> str:
        settings = self.view.settings
        if name == "customer_spans":
            return f"{name}_{self.customer_model}.sql"
        if name == "customer_cover":
            return f"{name}_{'spells' if self._grace_days else 'spans'}.sql"
        if name in ("counted_orders", "counted_order_items"):
            return f"{name}_{orders_from(settings)}.sql"
        if name == "rates_by_day" and not self.inventory["exchange_rates"].rows:
            return "rates_by_day_none.sql"
        return f"{name}.sql"

    @property
    def _grace_days(self) -> int:
        # Purchases have their own rule for gaps: the purchase days.
        return self._days("grace_days", 0) if self.customer_model == "subscription" else 0

    def _days(self, setting: str, default: int) -> int:
        value = self.view.settings.get(setting)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ConfigError(f"setting {setting}: expected a number of days, found {value!r}.")
        return value

    @property
    def _values(self) -> dict[str, object]:
        return {
            "as_of": self.view.as_of,
            "as_of_day": self.view.as_of_day,
            "currency": self.view.currency,
            "first_day": _FIRST_DAY,
            "grace_days": self._grace_days,
            "last_day": self.view.last_day,
            "purchase_days": self._days("purchase_days", 365),
            "timezone": self.view.calendar.timezone,
        }


@cache
def _read(file: str) -> str:
    folder = resources.files("crmetrics.warehouse") / "sql"
    return (folder / file).read_text(encoding="utf-8").strip()
