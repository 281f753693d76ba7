"""`load_plugins`: try every candidate alone, give names away in order, keep what is whole."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING

from crmetrics.errors import PluginError
from crmetrics.loader.discovery import Candidate, discover, import_candidate
from crmetrics.loader.failures import describe, isolated
from crmetrics.loader.registry import PluginInfo, PluginRegistry

if TYPE_CHECKING:
    from crmetrics.loader.offers import Offers
    from crmetrics.plugin import Connector, MetricPack, Sink

# Importing goes through sys.modules and sys.path, which a second thread must not see half changed.
_lock = threading.RLock()


_MAY_WAIT = {"crmetrics_connectors": "connector", "crmetrics_sinks": "sink"}
"""The hook of a built-in plugin that offers one thing under its own name, and what that is."""


def load_plugins(
    directory: Path, dotted: Sequence[str] = (), used: Collection[str] | None = None
) -> PluginRegistry:
    """The plugins of a project: the product's own, the installed ones, those in
    `<directory>/plugins/`, and those whose module names `dotted` lists.

    A plugin contributes all that it offers or nothing. The product's own plugins come first and
    keep their names; then whoever comes first by the order of `discover` has a name, the next one
    is quarantined with a message that names both. Raises nothing for a broken plugin.

    used: the connectors and sinks that the project names; those of the product that it does not
    name wait until somebody asks for them, since to import them takes longer than a small question.
    None = none of them wait.
    """
    directory = Path(directory).absolute()
    with _lock:
        loading = _Loading(directory, used)
        for candidate in discover(directory, dotted):
            loading.add(candidate)
        return loading.registry()


class _Loading:
    """The registry while it is being filled."""

    def __init__(self, directory: Path, used: Collection[str] | None) -> None:
        # Late: hookspecs needs pydantic, which `--help` must not wait for.
        import pluggy

        from crmetrics import hookspecs
        from crmetrics.datasets import canonical_datasets

        self._directory = directory
        self._used = used
        self._manager = pluggy.PluginManager("crmetrics")
        self._manager.add_hookspecs(hookspecs)
        self._connectors: dict[str, type[Connector]] = {}
        self._sinks: dict[str, type[Sink]] = {}
        self._packs: dict[str, MetricPack] = {}
        self._datasets = canonical_datasets()
        self._plugins: list[PluginInfo] = []
        self._modules: set[str] = set()
        self._files: set[str] = set()
        self._owners: dict[tuple[str, str], Candidate] = {}
        self._entry_points: dict[str, Candidate] = {}
        # What a built-in plugin would offer is unknown when it fails; its own name stands for it.
        self._broken_builtins: dict[str, Candidate] = {}
        self._waiting: dict[tuple[str, str], ModuleType] = {}

    def add(self, candidate: Candidate) -> None:
        if not candidate.problem:
            if candidate.module in self._modules:
                return
            self._modules.add(candidate.module)
        with isolated() as failure:
            if candidate.problem:
                raise PluginError(candidate.problem)
            self._claim_entry_point(candidate)
            module = import_candidate(candidate, self._directory)
            if self._is_known_file(module):
                return
        if failure.cause is not None:
            self._note(candidate, failure.cause, ())
        elif kind := self._waits_as(candidate, module):
            self._owners[kind, candidate.name] = candidate
            self._waiting[kind, candidate.name] = module
        else:
            self._take(candidate, module)

    def _waits_as(self, candidate: Candidate, module: ModuleType) -> str:
        """What a plugin offers that nobody has asked for; empty when it is not to wait."""
        if self._used is None or candidate.road != "builtin" or candidate.name in self._used:
            return ""
        return next((kind for hook, kind in _MAY_WAIT.items() if hasattr(module, hook)), "")

    def complete(self) -> None:
        """Load the plugins that wait."""
        with _lock:
            for named in [*self._waiting]:
                self._take(self._owners.pop(named), self._waiting.pop(named))

    def _take(self, candidate: Candidate, module: ModuleType) -> None:
        """All that a plugin offers, or nothing of it."""
        offered: tuple[str, ...] = ()
        with isolated() as failure:
            offers = self._read(module)
            offered = tuple(offers)
            self._accept(candidate, module, offers)
        self._note(candidate, failure.cause, offered)

    def _note(
        self, candidate: Candidate, cause: BaseException | None, offered: tuple[str, ...]
    ) -> None:
        is_builtin = candidate.road == "builtin"
        if cause is not None and is_builtin:
            self._broken_builtins[candidate.name] = candidate
        self._plugins.append(
            PluginInfo(
                candidate.name,
                candidate.origin,
                candidate.version,
                "loaded" if cause is None else "quarantined",
                "" if cause is None else describe(cause, self._directory, candidate.module),
                offered,
                is_builtin,
            )
        )

    def _claim_entry_point(self, candidate: Candidate) -> None:
        if candidate.road not in ("builtin", "installed"):
            return
        owner = self._entry_points.setdefault(candidate.name, candidate)
        if owner is not candidate:
            raise PluginError(_taken("entry point", candidate.name, owner, candidate))

    def _is_known_file(self, module: ModuleType) -> bool:
        """True when the same file was loaded before under another name."""
        file = getattr(module, "__file__", None)
        if file is None:
            return False
        known = file in self._files
        self._files.add(file)
        return known

    @staticmethod
    def _read(module: ModuleType) -> Offers:
        from crmetrics.loader.offers import read_offers

        return read_offers(module)

    def _accept(self, candidate: Candidate, module: ModuleType, offers: Offers) -> None:
        """Take everything over, after the last check that can refuse it."""
        from crmetrics.datasets import extend
        from crmetrics.loader.offers import check_relations

        for kind, name in offers.names():
            owner = self._owners.get((kind, name)) or self._broken_builtins.get(name)
            if owner is not None:
                raise PluginError(_taken(kind, name, owner, candidate))
        datasets = extend(self._datasets, offers.datasets)
        check_relations(datasets, offers.datasets)
        self._manager.register(module, f"{candidate}")
        self._datasets = datasets
        self._owners.update((named, candidate) for named in offers.names())
        self._connectors.update((connector.name, connector) for connector in offers.connectors)
        self._sinks.update((sink.name, sink) for sink in offers.sinks)
        self._packs.update((pack.name, pack) for pack in offers.packs)

    def registry(self) -> PluginRegistry:
        return PluginRegistry(
            connectors=MappingProxyType(self._connectors),
            sinks=MappingProxyType(self._sinks),
            packs=MappingProxyType(self._packs),
            datasets=MappingProxyType(self._datasets),
            tried=self._plugins,
            manager=self._manager,
            complete=self.complete,
        )


def _taken(kind: str, name: str, owner: Candidate, late: Candidate) -> str:
    if owner.road == "builtin":
        return f"{kind} {name!r} belongs to crmetrics itself. Choose another name."
    return (
        f"{kind} {name!r} is offered by {owner} and by {late}; the first one has it. "
        "Rename one, or remove one."
    )
