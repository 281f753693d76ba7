"""Effective settings of a KPI: its own value, else the flat one, else the entry's default, else
the product's (rule Q8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crmetrics.config.settings import SETTINGS
from crmetrics.warehouse.business_hours import SETTING

HOURS_OF = "hours_of"
"""The KPI whose own business hours count; not among the settings of one that has none."""


class Settings:
    """The settings of one run.

    configured: `metrics.settings` of the project file. run: values every definition may name
    beside them (`$as_of_day`, `$reporting_currency`, `$customer_model`).
    """

    def __init__(self, configured: Mapping[str, Any], run: Mapping[str, Any]) -> None:
        self.configured = configured
        self.run = dict(run)
        self._known: dict[tuple[str, tuple[str, ...]], Mapping[str, Any]] = {}

    def of(self, kpi: str, own: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """All settings for a KPI; `own` = defaults that the entry itself states."""
        own = own or {}
        key = (kpi, tuple(f"{name}={value}" for name, value in sorted(own.items())))
        if key not in self._known:
            self._known[key] = self._effective(kpi, own)
        return self._known[key]

    def _effective(self, kpi: str, own: Mapping[str, Any]) -> Mapping[str, Any]:
        mine = self.configured.get(kpi)
        mine = mine if isinstance(mine, Mapping) else {}
        found: dict[str, Any] = {}
        for name in {*SETTINGS, *own, *mine}:
            if name in mine:
                found[name] = mine[name]
            elif name in self.configured and (name in SETTINGS or _is_flat(self.configured[name])):
                found[name] = self.configured[name]
            elif name in own:
                found[name] = own[name]
            elif name in SETTINGS:
                setting = SETTINGS[name]
                found[name] = setting.per_kpi.get(kpi, setting.default)
        if SETTING in mine:
            found[HOURS_OF] = kpi
        return {**found, **self.run}

    @property
    def own_hours(self) -> Mapping[str, Mapping[str, Any]]:
        """The KPIs that have business hours of their own."""
        return {
            kpi: mine[SETTING]
            for kpi, mine in self.configured.items()
            if kpi not in SETTINGS and isinstance(mine, Mapping) and SETTING in mine
        }

    def configured_value(self, kpi: str, name: str) -> Any:
        """What the project file says for a KPI, without any default; None if nothing."""
        mine = self.configured.get(kpi)
        if isinstance(mine, Mapping) and name in mine:
            return mine[name]
        return self.configured.get(name)


def _is_flat(value: Any) -> bool:
    """A mapping under a name that is no setting holds the settings of a KPI."""
    return not isinstance(value, Mapping)
