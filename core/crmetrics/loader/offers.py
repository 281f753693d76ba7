"""What a plugin's hooks return, looked at before any of it is believed."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from msgspec import Struct

from crmetrics import hookspecs
from crmetrics.datasets import SQL_TYPES, Column, Dataset
from crmetrics.errors import Finding, PluginError, did_you_mean
from crmetrics.options import Options, SourceOptions
from crmetrics.plugin import API_VERSION, Connector, MetricPack, Sink

_MARK = "crmetrics_impl"
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_COLUMN_NAME = re.compile(r"[a-z][a-z0-9_]*")

HOOKS: dict[str, tuple[str, ...]] = {
    name: tuple(inspect.signature(function).parameters)
    for name, function in vars(hookspecs).items()
    if name.startswith("crmetrics_") and inspect.isfunction(function)
}
"""Every hook with the names of its arguments."""

OFFERING = (
    "crmetrics_connectors",
    "crmetrics_sinks",
    "crmetrics_metric_packs",
    "crmetrics_datasets",
)
"""The hooks that return a list; the others add commands or watch."""


class Offers(Struct, frozen=True):
    """What one plugin brings; every part of it was checked."""

    connectors: tuple[type[Connector], ...] = ()
    sinks: tuple[type[Sink], ...] = ()
    packs: tuple[MetricPack, ...] = ()
    datasets: tuple[Dataset, ...] = ()
    hooks: tuple[str, ...] = ()

    def names(self) -> Iterator[tuple[str, str]]:
        """Kind and name of everything whose name can belong to one plugin only."""
        for connector in self.connectors:
            yield "connector", connector.name
        for sink in self.sinks:
            yield "sink", sink.name
        for pack in self.packs:
            yield "pack", pack.name

    def __iter__(self) -> Iterator[str]:
        """Each offer in words, for `crmetrics list plugins`."""
        yield from (f"{kind} {name}" for kind, name in self.names())
        yield from (f"dataset {dataset.name}" for dataset in self.datasets)
        for hook in self.hooks:
            yield "commands" if hook == "crmetrics_commands" else f"observer {hook}"


def read_offers(module: ModuleType) -> Offers:
    """Call the offering hooks of `module` and check what they return.

    Raises PluginError with the place of the hook when a hook is misspelt, takes arguments it is
    not given, or returns what crmetrics cannot use; what the plugin's code raises comes through.
    """
    _check_api_version(module)
    hooks = _find_hooks(module)
    offered = {name: _call(hooks[name], name) for name in OFFERING if name in hooks}
    return Offers(
        connectors=tuple(offered.get("crmetrics_connectors", ())),
        sinks=tuple(offered.get("crmetrics_sinks", ())),
        packs=tuple(offered.get("crmetrics_metric_packs", ())),
        datasets=tuple(offered.get("crmetrics_datasets", ())),
        hooks=tuple(name for name in hooks if name not in OFFERING),
    )


def _refuse(message: str, subject: object = None, hint: str = "") -> PluginError:
    """The error for `subject` (a function, class or module), with its place when it has one."""
    file, line = "", 0
    try:
        if isinstance(subject, ModuleType):
            file = subject.__file__ or ""
        elif subject is not None:
            unwrapped: Any = subject
            file = inspect.getsourcefile(unwrapped) or ""
            line = inspect.getsourcelines(unwrapped)[1]
    except (OSError, TypeError):
        line = 0
    return PluginError(findings=[Finding(message, file, line, hint=hint)])


# --- the hooks -------------------------------------------------------------------------------


def _check_api_version(module: ModuleType) -> None:
    stated = getattr(module, "crmetrics_api_version", API_VERSION)
    if type(stated) is not int:
        raise _refuse(f"crmetrics_api_version must be a whole number, found {stated!r}.", module)
    if stated != API_VERSION:
        way_out = "Upgrade crmetrics." if stated > API_VERSION else "Upgrade the plugin."
        raise _refuse(
            f"it was made for version {stated} of the plugin API, this crmetrics has version "
            f"{API_VERSION}.",
            module,
            way_out,
        )


def _find_hooks(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """The module's implementations by hook name, each with a name and arguments that exist."""
    found: dict[str, Callable[..., Any]] = {}
    for attribute, function in vars(module).items():
        if not inspect.isfunction(function):
            continue
        options = getattr(function, _MARK, None)
        if options is None and not attribute.startswith("crmetrics_"):
            continue
        hook = (options and options.get("specname")) or attribute
        if hook not in HOOKS:
            hint = did_you_mean(hook, HOOKS) or f"The hooks are: {', '.join(HOOKS)}."
            raise _refuse(f"there is no hook {hook!r}.", function, hint)
        if options is None:
            raise _refuse(f"{hook} is not marked as a hook.", function, "Put @hookimpl above it.")
        if options.get("wrapper") or options.get("hookwrapper"):
            raise _refuse(f"{hook} is a wrapper, which crmetrics does not call.", function)
        if hook in found:
            raise _refuse(f"{hook} is implemented twice in one module.", function)
        _check_arguments(function, hook)
        found[hook] = function
    if not found:
        raise _refuse(
            "it offers nothing: no function is marked with @hookimpl.",
            module,
            "A file that only helps other plugins starts with an underscore.",
        )
    return found


def _check_arguments(function: Callable[..., Any], hook: str) -> None:
    given = HOOKS[hook]
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        is_optional = parameter.default is not parameter.empty
        is_given = name in given and parameter.kind is not parameter.KEYWORD_ONLY
        if not is_optional and not is_given:
            raise _refuse(
                f"{hook} takes the argument {name!r}, which it is not given; "
                f"it may take {', '.join(given) or 'no arguments'}.",
                function,
                did_you_mean(name, given),
            )


def _call(function: Callable[..., Any], hook: str) -> Sequence[Any]:
    offered = function()
    if not isinstance(offered, (list, tuple)):
        raise _refuse(f"{hook} must return a list, found {_kind_of(offered)}.", function)
    check = _CHECKS[hook]
    for item in offered:
        check(item, function)
    names = [item.name for item in offered]
    for name in names:
        if names.count(name) > 1:
            raise _refuse(f"{hook} returns {name!r} twice.", function)
    return offered


def _kind_of(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if value is None:
        return "None"
    return f"a value of type {type(value).__name__}"


# --- what they return ------------------------------------------------------------------------


def _check_name(name: object, subject: object, what: str) -> None:
    if not isinstance(name, str) or not name:
        raise _refuse(f"{what} has no name.", subject, "Set `name` to a short text.")
    if not _NAME.fullmatch(name):
        raise _refuse(
            f"{what} is named {name!r}; a name is lower-case letters, digits, '_' or '-'.", subject
        )


def _check_class(
    offered: Any, function: Callable[..., Any], base: type[Any], options: type[Options]
) -> None:
    wanted = f"crmetrics.plugin.{base.__name__}"
    if not isinstance(offered, type) or not issubclass(offered, base):
        hint = "Return the class, not an object." if isinstance(offered, base) else ""
        raise _refuse(
            f"expected a subclass of {wanted}, found {_kind_of(offered)}.", function, hint
        )
    _check_name(getattr(offered, "name", None), offered, f"class {offered.__name__}")
    missing = sorted(getattr(offered, "__abstractmethods__", ()))
    if missing:
        raise _refuse(f"class {offered.__name__} does not define {', '.join(missing)}.", offered)
    config: Any = getattr(offered, "Config", None)
    if not isinstance(config, type) or not issubclass(config, options):
        raise _refuse(
            f"{offered.__name__}.Config must be a subclass of crmetrics.plugin.{options.__name__}, "
            f"found {_kind_of(config)}.",
            offered,
        )


def _check_connector(offered: Any, function: Callable[..., Any]) -> None:
    _check_class(offered, function, Connector, SourceOptions)


def _check_sink(offered: Any, function: Callable[..., Any]) -> None:
    _check_class(offered, function, Sink, Options)


def _check_pack(offered: Any, function: Callable[..., Any]) -> None:
    if not isinstance(offered, MetricPack):
        raise _refuse(
            f"expected a crmetrics.plugin.MetricPack, found {_kind_of(offered)}.", function
        )
    _check_name(offered.name, function, "a metric pack")
    if not Path(offered.path).is_dir():
        raise _refuse(
            f"pack {offered.name!r}: there is no folder {offered.path}.",
            function,
            "The path is the folder that holds pack.yaml.",
        )


def _check_dataset(offered: Any, function: Callable[..., Any]) -> None:
    if not isinstance(offered, Dataset):
        raise _refuse(f"expected a crmetrics.plugin.Dataset, found {_kind_of(offered)}.", function)
    if not isinstance(offered.name, str) or not _COLUMN_NAME.fullmatch(offered.name):
        raise _refuse(f"dataset {offered.name!r}: a name is lower-case with underscores.", function)
    seen: set[str] = set()
    for column in offered.columns:
        if not isinstance(column, Column):
            raise _refuse(
                f"dataset {offered.name!r}: expected a crmetrics.plugin.Column, "
                f"found {_kind_of(column)}.",
                function,
            )
        subject = f"dataset {offered.name!r}: column {column.name!r}"
        if not _COLUMN_NAME.fullmatch(column.name):
            raise _refuse(f"{subject}: a name is lower-case with underscores.", function)
        if column.type not in SQL_TYPES:
            hint = did_you_mean(column.type, SQL_TYPES) or f"Types: {', '.join(SQL_TYPES)}."
            raise _refuse(f"{subject} has the unknown type {column.type!r}.", function, hint)
        if column.name in seen:
            raise _refuse(f"{subject} stands twice.", function)
        seen.add(column.name)


def check_relations(datasets: dict[str, Dataset], added: Sequence[Dataset]) -> None:
    """Raise PluginError when an added dataset names a key column or a dataset that is not there.

    datasets: all datasets, the added ones merged in.
    """
    for addition in added:
        merged = datasets[addition.name]
        pointers = (*merged.key, merged.created, merged.parent)
        for name in [pointer for pointer in pointers if pointer and pointer not in merged]:
            hint = did_you_mean(name, merged.column_names)
            raise PluginError(f"dataset {merged.name!r} has no column {name!r}. {hint}".rstrip())
        for column in addition.columns:
            if column.references and column.references not in datasets:
                hint = did_you_mean(column.references, datasets)
                raise PluginError(
                    f"dataset {merged.name!r}: column {column.name!r} refers to the unknown "
                    f"dataset {column.references!r}. {hint}".rstrip()
                )


_CHECKS: dict[str, Callable[[Any, Callable[..., Any]], None]] = {
    "crmetrics_connectors": _check_connector,
    "crmetrics_sinks": _check_sink,
    "crmetrics_metric_packs": _check_pack,
    "crmetrics_datasets": _check_dataset,
}
