"""What the loaded plugins offer, and why the others do not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from msgspec import Struct

from crmetrics.errors import PluginError, did_you_mean
from crmetrics.loader.failures import describe, isolated

if TYPE_CHECKING:
    import pluggy

    from crmetrics.plugin import Connector, Dataset, MetricPack, Sink

_log = logging.getLogger("crmetrics.loader")

Kind = Literal["connector", "sink", "pack"]
Offer = TypeVar("Offer")


class PluginInfo(Struct, frozen=True):
    """One plugin that was found.

    origin: where it comes from, in words. error: why it is in quarantine. offers: what it brings
    (`connector csv`), or for one that lost its names to another what it would have brought.
    """

    name: str
    origin: str
    version: str = ""
    state: Literal["loaded", "quarantined"] = "loaded"
    error: str = ""
    offers: tuple[str, ...] = ()
    is_builtin: bool = False

    def __str__(self) -> str:
        return f"{self.name!r} ({self.origin})"


class Hook:
    """One hook of every plugin: call it to notify them, or look at who implements it."""

    def __init__(self, registry: PluginRegistry, name: str) -> None:
        self._registry = registry
        self.name = name

    def __call__(self, **arguments: Any) -> None:
        self._registry.notify(self.name, **arguments)

    def get_hookimpls(self) -> list[pluggy.HookImpl]:
        """Who implements it, in the order in which the plugins were loaded."""
        return self._registry.implementations(self.name)


class HookRelay:
    """`relay.crmetrics_run_started(run_id=..., job=...)` calls that hook of every plugin."""

    def __init__(self, registry: PluginRegistry) -> None:
        self._registry = registry

    def __getattr__(self, name: str) -> Hook:
        known = self._registry.hook_names
        if name not in known:
            hint = did_you_mean(name, known)
            raise AttributeError(f"there is no hook {name!r}. {hint}".rstrip())
        return Hook(self._registry, name)


class PluginRegistry:
    """Everything the plugins of a project offer, by name, and the plugins themselves.

    datasets: the canonical datasets with the additions of plugins. tried: loaded and quarantined
    plugins, in the order in which they were tried. complete: loads those that wait until somebody
    asks for them; what they offer is not among the others before.
    """

    def __init__(
        self,
        *,
        connectors: Mapping[str, type[Connector]],
        sinks: Mapping[str, type[Sink]],
        packs: Mapping[str, MetricPack],
        datasets: Mapping[str, Dataset],
        tried: Sequence[PluginInfo],
        manager: pluggy.PluginManager,
        complete: Callable[[], None],
    ) -> None:
        self.connectors = connectors
        self.sinks = sinks
        self.packs = packs
        self.datasets = datasets
        self.tried = tried
        self.complete = complete
        self._manager = manager
        self._reported: set[tuple[str, str]] = set()
        self.hook_names = frozenset(vars(manager.hook))
        self.hook = HookRelay(self)

    @property
    def plugins(self) -> tuple[PluginInfo, ...]:
        """All plugins, loaded and quarantined, the product's own first; none waits any longer."""
        self.complete()
        return tuple(sorted(self.tried, key=lambda plugin: not plugin.is_builtin))

    @property
    def quarantined(self) -> tuple[PluginInfo, ...]:
        """The plugins that could not be used, each with its error."""
        return tuple(plugin for plugin in self.plugins if plugin.state == "quarantined")

    def require_connector(self, name: str) -> type[Connector]:
        """The connector of that name; PluginError that says why there is none."""
        return self._require("connector", name, self.connectors)

    def require_sink(self, name: str) -> type[Sink]:
        """The sink of that name; PluginError that says why there is none."""
        return self._require("sink", name, self.sinks)

    def require_pack(self, name: str) -> MetricPack:
        """The metric pack of that name; PluginError that says why there is none."""
        return self._require("pack", name, self.packs)

    def _require(self, kind: Kind, name: str, known: Mapping[str, Offer]) -> Offer:
        if name not in known:
            self.complete()
        if name not in known:
            raise PluginError(self.why_missing(kind, name))
        return known[name]

    def why_missing(self, kind: Kind, name: str) -> str:
        """Why there is no `kind` of that name: the error of the quarantined plugin that would have
        given it, else the close names and the quarantined plugins that may have given it."""
        bare = name.replace("-", "_")
        for plugin in self.quarantined:
            own_name = plugin.name.rpartition(".")[2].removeprefix("crmetrics_").replace("-", "_")
            if f"{kind} {name}" in plugin.offers or own_name == bare:
                return (
                    f"{kind} {name!r} cannot be used: plugin {plugin} is in quarantine: "
                    f"{plugin.error}"
                )
        offered: Mapping[Kind, Mapping[str, object]] = {
            "connector": self.connectors,
            "sink": self.sinks,
            "pack": self.packs,
        }
        known = offered[kind]
        text = f"unknown {kind} {name!r}. {did_you_mean(name, known)}".rstrip()
        text += f" Known: {', '.join(sorted(known)) or 'none'}."
        if self.quarantined:
            others = "; ".join(f"{plugin}: {plugin.error}" for plugin in self.quarantined)
            text += f" In quarantine, and perhaps the one that offers it: {others}"
        return text

    # --- hooks -------------------------------------------------------------------------------

    def implementations(self, hook_name: str) -> list[pluggy.HookImpl]:
        """Who implements a hook, in the order in which the plugins were loaded; `tryfirst` and
        `trylast` are heeded. (pluggy itself calls the last loaded first.)"""
        found: list[pluggy.HookImpl] = getattr(self._manager.hook, hook_name).get_hookimpls()
        return sorted(found, key=lambda one: one.trylast - one.tryfirst)

    def notify(self, hook_name: str, /, **arguments: Any) -> None:
        """Call an observer hook of every plugin, in the order in which they were loaded.

        An observer that raises is reported once per registry as a warning and never breaks a run.
        Raises TypeError when the caller leaves out an argument of the hook.
        """
        missing = set(getattr(self._manager.hook, hook_name).spec.argnames) - set(arguments)
        if missing:
            raise TypeError(f"{hook_name} needs {', '.join(sorted(missing))}")
        for implementation in self.implementations(hook_name):
            plugin = implementation.plugin_name
            with isolated() as failure:
                implementation.function(*[arguments[name] for name in implementation.argnames])
            if failure.cause is not None and (plugin, hook_name) not in self._reported:
                self._reported.add((plugin, hook_name))
                told = describe(failure.cause)
                _log.warning(
                    "plugin %s: its %s failed and was ignored: %s", plugin, hook_name, told
                )

    def apply_commands(self, cli: Any, *, reserved: Collection[str] = ()) -> tuple[str, ...]:
        """Let plugins add commands to the click group `cli`; returns what went wrong, in words.

        A plugin that raises, or that takes over or removes a command that is there (or is named in
        `reserved`, for groups that load their commands late), adds nothing.
        """
        problems: list[str] = []
        for implementation in self.implementations("crmetrics_commands"):
            before = dict(cli.commands)
            with isolated() as failure:
                implementation.function(*[cli for _ in implementation.argnames])
            after = dict(cli.commands)
            taken = [name for name in before if after.get(name) is not before[name]]
            taken += [name for name in after if name not in before and name in reserved]
            if failure.cause is not None:
                problem = describe(failure.cause)
            elif taken:
                names = ", ".join(map(repr, sorted(taken)))
                problem = f"{names} is a command already; a plugin cannot replace it."
            else:
                continue
            cli.commands.clear()
            cli.commands.update(before)
            problems.append(f"plugin {implementation.plugin_name} adds no commands: {problem}")
        return tuple(problems)
