"""Secrets that cannot be printed by accident, and the filter for texts that might hold one."""

from __future__ import annotations

from typing import Any

_MASK = "********"
_known: set[str] = set()


class Secret:
    """A text that shows itself only to `reveal()`.

    Its repr, str and format are a mask, and its value is remembered so that `redact` can take it
    out of messages that come from elsewhere (a server's error page, a driver's exception).
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        if len(value) >= 4:
            _known.add(value)

    def reveal(self) -> str:
        """The value itself; call it only where it goes over the wire."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({_MASK!r})"

    def __str__(self) -> str:
        return _MASK

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> Any:
        raise TypeError("a Secret cannot be pickled")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        def build(value: Any) -> Secret:
            # Anything but text is left to the instance check, which refuses it as an ordinary
            # validation error.
            return cls(value) if isinstance(value, str) else value

        return core_schema.no_info_before_validator_function(
            build,
            core_schema.is_instance_schema(cls),
            serialization=core_schema.plain_serializer_function_ser_schema(str),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string", "format": "password", "writeOnly": True}


def redact(text: str) -> str:
    """`text` with every known secret value masked; longest first, so that none leaves a tail."""
    for value in sorted(_known, key=len, reverse=True):
        text = text.replace(value, _MASK)
    return text
