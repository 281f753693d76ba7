"""What a validation error expected and found, in words of the trade instead of pydantic's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from crmetrics.config.expectations import EXPECTED
from crmetrics.config.tree import Listing, Node, Path, Scalar, Section
from crmetrics.secrets import Secret

_NOUNS: tuple[tuple[str, str], ...] = (
    ("string_too_short", "a text of at least {min_length} characters"),
    ("string_too_long", "a text of at most {max_length} characters"),
    ("string_pattern_mismatch", "a text of the form {pattern}"),
    ("string_", "a text"),
    ("int_", "a whole number"),
    ("float_", "a number"),
    ("finite_number", "a number"),
    ("decimal_", "a number"),
    ("bool_", "true or false"),
    ("datetime_", "a date and time such as 2026-01-31T18:00:00Z"),
    ("date_", "a date such as 2026-01-31"),
    ("time_delta_", "a duration such as 90 (seconds), 10m or 1h"),
    ("list_", "a list"),
    ("tuple_", "a list"),
    ("set_", "a list"),
    ("frozen_set_", "a list"),
    ("dict_", "a mapping of keys to values"),
    ("mapping_", "a mapping of keys to values"),
    ("model_", "a mapping of keys to values"),
    ("dataclass_", "a mapping of keys to values"),
    ("path_", "a path"),
    ("url_", "a URL such as https://example.com"),
    ("greater_than_equal", "a value of at least {ge}"),
    ("greater_than", "a value above {gt}"),
    ("less_than_equal", "a value of at most {le}"),
    ("less_than", "a value below {lt}"),
    ("too_short", "at least {min_length} entries"),
    ("too_long", "at most {max_length} entries"),
    ("literal_error", "{expected}"),
    ("enum", "{expected}"),
    ("union_tag_invalid", "one of {expected_tags}"),
)

_SECRET_KEYS = re.compile(
    r"secret|token|passw|passphrase|pwd|api_?key|private|credential|webhook|auth|url|dsn", re.I
)
_LONGEST_SHOWN = 60


def expectation(kind: str, context: Mapping[str, Any], message: str) -> str:
    """What an error of pydantic expected, as a noun phrase."""
    if kind == EXPECTED:
        return str(context["what"])
    if kind == "is_instance_of":
        return "a text" if context.get("class") == Secret.__name__ else f"a {context.get('class')}"
    if kind == "too_short" and context.get("min_length") == 1:
        return "at least one entry"
    for prefix, noun in _NOUNS:
        if kind.startswith(prefix):
            try:
                return noun.format_map(context)
            except KeyError:
                break
    return message[:1].lower() + message[1:]


def choices(kind: str, context: Mapping[str, Any]) -> list[str]:
    """The values that were possible, when the error names them."""
    if kind not in ("literal_error", "enum", "union_tag_invalid"):
        return []
    return re.findall(r"'([^']*)'", expectation(kind, context, ""))


def found(node: Node | None, path: Path = (), *, is_secret: bool = False) -> str:
    """What stands in the file. A value is shown only if it cannot be a secret: neither the field
    nor a name in `path` says so, and it came from no variable."""
    if node is None or (isinstance(node, Scalar) and node.value is None):
        return "nothing"
    if isinstance(node, Section):
        return "a mapping" if node.entries else "an empty mapping"
    if isinstance(node, Listing):
        return "a list" if node.items else "an empty list"
    if node.variables:
        return f"the value of ${{{node.variables[0]}}}"
    if is_secret or any(_SECRET_KEYS.search(str(part)) for part in path):
        return "a value that is not shown"
    text = node.text if len(node.text) <= _LONGEST_SHOWN else node.text[:_LONGEST_SHOWN] + "..."
    return repr(text)


# --- what a model has at a path --------------------------------------------------------------


def _parts(annotation: Any) -> Iterator[Any]:
    """An annotation and everything inside it: members of unions, items of containers."""
    yield annotation
    if get_origin(annotation) is not None or get_args(annotation):
        for part in get_args(annotation):
            yield from _parts(part)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    for part in _parts(annotation):
        if isinstance(part, type) and get_origin(part) is None and issubclass(part, BaseModel):
            yield part


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


class Shape:
    """The models that may stand at a path below `model`, those of one union member if `tags` (as
    pydantic reports them) name it."""

    def __init__(self, model: type[BaseModel], path: Iterable[str | int], tags: Iterable[Any]):
        models = [model]
        for part in path:
            annotations = [
                _fields(candidate)[part].annotation
                for candidate in models
                if part in _fields(candidate)
            ]
            if annotations:
                models = [found for each in annotations for found in _models_in(each)]
            # Otherwise the key of a mapping or a list position: the models stay the same.
        for tag in tags:
            models = [each for each in models if _is_tagged(each, tag)] or models
        self.models = models

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(name for model in self.models for name in _fields(model)))

    def about(self, name: str) -> str:
        """The description of a field."""
        texts = (_fields(model)[name].description for model in self._with(name))
        return next((text for text in texts if text), "")

    def is_secret(self, name: str | int) -> bool:
        return any(
            part is Secret
            for model in self._with(name)
            for part in _parts(_fields(model)[str(name)].annotation)
        )

    def _with(self, name: str | int) -> list[type[BaseModel]]:
        return [model for model in self.models if name in _fields(model)]


def _is_tagged(model: type[BaseModel], tag: Any) -> bool:
    if model.__name__ == tag:
        return True
    test: Callable[[Any], bool] = lambda field: tag in get_args(field.annotation)  # noqa: E731
    return any(test(field) for field in model.model_fields.values())
