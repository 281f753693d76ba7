"""Refusals as HubSpot words them."""

from __future__ import annotations

from itertools import count
from typing import Any

from simulators.messages import Answer

_NUMBERS = count(1)


def correlation_id() -> str:
    """The number of a call, another one for each."""
    return f"4ef8c0de-0001-4a1b-9c1e-{next(_NUMBERS):012x}"


class Refusal(Exception):
    """An answer that ends the handling of a call."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status} {answer.body!r}")
        self.answer = answer


def error(status: int, category: str, message: str, **more: Any) -> Answer:
    """The envelope of every error."""
    number = correlation_id()
    body = {
        "status": "error",
        "message": message,
        "correlationId": number,
        "category": category,
        **more,
    }
    return Answer.json(body, status, {"x-hubspot-correlation-id": number})


def invalid(message: str) -> Refusal:
    return Refusal(error(400, "VALIDATION_ERROR", message))


def not_found(message: str = "resource not found") -> Refusal:
    return Refusal(error(404, "OBJECT_NOT_FOUND", message))


def unauthenticated(category: str = "INVALID_AUTHENTICATION") -> Refusal:
    message = "Authentication credentials not found. This API supports OAuth 2.0 authentication"
    if category == "EXPIRED_AUTHENTICATION":
        message = "The OAuth token used to make this call expired."
    return Refusal(error(401, category, message))


def missing_scopes(*scopes: str) -> Refusal:
    return Refusal(
        error(
            403,
            "MISSING_SCOPES",
            "This app hasn't been granted all required scopes to make this call. Read more about "
            "required scopes here: https://developers.hubspot.com/scopes.",
            errors=[
                {
                    "message": "One or more of the following scopes are required.",
                    "context": {"requiredGranularScopes": list(scopes)},
                }
            ],
            links={"scopes": "https://developers.hubspot.com/scopes"},
        )
    )


def too_many(policy: str, *, retry_after_s: int | None = None, is_bare: bool = False) -> Refusal:
    """429 of a policy. is_bare: the variant without errorType and policyName."""
    words = {
        "SECONDLY": "You have reached your secondly limit.",
        "TEN_SECONDLY_ROLLING": "You have reached your ten_secondly_rolling limit.",
        "DAILY": "You have reached your daily limit.",
    }
    answer = error(429, "RATE_LIMITS", words[policy])
    if not is_bare:
        number = correlation_id()
        body = {
            "status": "error",
            "message": words[policy],
            "errorType": "RATE_LIMIT",
            "correlationId": number,
            "policyName": policy,
            "requestId": number,
        }
        answer = Answer.json(body, 429)
    if retry_after_s is not None:
        answer = answer.with_headers({"Retry-After": str(retry_after_s)})
    return Refusal(answer)
