"""Where plugins are found. Nothing of a plugin is imported here."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import Distribution, distributions
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Literal

from msgspec import Struct

ENTRY_POINT_GROUP = "crmetrics"
PLUGIN_FOLDER = "plugins"
_PRODUCT = "crmetrics"

Road = Literal["builtin", "installed", "folder", "listed"]


class Candidate(Struct, frozen=True):
    """A plugin that was found but not imported yet.

    name: how it is listed. origin: where it comes from, in words. module: what to import.
    problem: why it cannot even be tried; empty = try it.
    """

    name: str
    origin: str
    module: str
    road: Road
    version: str = ""
    problem: str = ""

    def __str__(self) -> str:
        return f"{self.name!r} ({self.origin})"


def discover(directory: Path, dotted: Sequence[str]) -> Iterator[Candidate]:
    """Every candidate in the order in which names are given away: the product's own plugins,
    installed distributions by name, the files of `plugins/` by name, the listed names as listed."""
    # Files may be younger than what the importer remembers of their folders.
    importlib.invalidate_caches()
    installed = sorted(
        _installed(), key=lambda found: (found.road != "builtin", found.origin, found.name)
    )
    yield from installed
    yield from _in_folder(directory / PLUGIN_FOLDER)
    yield from _listed(dotted)


# --- entry points ----------------------------------------------------------------------------


def _installed() -> Iterator[Candidate]:
    seen: set[str] = set()
    for distribution in distributions():
        try:
            if f"[{ENTRY_POINT_GROUP}]" not in (distribution.read_text("entry_points.txt") or ""):
                continue
            name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        except Exception:  # noqa: BLE001 - broken metadata of a stranger must not stop the search
            continue
        # The first copy on sys.path is the one that imports find; later ones are shadowed.
        if name not in seen:
            seen.add(name)
            yield from _entry_points(distribution, name)


def _entry_points(distribution: Distribution, name: str) -> Iterator[Candidate]:
    version = distribution.version
    road: Road = "builtin" if name == _PRODUCT else "installed"
    origin = "built in" if road == "builtin" else f"distribution {name} {version}"
    try:
        entries = list(distribution.entry_points.select(group=ENTRY_POINT_GROUP))
    except Exception as exc:  # noqa: BLE001 - a malformed entry_points.txt is this plugin's error
        problem = f"its entry_points.txt cannot be read: {exc}"
        yield Candidate(name, origin, "", road, version, problem)
        return
    for entry in entries:
        problem = ""
        if ":" in entry.value or not _is_dotted_name(entry.value.strip()):
            problem = (
                f"its entry point {entry.name!r} must name a module, such as 'crmetrics_hello'; "
                f"found {entry.value!r}."
            )
        yield Candidate(entry.name, origin, entry.value.strip(), road, version, problem)


# --- the folder plugins/ ---------------------------------------------------------------------


def _in_folder(folder: Path) -> Iterator[Candidate]:
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as exc:
        problem = f"the folder cannot be read: {exc.strerror}"
        yield Candidate(PLUGIN_FOLDER, f"{PLUGIN_FOLDER}/", "", "folder", problem=problem)
        return
    packages = {entry.name for entry in entries if _holds(entry, "__init__.py")}
    namespace = _private_namespace(folder)
    for entry in entries:
        if entry.name.startswith(("_", ".")):
            continue
        if entry.is_dir():
            yield from _folder_package(entry, namespace)
        elif entry.suffix == ".py":
            problem = ""
            if "." in entry.stem:
                problem = "the file name holds a dot, so that Python cannot import it. Rename it."
            elif entry.stem in packages:
                problem = f"the folder also holds {entry.stem}/, which Python would import instead."
            origin = f"{PLUGIN_FOLDER}/{entry.name}"
            module = f"{namespace}.{entry.stem}"
            yield Candidate(entry.stem, origin, module, "folder", problem=problem)


def _folder_package(entry: Path, namespace: str) -> Iterator[Candidate]:
    origin = f"{PLUGIN_FOLDER}/{entry.name}/"
    problem = ""
    if not _holds(entry, "__init__.py"):
        # A folder of data, or a whole distribution, which is installed and not imported from here.
        is_package_by_mistake = _holds(entry, "pack.yaml") or any(entry.glob("*.py"))
        if not is_package_by_mistake or _holds(entry, "pyproject.toml"):
            return
        problem = "the folder has no __init__.py. Add one that holds the plugin's hooks."
    elif "." in entry.name:
        problem = "the folder name holds a dot, so that Python cannot import it. Rename it."
    yield Candidate(entry.name, origin, f"{namespace}.{entry.name}", "folder", problem=problem)


def _holds(folder: Path, file: str) -> bool:
    return (folder / file).is_file()


def _private_namespace(folder: Path) -> str:
    """A package in `sys.modules` whose parts are the files of `folder`.

    Named after the folder's path, so that the plugins of two projects never meet; made afresh, so
    that a plugin that was edited is read again. Inside it relative imports work: of a package's
    own modules, and of a shared `_module.py` beside a plugin.
    """
    digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:12]
    name = f"_crmetrics_plugins_{digest}"
    for known in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
        del sys.modules[known]
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    sys.modules[name] = module_from_spec(spec)
    return name


# --- the names listed in the project file ----------------------------------------------------


def _listed(dotted: Sequence[str]) -> Iterator[Candidate]:
    for name in dict.fromkeys(dotted):
        problem = ""
        if not _is_dotted_name(name):
            problem = (
                f"plugins: expects dotted module names such as 'acme_crm.plugin', found {name!r}. "
                f"What lies in {PLUGIN_FOLDER}/ is found without being listed."
            )
        yield Candidate(name, f"plugins: {name}", name, "listed", problem=problem)


def _is_dotted_name(name: str) -> bool:
    return bool(name) and all(part.isidentifier() for part in name.split("."))


# --- importing -------------------------------------------------------------------------------


def import_candidate(candidate: Candidate, directory: Path) -> ModuleType:
    """The candidate's module. Whatever its code raises comes out of here.

    A listed name may also stand in the project folder, which is searched last, so that it shadows
    nothing that is installed.
    """
    if candidate.road != "listed":
        return importlib.import_module(candidate.module)
    top = candidate.module.partition(".")[0]
    before = sys.modules.get(top)
    with _searched_last(directory):
        module = importlib.import_module(candidate.module)
    if before is not None and _is_foreign(before, top, directory):
        raise ImportError(
            f"this process has already imported another {top!r}, from {before.__file__}. "
            f"Move the plugin to {PLUGIN_FOLDER}/, where projects never meet."
        )
    return module


@contextlib.contextmanager
def _searched_last(directory: Path) -> Iterator[None]:
    if str(directory) in sys.path:
        yield
        return
    sys.path.append(str(directory))
    try:
        yield
    finally:
        # The plugin's own code may have taken it off already.
        with contextlib.suppress(ValueError):
            sys.path.remove(str(directory))


def _is_foreign(module: ModuleType, name: str, directory: Path) -> bool:
    """True when `module` was another project's and this project has its own of that name."""
    own = PathFinder.find_spec(name, [str(directory)])
    if own is None or own.origin is None or PathFinder.find_spec(name) is not None:
        return False
    return own.origin != getattr(module, "__file__", None)
