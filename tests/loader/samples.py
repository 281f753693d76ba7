"""Sources of small plugins, and short ways to look at one plugin of a registry."""

from __future__ import annotations

from crmetrics.loader import PluginInfo, PluginRegistry

CONNECTOR = """
from crmetrics.plugin import Connector, hookimpl


class Connector_(Connector):
    name = "NAME"

    def datasets(self):
        return []

    def read(self, request):
        return iter(())


@hookimpl
def crmetrics_connectors():
    return [Connector_]
"""

SINK = """
from crmetrics.plugin import Receipt, Sink, hookimpl


class Sink_(Sink):
    name = "NAME"

    def destination(self, delivery):
        return "nowhere"

    def preview(self, delivery):
        return ""

    def write(self, delivery):
        return Receipt("nowhere")


@hookimpl
def crmetrics_sinks():
    return [Sink_]
"""


def connector(name: str) -> str:
    """The source of a plugin that offers one connector."""
    return CONNECTOR.replace("NAME", name)


def sink(name: str) -> str:
    """The source of a plugin that offers one sink."""
    return SINK.replace("NAME", name)


def info(registry: PluginRegistry, name: str) -> PluginInfo:
    """The one plugin of that name that is not built in."""
    found = [p for p in registry.plugins if p.name == name and not p.is_builtin]
    assert len(found) == 1, found
    return found[0]


def error(registry: PluginRegistry, name: str) -> str:
    """The error of a plugin that must be in quarantine."""
    plugin = info(registry, name)
    assert plugin.state == "quarantined", plugin
    return plugin.error
