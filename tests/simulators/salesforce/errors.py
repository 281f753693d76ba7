"""Refusals with Salesforce's status, code and words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simulators.messages import Answer


class Refusal(Exception):
    """An error that goes out as the usual array of one object."""

    def __init__(
        self, code: str, message: str, status: int = 400, fields: Sequence[str] = ()
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status, self.fields = code, message, status, list(fields)

    def as_json(self) -> list[dict[str, Any]]:
        body: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        if self.fields:
            body["fields"] = self.fields
        return [body]

    def answer(self) -> Answer:
        return Answer.json(self.as_json(), self.status)


SESSION_LOST = Refusal("INVALID_SESSION_ID", "Session expired or invalid", 401)
SCOPE_MISSING = Refusal(
    "INVALID_SESSION_ID",
    "This session is not valid for use with the REST API. One of the following scopes is "
    "required: api, full, web.",
    401,
)
NOT_FOUND = Refusal("NOT_FOUND", "The requested resource does not exist", 404)


def pictured(text: str, position: int, message: str) -> str:
    """The message under a picture of the query with a caret at the position (from 0)."""
    row = text.count("\n", 0, position) + 1
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    line = text[start : end if end >= 0 else len(text)]
    column = position - start
    first = max(0, column - 60)
    shown = line[first : column + 40]
    caret = " " * (column - first) + "^"
    return f"\n{shown}\n{caret}\nERROR at Row:{row}:Column:{column + 1}\n{message}"
