"""Reads typed fields out of a YAML section and collects what is wrong, each with its place."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import Struct, field

from crmetrics.catalog.definition import Place
from crmetrics.config.tree import Listing, Node, Scalar, Section, is_empty
from crmetrics.errors import Finding, did_you_mean


class Fields(Struct):
    """One section of a definition file; `path` is how messages name it (`win_rate.variants`)."""

    section: Section
    path: str
    findings: list[Finding] = field(default_factory=list)

    def below(self, key: str) -> Fields | None:
        """The section under `key`; None if there is none (or it is no section: a finding)."""
        node = self.section.node(key)
        if node is None:
            return None
        if isinstance(node, Section):
            return Fields(node, f"{self.path}.{key}", self.findings)
        self.refuse(node, f"{self.path}.{key}: expected keys and values, found {_kind(node)}.")
        return None

    def sections_of(self, key: str) -> Mapping[str, Fields]:
        """The sections under `key`, by their names; empty if there is none."""
        below = self.below(key)
        return below.sections() if below is not None else {}

    def sections(self) -> Mapping[str, Fields]:
        """All keys as sections; a key whose value is none is a finding."""
        found = {}
        for key in self.section.entries:
            child = self.below(key)
            if child is not None:
                found[key] = child
        return found

    def known(self, keys: Collection[str]) -> None:
        """Report keys that mean nothing here."""
        for key, entry in self.section.entries.items():
            if key not in keys:
                at = entry.place
                hint = did_you_mean(key, keys) or "Known keys: " + ", ".join(sorted(keys)) + "."
                self.findings.append(
                    Finding(f"{self.path}: unknown key {key!r}.", at.file, at.line, at.column, hint)
                )

    def refuse(self, node: Node, message: str, hint: str = "") -> None:
        self.findings.append(node.place.finding(message, hint))

    def place(self, key: str) -> Place:
        entry = self.section.entries.get(key)
        return place_of(entry.node if entry is not None else self.section)

    # --- typed values ----------------------------------------------------------------------------

    def text(self, key: str, default: str = "") -> str:
        node = self.section.node(key)
        if node is None or is_empty(node):
            return default
        if isinstance(node, Scalar):
            return node.text.strip()
        self.refuse(node, f"{self.path}.{key}: expected a text, found {_kind(node)}.")
        return default

    def choice(self, key: str, allowed: Collection[str], default: str) -> str:
        value = self.text(key, default)
        if value not in allowed:
            node = self.section.node(key) or self.section
            self.refuse(
                node,
                f"{self.path}.{key}: expected one of {', '.join(allowed)}, found {value!r}.",
                did_you_mean(value, allowed),
            )
            return default
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, or one text."""
        node = self.section.node(key)
        if node is None or is_empty(node):
            return ()
        items = node.items if isinstance(node, Listing) else (node,)
        found = []
        for item in items:
            if isinstance(item, Scalar):
                found.append(item.text.strip())
            else:
                self.refuse(item, f"{self.path}.{key}: expected a text, found {_kind(item)}.")
        return tuple(found)

    def number(self, key: str, default: int = 0) -> int:
        value = self.text(key, str(default))
        try:
            return int(value)
        except ValueError:
            node = self.section.node(key) or self.section
            self.refuse(node, f"{self.path}.{key}: expected a whole number, found {value!r}.")
            return default

    def flag(self, key: str) -> bool:
        return self.choice(key, ("true", "false"), "false") == "true"

    def mapping(self, key: str) -> dict[str, str]:
        """Keys with text values."""
        child = self.below(key)
        return {name: child.text(name) for name in child.section.entries} if child else {}


def place_of(node: Node) -> Place:
    """Where a definition says it."""
    at = node.place
    return Place(at.file, at.line, at.column)


def _kind(node: Node) -> str:
    if isinstance(node, Listing):
        return "a list"
    return "keys and values" if isinstance(node, Section) else "a single value"
