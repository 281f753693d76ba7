"""A report that a chat may or may not have got, of a month that reads differently by the next one's
run: what the receivers hold, after `crmetrics run` alone."""

from __future__ import annotations

import email
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from simulators.smtp import MailServer
from simulators.webhooks import Receiver

Call = Callable[..., Result]

CONFIG = """\
version: 1
project: acme
sources:
  crm: {connector: csv, path: data}
metrics: {packs: [sales]}
sinks:
  chat: {SINK}
  reports: {sink: files, path: reports, formats: [json]}
jobs:
  monthly: {kpis: [won_amount], sinks: [chat, reports]}
"""
DEALS = """\
id,created_at,close_date,is_closed,is_won,amount
1,2023-10-01,2023-12-10,true,true,{december}
2,2023-10-01,2024-01-15,true,true,500
"""
DECEMBER, JANUARY, FEBRUARY = "2023-12-31", "2024-01-31", "2024-02-29"
CHANGE = "Won amount was 1,000 USD, is now 1,250 USD"
OK, SINK_FAILED = 0, 5


class Company:
    """A project with one chat; `call` is the program."""

    def __init__(self, call: Call, folder: Path, sink: str) -> None:
        self.call, self.folder = call, folder
        (folder / "data").mkdir()
        (folder / "crmetrics.yaml").write_text(CONFIG.replace("SINK", sink))
        self.sells(december=1000)

    def sells(self, december: int) -> None:
        (self.folder / "data" / "opportunities.csv").write_text(DEALS.format(december=december))

    def run(self, day: str, *options: str) -> Result:
        return self.call("-C", self.folder, "run", "monthly", "--date", day, *options)

    def start(self, day: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "crmetrics", "-C", self.folder, "run", "--date", day]
        output = subprocess.DEVNULL
        return subprocess.Popen([*words, "monthly"], stdout=output, stderr=output)


# --- a webhook ----------------------------------------------------------------------------------


@pytest.fixture
def hub() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def with_hub(call: Call, folder: Path, hub: Receiver, policy: str = "at_most_once") -> Company:
    """One whose report on December was taken by the receiver, which hung up then."""
    company = Company(call, folder, f"sink: webhook, url: '{hub.url}', on_unknown: {policy}")
    hub.faults.hang_up(acts=True)
    assert company.run(DECEMBER).exit_code == SINK_FAILED
    assert told(hub) == [("2023-12-01", [])]
    return company


def told(hub: Receiver) -> list[tuple[str, list[str]]]:
    """Period and changes of every document that the receiver kept."""
    return [(one["period_start"], one["restated"]) for one in hub.documents.values()]


@pytest.mark.parametrize("policy", ["at_most_once", "at_least_once"])
def test_a_late_deal_corrects_what_may_have_arrived_once(
    call: Call, tmp_path: Path, hub: Receiver, policy: str
) -> None:
    company = with_hub(call, tmp_path, hub, policy)
    company.sells(december=1250)
    report = company.run(JANUARY)
    assert report.exit_code == OK, report.output
    assert told(hub) == [("2023-12-01", []), ("2023-12-01", [CHANGE]), ("2024-01-01", [])]
    correction = list(hub.documents.values())[1]
    assert correction["message"]["period_label"] == "2023-12"
    assert company.run(JANUARY).exit_code == company.run(DECEMBER).exit_code == OK
    assert len(hub.received) == 3


@pytest.mark.parametrize("policy", ["at_most_once", "at_least_once"])
def test_a_month_that_stays_as_it_may_have_arrived_is_not_spoken_of(
    call: Call, tmp_path: Path, hub: Receiver, policy: str
) -> None:
    company = with_hub(call, tmp_path, hub, policy)
    report = company.run(JANUARY)
    assert report.exit_code == OK
    assert "2023-12" not in report.stdout
    assert told(hub) == [("2023-12-01", []), ("2024-01-01", [])]


def test_a_dry_run_shows_the_correction_of_what_may_have_arrived(
    call: Call, tmp_path: Path, hub: Receiver
) -> None:
    company = with_hub(call, tmp_path, hub)
    company.sells(december=1250)
    shown = company.run(JANUARY, "--dry-run")
    assert shown.exit_code == OK
    assert CHANGE in shown.stdout
    assert len(hub.received) == 1


def test_a_correction_that_may_have_arrived_too_is_corrected_back(
    call: Call, tmp_path: Path, hub: Receiver
) -> None:
    company = with_hub(call, tmp_path, hub)
    company.sells(december=1250)
    hub.faults.hang_up(acts=True)
    assert company.run(JANUARY).exit_code == SINK_FAILED
    company.sells(december=1000)
    company.run(JANUARY)
    back = "Won amount was 1,250 USD, is now 1,000 USD"
    assert [changes for start, changes in told(hub) if start == "2023-12-01"] == [
        [], [CHANGE], [back]
    ]  # fmt: skip


def test_a_correction_that_a_later_month_repeats_has_the_id_of_the_first(
    call: Call, tmp_path: Path, hub: Receiver
) -> None:
    company = with_hub(call, tmp_path, hub, "at_least_once")
    company.sells(december=1250)
    hub.faults.hang_up(acts=True)
    assert company.run(JANUARY).exit_code == SINK_FAILED
    assert company.run(FEBRUARY).exit_code == OK
    months = [one["period_start"] for one in hub.documents.values()]
    assert (months.count("2023-12-01"), len(hub.received)) == (2, len(months) + 1)


def test_another_definition_says_that_a_report_by_the_former_may_be_there(
    call: Call, tmp_path: Path, hub: Receiver
) -> None:
    company = with_hub(call, tmp_path, hub)
    file = tmp_path / "crmetrics.yaml"
    file.write_text(file.read_text().replace("monthly: {", "monthly: {where: amount > 0, "))
    assert company.run(DECEMBER).exit_code == OK
    first, second = hub.documents.values()
    assert (first["message"]["notes"], second["restated"]) == ([], [])
    assert any("efinition" in note for note in second["message"]["notes"]), second["message"]


@pytest.mark.parametrize(
    ("policy", "code", "copies"), [("at_most_once", SINK_FAILED, 1), ("at_least_once", OK, 2)]
)
def test_a_run_that_is_killed_while_it_corrects_has_corrected_once(
    call: Call, tmp_path: Path, hub: Receiver, policy: str, code: int, copies: int
) -> None:
    company = with_hub(call, tmp_path, hub, policy)
    company.sells(december=1250)
    children = list[subprocess.Popen[bytes]]()

    def kill(answer: Any) -> Any:
        children[0].send_signal(signal.SIGKILL)
        children[0].wait()
        return answer

    hub.faults.spoil(kill)
    children.append(company.start(JANUARY))
    assert children[0].wait() == -signal.SIGKILL
    assert told(hub) == [("2023-12-01", []), ("2023-12-01", [CHANGE])]
    again = company.run(JANUARY)
    assert again.exit_code == code, again.output
    # What is repeated has the same id, by which the receiver drops it.
    assert told(hub) == [("2023-12-01", []), ("2023-12-01", [CHANGE]), ("2024-01-01", [])]
    assert len(hub.received) == 2 + copies
    company.run(JANUARY)
    assert len(hub.received) == 2 + copies


# --- mail ---------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer() as started:
        yield started


def with_mail(call: Call, folder: Path, server: MailServer) -> Company:
    options = f"sink: email, host: 127.0.0.1, port: {server.port}, security: none, charts: false"
    readers = "from: reports@acme.test, to: [ann@acme.test, bob@acme.test]"
    return Company(call, folder, f"{options}, {readers}")


def mails(server: MailServer) -> list[tuple[tuple[str, ...], str]]:
    """Readers and subject of every mail that was taken."""
    found = []
    for one in server.mails:
        parsed = email.message_from_bytes(one.body, policy=default)
        assert isinstance(parsed, EmailMessage)
        text = parsed.get_body(("plain",))
        assert text is not None
        assert (CHANGE in text.get_content()) is ("Restated" in parsed["Subject"])
        found.append((one.recipients, str(parsed["Subject"]).partition(".")[0]))
    return found


BOTH, ANN, BOB = ("ann@acme.test", "bob@acme.test"), ("ann@acme.test",), ("bob@acme.test",)


def test_a_mail_that_may_have_arrived_is_corrected_by_the_next_month(
    call: Call, tmp_path: Path, server: MailServer
) -> None:
    company = with_mail(call, tmp_path, server)
    server.cuts = {"DATA."}
    assert company.run(DECEMBER).exit_code == SINK_FAILED
    server.cuts = set()
    assert company.run(JANUARY).exit_code == OK
    company.sells(december=1250)
    for _ in range(2):
        assert company.run(JANUARY).exit_code == OK
    assert [(to, subject.startswith("Restated")) for to, subject in mails(server)] == [
        (BOTH, False), (BOTH, False), (BOTH, True)
    ]  # fmt: skip
    assert "2023-12" in mails(server)[-1][1]


def test_who_was_refused_a_mail_whose_end_is_not_known_is_corrected_too(
    call: Call, tmp_path: Path, server: MailServer
) -> None:
    company = with_mail(call, tmp_path, server)
    server.cuts, server.replies = {"DATA."}, {"RCPT TO:<bob@": "450 later"}
    assert company.run(DECEMBER).exit_code == SINK_FAILED
    server.cuts, server.replies = set(), {}
    company.sells(december=1250)
    for _ in range(2):
        assert company.run(JANUARY).exit_code == OK
    restated = [to for to, subject in mails(server) if subject.startswith("Restated")]
    assert restated == [BOTH]


def test_who_was_surely_refused_gets_the_report_by_a_run_of_its_month(
    call: Call, tmp_path: Path, server: MailServer
) -> None:
    company = with_mail(call, tmp_path, server)
    server.replies = {"RCPT TO:<bob@": "450 later"}
    assert company.run(DECEMBER).exit_code == SINK_FAILED
    server.replies = {}
    company.sells(december=1250)
    for day in (JANUARY, JANUARY, DECEMBER, DECEMBER):
        assert company.run(day).exit_code == OK
    assert [(to, subject.startswith("Restated")) for to, subject in mails(server)] == [
        (ANN, False), (ANN, True), (BOTH, False), (BOB, False)
    ]  # fmt: skip
