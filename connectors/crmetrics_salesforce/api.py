"""The org's API: one session, one version, one quota."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from crmetrics.plugin import ConnectorContext, Secret, http, pause
from crmetrics_salesforce.answers import (
    Batch,
    Counted,
    Described,
    Limits,
    Objects,
    Version,
    parsed,
    part,
    unexpected,
)
from crmetrics_salesforce.auth import Grant, Login
from crmetrics_salesforce.describe import SObject, sobject_of
from crmetrics_salesforce.errors import (
    FORBIDDEN,
    UNAVAILABLE,
    ApiError,
    SetupError,
    judge,
    refusal,
)
from crmetrics_salesforce.options import AccessToken, SalesforceOptions
from crmetrics_salesforce.quota import BUDGETS, MOST_PARTS, Quota, budget_of

T = TypeVar("T")
# Describe of a large object takes minutes; everything else answers sooner or fails.
_TIMEOUTS = http.Timeouts(connect_s=10, read_s=300)


class Api:
    """Calls to one org; thread-safe. Raises SourceError (ApiError for refusals) from every call."""

    def __init__(
        self,
        options: SalesforceOptions,
        context: ConnectorContext,
        *,
        sleep: Callable[[float], object] = pause,
        now_s: Callable[[], float] = time.time,
        retries: http.Retries | None = None,
    ) -> None:
        self.options = options
        self.sleep = sleep
        self.quota = Quota(options.max_api_usage_percent, options.max_calls_per_run)
        self._retries = retries or http.Retries()
        self._login_session = http.Session(sleep=sleep, retries=self._retries, judge=judge)
        self._login = Login(options, context, self._login_session, now_s)
        self._lock = threading.RLock()
        self._session: http.Session | None = None
        self._org = ""
        self._described: dict[str, SObject | None] = {}
        self._is_checked = False
        self.first_answer_at: datetime | None = None
        """When the org gave its first answer, by its own clock; None where it does not say."""

    # --- calls ---------------------------------------------------------------------------------

    @property
    def session(self) -> http.Session:
        """Logged in, and sure that the allowance holds something for this run."""
        with self._lock:
            if self._session is None:
                self._session = self._connected()
            return self._session

    @property
    def org(self) -> str:
        """The id of the org that the login is of, 15 characters; empty when nothing tells it."""
        return self._org if self.session else ""

    def _connected(self) -> http.Session:
        first: list[Grant] = [self._login.grant()]
        self._org = first[0].org

        def fetch() -> Secret:
            return (first.pop() if first else self._login.grant()).token

        fixed = isinstance(self.options.auth, AccessToken)
        return http.Session(
            first[0].instance_url,
            tokens=http.fixed(first[0].token) if fixed else http.Tokens(fetch),
            timeouts=_TIMEOUTS,
            retries=self._retries,
            judge=judge,
            # No rate is known beforehand; a refusal (too many long calls at once) teaches one.
            budgets=dict.fromkeys(BUDGETS, http.Budget()),
            admit=self.quota.admit,
            observe=self._observe,
            sleep=self.sleep,
        )

    def _observe(self, response: http.Response) -> None:
        self.quota.observe(response)
        if self.first_answer_at is None and response.is_ok:
            self.first_answer_at = response.answered_at

    def path(self, rest: str) -> str:
        return f"/services/data/v{self.options.api_version}/{rest}"

    def call(self, method: str, path: str, *, what: str, **options: Any) -> http.Response:
        """A 2xx answer, read whole. path: below the version, or a path of the host.

        Raises ApiError for a refusal, HttpError when there is no answer.
        """
        address = path if path.startswith("/") else self.path(path)
        response = self.session.request(
            method, address, is_whole=True, is_idempotent=True, **options
        )
        if response.is_ok:
            return response if "judge" in options else self.whole(what, response)
        error = self.refused(what, response)
        if response.status in (404, 410) and not self._is_checked:
            self._require_version()
        raise error

    def whole(self, what: str, response: http.Response) -> http.Response:
        """The answer itself. Raises SourceError when it was no JSON as often as it was asked for.

        An answer without content is one too.
        """
        if response.status != 200 or http.is_json(response):
            return response
        reason = f"no whole JSON, {self._retries.attempts} times in a row"
        raise unexpected(what, reason, response.excerpt() or "nothing")

    def refused(self, what: str, response: http.Response) -> ApiError:
        """The error of an answer that is not 2xx; it may mean that no call is worth making."""
        error = refusal(what, response)
        if error.is_used_up:
            self.quota.end()
        return error

    def asked(self, kind: type[T], method: str, path: str, *, what: str, **options: Any) -> T:
        """The answer to a call as this; see `call`. Raises SourceError for one of another shape."""
        return parsed(kind, self.call(method, path, what=what, **options), what)

    def start(self) -> None:
        """Look at the allowance before anything is read. Raises QuotaError when it is used up."""
        with self._lock:
            if self._is_checked:
                return
            daily = self.limits().daily_api_requests
            if daily is not None:
                self.quota.learn(daily.max - daily.remaining, daily.max)
            self._is_checked = True

    def limits(self) -> Limits:
        """The allowance; empty where the user may not look at it (it takes a permission of its
        own). Then the answers to other calls tell it, from the first one on."""
        try:
            return self.asked(Limits, "GET", "limits", what="/limits")
        except ApiError as exc:
            if exc.status != 403 or exc.code not in FORBIDDEN:
                raise
        return Limits.model_construct(daily_api_requests=None)

    def _require_version(self) -> None:
        """Raises SourceError when the org does not have the version that is asked for."""
        response = self.session.request("GET", "/services/data/", is_whole=True)
        found = parsed(tuple[Version, ...], response, "the list of versions (/services/data/)")
        offered = [entry.version for entry in found]
        if self.options.api_version not in offered:
            newest = ", ".join(offered[-6:]) or "none"
            raise SetupError(
                f"the org has no API version {self.options.api_version}; it offers (newest last) "
                f"{newest}. Set api_version to one of them.",
                "Correct `api_version:`.",
            )

    # --- the shape of the org ------------------------------------------------------------------

    def describe(self, name: str) -> SObject | None:
        """The object as this user may see it; None when the org lacks it or hides it."""
        self.describe_all([name])
        return self._described[name]

    def describe_all(self, names: Iterable[str]) -> None:
        """Describe what is not yet known, up to 25 objects in one call."""
        with self._lock:
            unknown = [name for name in dict.fromkeys(names) if name not in self._described]
            self.start()
            for first in range(0, len(unknown), MOST_PARTS):
                self._describe(unknown[first : first + MOST_PARTS])

    def _describe(self, names: list[str]) -> None:
        version = f"v{self.options.api_version}"
        if len(names) == 1:
            self._described[names[0]] = self._described_alone(names[0])
            return
        requests = [{"method": "GET", "url": f"{version}/sobjects/{n}/describe"} for n in names]
        what = "describe of several objects (composite/batch)"
        answer = self.asked(
            Batch,
            "POST",
            "composite/batch",
            what=what,
            json={"batchRequests": requests},
            budget=budget_of(len(requests)),
        )
        if len(answer.results) != len(names):
            raise unexpected(what, f"{len(answer.results)} results for {len(names)} objects")
        for name, result in zip(names, answer.results, strict=True):
            if result.status_code == 200:
                described = part(Described, result.result, f"describe of {name}")
                self._described[name] = sobject_of(described)
            elif result.status_code == 404:
                self._described[name] = None
            else:
                # Alone, so that the refusal is judged and told like any other.
                self._described[name] = self._described_alone(name)

    def _described_alone(self, name: str) -> SObject | None:
        try:
            what = f"describe of {name}"
            return sobject_of(self.asked(Described, "GET", f"sobjects/{name}/describe", what=what))
        except ApiError as exc:
            if exc.code in UNAVAILABLE | FORBIDDEN:
                return None
            raise

    def names(self) -> list[str]:
        """The objects that the user may see. One call."""
        listed = self.asked(Objects, "GET", "sobjects/", what="the list of objects (sobjects)")
        return [entry.name for entry in listed.sobjects]

    def forget(self, name: str) -> None:
        """Describe again the next time: it was not as described."""
        with self._lock:
            self._described.pop(name, None)

    def count(self, name: str, conditions: Sequence[str] = (), *, all_rows: bool = False) -> int:
        """Rows that meet the conditions; those in the recycle bin only on demand. One call."""
        soql = f"SELECT COUNT() FROM {name}"
        if conditions:
            soql += " WHERE " + " AND ".join(conditions)
        resource = "queryAll" if all_rows else "query"
        what = f"COUNT() of {name}"
        return self.asked(Counted, "GET", resource, what=what, params={"q": soql}).total_size

    def close(self) -> None:
        self._login_session.close()
        if self._session is not None:
            self._session.close()
