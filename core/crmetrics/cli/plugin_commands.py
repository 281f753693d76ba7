"""Commands that plugins add with the hook `crmetrics_commands`.

Help and completion must list them without importing every plugin each time. So: a plugin whose
module does not name the hook is never imported for it; what the others offer is kept in a cache
that is valid as long as their files are the same. Running a command asks the plugins themselves.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmetrics._version import __version__
from crmetrics.errors import CrmetricsError

if TYPE_CHECKING:
    import click

    from crmetrics.cli.console import Console

HOOK = "crmetrics_commands"
ENTRY_POINTS = "crmetrics"
_METADATA = (".dist-info", ".egg-info")
_CACHE_SIZE = 16


# --- running -----------------------------------------------------------------------------------


def load_plugin_commands(
    directory: Path, console: Console, *, reserved: Collection[str] = ()
) -> dict[str, click.Command]:
    """Load the plugins and ask each for its commands; one that fails is named and left out.

    reserved: names that plugins cannot take.
    """
    try:
        return _ask_plugins(directory, console, reserved)
    except CrmetricsError as error:
        console.warn(f"Commands of plugins are not available: {error}")
        return {}


def _ask_plugins(
    directory: Path, console: Console, reserved: Collection[str]
) -> dict[str, click.Command]:
    import click

    from crmetrics.config import peek_plugins
    from crmetrics.loader import load_plugins

    collector = click.Group()
    registry = load_plugins(directory, peek_plugins(directory))
    for problem in registry.apply_commands(collector, reserved=reserved):
        console.warn(problem)
    return dict(collector.commands)


# --- listing -----------------------------------------------------------------------------------


def list_plugin_commands(
    directory: Path, console: Console, *, reserved: Collection[str] = ()
) -> dict[str, str]:
    """Name and short help of each command that plugins offer; imports a plugin only when its
    module names the hook and was not asked before."""
    marks = sorted(_marks(directory))
    if not marks:
        return {}
    mark = "\n".join([__version__, sys.version, *marks])
    cache = _read_cache()
    if mark not in cache:
        try:
            commands = _ask_plugins(directory, console, reserved)
        except Exception:  # noqa: BLE001  whatever is wrong, help is the first place to look
            return {}
        cache[mark] = {
            name: command.get_short_help_str(60)
            for name, command in sorted(commands.items())
            if not command.hidden
        }
        _write_cache(dict(list(cache.items())[-_CACHE_SIZE:]))
    return cache[mark]


def _marks(directory: Path) -> Iterator[str]:
    """File, time and size of each plugin module that names the hook."""
    for file in _plugin_files(directory.absolute()):
        try:
            if file.suffix == ".py" and HOOK.encode() not in file.read_bytes():
                continue
            state = file.stat()
        except OSError:
            continue
        yield f"{file}:{state.st_mtime_ns}:{state.st_size}"


def _plugin_files(directory: Path) -> Iterator[Path]:
    folder = directory / "plugins"
    yield from folder.glob("[!_.]*.py")
    yield from folder.glob("[!_.]*/__init__.py")
    for module in _installed_modules():
        yield from _source_of(module, sys.path)
    for module in _configured_modules(directory):
        yield from _source_of(module, [*sys.path, str(directory)])


def _installed_modules() -> Iterator[str]:
    """Modules that distributions other than our own offer as plugins.

    Reads the metadata files themselves: `importlib.metadata` costs more than the rest of `--help`.
    Distributions that are no folder on the path (zip files) are met only when a command runs.
    """
    for place in sys.path:
        try:
            names = [entry.name for entry in os.scandir(place or ".")]
        except OSError:
            continue
        for name in names:
            if not name.endswith(_METADATA) or name.split("-")[0].lower() == "crmetrics":
                continue
            try:
                text = Path(place, name, "entry_points.txt").read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            yield from _modules_of(text)


def _modules_of(entry_points: str) -> Iterator[str]:
    section = ""
    for line in entry_points.splitlines():
        if line.startswith("["):
            section = line.strip(" \t[]")
        elif section == ENTRY_POINTS and "=" in line:
            yield line.partition("=")[2].strip()


def _configured_modules(directory: Path) -> tuple[str, ...]:
    try:
        text = (directory / "crmetrics.yaml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ()
    if not re.search(r"^plugins:(?!\s*\[\s*\]\s*(#.*)?$)", text, re.MULTILINE):
        # The usual project names none; then there is no need to load a YAML parser.
        return ()
    from crmetrics.config import peek_plugins

    try:
        return tuple(peek_plugins(directory))
    except CrmetricsError:
        return ()


def _source_of(module: str, places: list[str]) -> Iterator[Path]:
    """The file of a module, found without importing it or its parents; nothing if there is none."""
    from importlib.machinery import PathFinder
    from importlib.util import find_spec

    name, *rest = module.split(".")
    try:
        # find_spec asks every finder, those of editable installs included.
        spec = find_spec(name) or PathFinder.find_spec(name, places)
        for part in rest:
            name = f"{name}.{part}"
            inside = spec.submodule_search_locations if spec else None
            spec = PathFinder.find_spec(name, inside) if inside else None
    except (ImportError, ValueError):
        return
    if spec and spec.origin and spec.has_location:
        yield Path(spec.origin)


# --- cache -------------------------------------------------------------------------------------


def _cache_file() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "crmetrics" / "commands.json"


def _read_cache() -> dict[str, dict[str, str]]:
    import json

    try:
        found: Any = json.loads(_cache_file().read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {mark: helps for mark, helps in found.items() if isinstance(helps, dict)}


def _write_cache(cache: dict[str, dict[str, str]]) -> None:
    import json

    try:
        file = _cache_file()
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f"{file.name}.{os.getpid()}")
        temporary.write_text(json.dumps(cache), encoding="utf-8")
        temporary.replace(file)
    except (OSError, RuntimeError):
        # Without a cache every listing asks the plugins again: slower, not wrong.
        return
