"""What the options before and behind a command agree on: project folder, output, log form."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import Struct, field

from crmetrics.cli.console import Console

if TYPE_CHECKING:
    from crmetrics.catalog import Catalog
    from crmetrics.config import ProjectConfig
    from crmetrics.engine import Project
    from crmetrics.loader import PluginRegistry


_LOG_LEVELS = ("warning", "info", "debug")


class Session(Struct, dict=True):
    """The state of one call, the click context's `obj`; commands of plugins get it too.

    directory: the project folder (`-C`).
    """

    directory: Path = field(default_factory=Path)
    console: Console = field(default_factory=Console)

    @cached_property
    def project(self) -> Project:
        """The project of the folder; loads the engine on first use.

        Raises ConfigError when there is no valid project file.
        """
        return self.open(self.directory)

    @cached_property
    def registry(self) -> PluginRegistry:
        """The plugins seen from the folder, which need not hold a project file."""
        from crmetrics.config import peek_plugins
        from crmetrics.loader import load_plugins

        return load_plugins(self.directory, peek_plugins(self.directory))

    @cached_property
    def config(self) -> ProjectConfig:
        """The project file. Raises ConfigError with all findings."""
        return self.project.config

    @cached_property
    def catalog(self) -> Catalog:
        """The definitions of the project; without a project file those of every pack."""
        from crmetrics.catalog import load_catalog
        from crmetrics.config import CONFIG_FILE

        if (self.directory / CONFIG_FILE).exists():
            return self.project.catalog
        return load_catalog(self.registry.packs.values())

    def open(self, directory: Path) -> Project:
        """The project of any folder; sends what is logged from now on to standard error."""
        from crmetrics import log
        from crmetrics.engine import Project

        level = _LOG_LEVELS[min(self.console.verbosity, len(_LOG_LEVELS) - 1)]
        log.configure(level, json=self.console.log_format == "json")
        return Project(directory)


pass_session = click.make_pass_decorator(Session, ensure=True)
"""Gives a command the session of its call as its first argument."""
