"""Finds the project file, and the little that must be read from it before plugins are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from crmetrics.config.tree import Listing, Scalar
from crmetrics.config.variables import Environment
from crmetrics.config.yaml_reader import read_document
from crmetrics.errors import ConfigError

CONFIG_FILE = "crmetrics.yaml"


def locate(directory: str | Path) -> Path:
    """The project file in `directory` (or that path itself, if it is a file); absolute.

    Looks in no parent directory: a job must not pick up another project by accident.
    Raises ConfigError that says how to start.
    """
    path = Path(directory).expanduser().absolute()
    if path.is_file():
        return path
    file = path / CONFIG_FILE
    if file.exists():
        return file
    if not path.exists():
        raise ConfigError(f"{path}: there is no such directory. `crmetrics init {path}` makes it.")
    other = file.with_suffix(".yml")
    if other.exists():
        raise ConfigError(f"expected {file}, found {other.name}. Rename it to {CONFIG_FILE}.")
    raise ConfigError(
        f"there is no {CONFIG_FILE} in {path}. `crmetrics init` starts a project there; "
        "`-C DIR` chooses another directory."
    )


def plugin_names(directory: str | Path, environ: Mapping[str, str]) -> tuple[str, ...]:
    """See `crmetrics.config.peek_plugins`."""
    try:
        file = locate(directory)
    except ConfigError:
        return ()
    document = read_document(file, Environment(environ, file.parent))
    node = document.root.node("plugins")
    items = node.items if isinstance(node, Listing) else ()
    return tuple(
        item.text
        for item in items
        if isinstance(item, Scalar) and item.text and not item.is_unresolved
    )
