"""What stands around the records of a page: read without parsing the records.

A page of 160 kB is nearly all records, which Arrow parses later; parsing it in Python as well only
to find a cursor of ten characters would double the cost.
"""

from __future__ import annotations

import json
import re
from typing import Any

from crmetrics.http.failures import HttpError

_WINDOW = 65_536  # the most that is parsed of the side of a member that is not the records
_COLON = re.compile(rb"\s*:")


def member(body: bytes, path: str) -> Any:
    """The value at a dotted path of a JSON object; None when it is absent or null.

    Raises HttpError when the body is no JSON object (what was looked at of it, at least).
    """
    names = path.split(".")
    value = _top_level(body, names[0])
    for name in names[1:]:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _top_level(body: bytes, name: str) -> Any:
    """The value of a member of the outermost object.

    The name is looked for in the bytes. A find counts when what stands before it, or after it,
    parses as the rest of exactly one open object: then it is a member of the outermost, and
    neither text nor a member of a record. When that cannot be told, the whole body is parsed.
    """
    stripped = body.strip()
    if not (stripped.startswith(b"{") and stripped.endswith(b"}")):
        raise _no_object()
    quoted = b'"%s"' % name.encode()
    last = stripped.rfind(quoted)
    if last < 0:
        return None
    if len(stripped) - last <= _WINDOW:
        rest = _parsed(b"{" + stripped[last:])
        if isinstance(rest, dict):
            return rest.get(name)
    start = stripped.find(quoted, 0, _WINDOW)
    if start >= 0 and _is_outermost(stripped, start):
        match = _COLON.match(stripped, start + len(quoted))
        if match is not None:
            return _value_at(stripped, match.end())
    return _whole(stripped).get(name)


def _is_outermost(body: bytes, name: int) -> bool:
    """True when the quoted name there begins a member of the outermost object."""
    before = body[:name].rstrip()
    return before == b"{" or (before[-1:] == b"," and _parsed(before[:-1] + b"}") is not None)


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _value_at(body: bytes, start: int) -> Any:
    # A character cut in two at the end of the window stands behind the value.
    text = body[start : start + _WINDOW].decode("utf-8", "ignore").lstrip()
    try:
        value, _ = json.JSONDecoder().raw_decode(text)
    except ValueError:
        value, _ = json.JSONDecoder().raw_decode(body[start:].decode("utf-8", "replace").lstrip())
    return value


def _whole(body: bytes) -> dict[str, Any]:
    found = _parsed(body)
    if not isinstance(found, dict):
        raise _no_object()
    return found


def _no_object() -> HttpError:
    return HttpError("the answer is no JSON object.", is_outcome_unknown=True)
