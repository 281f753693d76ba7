"""The sections that belong to plugins: sources and sinks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Generic, TypeVar

from msgspec import Struct

from crmetrics.config.expectations import is_timezone, timezone_hint
from crmetrics.config.tree import Node, Path, Scalar, Section, dotted, find, is_empty, place_of
from crmetrics.config.validation import check
from crmetrics.config.wording import found
from crmetrics.datasets import Dataset
from crmetrics.errors import Finding, did_you_mean
from crmetrics.options import Options

_Options = TypeVar("_Options", bound=Options)


class Chosen(Struct, Generic[_Options], frozen=True):
    """One source or sink: the plugin that it names and the options built by that plugin."""

    plugin: str
    options: _Options


class PluginSections(Struct, Generic[_Options], frozen=True):
    """Reads `sources:` or `sinks:`.

    title: the key of the section. choice: the key that chooses the plugin. configs: the options
    class of each plugin. unavailable: plugins that could not be loaded, with the reason.
    """

    title: str
    choice: str
    configs: Mapping[str, type[_Options]]
    fallback: _Options
    unavailable: Mapping[str, str]
    findings: list[Finding]
    notes: list[Finding]

    def read(self, root: Section) -> dict[str, Chosen[_Options]]:
        """The entries that are right; findings for the others."""
        section = root.node(self.title)
        if not isinstance(section, Section):
            return {}
        found_all = {name: self._read_one(root, name) for name in section.entries}
        return {name: chosen for name, chosen in found_all.items() if chosen}

    def _read_one(self, root: Section, name: str) -> Chosen[_Options] | None:
        path: Path = (self.title, name)
        node = find(root, path)
        if not isinstance(node, Section) and not is_empty(node):
            what = f"expected keys such as `{self.choice}:`, found {_shown(node)}."
            self._refuse(root, path, what)
            return None
        plugin = self._plugin(root, path)
        if plugin is None:
            return None
        if plugin not in self.configs:
            self._note_unavailable(root, path, plugin)
            return Chosen(plugin, self.fallback)
        options, findings = check(self.configs[plugin], root, path, without=(self.choice,))
        self.findings.extend(findings)
        return Chosen(plugin, options) if options is not None else None

    def _plugin(self, root: Section, path: Path) -> str | None:
        """The name of the plugin that a section chooses, if there is such a plugin."""
        known = sorted({*self.configs, *self.unavailable})
        choices = f"one of {', '.join(known)}" if known else f"an installed {self.choice}"
        node = find(root, (*path, self.choice))
        if node is None:
            section = find(root, path)
            keys = section.entries if isinstance(section, Section) else ()
            close = next((key for key in keys if did_you_mean(key, [self.choice])), None)
            hint = f"Is {close!r} meant to be {self.choice!r}?" if close else ""
            what = f"expected the key {self.choice!r} ({choices}), it is missing."
            self._refuse(root, path, what, hint, at_key=True)
        elif not isinstance(node, Scalar) or is_empty(node):
            what = f"expected {choices}, found {_shown(node)}."
            self._refuse(root, (*path, self.choice), what)
        elif node.text in known:
            return node.text
        elif not node.is_unresolved:
            what = f"unknown {self.choice} {_shown(node)}, expected {choices}."
            hint = "" if node.variables else did_you_mean(node.text, known)
            self._refuse(root, (*path, self.choice), what, hint)
        return None

    def _note_unavailable(self, root: Section, path: Path, plugin: str) -> None:
        message = f"{dotted(path)}: the {self.choice} {plugin!r} could not be loaded"
        reason = self.unavailable[plugin]
        place = place_of(root, (*path, self.choice))
        self.notes.append(place.finding(f"{message}: {reason}", "Its keys were not checked."))

    def _refuse(
        self, root: Section, path: Path, message: str, hint: str = "", *, at_key: bool = False
    ) -> None:
        place = place_of(root, path, at_key=at_key)
        self.findings.append(place.finding(f"{dotted(path)}: {message}", hint))


def _shown(node: Node | None) -> str:
    return found(node)


# --- what the core itself knows of a source ----------------------------------------------------


def check_source(root: Section, name: str, datasets: Mapping[str, Dataset]) -> list[Finding]:
    """Wrong datasets, columns, zone and durations of one source.

    Looks at the file instead of the options, so that nothing else that is wrong hides them.
    """
    path: Path = ("sources", name)
    return [
        *_zone(root, (*path, "timezone")),
        *_below_zero(root, (*path, "overlap")),
        *_below_zero(root, (*path, "hold_back")),
        *_datasets(root, (*path, "datasets"), datasets),
    ]


def _zone(root: Section, path: Path) -> list[Finding]:
    node = find(root, path)
    if not isinstance(node, Scalar) or is_empty(node) or is_timezone(node.text):
        return []
    if node.is_unresolved:
        return []
    expected = "expected an IANA time zone such as Europe/Berlin"
    message = f"{dotted(path)}: {expected}, found {_shown(node)}."
    hint = "" if node.variables else timezone_hint(node.text)
    return [node.place.finding(message, hint)]


def _below_zero(root: Section, path: Path) -> list[Finding]:
    node = find(root, path)
    if not isinstance(node, Scalar) or not node.text.startswith("-"):
        return []
    message = f"{dotted(path)}: expected a duration of zero or more, found {_shown(node)}."
    return [node.place.finding(message)]


def _datasets(root: Section, path: Path, datasets: Mapping[str, Dataset]) -> list[Finding]:
    section = find(root, path)
    findings: list[Finding] = []
    for name in section.entries if isinstance(section, Section) else ():
        if name in datasets:
            findings += _columns(root, (*path, name, "columns"), datasets[name])
        else:
            findings.append(unknown_dataset(root, (*path, name), datasets))
    return findings


def _columns(root: Section, path: Path, dataset: Dataset) -> list[Finding]:
    section = find(root, path)
    keys = section.entries if isinstance(section, Section) else ()
    return [
        unknown_column(root, (*path, key), key, dataset)
        for key in keys
        if key not in mappable(dataset)
    ]


def mappable(dataset: Dataset) -> Collection[str]:
    """The columns that a source may fill; `source` is filled by the engine."""
    return [name for name in dataset.column_names if name != "source"]


def unknown_dataset(root: Section, path: Path, datasets: Mapping[str, Dataset]) -> Finding:
    """The finding for a key that should name a dataset."""
    name = str(path[-1])
    message = f"{dotted(path[:-1])}: unknown dataset {name!r}."
    hint = did_you_mean(name, datasets, limit=1) or "`crmetrics list datasets` shows them."
    return place_of(root, path, at_key=True).finding(message, hint)


def unknown_column(root: Section, path: Path, name: str, dataset: Dataset) -> Finding:
    """The finding for a key, or for a value in a list, that should name a column of `dataset`."""
    place = place_of(root, path, at_key=True)
    if name == "source":
        message = f"{dotted(path)}: the column 'source' is filled by crmetrics."
        return place.finding(message, "Leave it out.")
    node = find(root, path)
    shown = repr(name) if isinstance(path[-1], str) else _shown(node)
    message = f"{dotted(path[:-1])}: the dataset {dataset.name!r} has no column {shown}."
    known = mappable(dataset)
    return place.finding(message, did_you_mean(name, known) or f"It has {', '.join(known)}.")
