"""Finds plugins, loads each one alone, and keeps what they offer.

Three ways in: entry points of installed distributions (group `crmetrics`), files and packages in
the project's `plugins/` folder, dotted names of the project file. A plugin that fails, in whatever
way, goes into quarantine with its own error and contributes nothing; everything else works.

pluggy's own entry-point loader is not used: there one broken plugin stops all of them, and of two
distributions with the same name the first one met wins in silence.
"""

from __future__ import annotations

from crmetrics.loader.loading import load_plugins
from crmetrics.loader.registry import Hook, HookRelay, PluginInfo, PluginRegistry

__all__ = ["Hook", "HookRelay", "PluginInfo", "PluginRegistry", "load_plugins"]
