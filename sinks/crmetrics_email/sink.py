"""Send the report of a job by e-mail."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from crmetrics.plugin import CheckResult, Delivery, Receipt, Secret, chat, redact

if TYPE_CHECKING:
    from email.message import EmailMessage

    from crmetrics_email.server import MailServer

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
        from email.errors import HeaderParseError
        from email.headerregistry import Address

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
            with self.deadline() as deadline, self._mail_server.connected(deadline) as server:
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
        asked = delivery.readers or self.readers
        to = [one for one in self.config.to if one.casefold() in asked]
        mail = self._letter(delivery)
        details = delivery.previous.get("details") or {}
        with self.deadline() as deadline:
            refused = self._mail_server.send(mail, to, deadline)
        return Receipt(
            destination=self.destination(delivery),
            rows=len(delivery.message.kpis),
            reference=str(mail["Message-ID"]),
            details={
                "thread": str(details.get("thread") or mail["Message-ID"]),
                "refused": refused,
                "accepted": [one for one in to if one not in refused],
            },
            missing=self._missing(refused),
        )

    @property
    def readers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.casefold() for one in self.config.to))

    def reached(self, receipt: Mapping[str, Any]) -> Collection[str]:
        """Older versions noted only who was refused, and are found for as long as the recipients
        are the same."""
        details = receipt.get("details") or {}
        refused = details.get("refused") or {}
        took = details.get("accepted") or [one for one in self.config.to if one not in refused]
        return [one.casefold() for one in took]

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
        from crmetrics_email.letter import compose

        return compose(
            delivery,
            self.report(delivery),
            sender=self.config.sender,
            to=self.config.to,
            has_chart=self.config.charts,
            has_table=self.config.attach_results,
        )

    @property
    def _mail_server(self) -> MailServer:
        from crmetrics_email.server import MailServer

        config = self.config
        ca_file = None if config.ca_file is None else self.context.project_dir / config.ca_file
        return MailServer(config, self._port, ca_file, failed=self.failed, unknown=self.unknown)


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
