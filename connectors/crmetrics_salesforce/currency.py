"""The currency of amounts in an org whose records carry none, because it has only one."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from crmetrics.plugin import ReadRequest
from crmetrics_salesforce.answers import OrganizationRows, OrganizationSettings
from crmetrics_salesforce.api import Api
from crmetrics_salesforce.errors import ApiError
from crmetrics_salesforce.reach import Reach
from crmetrics_salesforce.streams import ORG_CURRENCY

_FIELD = "DefaultCurrencyIsoCode"
_PATH = "connect/organization"


@dataclass(frozen=True)
class OrgCurrency:
    """code: ISO 4217; None when nothing tells it, with the reason in `why`."""

    code: str | None
    why: str = ""


class Currencies:
    """Looks once at what the org says of its currency; thread-safe."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._found: OrgCurrency | None = None

    def of_org(self) -> OrgCurrency:
        """The currency of amounts without one. Raises SourceError when the org does not answer."""
        with self._lock:
            if self._found is None:
                self._found = self._looked_up()
            return self._found

    def _looked_up(self) -> OrgCurrency:
        self._api.describe_all(["Organization", "CurrencyType"])
        if self._api.describe("CurrencyType") is not None:
            why = "the org has several currencies, and CurrencyIsoCode is hidden from the user"
            return OrgCurrency(None, why)
        # Salesforce documents what the Connect API says for orgs with one currency (Connect REST
        # API, Features); no page of theirs has the field of the record, which such orgs may lack.
        code = self._of_settings() or self._of_record()
        if code and re.fullmatch("[A-Z]{3}", code):
            return OrgCurrency(code)
        return OrgCurrency(
            None, f"neither the Connect API ({_PATH}) nor Organization.{_FIELD} tells it"
        )

    def _of_record(self) -> str | None:
        """What the field of the record says, where the org has it and shows it."""
        described = self._api.describe("Organization")
        if described is None or described.field(_FIELD) is None:
            return None
        params = {"q": f"SELECT {_FIELD} FROM Organization"}
        what = "the query of Organization"
        rows = self._api.asked(OrganizationRows, "GET", "query", what=what, params=params).records
        return next((row.default_currency_iso_code for row in rows), None)

    def _of_settings(self) -> str | None:
        """What the Connect API says; an org without it, and a user who may not, are refused."""
        try:
            what = f"the settings of the org ({_PATH})"
            return self._api.asked(
                OrganizationSettings, "GET", _PATH, what=what
            ).features.default_currency_iso_code
        except ApiError as exc:
            if exc.is_used_up or exc.status not in (400, 403, 404):
                raise
            return None


class Amounts:
    """The currency of the amounts of one read whose records carry none.

    What an earlier read knew of it counts when the org does not tell it any more.
    """

    def __init__(
        self,
        currencies: Currencies,
        request: ReadRequest,
        reaches: Sequence[Reach],
        reporting: str,
        domain: str | None,
    ) -> None:
        self._currencies = currencies
        is_same_org = request.state.get("org") in (None, domain)
        before = request.state if is_same_org and not request.begins_anew else {}
        self._former = before.get("currency")
        self._had_rows = bool(before.get("given"))
        self._reporting = reporting
        is_asked = "currency" in request.columns and "currency" not in request.mapping
        self._is_needed = is_asked and any(
            reach.entries.get("currency") == ORG_CURRENCY for reach in reaches
        )

    @cached_property
    def _told(self) -> OrgCurrency:
        return self._currencies.of_org() if self._is_needed else OrgCurrency(None)

    @property
    def code(self) -> str | None:
        """ISO 4217; None where it is not needed or not known: then that of the reports counts."""
        return self._told.code or self._former

    @property
    def literal(self) -> str:
        """The code as SQL."""
        return f"'{self.code}'::varchar" if self.code else "null::varchar"

    @property
    def differs(self) -> bool:
        """True when rows of earlier reads have another currency, or null: that is the currency of
        the reports, which the project file may change."""
        return self._had_rows and self._told.code not in (None, self._former)

    def notices(self) -> Iterator[str]:
        if not self._is_needed:
            return
        if self.code is None:
            yield (
                f"the currency of its amounts is not known: {self._told.why}. They are taken as "
                f"{self._reporting}; if they are in another one, such as EUR, say so: "
                "`columns: {currency: \"'EUR'\"}`."
            )
        elif self.differs:
            yield (
                f"read whole, because the currency of the org is {self.code} and was another or "
                "not known."
            )
