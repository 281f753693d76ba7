"""From the bytes of the project file to its tree, with every problem of the file's form."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from crmetrics.config.tree import Entry, Listing, Node, Place, Scalar, Section
from crmetrics.config.variables import Environment, fill_in, hide_braces, show_braces
from crmetrics.errors import Finding

if TYPE_CHECKING:
    import yaml

# Limits that no honest file reaches; they stop recursive and multiplying anchors.
_MAX_DEPTH = 40
_MAX_NODES = 50_000

# By what is refused: a set that reaches beyond the basic plane takes ten times as long to compile.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_CORE = "tag:yaml.org,2002:"
_MERGE, _TEXT = _CORE + "merge", _CORE + "str"
_TAGS = frozenset(
    _CORE + name
    for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge", "value")
)


class Document(Struct):
    """A project file that was read: its tree, empty if nothing could be read, and what is wrong
    with it so far."""

    file: str
    root: Section
    findings: list[Finding] = field(default_factory=list)


class _Unreadable(Exception):
    """The file as a whole cannot be read; ends the reading with one finding."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


def read_document(path: Path, environment: Environment, *, shown: str = "") -> Document:
    """Read one YAML file. Never raises for what stands in it: see `Document.findings`.

    shown: how messages name the file; by default by its name alone.
    """
    file = shown or path.name
    document = Document(file, Section(Place(file, 1, 1)))
    try:
        top = _compose(_decode(path, file), file)
        root = _Builder(document, environment).node(top, 0)
    except _Unreadable as exc:
        document.findings.append(exc.finding)
        return document
    document.findings.extend(environment.findings)
    if isinstance(root, Section):
        document.root = root
    else:
        what = "a list" if isinstance(root, Listing) else "a single value"
        message = f"expected keys such as `sources:` and `jobs:` at the top, found {what}."
        document.findings.append(root.place.finding(message))
    return document


def _decode(path: Path, file: str) -> str:
    try:
        raw = path.read_bytes()
    except OSError as exc:
        raise _Unreadable(Finding(f"cannot be read: {exc.strerror}.", file)) from None
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _at(file, "", "expected UTF-8, found UTF-16.", "Save the file as UTF-8.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        before = raw[: exc.start].decode("utf-8-sig")
        message = f"expected UTF-8, found the byte 0x{raw[exc.start]:02x}."
        raise _at(file, before, message, "Save the file as UTF-8.") from None
    if match := _UNPRINTABLE.search(text):
        message = f"found the control character U+{ord(match[0]):04X}."
        raise _at(file, text[: match.start()], message, "Remove it.")
    if not text.strip():
        hint = "`crmetrics init` writes a file to start from."
        raise _at(file, "", "the file is empty.", hint)
    return text


def _at(file: str, before: str, message: str, hint: str) -> _Unreadable:
    """A problem right behind the text `before`."""
    lines = before.splitlines() or [""]
    if before.endswith(("\n", "\r")):
        lines.append("")
    return _Unreadable(Place(file, len(lines), len(lines[-1]) + 1).finding(message, hint))


def _compose(text: str, file: str) -> yaml.Node:
    import yaml

    # The C parser is about ten times faster; a PyYAML built without libyaml has none.
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        top: yaml.Node | None = yaml.compose(hide_braces(text), Loader=loader)
    except yaml.MarkedYAMLError as exc:
        raise _Unreadable(_syntax_finding(exc, text, file)) from None
    except (yaml.YAMLError, RecursionError):
        raise _at(file, "", "the file is not valid YAML.", "") from None
    if top is None:
        hint = "Remove the # before its keys, or `crmetrics init` writes a file to start from."
        raise _at(file, "", "the file holds only comments.", hint)
    return top


class _Builder:
    """Turns nodes of the YAML parser into the tree and collects what is wrong with them."""

    def __init__(self, document: Document, environment: Environment) -> None:
        self.document = document
        self.environment = environment
        self.count = 0

    def node(self, node: yaml.Node, depth: int) -> Node:
        import yaml

        place = self.place(node)
        self.count += 1
        if depth > _MAX_DEPTH:
            raise _Unreadable(
                place.finding(
                    f"nested more than {_MAX_DEPTH} levels deep; does an anchor hold itself?"
                )
            )
        if self.count > _MAX_NODES:
            message = f"the file holds more than {_MAX_NODES} values; do anchors multiply?"
            raise _Unreadable(place.finding(message))
        if node.tag not in _TAGS:
            tag = show_braces(node.tag.replace(_CORE, "!!"))
            self.report(place, f"the tag {tag!r} has no meaning here.", "Remove it.")
        if isinstance(node, yaml.MappingNode):
            return self.section(node, place, depth)
        if isinstance(node, yaml.SequenceNode):
            return Listing(place, tuple(self.node(item, depth + 1) for item in node.value))
        return self.scalar(node, place)

    def place(self, node: yaml.Node) -> Place:
        mark = node.start_mark
        return Place(self.document.file, mark.line + 1, mark.column + 1)

    def report(self, place: Place, message: str, hint: str = "") -> None:
        self.document.findings.append(place.finding(message, hint))

    def scalar(self, node: Any, place: Place) -> Scalar:
        text = show_braces(node.value)
        # What PyYAML (YAML 1.1) calls a text is one, also `!!str 5`; only 1e3 is a number to us.
        is_plain = not node.style and (node.tag != _TEXT or "e" in text.lower())
        if "${" not in text:
            return Scalar(place, text, is_plain)
        filled = fill_in(text, self.environment)
        for message, hint in filled.problems:
            self.report(place, message, hint)
        return Scalar(place, filled.text, is_plain, filled.variables, bool(filled.problems))

    def section(self, node: yaml.MappingNode, place: Place, depth: int) -> Section:
        entries: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            at = self.place(key_node)
            if key_node.tag == _MERGE:
                self.merge(merged, value_node, at, depth)
                continue
            name = self.key(key_node, at)
            if name is None:
                continue
            if name in entries:
                first = entries[name].place
                message = f"key {name!r} stands twice; it is already in line {first.line}"
                self.report(at, f"{message}, column {first.column}.", "Keep one of them.")
                continue
            entries[name] = Entry(at, self.node(value_node, depth + 1))
        return Section(place, {**merged, **entries})

    def key(self, node: Any, place: Place) -> str | None:
        import yaml

        if isinstance(node, yaml.ScalarNode) and (node.value or node.style):
            return show_braces(node.value)
        self.report(place, "expected a name as the key, found something else.")
        return None

    def merge(self, merged: dict[str, Entry], node: yaml.Node, at: Place, depth: int) -> None:
        """`<<: *defaults`: keys of another section; the section's own keys win, earlier ones
        before later ones."""
        value = self.node(node, depth + 1)
        for source in value.items if isinstance(value, Listing) else (value,):
            if isinstance(source, Section):
                merged.update({k: e for k, e in source.entries.items() if k not in merged})
            else:
                self.report(at, "expected a section to merge (`<<: *name`), found a value.")


_ADVICE: tuple[tuple[str, str], ...] = (
    ("cannot start any token", "Put a value that begins with a special character in quotes."),
    ("scanning an alias", "A value that begins with * needs quotes, a cron schedule too."),
    ("undefined alias", "A value that begins with * needs quotes."),
    ("mapping values are not allowed", "A value that holds ': ' needs quotes; check the indent."),
    ("unknown escape character", "Use single quotes, or \\\\ for a backslash."),
    ("unexpected end of stream", "A quote is not closed."),
    ("another document", "Remove the line `---`: the file is one document."),
    ("expected ',' or", "A bracket or brace is not closed, or a comma is missing."),
    ("expected <block end>", "Check the indent of this line."),
    ("did not find expected", "Check the indent of this line."),
)


def _syntax_finding(exc: yaml.MarkedYAMLError, text: str, file: str) -> Finding:
    mark = exc.problem_mark or exc.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    place = Place(file, line + 1, column + 1)
    lines = text.splitlines()
    written = lines[line] if line < len(lines) else ""
    indent = written[: len(written) - len(written.lstrip())]
    if "\t" in indent:
        at = Place(file, line + 1, indent.index("\t") + 1)
        return at.finding("a tab stands in the indent, expected spaces.", "Use two spaces.")
    what = ", ".join(part for part in (exc.context, exc.problem) if part)
    opened = exc.context_mark
    if opened and opened.line != line:
        what += f" (begun in line {opened.line + 1}, column {opened.column + 1})"
    advice = next((hint for problem, hint in _ADVICE if problem in what), "")
    return place.finding(f"not valid YAML: {what}.", advice)
