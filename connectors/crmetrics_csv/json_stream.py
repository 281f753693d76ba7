"""JSON records one by one from a stream of bytes, with memory for few of them at a time."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from crmetrics.plugin import SourceError, did_you_mean

_LONGEST_RECORD = 64 << 20
# How near the end of the buffer an error may be that only means "cut here": `-Infinity`, `\ud83d`.
_CUT_MARGIN = 16
_SPACE = re.compile(r"[ \t\r\n]*")

Numbered = tuple[int, dict[str, Any], int]
"""Number of a record (for NDJSON its line), the record, its size in characters."""


class NumberText(str):
    """A number as the file writes it, so that 1.10 keeps its digits."""

    __slots__ = ()


_DECODER = json.JSONDecoder(parse_float=NumberText, parse_int=NumberText, parse_constant=NumberText)


def json_lines(blocks: Iterable[bytes], part: str) -> Iterator[Numbered]:
    """The records of an NDJSON file; blank lines count as lines.

    Raises SourceError with the line for what is no JSON object.
    """
    for line, text in enumerate(_lines(blocks, part), 1):
        text = text.strip()
        if not text:
            continue
        try:
            value = _DECODER.decode(text)
        except json.JSONDecodeError as exc:
            raise SourceError(
                f"{part}:{line}:{exc.colno}: expected one JSON object per line: {exc.msg}."
            ) from exc
        yield line, _record(value, f"{part}:{line}"), len(text)


def _lines(blocks: Iterable[bytes], part: str) -> Iterator[str]:
    """Lines of bytes as text; split before decoding, so that only \\n ends a line."""
    rest = b""
    for block in blocks:
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            yield line.decode()
        if len(rest) > _LONGEST_RECORD:
            raise SourceError(f"{part}: a line is longer than {_LONGEST_RECORD >> 20} MB.")
    yield rest.decode()


def _record(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SourceError(f"{place}: expected a JSON object, found {_named(value)}.")
    return value


def _named(value: Any) -> str:
    if value is None:
        return "null"
    names = {dict: "an object", list: "an array", bool: "a boolean", NumberText: "a number"}
    return names.get(type(value), "a text")


class JsonArray:
    """The records of a JSON document: an array of objects, at the top or under a path of keys."""

    def __init__(self, blocks: Iterable[bytes], part: str, path: Sequence[str], fix: str) -> None:
        self._blocks = iter(blocks)
        self._text = codecs.getincrementaldecoder("utf-8")()
        self._part = part
        self._path = tuple(path)
        self._fix = fix
        self._buffer = ""
        self._at = 0
        self._lines_behind = 0
        self._is_at_end = False

    def __iter__(self) -> Iterator[Numbered]:
        """Numbers count the records from 1.

        Raises SourceError for what is no JSON, a document cut short, and a path that leads nowhere.
        """
        for depth, key in enumerate(self._path):
            self._enter(key, depth)
        self._expect_array()
        number = 0
        while self._peek() != "]":
            if number:
                self._take(",")
            begin = self._at
            number += 1
            value = self._value()
            yield number, _record(value, f"{self._part}: record {number}"), self._at - begin
        self._take("]")
        for _ in self._path:
            self._leave()
        if self._peek():
            raise self._broken("expected the end of the document")

    # --- structure ----------------------------------------------------------------------------

    def _expect_array(self) -> None:
        found = self._peek()
        if found == "[":
            self._take("[")
            return
        if found == "{" and not self._path:
            raise SourceError(
                f"{self._part}: expected an array of objects, found an object. {self._array_hint()}"
            )
        where = f"under {'.'.join(self._path)!r}" if self._path else "in the file"
        raise self._broken(f"expected an array of objects {where}")

    def _array_hint(self) -> str:
        """Which key seems to hold the records; the document is searched up to the first array."""
        self._take("{")
        while self._peek() == '"':
            key = self._key()
            if self._peek() == "[":
                return f"Set `records: {key}` under {self._fix}."
            self._value()
            if self._peek() != ",":
                break
            self._take(",")
        return f"If each line is an object, set `format: ndjson` under {self._fix}."

    def _enter(self, wanted: str, depth: int) -> None:
        """Go to the value of a key, over those before it."""
        seen = []
        if self._peek() != "{":
            raise self._broken(f"expected an object that holds {wanted!r}")
        self._take("{")
        while self._peek() == '"':
            key = self._key()
            if key == wanted:
                return
            seen.append(key)
            self._value()
            if self._peek() == ",":
                self._take(",")
        path = ".".join(self._path[: depth + 1])
        raise SourceError(
            f"{self._part}: `records: {'.'.join(self._path)}` finds no key {path!r} in the file. "
            + (did_you_mean(wanted, seen) or f"It has {', '.join(seen[:12]) or 'no keys'}.")
        )

    def _leave(self) -> None:
        """Pass over what follows in the object around the records."""
        while self._peek() == ",":
            self._take(",")
            self._key()
            self._value()
        self._take("}")

    def _key(self) -> str:
        key = self._value()
        self._take(":")
        return str(key)

    # --- characters ---------------------------------------------------------------------------

    def _fill(self) -> bool:
        """Read on; False at the end of the file."""
        if self._is_at_end:
            return False
        self._lines_behind += self._buffer.count("\n", 0, self._at)
        block = next(filter(None, self._blocks), b"")
        self._is_at_end = not block
        added = self._text.decode(block, final=self._is_at_end)
        self._buffer = self._buffer[self._at :] + added
        self._at = 0
        return True

    def _peek(self) -> str:
        """The next character that is no space; empty at the end of the file."""
        while True:
            match = _SPACE.match(self._buffer, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._fill():
                return ""

    def _take(self, character: str) -> None:
        if self._peek() != character:
            raise self._broken(f"expected {character!r}")
        self._at += 1

    def _value(self) -> Any:
        self._peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as exc:
                if not self._is_cut(exc) or not self._fill():
                    raise self._broken(exc.msg, exc.pos) from exc
                continue
            # A number at the very end of the buffer may go on behind it.
            if end < len(self._buffer) or not self._fill():
                self._at = end
                return value

    def _is_cut(self, exc: json.JSONDecodeError) -> bool:
        if len(self._buffer) - self._at > _LONGEST_RECORD:
            raise self._broken(f"a value longer than {_LONGEST_RECORD >> 20} MB", self._at)
        is_open_text = exc.msg.startswith("Unterminated string")
        return is_open_text or exc.pos >= len(self._buffer) - _CUT_MARGIN

    def _broken(self, message: str, at: int | None = None) -> SourceError:
        at = self._at if at is None else at
        line = 1 + self._lines_behind + self._buffer.count("\n", 0, at)
        found = repr(self._buffer[at : at + 20]) if at < len(self._buffer) else "the end of file"
        return SourceError(f"{self._part}:{line}: {message}, found {found}.")
