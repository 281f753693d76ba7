"""Send the report of a job by e-mail."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, replace
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from crmetrics.plugin import CheckResult, Delivery, Receipt, Restated, Secret, chat, redact
from crmetrics_email.letter import compose
from crmetrics_email.line import EncryptedLine, Line

_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_OF_MAIL = frozenset(_PORTS.values())


class EmailOptions(chat.ChatOptions):
    """Which server, from whom, to whom, and what goes with it."""

    host: str = Field(min_length=1, description="mail server")
    port: int | None = Field(
        default=None, gt=0, lt=65536, description="default: 587, or 465 with security: tls"
    )
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="none only for a server on this machine"
    )
    username: str | None = None
    password: Secret | None = None
    ca_file: Path | None = Field(
        default=None,
        description="certificates to trust beside the system's, relative to the project",
    )
    sender: str = Field(alias="from", description="address of the sender")
    to: tuple[str, ...] = Field(min_length=1, description="addresses of the recipients")
    charts: bool = Field(default=True, description="a picture of the KPIs' courses inside")
    attach_results: bool = Field(
        default=False,
        description="attach all rows as CSV, persons and records included: only for people who may "
        "see them",
    )

    def required_extras(self) -> Iterable[str]:
        return ("charts",) if self.charts else ()

    @field_validator("sender", "to")
    @classmethod
    def _are_addresses(cls, value: Any) -> Any:
        for address in (value,) if isinstance(value, str) else value:
            try:
                parsed = Address(addr_spec=address)
            except (ValueError, HeaderParseError, IndexError):
                raise ValueError("expected e-mail addresses such as ann@acme.com") from None
            if not parsed.domain:
                raise ValueError("expected e-mail addresses such as ann@acme.com")
        return value

    @model_validator(mode="after")
    def _safe(self) -> EmailOptions:
        if self.security == "none" and not _is_here(self.host):
            raise ValueError("security: none is only for a mail server on this machine")
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        return self


class EmailSink(chat.ChatSink):
    """One mail per job and period, as text and HTML with its chart. What was sent cannot be
    replaced: figures that have changed are sent as a reply to the first mail."""

    name = "email"
    Config = EmailOptions
    config: EmailOptions

    def destination(self, delivery: Delivery) -> str:
        return f"{self._server} to {', '.join(self.config.to)}"

    def destination_id(self, delivery: Delivery) -> str:
        # Without the recipients: one who comes or goes makes no other report of it for the others.
        return f"{self.name} {self._server}"

    @property
    def _server(self) -> str:
        """The host; its ports of mail are ways to one server, another port is a server of its own,
        such as one for tests: what that took has reached nobody."""
        is_usual = self._port in _OF_MAIL
        return self.config.host if is_usual else f"{self.config.host}:{self._port}"

    @property
    def _port(self) -> int:
        return self.config.port or _PORTS[self.config.security]

    @property
    def sends_rows(self) -> bool:
        return self.config.attach_results

    def check(self) -> Iterable[CheckResult]:
        subject = f"sink {self.context.name}"
        try:
            with self.deadline() as deadline, self._connected(deadline) as server:
                server.noop()
        except Exception as exc:  # noqa: BLE001 - a check reports everything
            fix = "Check host, port, security, username and password."
            return [CheckResult(subject, "error", redact(str(exc)), fix)]
        return [
            CheckResult(subject, "ok", f"{self.config.host} takes mail of {self.config.sender}")
        ]

    def preview(self, delivery: Delivery) -> str:
        return self._letter(delivery).as_bytes().decode("utf-8", errors="replace")

    def write(self, delivery: Delivery) -> Receipt:
        to = self._recipients(delivery)
        if not to:
            return Receipt(**{**delivery.previous, "missing": ""})
        mail = self._letter(delivery)
        details = delivery.previous.get("details") or {}
        refused = self._send(mail, to)
        had = self._accepted(delivery.previous) if delivery.is_resumed else ()
        kept = {
            "thread": str(details.get("thread") or mail["Message-ID"]),
            "refused": refused,
            "accepted": [*had, *(one for one in to if one not in refused)],
            **_correction(self._as_it_went(delivery)),
        }
        return Receipt(
            destination=self.destination(delivery),
            rows=len(delivery.message.kpis),
            reference=str(mail["Message-ID"]),
            details=kept,
            missing=self._missing(refused),
        )

    def _recipients(self, delivery: Delivery) -> Sequence[str]:
        """All, or those who do not have the mail yet that the others have."""
        return self._without_mail(delivery.previous) if delivery.is_resumed else self.config.to

    def lacks(self, receipt: Mapping[str, Any]) -> bool:
        return bool(self._without_mail(receipt))

    def _without_mail(self, receipt: Mapping[str, Any]) -> Sequence[str]:
        """Those who did not accept a mail: they were refused then, or no recipients yet."""
        has_it = {one.casefold() for one in self._accepted(receipt)}
        return [one for one in self.config.to if one.casefold() not in has_it]

    def _accepted(self, receipt: Mapping[str, Any]) -> Sequence[str]:
        """Who has the mail of a receipt. Older versions noted only who was refused, and are found
        for as long as the recipients are the same."""
        details = receipt.get("details") or {}
        refused = details.get("refused") or {}
        return details.get("accepted") or [one for one in self.config.to if one not in refused]

    def _as_it_went(self, delivery: Delivery) -> Delivery:
        """The delivery, as a correction where that is what the others have got."""
        details = delivery.previous.get("details") or {}
        if not (delivery.is_resumed and "restated" in details):
            return delivery
        restated = tuple(Restated(*one) for one in details["restated"])
        return replace(delivery, restated=restated, has_new_rows=bool(details["has_new_rows"]))

    def _missing(self, refused: Mapping[str, str]) -> str:
        if not refused:
            return ""
        named = "; ".join(f"{one} with {why}" for one, why in refused.items())
        is_for_good = any(why.startswith("5") for why in refused.values())
        fix = " Check the address, or take it out of `to`." if is_for_good else ""
        return (
            f"sink {self.context.name}: {self.config.host} refused {named}. The other recipients "
            f"have the mail; the next run sends it to these alone.{fix}"
        )

    def _letter(self, delivery: Delivery) -> EmailMessage:
        delivery = self._as_it_went(delivery)
        return compose(
            delivery,
            self.report(delivery),
            sender=self.config.sender,
            to=self.config.to,
            has_chart=self.config.charts,
            has_table=self.config.attach_results,
        )

    # --- talking to the server ---------------------------------------------------------------

    def _send(self, mail: EmailMessage, to: Sequence[str]) -> dict[str, str]:
        """Hand the mail over once; the recipients that the server refused, with its reason.

        Until the server has the text nothing is sent; a line that is cut after that leaves it open
        whether the mail goes out.
        """
        body = mail.as_bytes()
        with self.deadline() as deadline, self._connected(deadline) as server:
            refused = self._announce(server, len(body), to, deadline)
            try:
                code, said = server.data(body)
            except smtplib.SMTPDataError as exc:
                raise self.failed(_refusal("the mail", exc.smtp_code, exc.smtp_error)) from None
            except (smtplib.SMTPException, OSError) as exc:
                cut = deadline.why or f"the line was cut ({type(exc).__name__})"
                raise self.unknown(f"{self.config.host}: {cut}.") from None
        if code != 250:
            raise self.failed(_refusal("the mail", code, said))
        return refused

    def _announce(
        self, server: smtplib.SMTP, size: int, to: Sequence[str], deadline: chat.Deadline
    ) -> dict[str, str]:
        refused: dict[str, str] = {}
        try:
            options = [f"size={size}"] if server.has_extn("size") else []
            code, said = server.mail(self.config.sender, options)
            if code != 250:
                raise self.failed(_refusal(f"the sender {self.config.sender}", code, said))
            for recipient in to:
                code, said = server.rcpt(recipient)
                if code not in (250, 251):
                    refused[recipient] = f"{code} {_words(said)}"
        except (smtplib.SMTPException, OSError) as exc:
            raise self.failed(self._reason(exc, deadline)) from None
        if len(refused) == len(to):
            first, why = next(iter(refused.items()))
            which = "every recipient" if len(to) == len(self.config.to) else "every one left"
            raise self.failed(f"{which} was refused, {first} with {why}. Check `to`.")
        return refused

    @contextmanager
    def _connected(self, deadline: chat.Deadline) -> Iterator[smtplib.SMTP]:
        """A connection that may send; it is ended in order where that is possible."""
        try:
            server = self._connect(deadline)
        except (smtplib.SMTPException, OSError) as exc:
            raise self.failed(self._reason(exc, deadline)) from None
        try:
            yield server
        finally:
            with suppress(smtplib.SMTPException, OSError):
                server.quit()
            server.close()

    def _connect(self, deadline: chat.Deadline) -> smtplib.SMTP:
        config = self.config
        context = ssl.create_default_context()
        if config.ca_file is not None:
            context.load_verify_locations(self.context.project_dir / config.ca_file)
        server: Line
        if config.security == "tls":
            server = EncryptedLine(timeout=config.timeout, context=context)
        else:
            server = Line(timeout=config.timeout)
        try:
            server.dial(config.host, self._port, deadline)
            if config.security == "starttls":
                server.starttls(context=context)
            server.ehlo_or_helo_if_needed()
            if config.username is not None and config.password is not None:
                server.login(config.username, config.password.reveal())
        except BaseException:
            server.close()
            raise
        return server

    def _reason(self, exc: Exception, deadline: chat.Deadline) -> str:
        host = self.config.host
        if deadline.is_over:
            return f"{host}: {deadline.why}. Nothing was sent; run again later."
        if isinstance(exc, smtplib.SMTPAuthenticationError):
            return f"{host} refuses username or password. Nothing was sent."
        if isinstance(exc, smtplib.SMTPNotSupportedError):
            return f"{host} does not offer what is configured: {exc}. Check `security`."
        if isinstance(exc, ssl.SSLCertVerificationError):
            return f"the certificate of {host} is not trusted. Set ca_file, or check host."
        if isinstance(exc, smtplib.SMTPResponseException):
            return _refusal("the connection", exc.smtp_code, exc.smtp_error)
        return (
            f"{host} cannot be reached ({type(exc).__name__}). Nothing was sent; run again later."
        )


def _correction(delivery: Delivery) -> dict[str, Any]:
    """What of a mail is to be said again to those who get it later."""
    restated = [list(astuple(one)) for one in delivery.restated]
    return {"restated": restated, "has_new_rows": delivery.has_new_rows}


def _refusal(what: str, code: int, said: bytes | str) -> str:
    """4xx is for now, 5xx for good."""
    way_out = "Run again later." if 400 <= code < 500 else "Check the sink's addresses and rights."
    return f"the server refused {what} with {code} {_words(said)!r}. Nothing was sent. {way_out}"


def _words(said: bytes | str) -> str:
    text = said.decode("utf-8", errors="replace") if isinstance(said, bytes) else said
    return redact(" ".join(text.split())[:200])


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
