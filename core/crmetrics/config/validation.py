"""Checks a part of the tree against a pydantic model; every problem becomes a finding with its
place."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace
from pydantic import BaseModel, ValidationError

from crmetrics.config.durations import parse_duration
from crmetrics.config.expectations import EXPECTED, STATED
from crmetrics.config.tree import (
    DROPPED,
    Listing,
    Node,
    Path,
    Place,
    Scalar,
    Section,
    child,
    dotted,
    find,
    has_unresolved,
    is_empty,
    place_of,
    scalars,
    to_data,
)
from crmetrics.config.wording import Shape, choices, expectation, found
from crmetrics.errors import Finding, did_you_mean
from crmetrics.secrets import redact

Model = TypeVar("Model", bound=BaseModel)

_PLUGINS_OWN = ("value_error", "assertion_error")
_OF_THE_WHOLE = (*_PLUGINS_OWN, EXPECTED, STATED)
_OTHER_TYPE = ("_type", "_parsing", "_of", "literal_error", "enum")
_MAX_LISTED = 16


class _Error(Struct, frozen=True):
    """One error of pydantic, its location taken apart.

    path: keys and positions that exist in the section. missing: the name of a key that does not.
    tags: parts of the location that name members of a union; the union stands at
    `path[:union_at]`. at_key: the key is wrong, not its value.
    """

    kind: str
    path: Path
    context: Mapping[str, Any]
    message: str
    missing: str = ""
    tags: tuple[str, ...] = ()
    union_at: int = 0
    at_key: bool = False

    @property
    def union(self) -> Path:
        return self.path[: self.union_at]

    @property
    def is_shallow(self) -> bool:
        """True when a member of a union does not fit at all: a text where it wants a list."""
        return self.path == self.union and self.kind.endswith(("_type", "_parsing", "_of"))


def check(
    model: type[Model],
    root: Section,
    path: Path = (),
    *,
    section: Section | None = None,
    context: Mapping[str, Any] | None = None,
    without: Collection[str] = (),
) -> tuple[Model | None, list[Finding]]:
    """The model built from the section at `path`; or None, and everything that is wrong with it.

    section: a part of that section to check alone. without: keys that are not the model's.
    context: for the validators of the model.
    """
    section = section or _section_at(root, path)
    report = _Report(model, root, section, path, tuple(without))
    replaced: dict[int, Any] = {}
    while True:
        data = to_data(section, replaced, without=without)
        try:
            return model.model_validate(data, context=context), []
        except ValidationError as exc:
            errors = [_take_apart(section, error) for error in exc.errors(include_url=False)]
        except Exception as exc:  # noqa: BLE001 - a fault of a plugin's validator is a finding
            return None, [report.fault(exc)]
        repairs = dict(_repairs(model, section, errors))
        if repairs.keys() <= replaced.keys():
            return None, report.findings(errors)
        replaced.update(repairs)


def _section_at(root: Section, path: Path) -> Section:
    """The section at `path`; one without keys where there is none."""
    node = find(root, path)
    return node if isinstance(node, Section) else Section(place_of(root, path))


def _take_apart(section: Section, error: Mapping[str, Any]) -> _Error:
    path: list[str | int] = []
    tags: list[str] = []
    missing, union_at = "", 0
    node: Node = section
    location = [part for part in error["loc"] if part != "[key]"]
    for position, part in enumerate(location):
        below = child(node, part)
        if below is not None and not _is_tag(node, below, location[position + 1 :], error["type"]):
            path.append(part)
            node = below
        elif error["type"] == "missing" and position == len(location) - 1:
            missing = str(part)
        else:
            union_at = union_at if tags else len(path)
            tags.append(str(part))
    at_key = error["type"] == "extra_forbidden" or "[key]" in error["loc"]
    context = error.get("ctx") or {}
    return _Error(
        error["type"], tuple(path), context, error["msg"], missing, tuple(tags), union_at, at_key
    )


def _is_tag(node: Node, below: Node, rest: Sequence[str | int], kind: str) -> bool:
    """True when a part of a location names a form (`flow: access_token`) although there is also a
    key of that name: the location goes on, but not below the single value of that key."""
    if not rest or not isinstance(below, Scalar) or is_empty(below):
        return False
    return child(node, rest[0]) is not None or (kind == "missing" and len(rest) == 1)


def _repairs(
    model: type[BaseModel], section: Section, errors: Sequence[_Error]
) -> Iterator[tuple[int, Any]]:
    """Other readings of single values, by the `id` of their node.

    The tree reads `007` or `yes` without knowing what is expected. An error tells: a number where
    a text is expected is the text as written, 10m is a duration, a key without a value is the
    default or an empty section.
    """
    for error in errors:
        node = find(section, error.path)
        if not isinstance(node, Scalar) or error.at_key or not error.path:
            continue
        if is_empty(node):
            if error.kind.startswith(("model_", "dict_", "dataclass_", "mapping_")):
                yield id(node), {}
            elif error.kind.startswith(("list_", "tuple_", "set_", "frozen_set_")):
                yield id(node), []
            elif error.path[-1] in Shape(model, error.path[:-1], error.tags).names:
                yield id(node), DROPPED
        elif error.kind.startswith("time_delta_"):
            if (duration := parse_duration(node.text)) is not None:
                yield id(node), duration
        elif not isinstance(node.value, str) and error.kind.endswith(_OTHER_TYPE):
            yield id(node), node.text


class _Report(Struct, frozen=True):
    """Words the errors of one section."""

    model: type[BaseModel]
    root: Section
    section: Section
    path: Path
    without: tuple[str, ...]

    def findings(self, errors: Sequence[_Error]) -> list[Finding]:
        wanted = (error for error in _one_member_each(errors) if not self.is_known(error))
        return list(dict.fromkeys(self.finding(error) for error in wanted))

    def is_known(self, error: _Error) -> bool:
        """True for the consequence of what is a finding already, such as a missing variable."""
        node = find(self.section, error.path)
        if isinstance(node, Scalar):
            return node.is_unresolved
        if error.kind == "too_short":
            # Pydantic counts the entries that are right; those that are not are told themselves.
            return isinstance(node, Listing) and len(node.items) >= error.context["min_length"]
        return error.kind in _OF_THE_WHOLE and has_unresolved(node)

    def fault(self, exc: Exception) -> Finding:
        text = self.mask(f"{type(exc).__name__}: {exc}", self.section)
        message = f"{dotted(self.path)}: cannot be checked: {text}."
        return self.at((), at_key=True).finding(
            message, "This is a fault of the plugin's Config class."
        )

    def finding(self, error: _Error) -> Finding:
        if error.kind == "extra_forbidden":
            return self.unknown_key(error)
        if error.kind in ("missing", "union_tag_not_found"):
            return self.missing(error)
        node = find(self.section, error.path)
        if error.kind in _PLUGINS_OWN:
            text = self.mask(self.own_text(error), node)
            text = text if text.endswith("?") else f"{text}."
            return self.say(error.path, text, at_key=error.at_key or isinstance(node, Section))
        if error.kind == STATED:
            what, hint = error.context["what"], error.context["hint"]
            return self.say(error.path, f"{what}.", hint, at_key=isinstance(node, Section))
        if error.kind == "union_tag_invalid":
            name = error.context["discriminator"].strip("'")
            return self.mismatch(replace(error, path=(*error.path, name)))
        return self.mismatch(error)

    def mismatch(self, error: _Error) -> Finding:
        what = expectation(error.kind, error.context, error.message)
        if error.at_key:
            key = str(error.path[-1])
            message = f"expected {what}, found the key {key!r}."
            return self.say(error.path, message, error.context.get("hint", ""), at_key=True)
        node, last = find(self.section, error.path), error.path[-1:]
        shape = Shape(self.model, error.path[:-1], error.tags)
        is_secret = any(shape.is_secret(name) for name in last)
        options = choices(error.kind, error.context)
        # A choice such as `auth: flow:` is no secret, whatever the names around it say.
        shown = found(node, () if options else error.path, is_secret=is_secret)
        hint = error.context.get("hint", "")
        if isinstance(node, Scalar) and not is_secret and not node.variables:
            hint = hint or did_you_mean(node.text, options, limit=1)
        if what == "a list" and isinstance(node, Scalar) and not is_empty(node):
            hint = hint or "A list of one is written [value]."
        return self.say(error.path, f"expected {what}, found {shown}.", hint)

    def unknown_key(self, error: _Error) -> Finding:
        *parent, key = error.path
        names = Shape(self.model, parent, error.tags).names
        if not parent:
            names = [*self.without, *names]
        hint = did_you_mean(str(key), names)
        expected = f", expected one of {', '.join(names)}" if len(names) <= _MAX_LISTED else ""
        message = f"unknown key {key!r}{expected}."
        return self.say(tuple(parent), message, hint, at=self.at(error.path, at_key=True))

    def missing(self, error: _Error) -> Finding:
        name = error.missing or error.context.get("discriminator", "").strip("'")
        if not name:
            return self.say(error.path, "the key has no value.", at_key=True)
        about = Shape(self.model, error.path, error.tags).about(name)
        what = f"{name!r} ({about})" if about else f"{name!r}"
        return self.say(error.path, f"expected the key {what}, it is missing.", at_key=True)

    def own_text(self, error: _Error) -> str:
        return str(error.context.get("error", error.message)).strip().rstrip(".")

    def mask(self, text: str, node: Node | None) -> str:
        """`text` of a plugin without secrets and without values that came from variables."""
        for scalar in scalars(node):
            if scalar.variables and len(scalar.text) >= 4:
                text = text.replace(scalar.text, f"${{{scalar.variables[0]}}}")
        return redact(text)

    def at(self, path: Path, *, at_key: bool = False) -> Place:
        return place_of(self.root, self.path + path, at_key=at_key)

    def say(
        self,
        path: Path,
        message: str,
        hint: str = "",
        *,
        at_key: bool = False,
        at: Place | None = None,
    ) -> Finding:
        label = dotted(self.path + path)
        place = at or self.at(path, at_key=at_key)
        return place.finding(f"{label}: {message}" if label else message, hint)


def _one_member_each(errors: Sequence[_Error]) -> list[_Error]:
    """The errors without those of union members that were not meant.

    Pydantic reports every member. Where all refuse the value as a whole, one error names all that
    was possible; otherwise the member with the fewest errors is the one that was meant.
    """
    result = [error for error in errors if not error.tags]
    unions: dict[Path, dict[str, list[_Error]]] = {}
    for error in errors:
        if error.tags:
            unions.setdefault(error.union, {}).setdefault(error.tags[0], []).append(error)
    for members in unions.values():
        fitting = [each for each in members.values() if not any(e.is_shallow for e in each)]
        if fitting:
            meant: list[_Error] = min(fitting, key=len)
            result += meant
        else:
            result.append(_merged([error for each in members.values() for error in each]))
    return result


def _merged(errors: Sequence[_Error]) -> _Error:
    if len(errors) == 1:
        return errors[0]
    whats = [expectation(error.kind, error.context, error.message) for error in errors]
    what = " or ".join(dict.fromkeys(whats))
    return replace(errors[0], kind=EXPECTED, context={"what": what, "hint": ""})
