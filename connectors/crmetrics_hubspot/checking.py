"""`check`: the token, what it may read, what the account lacks, and what is left of its calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from crmetrics.plugin import CheckResult, SourceError, Supply, http
from crmetrics_hubspot.account import Account
from crmetrics_hubspot.api import MissingScopeError, UnavailableError
from crmetrics_hubspot.auth import RefreshedTokens
from crmetrics_hubspot.fields import is_added, with_through
from crmetrics_hubspot.leads import stage_entries
from crmetrics_hubspot.mapping import fields_in
from crmetrics_hubspot.marketing import (
    NO_CAMPAIGNS,
    NO_EMAILS,
    columns_of_emails,
    gives_emails,
)
from crmetrics_hubspot.objects import Objects
from crmetrics_hubspot.people import OWNER_FIELDS
from crmetrics_hubspot.privacy import is_personal, reason
from crmetrics_hubspot.records import has_field, settled
from crmetrics_hubspot.streams import SPECIAL, Stream, streams_of

_CONVERSATIONS = "conversations"
_SIGN_IN = (
    "Make a service key (Settings > Integrations > Service Keys) with the scopes of the datasets "
    "that you need, and give it as auth.token; or authorise the OAuth app again."
)

_WAY = (
    "Correct the way to HubSpot: the network, the proxy of this machine, its certificates, or "
    "`base_url:` if it is set."
)


@dataclass
class AccountCheck:
    """Looks at one account; raises nothing."""

    account: Account
    supplies: Mapping[str, Supply]

    def results(self) -> Iterator[CheckResult]:
        """One line for the account, one per dataset, one for what is left of the calls."""
        try:
            yield self._signed_in()
        except SourceError as exc:
            yield CheckResult("account", "error", str(exc), _way_in(exc))
            return
        for name in self.supplies:
            try:
                yield self._dataset(name)
            except SourceError as exc:
                yield CheckResult(name, "error", str(exc), "Run the check again later.")
        yield self._calls()

    def _signed_in(self) -> CheckResult:
        details = self.account.details
        told = (
            f"portal {details.get('portalId')}, {details.get('accountType')}, currency "
            f"{self.account.currency}, {details.get('timeZone')}"
        )
        tokens = self.account.api.tokens
        if isinstance(tokens, RefreshedTokens) and tokens.scopes:
            told += f"; {len(tokens.scopes)} scopes granted"
        return CheckResult("account", "ok", told)

    def _calls(self) -> CheckResult:
        limits = self.account.api.limits
        if limits.daily is None:
            return CheckResult("calls", "ok", "no daily limit is told (an OAuth app has none)")
        left = limits.daily_left or 0
        usable = max(0, left - limits.reserve)
        told = f"{left} of {limits.daily} daily calls are left, {usable} of them for this source"
        if usable:
            return CheckResult("calls", "ok", told)
        return CheckResult(
            "calls", "warning", told, "Wait until midnight there, or raise max_api_usage_percent."
        )

    # --- datasets ------------------------------------------------------------------------------

    def _dataset(self, name: str) -> CheckResult:
        streams = streams_of(name, self.account.config)
        if not streams:
            return self._special(name)
        told: list[str] = []
        problems: list[tuple[str, str, SourceError]] = []
        lacking: set[str] = set(self.supplies[name].columns)
        partial: list[str] = []
        for stream in streams:
            try:
                told.append(self._stream(stream, name, lacking, partial))
            except (MissingScopeError, UnavailableError) as exc:
                problems.append((stream.kind, stream.scope, exc))
        if name == "case_messages" and _CONVERSATIONS in self.account.config.case_messages_from:
            try:
                told.append(f"{_CONVERSATIONS} {self._reach(name)}")
            except (MissingScopeError, UnavailableError) as exc:
                problems.append((_CONVERSATIONS, SPECIAL[name].scopes[0], exc))
        refused = [f"{what} cannot be read: {exc}" for what, _, exc in problems]
        text = "; ".join([*told, *partial, *refused])
        lacks: dict[str, tuple[str, ...]] = {}
        if not told or any(_is_fatal(what, exc) for what, _, exc in problems):
            lacks = {name: ()}
        elif lacking:
            lacks = {name: tuple(sorted(lacking))}
        if problems:
            _, scope, first = problems[0]
            return CheckResult(name, "warning", text, _grant(first, scope), lacks)
        if lacks:
            fix = "Map properties that hold them under `columns:`, or do without those KPIs."
            return CheckResult(name, "warning", text, fix, lacks)
        if partial:
            fix = "Grant the token the scopes of all objects that those columns come through."
            return CheckResult(name, "warning", text, fix)
        return CheckResult(name, "ok", text)

    def _stream(self, stream: Stream, dataset: str, lacking: set[str], partial: list[str]) -> str:
        """How many records there are, and which columns the account cannot fill.

        Takes out of `lacking` what this stream can fill; adds to `partial` what it fills from less
        than it would with every scope.
        """
        known = self.account.properties.of(stream.kind)
        count = Objects(self.account.api, stream.kind, ()).count()
        columns = self.account.config.own(dataset).columns
        personal = {
            column: name
            for column, text in columns.items()
            for name in fields_in(text)
            if is_personal(stream.kind, known, name)
        }
        mapped = set(columns) - set(personal)
        entries = {**stream.all_entries, **stage_entries(self.account, stream)}
        missing = [f"{column} ({reason(stream.kind, name)})" for column, name in personal.items()]
        lacking -= mapped
        for column, entry in entries.items():
            if column in personal:
                continue
            text, lost = settled(entry, known, stream.kind, self.account)
            if text is not None:
                lacking.discard(column)
                lost = self._lost(stream.kind, text, lost)
                if lost and column not in mapped:
                    partial.append(f"{column} without {lost}, which is out of reach")
            elif column not in mapped:
                why = "out of reach" if is_added(lost, stream.kind) else "no property"
                missing.append(f"{column} ({why} {lost})" if lost else column)
        told = f"{count} {stream.kind}"
        return f"{told}, not supplied: {', '.join(missing)}" if missing else told

    def _lost(self, kind: str, text: str, lost: str) -> str:
        """An added field that the entry of a column goes without, though one with it comes first,
        or holds less without; empty when there is none."""
        if is_added(lost, kind):
            return lost
        known = self.account.properties.of(kind)
        through = with_through(fields_in(text))
        return next((f for f in through if not has_field(f, known, kind, self.account)), "")

    def _special(self, name: str) -> CheckResult:
        if name == "campaigns":
            return self._campaigns()
        scopes = SPECIAL[name].scopes
        try:
            return CheckResult(name, "ok", self._reach(name))
        except (MissingScopeError, UnavailableError) as exc:
            fix = _grant(exc, " and ".join(scopes))
            return CheckResult(name, "warning", str(exc), fix, {name: ()})

    def _campaigns(self) -> CheckResult:
        """Campaigns, and the marketing e-mails that are campaigns too: where one of them is out of
        reach, the other is read."""
        name, few = "campaigns", {"limit": "1"}
        try:
            self.account.api.get(name, params=few)
        except (MissingScopeError, UnavailableError) as exc:
            fix = _grant(exc, SPECIAL[name].scopes[0])
            if not gives_emails(self.account):
                return CheckResult(name, "warning", str(exc), fix, {name: ()})
            own = self.account.config.own(name).columns
            left = columns_of_emails(self.supplies[name].columns, own)
            lost = tuple(c for c in self.supplies[name].columns if c not in left)
            return CheckResult(name, "warning", f"{NO_CAMPAIGNS} {exc}", fix, {name: lost})
        if self.account.config.email_events:
            try:
                self.account.api.get("emails", params=few)
            except (MissingScopeError, UnavailableError) as exc:
                fix = _grant(exc, SPECIAL["campaign_members"].scopes[0])
                return CheckResult(name, "warning", f"{NO_EMAILS} {exc}", fix)
        return CheckResult(name, "ok", "reachable")

    def _reach(self, name: str) -> str:
        api, few = self.account.api, {"limit": "1"}
        match name:
            case "campaign_members":
                for area in ("emails", "email_events"):
                    api.get(area, params=few)
                api.get("objects", "contacts", params=few)
                days = self.account.config.email_event_days
                return (
                    f"reachable; what happens within {days} days of a send counts "
                    "(`email_event_days`); HubSpot supports the log of e-mail events until "
                    "September 2027"
                )
            case "marketing_spend":
                api.get("campaigns", params=few)
            case "users":
                if self._maps_users():
                    api.get("objects", "users", params=few)
                return f"{len(self.account.owners)} owners"
            case "user_activity":
                api.get("account", "activity", "login", params=few)
                _ = self.account.owners  # users are named by their owners
                return "reachable; HubSpot keeps logins for 90 days"
            case "exchange_rates":
                api.get("currencies", "exchange-rates", params=few)
            case "case_messages":
                api.get("conversations", "threads", params=few)
            case _:
                kind = SPECIAL[name].kind
                api.get("objects", kind, params=few)
                return f"{Objects(api, kind, ()).count()} {kind} with their history"
        return "reachable"

    def _maps_users(self) -> bool:
        """Whether the project file maps columns to properties of the users object."""
        texts = self.account.config.own("users").columns.values()
        return any(set(fields_in(text)) - set(OWNER_FIELDS) for text in texts)


def _way_in(exc: SourceError) -> str:
    """What to do when nothing can be asked of the account."""
    is_answered = not isinstance(exc, http.HttpError) or isinstance(exc, http.StatusError)
    return _SIGN_IN if is_answered else _WAY


def _is_fatal(what: str, exc: SourceError) -> bool:
    """Whether the read of the whole dataset fails, not that of one object of several."""
    return isinstance(exc, MissingScopeError) or what == _CONVERSATIONS


def _grant(exc: SourceError, scope: str) -> str:
    if isinstance(exc, MissingScopeError):
        wanted = " or ".join(exc.scopes) or scope
        return f"Grant the token the scope {wanted}, or leave out the KPIs that need the dataset."
    return "The account's plan has no such object: leave out the KPIs that need the dataset."
