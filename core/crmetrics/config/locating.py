"""Finds the project file, and the little that must be read from it before plugins are loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from crmetrics.config.tree import Listing, Node, Scalar, Section, find
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


class Peeked(Struct, frozen=True):
    """What must be known before plugins are loaded. modules: the names under `plugins:`. used:
    the connectors and sinks that sources and sinks name."""

    modules: tuple[str, ...] = ()
    used: frozenset[str] = frozenset()


def peek(directory: str | Path, environ: Mapping[str, str]) -> Peeked:
    """See `crmetrics.config.peek`."""
    try:
        file = locate(directory)
    except ConfigError:
        return Peeked()
    root = read_document(file, Environment(environ, file.parent)).root
    modules = root.node("plugins")
    used = [
        find(root, (section, name, choice))
        for section, choice in (("sources", "connector"), ("sinks", "sink"))
        for name in _keys(root.node(section))
    ]
    return Peeked(
        tuple(_names(modules.items if isinstance(modules, Listing) else ())),
        frozenset(_names(used)),
    )


def _keys(node: Node | None) -> Iterable[str]:
    return node.entries if isinstance(node, Section) else ()


def _names(nodes: Iterable[Node | None]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, Scalar) and node.text and not node.is_unresolved:
            yield node.text
