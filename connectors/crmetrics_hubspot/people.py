"""Users of the CRM, and what they did in it: owners, the users object, logins, audit logs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from crmetrics.plugin import ReadRequest, SourceError, did_you_mean
from crmetrics_hubspot.account import Account, OwnerInfo
from crmetrics_hubspot.api import MissingScopeError, UnavailableError
from crmetrics_hubspot.objects import Objects
from crmetrics_hubspot.privacy import Asked, is_personal
from crmetrics_hubspot.tables import batches_of

_USER_ID = "hs_internal_user_id"
OWNER_FIELDS = ("id", "updated_at", "team", "user_type", "created_at", "deactivated_at", "is_test")


def read_users(account: Account, request: ReadRequest) -> Iterator[Any]:
    """Owners that are persons, those who left included; queues are none.

    Properties of the users object can be mapped under `columns:`.
    """
    known = account.properties.of("users") if set(request.source_fields) - set(OWNER_FIELDS) else {}
    allowed = Asked(
        request, "users", lambda name: name not in OWNER_FIELDS and _is_private(known, name)
    )
    asked = tuple(name for name in allowed.fields if name not in OWNER_FIELDS)
    further = _user_properties(account, asked) if asked else {}
    empty = dict.fromkeys(asked)
    rows = (
        {
            **_user(owner, account.config.test_email_domains),
            **further.get(owner.user_id or "", empty),
        }
        for owner in account.owners
        if owner.is_person
    )
    yield from batches_of(request, rows, columns=allowed.columns)
    allowed.tell()


_is_private = partial(is_personal, "users")


def _user(owner: OwnerInfo, test_domains: tuple[str, ...]) -> dict[str, Any]:
    """HubSpot does not say when a user left: an archived owner last changed then."""
    return {
        "id": owner.id,
        "updated_at": owner.updated_at,
        "team": owner.team[1] if owner.team else None,
        "user_type": "human",
        "created_at": owner.created_at,
        "deactivated_at": owner.updated_at if owner.is_archived else None,
        "is_test": owner.email_domain in {domain.lower() for domain in test_domains},
    }


def _user_properties(account: Account, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """User id -> the asked properties of the users object."""
    known = account.properties.of("users")
    for name in names:
        if name not in known:
            raise SourceError(
                f"users: the project file maps {name!r}, which users do not have in this account. "
                f"{did_you_mean(name, known)}".rstrip()
            )
    found: dict[str, dict[str, Any]] = {}
    for body in Objects(account.api, "users", (_USER_ID, *names)).all():
        for record in json.loads(body)["results"]:
            own = record["properties"]
            if own.get(_USER_ID):
                found[str(own[_USER_ID])] = {name: own.get(name) for name in names}
    return found


def read_activity(account: Account, request: ReadRequest) -> Iterator[Any]:
    """Logins of the last 90 days, and what the audit log tells where the account has one."""

    def rows() -> Iterator[dict[str, Any]]:
        for item in account.api.items("account", "activity", "login", params={"limit": "100"}):
            yield _login(item, account)
        try:
            for item in account.api.items(
                "account", "activity", "audit-logs", params={"limit": "100"}
            ):
                row = _audited(item, account)
                if row is not None:
                    yield row
        except (MissingScopeError, UnavailableError):
            request.notice(
                "user_activity holds logins only: the audit log, which tells who created and "
                "changed records, needs HubSpot Enterprise."
            )

    request.notice("user_activity: HubSpot keeps logins for 90 days; older periods are not there.")
    yield from batches_of(request, rows())


def _login(item: Mapping[str, Any], account: Account) -> dict[str, Any]:
    return {
        "id": f"login-{item['id']}",
        "updated_at": item.get("loginAt"),
        "user_id": _owner_of(item.get("userId"), account),
        "activity_type": "login",
        "object_type": None,
        "occurred_at": item.get("loginAt"),
        "is_success": bool(item.get("loginSucceeded", True)),
    }


def _owner_of(user: Any, account: Account) -> str | None:
    """The owner who is this user, else the user's own id; None when nobody is named."""
    return None if user is None else account.owner_of_user.get(str(user), str(user))


_ACTIONS = {"CREATE": "record_created", "UPDATE": "record_updated"}


def _audited(item: Mapping[str, Any], account: Account) -> dict[str, Any] | None:
    """An entry of the audit log; None for what is no use of the CRM (logins are read elsewhere)."""
    category = str(item.get("category") or "")
    kind = _ACTIONS.get(str(item.get("action") or ""))
    if category == "REPORT":
        kind = "report_run"
    if kind is None or category == "LOGIN":
        return None
    return {
        "id": f"audit-{item['id']}",
        "updated_at": item.get("occurredAt"),
        "user_id": _owner_of((item.get("actingUser") or {}).get("userId"), account),
        "activity_type": kind,
        "object_type": item.get("subCategory"),
        "occurred_at": item.get("occurredAt"),
        "is_success": True,
    }
