"""The project file `crmetrics.yaml`: reading, checking, and its JSON Schema.

    load_config    the whole file as a frozen `ProjectConfig`, or every problem at once
    read_config    what is right in the file, and every problem beside it
    peek           what must be known before plugins are loaded; `peek_plugins`: the modules alone
    json_schema    the schema of the file for editors
    starter_files  the files of a new project (`crmetrics init`)
    SETTINGS       the settings of KPIs with their defaults; `setting_value` reads one

Everything is imported on first use: the command line asks for `peek_plugins` before it knows
whether any command needs the rest.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crmetrics.config.loading import ReadProject
    from crmetrics.config.locating import Peeked
    from crmetrics.config.project import (
        JobConfig,
        MetricsConfig,
        ProjectConfig,
        SinkConfig,
        SourceConfig,
        WarehouseConfig,
    )
    from crmetrics.config.schema import json_schema
    from crmetrics.config.sections import GoalConfig, Guardrail, ReportingConfig
    from crmetrics.config.settings import SETTINGS, Setting, setting_value
    from crmetrics.config.starter import starter_files
    from crmetrics.config.tree import Place
    from crmetrics.datasets import Dataset
    from crmetrics.plugin import Connector, Sink

__all__ = [
    "CONFIG_FILE",
    "SETTINGS",
    "GoalConfig",
    "Guardrail",
    "JobConfig",
    "MetricsConfig",
    "Place",
    "ProjectConfig",
    "ReadProject",
    "ReportingConfig",
    "Setting",
    "SinkConfig",
    "SourceConfig",
    "WarehouseConfig",
    "json_schema",
    "load_config",
    "peek",
    "peek_plugins",
    "read_config",
    "setting_value",
    "starter_files",
]

CONFIG_FILE = "crmetrics.yaml"

_HOMES: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "JobConfig",
            "MetricsConfig",
            "ProjectConfig",
            "SinkConfig",
            "SourceConfig",
            "WarehouseConfig",
        ),
        "project",
    ),
    **dict.fromkeys(("GoalConfig", "Guardrail", "ReportingConfig"), "sections"),
    **dict.fromkeys(("SETTINGS", "Setting", "setting_value"), "settings"),
    "ReadProject": "loading",
    "Place": "tree",
    "json_schema": "schema",
    "starter_files": "starter",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(f"crmetrics.config.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'crmetrics.config' has no attribute {name!r}")


def peek(directory: str | Path, *, environ: Mapping[str, str] | None = None) -> Peeked:
    """The module names under `plugins:`, and the connectors and sinks that are named; nothing else
    is looked at.

    Never raises: a file that is missing or broken gives none, and `load_config` says why.
    environ: default `os.environ`.
    """
    from crmetrics.config.locating import peek

    return peek(directory, os.environ if environ is None else environ)


def peek_plugins(
    directory: str | Path, *, environ: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """The module names of `peek`."""
    return peek(directory, environ=environ).modules


def load_config(
    directory: str | Path,
    *,
    environ: Mapping[str, str] | None = None,
    connectors: Mapping[str, type[Connector]],
    sinks: Mapping[str, type[Sink]],
    datasets: Mapping[str, Dataset],
    unavailable: Mapping[str, str] | None = None,
) -> ProjectConfig:
    """Read and check the project file in `directory`; no parent directory is searched.

    See `read_config` for the arguments.

    Raises ConfigError whose `findings` hold every problem of the file with its place, or, when
    there is no file, a message that says how to start.
    """
    found = read_config(
        directory,
        environ=environ,
        connectors=connectors,
        sinks=sinks,
        datasets=datasets,
        unavailable=unavailable,
    )
    if found.findings:
        from crmetrics.errors import ConfigError

        raise ConfigError(findings=found.findings)
    return found.config


def read_config(
    directory: str | Path,
    *,
    environ: Mapping[str, str] | None = None,
    connectors: Mapping[str, type[Connector]],
    sinks: Mapping[str, type[Sink]],
    datasets: Mapping[str, Dataset],
    unavailable: Mapping[str, str] | None = None,
) -> ReadProject:
    """What is right in the project file in `directory`, and all that is wrong with its form.

    environ: where variables come from, default `os.environ`; it wins over `.env` beside the file.
    connectors, sinks: what the plugins offer, by name. datasets: canonical ones and extensions.
    unavailable: connectors and sinks whose plugin could not be loaded, with the reason: a section
    that names one is a note instead of an error, and its options are empty.

    Raises ConfigError when there is no file, with a message that says how to start.
    """
    from crmetrics.config.loading import Plugins, read_project

    plugins = Plugins(connectors, sinks, datasets, unavailable or {})
    return read_project(directory, os.environ if environ is None else environ, plugins)
