"""A mail server: signing in, handing a mail over, and what its refusals mean."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING

from crmetrics.plugin import SinkError, chat, redact
from crmetrics_email.line import EncryptedLine, Line

if TYPE_CHECKING:
    from crmetrics_email.sink import EmailOptions


class MailServer:
    """The server that a sink sends by.

    ca_file: certificates to trust beside the system's. failed, unknown: the errors of that sink,
    for what surely was not sent and for what may have been.
    """

    def __init__(
        self,
        config: EmailOptions,
        port: int,
        ca_file: Path | None,
        *,
        failed: Callable[[str], SinkError],
        unknown: Callable[[str], SinkError],
    ) -> None:
        self._config, self._port, self._ca_file = config, port, ca_file
        self._failed, self._unknown = failed, unknown

    def send(
        self, mail: EmailMessage, to: Sequence[str], deadline: chat.Deadline
    ) -> dict[str, str]:
        """Hand the mail over once; the recipients that the server refused, with its reason.

        Until the server has the text nothing is sent; a line that is cut after that leaves it open
        whether the mail goes out.
        """
        body = mail.as_bytes()
        with self.connected(deadline) as server:
            refused = self._announce(server, len(body), to, deadline)
            try:
                code, said = server.data(body)
            except smtplib.SMTPDataError as exc:
                raise self._failed(_refusal("the mail", exc.smtp_code, exc.smtp_error)) from None
            except (smtplib.SMTPException, OSError) as exc:
                cut = deadline.why or f"the line was cut ({type(exc).__name__})"
                raise self._unknown(f"{self._config.host}: {cut}.") from None
        if code != 250:
            raise self._failed(_refusal("the mail", code, said))
        return refused

    def _announce(
        self, server: smtplib.SMTP, size: int, to: Sequence[str], deadline: chat.Deadline
    ) -> dict[str, str]:
        refused: dict[str, str] = {}
        try:
            options = [f"size={size}"] if server.has_extn("size") else []
            code, said = server.mail(self._config.sender, options)
            if code != 250:
                raise self._failed(_refusal(f"the sender {self._config.sender}", code, said))
            for recipient in to:
                code, said = server.rcpt(recipient)
                if code not in (250, 251):
                    refused[recipient] = f"{code} {_words(said)}"
        except (smtplib.SMTPException, OSError) as exc:
            raise self._failed(self._reason(exc, deadline)) from None
        if len(refused) == len(to):
            first, why = next(iter(refused.items()))
            which = "every recipient" if len(to) == len(self._config.to) else "every one left"
            raise self._failed(f"{which} was refused, {first} with {why}. Check `to`.")
        return refused

    @contextmanager
    def connected(self, deadline: chat.Deadline) -> Iterator[smtplib.SMTP]:
        """A connection that may send; it is ended in order where that is possible."""
        try:
            server = self._connect(deadline)
        except (smtplib.SMTPException, OSError) as exc:
            raise self._failed(self._reason(exc, deadline)) from None
        try:
            yield server
        finally:
            with suppress(smtplib.SMTPException, OSError):
                server.quit()
            server.close()

    def _connect(self, deadline: chat.Deadline) -> smtplib.SMTP:
        config = self._config
        context = ssl.create_default_context()
        if self._ca_file is not None:
            context.load_verify_locations(self._ca_file)
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
        host = self._config.host
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


def _refusal(what: str, code: int, said: bytes | str) -> str:
    """4xx is for now, 5xx for good."""
    way_out = "Run again later." if 400 <= code < 500 else "Check the sink's addresses and rights."
    return f"the server refused {what} with {code} {_words(said)!r}. Nothing was sent. {way_out}"


def _words(said: bytes | str) -> str:
    text = said.decode("utf-8", errors="replace") if isinstance(said, bytes) else said
    return redact(" ".join(text.split())[:200])
