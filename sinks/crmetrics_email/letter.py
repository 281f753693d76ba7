"""A delivery as an e-mail message: the same bytes for the same report."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from crmetrics.plugin import Delivery, Message, chart, chat, export
from crmetrics_email.html import html_body, text_body

_MAX_SUBJECT = 180


def compose(
    delivery: Delivery,
    message: Message,
    *,
    sender: str,
    to: Sequence[str],
    has_chart: bool = True,
    has_table: bool = False,
) -> EmailMessage:
    """Text, HTML with the chart inside, and on demand the results as CSV.

    The Message-ID is made of the delivery's key and of what the message says, so that a second copy
    of the same report is recognised; a correction is a reply to the first report.
    """
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = _subject(message)
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    mail["Date"] = format_datetime(message.created_at or datetime(2000, 1, 1, tzinfo=UTC))
    mail["Message-ID"] = message_id(delivery, message, sender)
    mail["Auto-Submitted"] = "auto-generated"
    first = _first_of(delivery.previous)
    if first not in ("", mail["Message-ID"]):
        mail["In-Reply-To"] = first
        mail["References"] = first
    mail.set_content(text_body(message))
    png = _chart(message) if has_chart else b""
    picture = f"chart.{delivery.key}@crmetrics"
    mail.add_alternative(html_body(message, picture if png else ""), subtype="html")
    if png:
        related = mail.get_payload()[1]  # type: ignore[index]
        related.add_related(png, "image", "png", cid=f"<{picture}>", filename="kpis.png")  # type: ignore[union-attr]
    if has_table:
        name = f"{delivery.job}_{message.period_label}.csv"
        mail.add_attachment(
            export.to_csv(delivery.results).encode("utf-8"), "text", "csv", filename=name
        )
    _with_fixed_boundaries(mail, delivery.key)
    return mail


def message_id(delivery: Delivery, message: Message, sender: str) -> str:
    """`<KEY.HASH@domain of the sender>`; a correction back to earlier figures has its own."""
    text = repr(message.kpis) + delivery.rows_id
    text += chat.change_of(delivery) if delivery.is_correction else ""
    said = hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]
    domain = Address(addr_spec=sender).domain if "<" not in sender else sender.rpartition("@")[2]
    return f"<{delivery.key}.{said}@{domain.rstrip('>')}>"


def _subject(message: Message) -> str:
    """On one line: a line break in a header would begin another header."""
    subject = " ".join(message.title.split())
    return subject if len(subject) <= _MAX_SUBJECT else subject[: _MAX_SUBJECT - 1] + "…"


def _first_of(previous: Mapping[str, object]) -> str:
    """The Message-ID of the first report of the period."""
    details = previous.get("details")
    first = details.get("thread") if isinstance(details, Mapping) else None
    return str(first or previous.get("reference") or "")


def _chart(message: Message) -> bytes:
    """The picture; empty where there is nothing to draw, or to draw it with."""
    try:
        return chart.trend_png(message)
    except chart.ChartError:
        return b""


def _with_fixed_boundaries(mail: EmailMessage, key: str) -> None:
    """Boundaries that are the same for every repeat, so that a preview is what is sent."""
    for number, part in enumerate(part for part in mail.walk() if part.is_multipart()):
        part.set_boundary(f"=_crmetrics_{key}_{number}")
