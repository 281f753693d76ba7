"""The line to a mail server, with a time limit for all that is said on it."""

from __future__ import annotations

import smtplib
import socket

from crmetrics.plugin import chat


class Line(smtplib.SMTP):
    """Not connected before `dial`."""

    def dial(self, host: str, port: int, deadline: chat.Deadline) -> None:
        """Connect, and hear the greeting."""
        self._deadline = deadline
        self._host = host  # what the certificate is compared with
        code, said = self.connect(host, port)
        if code != 220:
            self.close()
            raise smtplib.SMTPConnectError(code, said)

    def getreply(self) -> tuple[int, bytes]:
        found = super().getreply()
        if self._deadline.is_over:  # an answer that was cut short may read as another one
            self.close()
            raise smtplib.SMTPServerDisconnected(self._deadline.why)
        return found

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        connection: socket.socket = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        self._deadline.watch(connection)
        return connection


class EncryptedLine(smtplib.SMTP_SSL, Line):
    """The same, encrypted from the first byte."""
