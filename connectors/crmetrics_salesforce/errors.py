"""Refusals of the API, and what to do about them."""

from __future__ import annotations

import json
from typing import Any

from crmetrics.plugin import SourceError, http, redact

UNAVAILABLE = frozenset({"INVALID_TYPE", "NOT_FOUND", "INVALIDENTITY"})
FORBIDDEN = frozenset({"INSUFFICIENT_ACCESS", "FUNCTIONALITY_NOT_ENABLED"})
"""Of one object: it is hidden from the user, or its feature is off."""
TOO_HEAVY = frozenset({"QUERY_TIMEOUT", "OPERATION_TOO_LARGE", "QUERY_TOO_COMPLICATED"})
TOO_LONG = frozenset({414, 431})
LIMIT_EXCEEDED = "REQUEST_LIMIT_EXCEEDED"
_ALL_CALLS = "TotalRequests"  # the others are limits of a moment
_USED_UP = (
    "The daily calls of the org are used up. What is loaded stays; run again when the 24 hours are "
    "over, or let others make fewer calls."
)
_LONGEST_HEAD = 65_536

_HINTS = {
    "API_DISABLED_FOR_ORG": "The edition of the org has no API: ask Salesforce for API access.",
    "API_CURRENTLY_DISABLED": "Give the user the permission API Enabled.",
    "INSUFFICIENT_ACCESS": "Give the user read access to the object.",
    "FUNCTIONALITY_NOT_ENABLED": "The feature is not switched on in the org.",
    "TXN_SECURITY_METERING_ERROR": "A transaction security policy stops it: exempt the user.",
    "INVALID_SESSION_ID": "The token does not work here: check domain, and that the app has the "
    "OAuth scope `api`.",
    "INVALID_AUTH_HEADER": "The token is malformed: check auth: in the project file.",
    "QUERY_TIMEOUT": "The query is too slow for the org: set transport: bulk.",
    "UNSUPPORTED_API_VERSION": "Set api_version to one that the org offers.",
}


class SetupError(SourceError):
    """Something of our own side is wrong before the org has looked at the login. fix: what to do
    about it, for `check`."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


class ApiError(SourceError):
    """The API refused a call. code: Salesforce's name of the reason, empty when it gave none."""

    def __init__(self, what: str, status: int, code: str, said: str) -> None:
        self.status = status
        self.code = code
        # A proxy's answer may repeat what it was sent.
        self.said = redact(said)
        hint = _USED_UP if self.is_used_up else _HINTS.get(code, "")
        shown = " ".join(self.said.split())[:500].rstrip(".")
        super().__init__(
            f"Salesforce refused {what} with {status} {code}: {shown}. {hint}".rstrip()
        )

    @property
    def is_used_up(self) -> bool:
        """True when the calls of the day are: every further one would be refused."""
        return self.code == LIMIT_EXCEEDED and _ALL_CALLS in self.said


def refusal(what: str, response: http.Response) -> ApiError:
    """The error of an answer that is not 2xx: an array of errors, an object, HTML or nothing."""
    code, said = code_and_message(response.body)
    return ApiError(what, response.status, code, said or response.excerpt() or "no body")


def code_and_message(body: bytes) -> tuple[str, str]:
    try:
        found: Any = json.loads(body)
    except ValueError:
        return "", ""
    if isinstance(found, list):
        found = found[0] if found else {}
    if not isinstance(found, dict):
        return "", ""
    code = found.get("errorCode") or found.get("exceptionCode") or found.get("error") or ""
    said = found.get("message") or found.get("exceptionMessage") or found.get("error_description")
    return str(code), str(said or "")


def _by_status(response: http.Response) -> http.Hitch | None:
    status = response.status
    if status in (406, 420, 429):  # transient at the edge, often without a body
        return "declined"
    if status == 403:
        code, said = code_and_message(response.body)
        return "declined" if code == LIMIT_EXCEEDED and _ALL_CALLS not in said else None
    if status == 400 and code_and_message(response.body)[0] == "UNABLE_TO_LOCK_ROW":
        return "busy"
    return http.by_status(response)


judge = http.expecting_json(_by_status)
"""Which answers are worth another try; see `http.Session`."""


def judge_result(response: http.Response) -> http.Hitch | None:
    """The same for a page of a bulk result: CSV, in whose head every query of ours has `Id`."""
    if response.status != 200 or response.headers.get("Sforce-NumberOfRecords") == "0":
        return _by_status(response)
    end = response.body.find(b"\n")
    head = response.body[: end if end >= 0 else _LONGEST_HEAD].strip(b"\xef\xbb\xbf \t\r")
    names = {name.strip().strip(b'"').lower() for name in head.split(b",")}
    return None if b"id" in names else "busy"
