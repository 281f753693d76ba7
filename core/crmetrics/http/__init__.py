"""HTTP for connectors and sinks: the only package that touches the network.

    session = http.Session("https://api.example.com", tokens=http.fixed(config.token))
    found = http.pages(session, "/records", http.CursorPager("after", "paging.next.after"))
    records = http.JsonRecords("results", {"id": pa.string(), "owner.id": pa.string()})
    for batch in records.batches(page.body for page in found): ...

A request is repeated only when that cannot do harm: idempotent methods after lost connections,
time-outs and 5xx; any method when the server was never reached or declined with 429. What may have
arrived without an answer is never repeated: `HttpError.is_outcome_unknown` says so.

Addresses can be secrets (webhooks). An error names scheme and host only, and keeps no cause,
because the exceptions of the layers below print the whole address.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crmetrics.http import recording
    from crmetrics.http.addresses import origin, require_safe
    from crmetrics.http.budget import Budget
    from crmetrics.http.envelope import member
    from crmetrics.http.failures import HttpError, StatusError
    from crmetrics.http.paging import (
        CursorPager,
        LinkPager,
        LocatorPager,
        OffsetPager,
        Page,
        Pager,
        Step,
        Trail,
        pages,
    )
    from crmetrics.http.records import JsonRecords
    from crmetrics.http.response import Response
    from crmetrics.http.retries import (
        Hitch,
        Judge,
        Retries,
        by_status,
        expecting_json,
        is_json,
    )
    from crmetrics.http.session import USER_AGENT, Session
    from crmetrics.http.tokens import Tokens, fixed
    from crmetrics.http.transport import Timeouts

__all__ = [
    "USER_AGENT",
    "Budget",
    "CursorPager",
    "Hitch",
    "HttpError",
    "JsonRecords",
    "Judge",
    "LinkPager",
    "LocatorPager",
    "OffsetPager",
    "Page",
    "Pager",
    "Response",
    "Retries",
    "Session",
    "StatusError",
    "Step",
    "Timeouts",
    "Tokens",
    "Trail",
    "by_status",
    "expecting_json",
    "fixed",
    "is_json",
    "member",
    "origin",
    "pages",
    "recording",
    "require_safe",
]

_HOMES: Mapping[str, str] = {
    name: module
    for module, names in {
        "crmetrics.http.addresses": (
            "origin",
            "require_safe",
        ),
        "crmetrics.http.budget": ("Budget",),
        "crmetrics.http.envelope": ("member",),
        "crmetrics.http.failures": (
            "HttpError",
            "StatusError",
        ),
        "crmetrics.http.paging": (
            "CursorPager",
            "LinkPager",
            "LocatorPager",
            "OffsetPager",
            "Page",
            "Pager",
            "Step",
            "Trail",
            "pages",
        ),
        "crmetrics.http.records": ("JsonRecords",),
        "crmetrics.http.response": ("Response",),
        "crmetrics.http.retries": (
            "Hitch",
            "Judge",
            "Retries",
            "by_status",
            "expecting_json",
            "is_json",
        ),
        "crmetrics.http.session": (
            "USER_AGENT",
            "Session",
        ),
        "crmetrics.http.tokens": (
            "Tokens",
            "fixed",
        ),
        "crmetrics.http.transport": ("Timeouts",),
    }.items()
    for name in names
}


def __getattr__(name: str) -> Any:
    """Each name on first use: a question to the warehouse needs none of them."""
    if name == "recording":
        return import_module("crmetrics.http.recording")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
