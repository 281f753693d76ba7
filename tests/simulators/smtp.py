"""A local mail server: EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, with replies on demand.

with MailServer() as server:
    server.replies["RCPT bob@"] = "550 no such user"
    ...
    [mail] = server.mails
"""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from simulators.in_turn import ServerInTurn


@dataclass(frozen=True)
class Mail:
    """What was accepted. is_encrypted, user: how it came."""

    sender: str
    recipients: tuple[str, ...]
    body: bytes
    is_encrypted: bool
    user: str


@dataclass
class MailServer(ServerInTurn):
    """One server on a free port.

    tls: the context of the server's certificate; with `is_implicit` from the first byte. users:
    name -> password; empty = nobody has to log in. replies: start of a command -> the reply in
    place of the usual one (`DATA.` is the end of a mail, `connect` the greeting). cuts: starts of
    commands at which the line is cut; `DATA.` after the mail was accepted. drips: starts of
    commands whose reply comes a byte at a time and without an end, likewise. on_accepted: called
    when a mail was accepted, before the client is told.
    """

    tls: ssl.SSLContext | None = None
    is_implicit: bool = False
    users: dict[str, str] = field(default_factory=dict)
    size_limit: int = 10_000_000
    replies: dict[str, str] = field(default_factory=dict)
    cuts: set[str] = field(default_factory=set)
    drips: set[str] = field(default_factory=set)
    mails: list[Mail] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    on_accepted: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        super().__init__()

    def talk(self, connection: socket.socket) -> None:
        _Conversation(self, connection).run()


class _Conversation:
    """One client."""

    def __init__(self, server: MailServer, connection: socket.socket) -> None:
        self.server, self.connection = server, connection
        self.is_encrypted, self.user = False, ""
        self.sender, self.recipients = "", list[str]()
        self.file: Any = None

    def run(self) -> None:
        self.connection.settimeout(10)
        if self.server.is_implicit:
            self._encrypt()
        self.file = self.connection.makefile("rb")
        try:
            self._say(self.server.replies.get("connect", "220 simulated ESMTP"))
            while line := self.file.readline():
                if not self._answer(line.decode("utf-8").rstrip("\r\n")):
                    return
        finally:
            self.file.close()
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            self.connection.close()

    def _answer(self, line: str) -> bool:
        """Reply to a command; False = the conversation is over."""
        self.server.commands.append(line)
        if self._is_cut(line):
            return False
        if any(line.upper().startswith(start) for start in self.server.drips):
            self._drip()
        for start, reply in self.server.replies.items():
            if line.upper().startswith(start.upper()):
                self._say(reply)
                return not reply.startswith("421")
        verb = line.partition(" ")[0].upper()
        act = getattr(self, f"_{verb.lower()}", None)
        if act is None:
            self._say("502 not implemented")
            return True
        return bool(act(line))

    def _is_cut(self, line: str) -> bool:
        return any(line.upper().startswith(cut) for cut in self.server.cuts)

    def _say(self, text: str) -> None:
        self.connection.sendall(text.encode() + b"\r\n")

    def _drip(self) -> None:
        """Until the client hangs up, which is an OSError."""
        while True:
            self.connection.sendall(b"2")
            threading.Event().wait(0.02)

    def _encrypt(self) -> None:
        assert self.server.tls is not None
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.is_encrypted = True

    def _ehlo(self, line: str) -> bool:
        offers = ["250-simulated", f"250-SIZE {self.server.size_limit}", "250-8BITMIME"]
        if self.server.tls is not None and not self.is_encrypted:
            offers.append("250-STARTTLS")
        if self.server.users:
            offers.append("250-AUTH PLAIN LOGIN")
        self._say("\r\n".join([*offers, "250 SMTPUTF8"]))
        return True

    def _starttls(self, line: str) -> bool:
        self._say("220 go ahead")
        self.file.close()
        self._encrypt()
        self.file = self.connection.makefile("rb")
        return True

    def _auth(self, line: str) -> bool:
        _, method, *rest = line.split()
        if method.upper() != "PLAIN":
            self._say("504 unknown")
            return True
        _, user, password = base64.b64decode(rest[0]).decode().split("\0")
        if self.server.users.get(user) == password:
            self.user = user
            self._say("235 welcome")
        else:
            self._say("535 5.7.8 authentication failed")
        return True

    def _mail(self, line: str) -> bool:
        if self.server.users and not self.user:
            self._say("530 5.7.0 authentication required")
            return True
        size = line.upper().partition("SIZE=")[2].partition(" ")[0]
        if size and int(size) > self.server.size_limit:
            self._say("552 5.3.4 too large")
            return True
        self.sender, self.recipients = _address(line), []
        self._say("250 ok")
        return True

    def _rcpt(self, line: str) -> bool:
        self.recipients.append(_address(line))
        self._say("250 ok")
        return True

    def _data(self, line: str) -> bool:
        self._say("354 end with a dot")
        lines = []
        while (part := self.file.readline()) != b".\r\n":
            if not part:
                return False
            lines.append(part.removeprefix(b"."))
        reply = self.server.replies.get("DATA.", "250 queued")
        if reply.startswith("2"):
            self.server.mails.append(
                Mail(self.sender, tuple(self.recipients), b"".join(lines), self.is_encrypted,
                     self.user)
            )  # fmt: skip
            self.server.on_accepted()
        if "DATA." in self.server.drips:
            self._drip()
        if "DATA." in self.server.cuts:
            return False
        self._say(reply)
        return True

    def _noop(self, line: str) -> bool:
        self._say("250 ok")
        return True

    def _rset(self, line: str) -> bool:
        self._say("250 ok")
        return True

    def _quit(self, line: str) -> bool:
        self._say("221 bye")
        return False


def _address(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]
