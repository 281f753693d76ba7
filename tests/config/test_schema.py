"""The JSON Schema for editors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from config.stand_ins import CONNECTORS, SINKS, CsvConnector
from crmetrics.config import SETTINGS, json_schema
from crmetrics.config.tree import to_data
from crmetrics.config.variables import Environment
from crmetrics.config.yaml_reader import read_document
from crmetrics.options import SourceOptions


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json_schema(CONNECTORS, SINKS)


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


def test_every_reference_has_a_definition(schema: dict[str, Any]) -> None:
    assert json.loads(json.dumps(schema)) == schema
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for reference in _references(schema):
        assert reference.removeprefix("#/$defs/") in schema["$defs"], reference


def test_the_keys_of_the_file_are_those_of_the_schema(schema: dict[str, Any]) -> None:
    assert list(schema["properties"]) == [
        "version",
        "project",
        "reporting",
        "warehouse",
        "plugins",
        "sources",
        "metrics",
        "goals",
        "sinks",
        "jobs",
    ]
    assert schema["additionalProperties"] is False


def test_every_setting_is_described(schema: dict[str, Any]) -> None:
    settings = schema["$defs"]["MetricsSection"]["properties"]["settings"]
    assert set(settings["properties"]) == set(SETTINGS)
    assert all(each["description"] for each in settings["properties"].values())
    assert settings["additionalProperties"]["type"] == "object"


def test_a_connector_chooses_its_keys(schema: dict[str, Any]) -> None:
    source = schema["properties"]["sources"]["additionalProperties"]
    assert source["properties"]["connector"]["enum"] == ["csv", "salesforce"]
    assert {"$ref": "#/$defs/connector.csv"} in [each["then"] for each in source["allOf"]]
    keys = schema["$defs"]["connector.csv"]["properties"]
    assert {"connector", "path", "overlap", "datasets"} <= set(keys)
    assert schema["$defs"]["connector.csv"]["additionalProperties"] is False


def test_typed_values_accept_variables(schema: dict[str, Any]) -> None:
    variable = {"$ref": "#/$defs/variable"}
    keys = schema["$defs"]
    for typed in (
        keys["connector.salesforce"]["properties"]["page_size"],
        keys["connector.csv"]["properties"]["has_header"],
        keys["connector.csv"]["properties"]["overlap"],
        keys["JobSection"]["properties"]["grain"],
        keys["GoalConfig"]["properties"]["start"],
        keys["GoalConfig"]["properties"]["baseline"],
    ):
        assert variable in typed["anyOf"]


class _Odd:
    """A type that has no JSON Schema."""


class _OddOptions(SourceOptions):
    odd: _Odd | None = None


class _OddConnector(CsvConnector):
    Config = _OddOptions


def test_a_plugin_without_a_schema_accepts_any_keys() -> None:
    schema = json_schema({**CONNECTORS, "odd": _OddConnector}, {})
    assert schema["$defs"]["connector.odd"] == {"type": "object"}
    assert "connector.csv" in schema["$defs"]


RIGHT = [
    "warehouse: {threads: '${N}', lock_timeout: 10m, statement_timeout: 5}",
    "warehouse: some/file.duckdb",
    "jobs: {a: {kpis: [x], totals: '${N}', grain: '${N:-week}', by: [[a], [b]]}}",
    "metrics: {settings: {win_rate: {a: 5}, max_age: 1d, min_sample: '${N}'}}",
]
WRONG = [
    ("sources: {a: {connector: cvs}}", ["sources", "a", "connector"]),
    ("sources: {a: {connector: csv, pth: 5}}", ["sources", "a"]),
    ("sources: {a: {connector: salesforce, domain: d, auth: {flow: x}}}", ["sources", "a", "auth"]),
    ("sinks: {a: {sink: files}}", ["sinks", "a"]),
    ("warehouse: {threads: x}", ["warehouse"]),
    ("jobs: {a: {kpis: [x], grain: wek}}", ["jobs", "a", "grain"]),
    ("metrics: {settings: {min_sampl: 5}}", ["metrics", "settings", "min_sampl"]),
    ("zz: 1", []),
]


@pytest.fixture
def problems(schema: dict[str, Any], tmp_path: Any) -> Any:
    """The paths that a validator of JSON Schema finds wrong in a YAML text."""
    jsonschema = pytest.importorskip("jsonschema", reason="needs the package jsonschema")
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)

    def judge(text: str) -> list[list[Any]]:
        file = tmp_path / "crmetrics.yaml"
        # An editor sees the variables as they are written.
        file.write_text(text.replace("${", "$${"), encoding="utf-8")
        document = read_document(file, Environment({}, tmp_path))
        assert not document.findings
        return [
            list(each.absolute_path) for each in validator.iter_errors(to_data(document.root, {}))
        ]

    return judge


def test_a_validator_accepts_the_example(problems: Any, example: str) -> None:
    assert problems(example) == []


@pytest.mark.parametrize("text", RIGHT)
def test_a_validator_accepts_what_is_right(problems: Any, text: str) -> None:
    assert problems(text) == []


@pytest.mark.parametrize(("text", "path"), WRONG)
def test_a_validator_refuses_what_is_wrong(problems: Any, text: str, path: list[str]) -> None:
    assert problems(text) == [path]
