"""The JSON Schema of the project file (draft 2020-12), for completion and checks in editors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from crmetrics.config.durations import PATTERN as DURATION
from crmetrics.config.sections import ProjectSection
from crmetrics.config.settings_section import settings_model
from crmetrics.plugin import Connector, Sink

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_VARIABLE = {
    "type": "string",
    "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^{}]*)?\}",
    "description": "a variable of the environment: ${NAME} or ${NAME:-default}",
}
_DURATION = {"type": "string", "pattern": f"^({DURATION})$", "examples": ["10m", "1h", "1h30m"]}
_VARIABLE_REF = {"$ref": "#/$defs/variable"}
_DESCRIBING = ("description", "default", "deprecated", "examples")


def json_schema(
    connectors: Mapping[str, type[Connector]], sinks: Mapping[str, type[Sink]]
) -> dict[str, Any]:
    """The schema of `crmetrics.yaml` with the keys of these connectors and sinks.

    A value with a type also accepts `${NAME}`. A plugin whose options have no schema accepts any
    keys.
    """
    defs: dict[str, Any] = {"variable": _VARIABLE}
    project = _schema_of(ProjectSection, "", defs)
    keys = project["properties"]
    keys["version"] = {"const": 1, "description": keys["version"]["description"]}
    keys["sources"]["additionalProperties"] = _chosen_by(
        "connector", {name: each.Config for name, each in connectors.items()}, defs
    )
    keys["sinks"]["additionalProperties"] = _chosen_by(
        "sink", {name: each.Config for name, each in sinks.items()}, defs
    )
    _adapt_core(keys, defs)
    return {
        "$schema": DIALECT,
        "title": "crmetrics.yaml",
        "description": "Project file of crmetrics",
        **{key: value for key, value in project.items() if key not in ("title", "description")},
        "$defs": dict(sorted(defs.items())),
    }


def _adapt_core(keys: dict[str, Any], defs: dict[str, Any]) -> None:
    """What the file accepts beyond the models: short forms, and settings by name."""
    path = {"type": "string", "description": "path of the DuckDB file"}
    keys["warehouse"] = {**keys["warehouse"], "anyOf": [path, _reference(keys["warehouse"])]}
    for key in ("$ref", "allOf", "default"):
        keys["warehouse"].pop(key, None)
    settings = _schema_of(settings_model(), "", defs)
    of_kpi = {"type": "object", "description": "settings of the KPI with this id"}
    metrics = defs["MetricsSection"]["properties"]
    metrics["settings"] = {
        "type": "object",
        "description": metrics["settings"]["description"],
        "properties": settings["properties"],
        "additionalProperties": of_kpi,
    }


def _reference(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"$ref": schema["$ref"]} if "$ref" in schema else dict(schema["allOf"][0])


def _schema_of(model: type[BaseModel], prefix: str, defs: dict[str, Any]) -> dict[str, Any]:
    """The schema of a model; the definitions that it refers to go to `defs`, their names after
    `prefix`."""
    schema = model.model_json_schema(ref_template=f"#/$defs/{prefix}{{model}}")
    for name, definition in schema.pop("$defs", {}).items():
        defs[prefix + name] = _with_variables(definition)
    return _section(schema)


def _chosen_by(
    choice: str, configs: Mapping[str, type[BaseModel]], defs: dict[str, Any]
) -> dict[str, Any]:
    """A section whose key `choice` names the plugin that its other keys belong to."""
    branches = []
    for name, config in sorted(configs.items()):
        reference = f"{choice}.{name}"
        schema: dict[str, Any]
        try:
            schema = _schema_of(config, f"{reference}.", defs)
        except PydanticUserError:
            schema = {"type": "object"}
        if "properties" in schema or schema.get("additionalProperties") is False:
            properties = {choice: {"const": name}, **schema.get("properties", {})}
            schema = {**schema, "properties": properties}
        defs[reference] = schema
        test = {"properties": {choice: {"const": name}}, "required": [choice]}
        branches.append({"if": test, "then": {"$ref": f"#/$defs/{reference}"}})
    names: dict[str, Any] = {"enum": sorted(configs)} if configs else {"type": "string"}
    names["description"] = f"the {choice} that the other keys are for"
    section = {"type": "object", "properties": {choice: names}, "required": [choice]}
    return {**section, "allOf": branches} if branches else section


# --- variables and durations -------------------------------------------------------------------


def _section(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A section whose values accept variables; the section itself does not."""
    # Pydantic's titles only repeat the names.
    result = {key: each for key, each in schema.items() if key != "title"}
    for key in ("properties", "patternProperties"):
        if key in result:
            result[key] = {name: _with_variables(each) for name, each in result[key].items()}
    if isinstance(result.get("additionalProperties"), dict):
        result["additionalProperties"] = _with_variables(result["additionalProperties"])
    return result


def _with_variables(schema: Mapping[str, Any]) -> dict[str, Any]:
    """`schema` with `${NAME}` beside every typed single value."""
    about = {key: schema[key] for key in _DESCRIBING if key in schema}
    if schema.get("format") == "duration":
        return {**about, "anyOf": [{"type": "number"}, _DURATION, _VARIABLE_REF]}
    if _is_typed_value(schema):
        typed = {key: each for key, each in _section(schema).items() if key not in about}
        return {**about, "anyOf": [typed, _VARIABLE_REF]}
    result = _section(schema)
    if isinstance(result.get("items"), dict):
        result["items"] = _with_variables(result["items"])
    for key in ("prefixItems", "anyOf", "oneOf", "allOf"):
        if key in result:
            result[key] = [_with_variables(each) for each in result[key]]
    return result


def _is_typed_value(schema: Mapping[str, Any]) -> bool:
    """True for a single value that not every text fits; a constant chooses a form and stays."""
    if "const" in schema:
        return False
    if "enum" in schema or schema.get("type") in ("integer", "number", "boolean"):
        return True
    limits = ("pattern", "maxLength", "minLength")
    has_form = schema.get("format") not in (None, "password", "path", "file-path", "directory-path")
    return schema.get("type") == "string" and (has_form or any(key in schema for key in limits))
