"""No secret leaves the project file by a repr or by a finding."""

from __future__ import annotations

import traceback

import pytest
from rich.pretty import pretty_repr

from config.stand_ins import EXAMPLE_VARIABLES, ProjectFolder
from crmetrics.errors import ConfigError

SECRET = "hunter2-hunter2"

WRONG = [
    "sources: {s: {connector: salesforce, domain: d, auth: {flow: access_token, access_tokn: X}}}",
    "sources: {s: {connector: salesforce, domain: d, auth: {flow: X}}}",
    "sources: {s: {connector: salesforce, domain: d, auth: X}}",
    "sources: {s: {connector: salesforce, domain: d, auth: [X]}}",
    "sources: {s: {connector: salesforce, domain: d, page_size: X, auth: {flow: access_token}}}",
    "sources: {s: {connector: salesforce, domain: d, overlap: X}}",
    "sources: {s: {connector: csv, timezone: X}}",
    "sources: {s: {connector: X}}",
    "sources: {s: X}",
    "sinks: {s: {sink: slack, webhook_url: [X]}}",
    "sinks: {s: {sink: slack, webhook_url: {a: X}}}",
    "sinks: {s: {sink: slack, token: {X: 1}, tokn: X}}",
    "sinks: {s: {sink: slack, webhook_url: X}}",
    "sinks: {s: {sink: slack, webhook_url: X, channel: [1]}}",
    "sinks: {s: {sink: X}}",
    "sinks: {s: {sink: files, path: p, formats: [X]}}",
    "sinks: {s: {sink: files, path: p, formats: X}}",
    "reporting: {timezone: X, currency: X, week_start: X, fiscal_year_start: X}",
    "warehouse: {threads: X, memory_limit: X, lock_timeout: X}",
    "metrics: {packs: [X, X], settings: {min_sample: X, zzz: X, required_fields: {a: X}}}",
    "goals: [{title: X, baseline: X, start: X, guardrails: X}, {title: X}]",
    "jobs: {j: {kpis: X, grain: X, compare: [X], sinks: [X], schedule: X, totals: X}}",
    "plugins: [X]",
    "version: X",
    "sources: X\nsinks: X\njobs: X\ngoals: X\nmetrics: X\nplugins: X",
]


@pytest.mark.parametrize("text", WRONG)
def test_a_value_from_a_variable_stands_in_no_finding(folder: ProjectFolder, text: str) -> None:
    if "{X: 1}" in text:
        text = text.replace("{X: 1}", "{a: 1}")
    error = folder.error(text.replace("X", "'a ${V} b'"), V=SECRET)
    assert error.findings
    told = "".join(traceback.format_exception(error)) + repr(error.findings)
    assert SECRET not in told


@pytest.mark.parametrize(
    "text",
    [
        "sinks: {s: {sink: slack, webhook_url: X}}",
        "sinks: {s: {sink: slack, webhook_url: [X]}}",
        "sinks: {s: {sink: slack, tokn: X}}",
        "sources: {s: {connector: salesforce, domain: d, auth: X}}",
        "sources: {s: {connector: salesforce, domain: d, auth: {flow: access_token, acess: X}}}",
        "sources: {s: {connector: csv, password: X}}",
    ],
)
def test_a_secret_that_stands_in_the_file_stands_in_no_finding(
    folder: ProjectFolder, text: str
) -> None:
    error = folder.error(text.replace("X", SECRET))
    assert SECRET not in "".join(traceback.format_exception(error)) + repr(error.findings)


def test_the_project_shows_no_secret(folder: ProjectFolder, example: str) -> None:
    config = folder.load(example, **EXAMPLE_VARIABLES)
    for value in (config, config.sources, config.sinks, config.place("sinks", "team")):
        assert "secret-value" not in f"{value!r} {value} {pretty_repr(value)}"


def test_a_secret_of_a_wrong_type_is_an_ordinary_finding(folder: ProjectFolder) -> None:
    text = "sinks: {s: {sink: database, url: }, t: {sink: database, url: {a: b}}}\n"
    assert folder.messages(text) == [
        "crmetrics.yaml:1:29: sinks.s.url: the key has no value.",
        "crmetrics.yaml:1:62: sinks.t.url: expected a text, found a mapping.",
    ]


def test_the_error_chains_to_nothing_that_holds_the_input(
    folder: ProjectFolder, example: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        folder.load(example.replace("grain: week", "grain: weak"), **EXAMPLE_VARIABLES)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
