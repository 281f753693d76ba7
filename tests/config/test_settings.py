"""`metrics.settings`: flat, under a KPI, typed, with defaults."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from config.stand_ins import ProjectFolder
from crmetrics.config import SETTINGS, setting_value
from crmetrics.config.settings_section import settings_model

CATALOGUE: dict[str, Any] = {
    "customer_model": None,
    "purchase_days": 365,
    "grace_days": 0,
    "min_sample": 20,
    "min_base": None,
    "min_coverage": 0.95,
    "max_age": None,
    "restate_periods": 2,
    "restate_threshold": 0,
    "exclude_lost_reasons": (),
    "exclude_lead_sources": (),
    "top_n": None,
    "max_attempts": 5,
    "last_sends": 5,
    "missing_as_zero": False,
    "merge_same_day": False,
    "max_lifespan_years": None,
    "lifespan_years": None,
    "orders_from": "orders",
    "cogs_from": "lines",
    "bulk_import_size": 200,
    "lag_days": None,
    "amount_bands": (1000, 10000, 100000),
    "age_bands": (1, 3, 7, 30),
    "tenure_bands": (90, 365),
    "window_days": None,
    "target_seconds": None,
    "base": "won_amount",
    "lock_days": 0,
    "channel_to_lead_source": {},
    "threshold": 0.75,
    "exclude_families": (),
    "cac_periods": 3,
    "required_fields": None,
    "placeholders": ("", "n/a", "unknown", "-"),
    "zero_is_empty": (),
    "match_keys": None,
    "rules": None,
}
"""Rule Q8 of the KPI catalogue, business_hours aside."""

ALERTS = {"alerts": True, "alert_below": None, "alert_above": None, "alert_change": 0.5}
"""What rule A2 leaves to the team."""


def settings_of(folder: ProjectFolder, written: str) -> Any:
    return folder.load(f"metrics: {{settings: {{{written}}}}}\n").metrics.settings


def test_every_setting_of_the_catalogue_has_its_default() -> None:
    defaults = {name: it.default for name, it in SETTINGS.items() if name != "business_hours"}
    assert defaults == CATALOGUE | ALERTS
    assert SETTINGS["business_hours"].default["default"]["hours"] == ("09:00", "17:00")


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_default_is_a_value_that_its_type_accepts(name: str) -> None:
    default = SETTINGS[name].default
    model = settings_model().model_validate({name: default})
    assert model.model_dump()[name] == default
    for value in SETTINGS[name].per_kpi.values():
        settings_model().model_validate({name: value})


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_setting_is_accepted_without_a_value(folder: ProjectFolder, name: str) -> None:
    settings = settings_of(folder, f"{name}: ")
    assert setting_value(settings, name) == SETTINGS[name].default


@pytest.mark.parametrize(
    ("written", "name", "expected"),
    [
        ("customer_model: purchase", "customer_model", "purchase"),
        ("max_age: 36h", "max_age", timedelta(hours=36)),
        ("min_coverage: 0.9", "min_coverage", 0.9),
        ("exclude_lost_reasons: [Duplicate, 42]", "exclude_lost_reasons", ("Duplicate", "42")),
        ("amount_bands: [10, 20.5]", "amount_bands", (10, 20.5)),
        ("missing_as_zero: yes", "missing_as_zero", True),
        ("channel_to_lead_source: {web: Website}", "channel_to_lead_source", {"web": "Website"}),
        ("rules: {opportunities: [amount > 0]}", "rules", {"opportunities": ("amount > 0",)}),
        ("min_sample: '30'", "min_sample", 30),
    ],
)
def test_a_flat_setting_has_its_type(
    folder: ProjectFolder, written: str, name: str, expected: Any
) -> None:
    assert settings_of(folder, written)[name] == expected


@pytest.mark.parametrize(
    ("written", "found"),
    [
        (
            "min_sampl: 5",
            "metrics.settings: unknown setting 'min_sampl'. Did you mean 'min_sample'",
        ),
        ("zzz: 5", "Settings of one KPI stand under its id."),
        ("zzz: [5]", "metrics.settings: unknown setting 'zzz'."),
        ("customer_model: subs", "expected 'subscription', 'purchase' or 'field', found 'subs'"),
        ("min_sample: many", "min_sample: expected a whole number, found 'many'"),
        ("min_sample: -1", "min_sample: expected a value of at least 0, found '-1'"),
        ("min_sample: {a: 5}", "min_sample: expected a whole number, found a mapping"),
        ("purchase_days: 0", "purchase_days: expected a value of at least 1, found '0'"),
        ("min_coverage: 95%", "Percent is written as a fraction"),
        ("min_coverage: 1.5", "expected a value of at most 1, found '1.5'"),
        ("max_age: old", "max_age: expected a duration such as"),
        ("max_age: 0", "max_age: expected a duration above zero"),
        ("amount_bands: []", "amount_bands: expected at least one entry"),
        ("amount_bands: [1, 3, 3]", "the bounds must rise from the first to the last"),
        ("amount_bands: [1, x]", "amount_bands[1]: expected a number, found 'x'"),
        ("exclude_families: service", "expected a list, found 'service'"),
        ("orders_from: deals", "expected 'orders' or 'opportunities', found 'deals'"),
        ("business_hours: 9-17", "business_hours: expected a mapping of keys to values"),
        (
            "business_hours: {default: {hours: [9, '17:00']}}",
            "expected a time of day such as 09:00",
        ),
        ("business_hours: {default: {hours: ['17:00', '09:00']}}", "must lie before the closing"),
        ("business_hours: {default: {hours: ['09:00', '24:30']}}", "expected a time of day"),
        ("business_hours: {a: {weekdays: [monday]}}", "found 'monday'. Did you mean 'mon'?"),
        ("business_hours: {a: {timezone: Mars}}", "expected an IANA time zone"),
        ("required_fields: {oportunities: [amount]}", "Did you mean 'opportunities'"),
        ("required_fields: {opportunities: [amout]}", "has no column 'amout'. Did you mean 'amo"),
        ("match_keys: {accounts: [name]}", "the dataset 'accounts' has no column 'name'"),
        ("rules: {deals: [amount > 0]}", "metrics.settings.rules: unknown dataset 'deals'"),
        ("win_rate: {window_days: x}", "metrics.settings.win_rate.window_days: expected a whole"),
        ("csat: {threshold: 75}", "metrics.settings.csat.threshold: expected a value of at most"),
        (
            "data_completeness_rate: {required_fields: {accounts: [x]}}",
            "metrics.settings.data_completeness_rate.required_fields.accounts: the dataset",
        ),
    ],
)
def test_a_wrong_setting_is_told(folder: ProjectFolder, written: str, found: str) -> None:
    message = folder.message(f"metrics: {{settings: {{{written}}}}}\n")
    assert message.startswith("crmetrics.yaml:1:")
    assert found in message


def test_a_column_from_a_variable_is_not_shown(folder: ProjectFolder) -> None:
    text = "metrics: {settings: {match_keys: {accounts: ['${C}']}}}\n"
    message = folder.message(text, C="secret-value")
    assert "has no column the value of ${C}." in message


def test_settings_of_a_kpi_are_typed_where_known_and_kept_where_not(folder: ProjectFolder) -> None:
    settings = settings_of(
        folder, "my_kpi: {window_days: '30', threshold: 5, colours: [red, 2]}, empty_kpi: {}"
    )
    # `threshold` is a setting of other KPIs: what it means to this one is not for us to say.
    assert settings["my_kpi"] == {"window_days": 30, "threshold": 5, "colours": ["red", 2]}
    assert settings["empty_kpi"] == {}


def test_the_own_value_wins_over_the_flat_one_and_that_over_the_default(
    folder: ProjectFolder,
) -> None:
    settings = settings_of(folder, "min_sample: 50, win_rate: {min_sample: 5}")
    assert setting_value(settings, "min_sample", "win_rate") == 5
    assert setting_value(settings, "min_sample", "csat") == 50
    assert setting_value(settings, "min_sample") == 50
    assert setting_value({}, "min_sample", "csat") == 10
    assert setting_value({}, "min_sample", "win_rate") == 20
    assert setting_value({}, "target_seconds", "lead_response_time") == 900


def test_a_setting_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(KeyError):
        setting_value({}, "nothing")


def test_business_hours_of_a_team_keep_the_default_beside_them(folder: ProjectFolder) -> None:
    hours = settings_of(
        folder,
        "business_hours: {emea: {hours: [9:00, 17:30], holidays: [2026-12-25],"
        " timezone: Europe/Berlin}}",
    )["business_hours"]
    assert hours["emea"] == {
        "weekdays": ("mon", "tue", "wed", "thu", "fri"),
        "hours": ("09:00", "17:30"),
        "holidays": (date(2026, 12, 25),),
        "timezone": "Europe/Berlin",
    }
    assert hours["default"]["hours"] == ("09:00", "17:00")


def test_settings_cannot_be_changed(folder: ProjectFolder) -> None:
    settings = settings_of(folder, "min_sample: 5, win_rate: {min_sample: 6}")
    with pytest.raises(TypeError):
        settings["min_sample"] = 1
    with pytest.raises(TypeError):
        settings["win_rate"]["min_sample"] = 1
