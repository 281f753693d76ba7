"""The sink `email` against a mail server on this machine."""

from __future__ import annotations

import email
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import ValidationError

from crmetrics.deliver import (
    DeliveryRecord,
    Ledger,
    Outcome,
    Place,
    Terms,
    channel_of,
    deliver,
    last_told,
)
from crmetrics.message import KpiLine
from crmetrics.plugin import (
    Delivery,
    Receipt,
    Restated,
    Secret,
    SinkContext,
    SinkError,
    UnknownOutcomeError,
)
from crmetrics_email.sink import EmailOptions, EmailSink
from result_rows import AS_OF, breakdown, delivery, line, message
from simulators.smtp import MailServer

PASSWORD = "hunter2-hunter2"
COURSE = {"series": (0.3, None, 0.35, 0.4), "series_labels": ("W02", "W03", "W04", "W05")}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer() as found:
        yield found


def make_sink(server: MailServer, **options: Any) -> EmailSink:
    values: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": server.port,
        "security": "none",
        "from": "reports@acme.test",
        "to": ["ann@acme.test"],
        "timeout": 5,
        **options,
    }
    return EmailSink(EmailOptions(**values), SinkContext("board", Path("/")))


def _reports(ledger: Ledger, sinks: Mapping[str, EmailSink]) -> Sequence[DeliveryRecord]:
    """All attempts at the report on the sample's period."""
    [(name, sink)] = sinks.items()
    given = report()
    channel = channel_of(sink.destination_id(given))
    place = Place(given.job, given.grain, name, "", channel)
    return ledger.reports(place, given.period_start, given.period_end)


def report(*lines: KpiLine, **parts: Any) -> Delivery:
    return delivery(report=message(*lines, **parts))


def only_mail(server: MailServer) -> EmailMessage:
    [mail] = server.mails
    parsed = email.message_from_bytes(mail.body, policy=default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def text_of(mail: EmailMessage, kind: str) -> str:
    body = mail.get_body(preferencelist=(kind,))
    assert body is not None
    return str(body.get_content())


class Page(HTMLParser):
    """Tags, links and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


# --- the mail ---------------------------------------------------------------------------------


def test_a_report_comes_as_text_and_html_with_its_chart_inside(server: MailServer) -> None:
    make_sink(server).write(report(line(change_text="up 3 points", **COURSE)))
    mail = only_mail(server)
    assert mail["Subject"] == "acme: weekly sales 2026-W05"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "Win rate: 40.0 %" in text_of(mail, "plain")
    page = Page(text_of(mail, "html"))
    [source] = page.addresses
    [picture] = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    assert source == "cid:" + picture["Content-ID"].strip("<>")
    assert picture.get_content().startswith(b"\x89PNG")
    assert {"script", "link", "style"}.isdisjoint(page.tags)


def test_the_preview_is_what_is_sent_and_sends_nothing(server: MailServer) -> None:
    sink = make_sink(server)
    preview = sink.preview(report(line(**COURSE)))
    assert server.commands == []
    sink.write(report(line(**COURSE)))
    assert server.mails[0].body.decode() == preview
    sink.write(report(line(**COURSE)))
    assert server.mails[1].body == server.mails[0].body


def test_results_are_attached_on_demand(server: MailServer) -> None:
    make_sink(server, attach_results=True, charts=False).write(report())
    [part] = only_mail(server).iter_attachments()
    assert part.get_filename() == "weekly_sales_2026-W05.csv"
    assert part.get_content().startswith("kpi,variant,period_start")


def test_groups_and_notes_are_shown_persons_are_not(server: MailServer) -> None:
    people = replace(breakdown("005-ANN", dimension="owner_id"), detail="person")
    make_sink(server).write(report(line(breakdowns=(breakdown("East"), people)), notes=("old",)))
    body = server.mails[0].body.decode()
    for said in ("East", "old", "figures by owner_id are not shown"):
        assert said in body
    assert "005-ANN" not in body


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "A&B <x>", 'q"uote', "日本 🚀", "</td></table>"]
)
def test_no_name_becomes_markup(server: MailServer, name: str) -> None:
    everywhere = line(name, value_text=name, goal_text=name, breakdowns=(breakdown(name),))
    make_sink(server).write(report(everywhere, title=name, notes=(name,), footer=(name,)))
    page = Page(text_of(only_mail(server), "html"))
    assert page.texts.count(name) >= 4
    assert "script" not in page.tags


def test_a_line_break_in_a_name_makes_no_header(server: MailServer) -> None:
    make_sink(server).write(report(title="weekly\r\nBcc: eve@evil.test\r\n\r\nbody"))
    mail = only_mail(server)
    assert mail["Bcc"] is None
    assert mail["Subject"] == "weekly Bcc: eve@evil.test body"
    assert server.mails[0].recipients == ("ann@acme.test",)


def test_a_line_that_begins_with_a_dot_arrives(server: MailServer) -> None:
    make_sink(server).write(report(footer=(".hidden", ".")))
    assert ".hidden" in text_of(only_mail(server), "plain")


# --- repeats ----------------------------------------------------------------------------------


def test_the_same_report_has_the_same_id_and_another_one_another(server: MailServer) -> None:
    sink = make_sink(server)
    one, same = sink.write(report()), sink.write(report(footer=("another run",)))
    other = sink.write(report(line(value=0.5, value_text="50.0 %")))
    assert one.reference == same.reference != other.reference
    assert one.reference.endswith("@acme.test>")


def test_a_correction_is_a_reply_to_the_first_mail(server: MailServer) -> None:
    sink = make_sink(server)
    first = sink.write(report())
    change = (Restated("Win rate", "40.0 %", "50.0 %"),)
    second = sink.write(_after(first, change))
    sink.write(_after(second, change))
    replies = [email.message_from_bytes(mail.body) for mail in server.mails[1:]]
    assert {mail["In-Reply-To"] for mail in replies} == {first.reference}
    assert replies[0]["Subject"].startswith("Restated: acme")
    assert b"Win rate was 40.0 %, is now 50.0 %" in server.mails[1].body


def test_a_correction_back_to_an_earlier_figure_has_an_id_of_its_own(server: MailServer) -> None:
    sink = make_sink(server)
    first = sink.write(report())
    up = (Restated("Win rate", "40.0 %", "50.0 %"),)
    second = sink.write(replace(_after(first, up), told_by="run-1"))
    down = (Restated("Win rate", "50.0 %", "40.0 %"),)
    back = replace(report(), previous=asdict(second), restated=down, told_by="run-2")
    third, repeated = sink.write(back), sink.write(replace(back, run_id="run-9"))
    again = sink.write(replace(_after(third, up), told_by="run-3"))
    assert len({one.reference for one in (first, second, third, again)}) == 4
    assert repeated.reference == third.reference


def test_other_rows_in_the_attachment_are_a_correction(server: MailServer) -> None:
    sink = make_sink(server, attach_results=True, charts=False)
    assert sink.sends_rows
    assert not make_sink(server).sends_rows
    first = sink.write(replace(report(), rows_id="0a"))
    given = replace(report(), previous=asdict(first), has_new_rows=True, rows_id="0b")
    second = sink.write(given)
    [_, mail] = [email.message_from_bytes(one.body) for one in server.mails]
    assert (mail["In-Reply-To"], mail["Subject"][:12]) == (first.reference, "Restated: ac")
    assert b"Rows of the table that goes along have changed" in server.mails[1].body
    assert second.reference != first.reference


def _after(receipt: Receipt, change: tuple[Restated, ...]) -> Delivery:
    given = report(line(value=0.5, value_text="50.0 %"))
    return replace(given, previous=asdict(receipt), restated=change)


# --- the way ----------------------------------------------------------------------------------


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_goes_encrypted_and_after_a_login(
    tls: ssl.SSLContext, authority: trustme.CA, tmp_path: Path, security: str
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with MailServer(tls, security == "tls", {"reports": PASSWORD}) as server:
        make_sink(
            server, security=security, username="reports", password=Secret(PASSWORD),
            ca_file=tmp_path / "ca.pem",
        ).write(report())  # fmt: skip
    [mail] = server.mails
    assert (mail.is_encrypted, mail.user) == (True, "reports")


def test_a_certificate_that_is_not_trusted_stops_before_the_password(tls: ssl.SSLContext) -> None:
    with MailServer(tls, users={"reports": PASSWORD}) as server:
        sink = make_sink(server, security="starttls", username="reports", password=Secret(PASSWORD))
        with pytest.raises(SinkError, match="is not trusted"):
            sink.write(report())
    assert not any("AUTH" in command for command in server.commands)


def test_a_server_without_encryption_gets_no_mail(server: MailServer) -> None:
    with pytest.raises(SinkError, match="Check `security`"):
        make_sink(server, security="starttls").write(report())
    assert server.mails == []


def test_a_wrong_password_is_told_without_it(server: MailServer) -> None:
    server.users = {"reports": PASSWORD}
    sink = make_sink(server, username="reports", password=Secret("wrong-secret-word"))
    with pytest.raises(SinkError, match="refuses username or password") as caught:
        sink.write(report())
    [result] = sink.check()
    assert result.state == "error"
    shown = str(caught.value) + str(result) + repr(sink.config) + sink.preview(report())
    assert "wrong-secret-word" not in shown


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ({"MAIL": "451 try again later"}, "Run again later"),
        ({"MAIL": "550 no relay"}, "Check the sink's addresses"),
        ({"DATA.": "554 spam"}, "refused the mail with 554"),
        ({"DATA.": "451 greylisted"}, "Run again later"),
        ({"DATA": "452 full"}, "refused the mail with 452"),
        ({"RCPT": "550 no such user"}, "every recipient was refused"),
        ({"connect": "421 too busy"}, "Nothing was sent"),
    ],
)
def test_a_refusal_is_a_failure_and_nothing_was_sent(
    server: MailServer, reply: dict[str, str], words: str
) -> None:
    server.replies = reply
    with pytest.raises(SinkError, match=words) as caught:
        make_sink(server).write(report())
    assert not isinstance(caught.value, UnknownOutcomeError)
    assert server.mails == []


def test_a_mail_too_large_is_refused_before_it_is_sent(server: MailServer) -> None:
    server.size_limit = 100
    with pytest.raises(SinkError, match="552"):
        make_sink(server).write(report())


def test_a_recipient_that_is_refused_does_not_keep_the_others_from_their_mail(
    server: MailServer,
) -> None:
    server.replies = {"RCPT TO:<bob@": "550 no such user"}
    receipt = make_sink(server, to=["ann@acme.test", "bob@acme.test"]).write(report())
    assert receipt.details["refused"] == {"bob@acme.test": "550 no such user"}
    assert server.mails[0].recipients == ("ann@acme.test",)
    assert "refused bob@acme.test with 550 no such user" in receipt.missing
    assert receipt.missing.endswith("Check the address, or take it out of `to`.")


def test_a_recipient_who_was_put_off_gets_the_mail_alone_from_the_next_run(
    server: MailServer, ledger: Ledger
) -> None:
    sinks = {"board": make_sink(server, to=["ann@acme.test", "bob@acme.test"])}

    def run(given: Delivery, run_id: str) -> Outcome:
        terms = Terms(ledger=ledger, now=lambda: AS_OF)
        [outcome] = deliver(sinks, replace(given, run_id=run_id), terms)
        return outcome

    half = report(line(value=0.5, value_text="50.0 %"))
    server.replies = {"RCPT TO:<bob@": "450 4.2.0 try again later"}
    first, again = run(report(), "run-1"), run(report(), "run-2")
    assert (first.status, again.status) == ("delivered", "failed")
    assert "refused bob@acme.test with 450 4.2.0 try again later" in str(first.error)
    server.replies = {}
    dated = replace(report(), message=replace(report().message, created_at=AS_OF))
    done, more = run(dated, "run-3"), run(report(), "run-4")
    assert (done.status, done.error, more.status) == ("delivered", None, "skipped")
    server.replies = {"RCPT TO:<ann@": "450 4.2.0 try again later"}
    run(half, "run-5")
    server.replies = {}
    run(half, "run-6")
    mails = [email.message_from_bytes(mail.body) for mail in server.mails]
    assert [mail.recipients for mail in server.mails] == [
        ("ann@acme.test",), ("bob@acme.test",), ("bob@acme.test",), ("ann@acme.test",)
    ]  # fmt: skip
    assert mails[0]["Message-ID"] == mails[1]["Message-ID"] != mails[2]["Message-ID"]
    assert mails[2]["Message-ID"] == mails[3]["Message-ID"]
    assert [mail["In-Reply-To"] for mail in mails] == [None] * 2 + [first.receipt.reference] * 2  # type: ignore[union-attr]
    assert [mail["Subject"].startswith("Restated: ") for mail in mails] == [False] * 2 + [True] * 2
    assert b"Win rate was 40.0 %, is now 50.0 %" in server.mails[3].body


def test_who_was_refused_the_report_gets_it_when_the_others_get_a_correction(
    server: MailServer, ledger: Ledger
) -> None:
    sinks = {"board": make_sink(server, to=["ann@acme.test", "bob@acme.test"])}
    server.replies = {"RCPT TO:<bob@": "450 4.2.0 try again later"}
    deliver(sinks, report(), Terms(ledger=ledger))
    server.replies = {}
    half = report(line(value=0.5, value_text="50.0 %"))
    outcomes = deliver(sinks, half, Terms(ledger=ledger))
    assert [one.status for one in outcomes] == ["delivered", "delivered"]
    assert [
        (mail.recipients, b"Subject: Restated: " in mail.body) for mail in server.mails[1:]
    ] == [(("ann@acme.test",), True), (("bob@acme.test",), False)]
    [again] = deliver(sinks, half, Terms(ledger=ledger))
    assert again.status == "skipped"


def test_what_was_told_last_is_what_each_reader_has(server: MailServer, ledger: Ledger) -> None:
    sink, found = make_sink(server, to=["ann@acme.test", "bob@acme.test"]), list[list[Any]]()
    for number, value in enumerate((0.4, 0.5, 0.5)):
        server.replies = {"RCPT TO:<bob@": "450 later"} if number == 1 else {}
        given = report(line(value=value, value_text=f"{value:.1%}"))
        terms = Terms(ledger=ledger, recording=number, job_sinks={"board": sink})
        deliver({"board": sink}, replace(given, run_id=f"run-{number}"), terms)
        found.append([one.recording for one in last_told(sink, "board", given, terms)])
    assert found == [[0], [1, 0], [1, 2]]


def test_who_was_put_off_with_both_filters_gets_the_report_when_one_is_taken_back(
    server: MailServer, ledger: Ledger
) -> None:
    sinks = {"board": make_sink(server, to=["ann@acme.test", "bob@acme.test"])}
    for where in ("", "region = 'East'", "", ""):
        is_open = len(server.mails) == 2
        server.replies = {} if is_open else {"RCPT TO:<bob@": "450 4.2.0 try again later"}
        deliver(sinks, report(), Terms(ledger=ledger, where=where))
    assert [mail.recipients for mail in server.mails] == [
        ("ann@acme.test",), ("ann@acme.test",), ("bob@acme.test",)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("now", "gets_it"),
    [
        (["ann@acme.test"], []),
        (["ann@acme.test", "bobby@acme.test"], [("bobby@acme.test",)]),
        (["Ann@ACME.test", "eve@acme.test"], [("eve@acme.test",)]),
        (["board@acme.test"], [("board@acme.test",)]),
    ],
)
def test_other_recipients_bring_no_second_mail_to_who_has_it(
    server: MailServer, ledger: Ledger, now: list[str], gets_it: list[tuple[str, ...]]
) -> None:
    server.replies = {"RCPT TO:<bob@": "550 no such user"}
    before = make_sink(server, to=["ann@acme.test", "bob@acme.test"])
    deliver({"board": before}, report(), Terms(ledger=ledger))
    for _ in range(2):
        deliver({"board": make_sink(server, to=now)}, report(), Terms(ledger=ledger))
    assert [mail.recipients for mail in server.mails] == [("ann@acme.test",), *gets_it]
    assert len({email.message_from_bytes(mail.body)["Message-ID"] for mail in server.mails}) == 1


def test_a_sink_that_is_taken_from_the_job_brings_no_second_mail(
    server: MailServer, ledger: Ledger
) -> None:
    sales = make_sink(server, to=["ann@acme.test", "bob@acme.test"])
    both = {"sales": sales, "mgmt": make_sink(server, to=["boss@acme.test"])}
    for sinks in (both, {"sales": sales}):
        deliver(sinks, report(), Terms(ledger=ledger, job_sinks=sinks))
    assert [mail.recipients for mail in server.mails] == [
        ("ann@acme.test", "bob@acme.test"),
        ("boss@acme.test",),
    ]


def test_readers_are_known_whatever_sinks_they_are_reached_by(
    server: MailServer, ledger: Ledger
) -> None:
    ann, boss = "ann@acme.test", "boss@acme.test"
    turns: list[tuple[dict[str, list[str]], float]] = [
        ({"all": [ann, boss]}, 0.4),
        ({"sales": [ann], "mgmt": [boss]}, 0.4),  # split
        ({"sales": [ann], "mgmt": [boss]}, 0.5),  # mgmt is put off, and corrected later
        ({"sales": [ann], "mgmt": [boss]}, 0.5),
        ({"team": [ann], "top": [boss]}, 0.5),  # both renamed at once
        ({"team": [boss], "top": [ann]}, 0.5),  # swapped
        ({"team": [boss, ann]}, 0.5),  # merged
        ({"team": [ann], "top": [boss]}, 0.5),  # one moved out
        ({"team": [ann], "top": [boss]}, 0.6),
    ]
    got = []
    for number, (readers, value) in enumerate(turns):
        server.replies = {"RCPT TO:<boss@": "450 later"} if number == 2 else {}
        before = len(server.mails)
        sinks = {name: make_sink(server, to=to) for name, to in readers.items()}
        given = report(line(value=value, value_text=f"{value:.1%}"))
        deliver(
            sinks, replace(given, run_id=f"run-{number}"), Terms(ledger=ledger, job_sinks=sinks)
        )
        got.append([mail.recipients for mail in server.mails[before:]])
    assert got == [
        [(ann, boss)], [], [(ann,)], [(boss,)], [], [], [], [], [(ann,), (boss,)]
    ]  # fmt: skip
    assert b"Win rate was 40.0%, is now 50.0%" in server.mails[2].body


def test_who_was_refused_a_mail_with_another_filter_does_not_get_the_own_one_twice(
    server: MailServer, ledger: Ledger
) -> None:
    sinks = {"board": make_sink(server, to=["ann@acme.test", "bob@acme.test"])}
    for where, replies in (("", {}), ("region = 'East'", {"RCPT TO:<bob@": "550 no"}), ("", {})):
        server.replies = replies
        deliver(sinks, report(), Terms(ledger=ledger, where=where))
    assert [mail.recipients for mail in server.mails] == [
        ("ann@acme.test", "bob@acme.test"),
        ("ann@acme.test",),
    ]


def test_a_recipient_who_is_new_gets_the_report_where_the_others_have_a_correction(
    server: MailServer, ledger: Ledger
) -> None:
    half = report(line(value=0.5, value_text="50.0 %"))
    for given, to in ((report(), ["ann"]), (half, ["ann"]), (half, ["ann", "eve"])):
        sink = make_sink(server, to=[f"{name}@acme.test" for name in to])
        deliver({"board": sink}, given, Terms(ledger=ledger))
    assert [mail.recipients for mail in server.mails[1:]] == [
        ("ann@acme.test",),
        ("eve@acme.test",),
    ]
    said = [(b"is now 50.0 %" in mail.body, b"50.0 %" in mail.body) for mail in server.mails[1:]]
    assert said == [(True, True), (False, True)]


def test_who_took_the_mail_later_has_it_too(server: MailServer, ledger: Ledger) -> None:
    refused = {"bob": "450 4.2.0 try again later", "eve": "450 4.2.0 try again later"}
    sink = make_sink(server, to=["ann@acme.test", "bob@acme.test", "eve@acme.test"])
    for left in (("bob", "eve"), ("eve",), ()):
        server.replies = {f"RCPT TO:<{name}@": refused[name] for name in left}
        deliver({"board": sink}, report(), Terms(ledger=ledger))
    assert [mail.recipients for mail in server.mails] == [
        ("ann@acme.test",), ("bob@acme.test",), ("eve@acme.test",)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "goes_to"), [("at_least_once", [("bob@acme.test",)]), ("at_most_once", [])]
)
def test_an_attempt_for_some_that_may_have_arrived_is_repeated_to_them_alone_if_at_all(
    server: MailServer, ledger: Ledger, policy: str, goes_to: list[tuple[str, ...]]
) -> None:
    to = ["ann@acme.test", "bob@acme.test"]
    sinks = {"board": make_sink(server, to=to, on_unknown=policy)}
    server.replies = {"RCPT TO:<bob@": "450 4.2.0 try again later"}
    deliver(sinks, replace(report(), run_id="run-1"), Terms(ledger=ledger))
    server.replies, server.cuts = {}, {"DATA."}
    [cut] = deliver(sinks, replace(report(), run_id="run-2"), Terms(ledger=ledger))
    assert (cut.status, server.mails[1].recipients) == ("unknown", ("bob@acme.test",))
    server.cuts = set()
    deliver(sinks, replace(report(), run_id="run-3"), Terms(ledger=ledger))
    assert [mail.recipients for mail in server.mails[2:]] == goes_to


@pytest.mark.parametrize("where", ["", "region = 'East'"])
def test_what_an_older_version_sent_to_the_same_recipients_stays_known(
    server: MailServer, ledger: Ledger, where: str
) -> None:
    class OlderSink(EmailSink):
        def destination_id(self, delivery: Delivery) -> str:
            return self.destination(delivery)

    now = make_sink(server, to=["ann@acme.test", "bob@acme.test"])
    terms = Terms(ledger=ledger, where=where)
    deliver({"board": OlderSink(now.config, now.context)}, report(), terms)
    [outcome] = deliver({"board": now}, report(), terms)
    assert (outcome.status, len(server.mails)) == ("skipped", 1)


def test_who_was_refused_what_an_older_version_sent_to_some_gets_it(
    server: MailServer, ledger: Ledger
) -> None:
    sinks = {"board": make_sink(server, to=["ann@acme.test", "bob@acme.test", "eve@acme.test"])}
    had = {"accepted": ["ann@acme.test"], "refused": {"bob@acme.test": "450"}}
    took = {**had, "accepted": ["ann@acme.test", "eve@acme.test"]}
    deliver({"board": make_sink(server)}, report(), Terms(ledger=ledger))
    [told] = [one for one in _reports(ledger, sinks) if one.status == "delivered"]
    said = {name: one for name, one in told.told.items() if name not in ("to", "report")}
    for run, status, details in (
        ("run-1", "delivered", had),
        ("run-2", "started", had),  # to those who had been refused
        ("run-2", "delivered", took),
    ):
        receipt = {**told.receipt, "details": {**told.receipt["details"], **details}}
        ledger.record(replace(told, run_id=run, status=status, receipt=receipt, told=said))  # type: ignore[arg-type]
    deliver(sinks, replace(report(), run_id="run-3"), Terms(ledger=ledger))
    assert [mail.recipients for mail in server.mails[1:]] == [("bob@acme.test",)]


def test_what_an_older_version_may_have_sent_by_another_sink_is_open_for_that_alone(
    server: MailServer, ledger: Ledger
) -> None:
    sales = make_sink(server, to=["ann@acme.test"])
    sinks = {"sales": sales, "mgmt": make_sink(server, to=["boss@acme.test"])}
    deliver({"sales": sales}, report(), Terms(ledger=ledger, job_sinks=sinks))
    [told] = [one for one in _reports(ledger, {"sales": sales}) if one.status == "delivered"]
    said = {name: one for name, one in told.told.items() if name not in ("to", "report")}
    terms = Terms(ledger=ledger, job_sinks=sinks, dry_run=True)
    [mgmt] = deliver({"mgmt": sinks["mgmt"]}, report(), terms)
    lost = replace(told, sink="mgmt", key=mgmt.key, run_id="run-2", status="unknown", told=said)
    ledger.record(replace(lost, receipt={}))
    again = replace(report(), run_id="run-3")
    outcomes = deliver(sinks, again, Terms(ledger=ledger, job_sinks=sinks, now=lambda: told.at))
    assert [one.status for one in outcomes] == ["skipped", "unknown"]


def test_what_a_test_server_on_the_same_host_took_is_still_sent(
    server: MailServer, ledger: Ledger
) -> None:
    found = []
    with MailServer() as test:
        for number, (to, value) in enumerate([(test, 0.4), (server, 0.4), (test, 0.5)]):
            given = report(line(value=value, value_text=f"{value:.1%}"))
            sinks = {"board": make_sink(to)}
            deliver(sinks, replace(given, run_id=f"run-{number}"), Terms(ledger=ledger))
            found.append((len(test.mails), len(server.mails)))
        given = replace(report(line(value=0.5, value_text="50.0%")), run_id="last")
        deliver({"board": make_sink(server)}, given, Terms(ledger=ledger))
    assert (found, len(server.mails)) == ([(1, 0), (1, 1), (2, 1)], 2)


@pytest.mark.parametrize(
    ("ways", "is_same"),
    [
        ([("starttls", None), ("tls", None), ("starttls", 25), ("tls", 587)], True),
        ([("starttls", None), ("starttls", 1025)], False),
        ([("starttls", 2525), ("starttls", 1025)], False),
    ],
)
def test_the_ports_of_mail_lead_to_one_server_any_other_to_its_own(
    server: MailServer, ways: list[tuple[str, int | None]], is_same: bool
) -> None:
    sinks = [make_sink(server, security=security, port=port) for security, port in ways]
    for told in ("destination", "destination_id"):
        assert (len({getattr(sink, told)(report()) for sink in sinks}) == 1) is is_same


@pytest.mark.parametrize(
    ("cut", "is_unknown"), [("EHLO", False), ("MAIL", False), ("RCPT", False), ("DATA.", True)]
)
def test_only_a_line_cut_after_the_text_leaves_the_end_unknown(
    server: MailServer, cut: str, is_unknown: bool
) -> None:
    server.cuts = {cut}
    with pytest.raises(SinkError) as caught:
        make_sink(server).write(report())
    assert isinstance(caught.value, UnknownOutcomeError) is is_unknown
    assert len(server.mails) == is_unknown


@pytest.mark.parametrize(
    ("drip", "is_unknown"), [("EHLO", False), ("MAIL", False), ("RCPT", False), ("DATA.", True)]
)
def test_a_server_that_answers_for_ever_is_left_when_the_time_is_up(
    server: MailServer, drip: str, is_unknown: bool
) -> None:
    server.drips = {drip}
    timeout = 2 if is_unknown else 0.3  # a slow machine has to come to the text before that
    with pytest.raises(SinkError, match=f"no whole answer within {timeout} s") as caught:
        make_sink(server, timeout=timeout, charts=False).write(report())
    assert isinstance(caught.value, UnknownOutcomeError) is is_unknown
    assert len(server.mails) == is_unknown


def test_check_looks_at_the_server_and_sends_nothing(server: MailServer) -> None:
    [result] = make_sink(server).check()
    assert (result.state, server.mails) == ("ok", [])


@pytest.mark.parametrize(
    "options",
    [
        {"host": "mail.acme.test"},
        {"to": []},
        {"to": ["ann"]},
        {"to": ["ann@acme.test\r\nBcc: eve@evil.test"]},
        {"from": "Reports"},
        {"username": "reports"},
    ],
)
def test_options_that_make_no_sense_are_refused(
    server: MailServer, options: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError):
        make_sink(server, **options)
