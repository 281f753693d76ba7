"""Sources and sinks: checked by the options of the plugin that they name."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from pydantic import field_validator

from config.stand_ins import (
    CONNECTORS,
    DATASETS,
    SINKS,
    CsvConnector,
    CsvOptions,
    ProjectFolder,
    SalesforceOptions,
)
from crmetrics.config import load_config
from crmetrics.plugin import Secret, SourceOptions


def source(keys: str) -> str:
    return f"sources: {{ s: {{{keys}}}}}\n"


@pytest.mark.parametrize(
    ("text", "place", "found"),
    [
        ("sources: {s: }", "1:11", "expected the key 'connector' (one of csv, salesforce)"),
        ("sources: {s: {}}", "1:11", "expected the key 'connector' (one of csv, salesforce)"),
        ("sources: {s: csv}", "1:14", "expected keys such as `connector:`, found 'csv'"),
        ("sources: {s: {conector: csv}}", "1:11", "Is 'conector' meant to be 'connector'?"),
        ("sources: {s: {connector: }}", "1:26", "expected one of csv, salesforce, found nothing"),
        ("sources: {s: {connector: [csv]}}", "1:26", "found a list"),
        ("sources: {s: {connector: cvs}}", "1:26", "unknown connector 'cvs', expected one of csv,"),
        ("sinks: {s: {sink: slak}}", "1:19", "unknown sink 'slak'"),
        ("sinks: {s: {connector: slack}}", "1:9", "expected the key 'sink'"),
        ("sinks: {s: {sink: slack}}", "1:9", "sinks.s: give webhook_url, or token and channel."),
        ("sinks: {s: {sink: files, paths: x, path: y}}", "1:26", "Did you mean 'path'?"),
        ("sinks: {s: {sink: files}}", "1:9", "expected the key 'path', it is missing."),
    ],
)
def test_a_section_that_does_not_fit_its_plugin_is_told_at_its_place(
    folder: ProjectFolder, text: str, place: str, found: str
) -> None:
    message = folder.message(text)
    assert message.startswith(f"crmetrics.yaml:{place}: ")
    assert found in message


def test_an_unknown_connector_suggests_and_judges_nothing_else(folder: ProjectFolder) -> None:
    text = source("connector: salesfroce, oops: 1, datasets: {nothing: {}}, timezone: Mars")
    assert folder.message(text).endswith("Did you mean 'salesforce'?")


def test_a_connector_named_by_a_variable_is_not_shown(folder: ProjectFolder) -> None:
    message = folder.message(source("connector: ${C}"), C="salesfroce-secret")
    assert "unknown connector the value of ${C}" in message
    assert "secret" not in message


def test_a_project_without_any_connector_installed_says_so(folder: ProjectFolder) -> None:
    folder.connectors = {}
    assert "expected an installed connector" in folder.message(source("connector: csv"))


@pytest.mark.parametrize(
    ("keys", "place", "found"),
    [
        ("domain: d, auth: {flow: jwt}", "1:63", "expected one of 'client_credentials', 'access_"),
        ("domain: d, auth: {flow: access_tokn}", "1:63", "Did you mean 'access_token'?"),
        ("domain: d, auth: {}", "1:50", "sources.s.auth: expected the key 'flow', it is missing."),
        ("domain: d, auth: token", "1:56", "expected a mapping of keys to values, found a value"),
        ("domain: d, auth: {flow: access_token}", "1:50", "expected the key 'access_token'"),
        (
            "domain: d, auth: {flow: access_token, access_token: abc, x: 1}",
            "1:96",
            "unknown key 'x', expected one of flow, access_token.",
        ),
        (
            "domain: d, auth: {flow: access_token, access_token: [abc]}",
            "1:91",
            "sources.s.auth.access_token: expected a text, found a list.",
        ),
        ("auth: {flow: access_token, access_token: abc}", "1:12", "expected the key 'domain'"),
        (
            "domain: , auth: {flow: access_token, access_token: abc}",
            "1:39",
            "sources.s.domain: the key has no value.",
        ),
        (
            "domain: d, page_size: 5, auth: {flow: access_token, access_token: abc}",
            "1:61",
            "sources.s.page_size: expected a value of at least 200, found '5'.",
        ),
    ],
)
def test_the_options_of_the_connector_are_checked(
    folder: ProjectFolder, keys: str, place: str, found: str
) -> None:
    message = folder.message(source(f"connector: salesforce, {keys}"))
    assert message.startswith(f"crmetrics.yaml:{place}: ")
    assert found in message


def test_numbers_are_taken_where_the_plugin_expects_a_text(folder: ProjectFolder) -> None:
    text = source(
        "connector: salesforce, domain: 12, api_version: 62.0, "
        "auth: {flow: client_credentials, client_id: 0012, client_secret: 12345678}"
    )
    options = folder.load(text).sources["s"].options
    assert isinstance(options, SalesforceOptions)
    assert (options.domain, options.api_version) == ("12", "62.0")
    assert options.auth.flow == "client_credentials"
    assert options.auth.client_id == "0012"
    assert options.auth.client_secret == Secret("12345678")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("600", timedelta(minutes=10)),
        ("'600'", timedelta(minutes=10)),
        ("0", timedelta(0)),
        ("10m", timedelta(minutes=10)),
        ("1h", timedelta(hours=1)),
        ("1h 30m", timedelta(minutes=90)),
        ("1.5d", timedelta(hours=36)),
        ("PT10M", timedelta(minutes=10)),
    ],
)
def test_durations_are_seconds_or_have_a_unit(
    folder: ProjectFolder, written: str, expected: timedelta
) -> None:
    config = folder.load(source(f"connector: csv, overlap: {written}"))
    assert config.sources["s"].options.overlap == expected


@pytest.mark.parametrize("written", ["ten", "10x", "-5", "-PT5M", "10 m 5", "''", "1e400", "[1]"])
def test_what_is_no_duration_is_told(folder: ProjectFolder, written: str) -> None:
    (message, *_) = folder.messages(source(f"connector: csv, hold_back: {written}"))
    assert message.startswith("crmetrics.yaml:1:43: sources.s.hold_back: expected a duration")


def test_a_value_that_two_forms_refuse_is_told_once(folder: ProjectFolder) -> None:
    text = source("connector: csv, datasets: {accounts: {file: {a: b}}}")
    assert "expected a text or a list, found a mapping." in folder.message(text)
    text = source("connector: csv, datasets: {accounts: {file: [a, [b]]}}")
    assert "datasets.accounts.file[1]: expected a text, found a list." in folder.message(text)


# --- datasets and columns ------------------------------------------------------------------------


def test_a_dataset_without_keys_is_allowed(folder: ProjectFolder) -> None:
    options = folder.load(source("connector: csv, datasets: {accounts: }")).sources["s"].options
    assert isinstance(options, CsvOptions)
    assert options.datasets["accounts"].columns == {}


def test_covers_from_is_a_date(folder: ProjectFolder) -> None:
    text = source("connector: csv, datasets: {accounts: {covers_from: 2025-01-01}}")
    assert folder.load(text).sources["s"].options.datasets["accounts"].covers_from == date(
        2025, 1, 1
    )


def test_unknown_datasets_and_columns_are_told_beside_each_other_and_other_errors(
    folder: ProjectFolder,
) -> None:
    text = (
        "sources:\n  s:\n    connector: csv\n    delimeter: x\n    datasets:\n"
        "      opportunitys: {}\n      accounts:\n        columns: {segmnt: a, source: b}\n"
        "      whatever: {}\n"
    )
    assert folder.messages(text) == [
        "crmetrics.yaml:4:5: sources.s: unknown key 'delimeter', expected one of connector, "
        "timezone, overlap, hold_back, datasets, path, delimiter, has_header. "
        "Did you mean 'delimiter'?",
        "crmetrics.yaml:6:7: sources.s.datasets: unknown dataset 'opportunitys'. "
        "Did you mean 'opportunities'?",
        "crmetrics.yaml:8:19: sources.s.datasets.accounts.columns: the dataset 'accounts' has no "
        "column 'segmnt'. Did you mean 'segment'?",
        "crmetrics.yaml:8:30: sources.s.datasets.accounts.columns.source: the column 'source' is "
        "filled by crmetrics. Leave it out.",
        "crmetrics.yaml:9:7: sources.s.datasets: unknown dataset 'whatever'. "
        "`crmetrics list datasets` shows them.",
    ]


def test_a_column_nothing_is_close_to_lists_the_columns(folder: ProjectFolder) -> None:
    text = source("connector: csv, datasets: {products: {columns: {xyzzy: a}}}")
    assert "It has id, is_deleted, is_test, updated_at, name, family" in folder.message(text)


def test_datasets_of_plugins_are_known(folder: ProjectFolder) -> None:
    from crmetrics.datasets import Column, Dataset, extend

    folder.write(source("connector: csv, datasets: {visits: {columns: {place: a}}}"))
    datasets = extend(DATASETS, [Dataset("visits", "visits", (Column("place", "string"),))])
    config = load_config(
        folder.directory, environ={}, connectors=CONNECTORS, sinks=SINKS, datasets=datasets
    )
    assert "visits" in config.sources["s"].options.datasets


def test_the_zone_of_a_source_is_a_real_one(folder: ProjectFolder) -> None:
    message = folder.message(source("connector: csv, timezone: Europa/Berlin"))
    assert "sources.s.timezone: expected an IANA time zone" in message
    assert message.endswith("Did you mean 'Europe/Berlin'?")
    assert folder.load(source("connector: csv, timezone: Asia/Tokyo")).sources["s"]


# --- plugins that misbehave ----------------------------------------------------------------------


def test_a_connector_that_could_not_be_loaded_is_a_note(folder: ProjectFolder) -> None:
    folder.write(
        "sources: {a: {connector: hubspot, oops: 1}, b: {connector: csv}}\n"
        "sinks: {c: {sink: mail, oops: 2}}\n"
    )
    config = load_config(
        folder.directory,
        environ={},
        connectors=CONNECTORS,
        sinks=SINKS,
        datasets=DATASETS,
        unavailable={"hubspot": "No module named 'hub'.", "mail": "it is broken."},
    )
    assert config.sources["a"].connector == "hubspot"
    assert config.sources["a"].options == SourceOptions()
    assert config.sinks["c"].sink == "mail"
    assert [str(note) for note in config.notes] == [
        "crmetrics.yaml:1:26: sources.a: the connector 'hubspot' could not be loaded: "
        "No module named 'hub'. Its keys were not checked.",
        "crmetrics.yaml:2:19: sinks.c: the sink 'mail' could not be loaded: it is broken. "
        "Its keys were not checked.",
    ]


class _FaultyOptions(SourceOptions):
    token: Secret

    @field_validator("token", mode="before")
    @classmethod
    def _fails(cls, value: Any) -> Any:
        raise KeyError(value)


class _FaultyConnector(CsvConnector):
    name = "faulty"
    Config = _FaultyOptions


def test_a_fault_in_a_plugins_check_is_a_finding_without_the_value(folder: ProjectFolder) -> None:
    folder.connectors = {**CONNECTORS, "faulty": _FaultyConnector}
    text = "sources: {s: {connector: faulty, token: '${T}'}}\nreporting: {currency: EURO}\n"
    messages = folder.messages(text, T="secret-value")
    assert len(messages) == 2
    assert messages[0] == (
        "crmetrics.yaml:1:11: sources.s: cannot be checked: KeyError: '${T}'. "
        "This is a fault of the plugin's Config class."
    )
