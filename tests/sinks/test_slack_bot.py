"""The sink `slack` as a bot, against a local workspace with Slack's rules."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from crmetrics.deliver import Ledger, Terms, deliver, last_told
from crmetrics.message import Breakdown, KpiLine, SegmentLine
from crmetrics.plugin import (
    Delivery,
    Receipt,
    Restated,
    Secret,
    SinkContext,
    SinkError,
    UnknownOutcomeError,
    http,
)
from crmetrics_slack.api import POST_BUDGET, judged
from crmetrics_slack.sink import SlackOptions, SlackSink
from result_rows import AS_OF, WEEK, breakdown, delivery, line, message
from simulators.service import Clock
from simulators.slack import block_faults, everything_seen, tokens
from simulators.slack_workspace import SlackWorkspace


class PatientSlackSink(SlackSink):
    """The sink with a clock that does not keep the tests waiting."""

    clock: Clock
    read_s = 5.0

    def session_options(self) -> dict[str, Any]:
        return {
            "timeouts": http.Timeouts(5.0, self.read_s),
            "retries": http.Retries(attempts=3, longest_wait_s=60.0),
            "sleep": self.clock.sleep,
            "now": self.clock,
        }

    def open_api(self) -> http.Session:
        assert self.config.token is not None
        budget = http.Budget(1, 1.0, clock=lambda: self.clock().timestamp())
        return http.Session(
            self._api_url,
            tokens=http.fixed(self.config.token),
            judge=judged,
            budgets={POST_BUDGET: budget},
            **self.session_options(),
        )

    def sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)


@pytest.fixture
def slack() -> Iterator[SlackWorkspace]:
    with SlackWorkspace(clock=Clock(AS_OF)) as workspace:
        yield workspace


def make_sink(slack: SlackWorkspace, token: str = "", **options: Any) -> PatientSlackSink:
    values: dict[str, Any] = {
        "token": Secret(token or slack.bot()),
        "channel": "C0GENERAL",
        "base_url": slack.base_url,
        **options,
    }
    sink = PatientSlackSink(SlackOptions(**values), SinkContext("team", Path()))
    sink.clock = slack.clock
    return sink


@pytest.fixture
def sink(slack: SlackWorkspace) -> PatientSlackSink:
    return make_sink(slack)


COURSE = {"series": (0.3, None, 0.35, 0.4), "series_labels": ("W02", "W03", "W04", "W05")}


def grouped(*names: str, **parts: Any) -> KpiLine:
    return line(breakdowns=(breakdown(*names),), **parts)


def report(*lines: KpiLine, **parts: Any) -> Delivery:
    return delivery(report=message(*lines), **parts)


def again(receipt: Receipt, given: Delivery, *changes: Restated) -> Delivery:
    """The delivery as a later run has it, which knows what was delivered."""
    return replace(given, previous=asdict(receipt), restated=changes, run_id="run-2")


def texts(messages: list[dict[str, Any]]) -> str:
    return "\n".join(everything_seen(one) for one in messages)


# --- posting ----------------------------------------------------------------------------------


def test_a_report_is_one_message_with_its_groups_in_the_thread(
    sink: PatientSlackSink, slack: SlackWorkspace
) -> None:
    receipt = sink.write(report(grouped("East", "West"), grouped("East", title="Won amount")))
    [posted] = slack.general.parents
    assert receipt.reference == posted["ts"]
    assert receipt.details["channel"] == "C0GENERAL"
    assert "East" not in texts([posted])
    [reply] = slack.general.replies(posted["ts"])
    [table] = [block for block in reply["blocks"] if block["type"] == "table"]
    assert [[cell["text"] for cell in row] for row in table["rows"]] == [
        ["owner.team", "Win rate", "Won amount"],
        ["East", "40.0 %", "40.0 %"],
        ["West", "40.0 %", "-"],
    ]


def test_the_message_says_what_it_is_about_to_machines_too(
    sink: PatientSlackSink, slack: SlackWorkspace
) -> None:
    sink.write(report())
    payload = slack.general.messages[0]["metadata"]["event_payload"]
    assert (payload["key"], payload["part"]) == ("key-1", "0")


def test_the_preview_is_what_is_called(sink: PatientSlackSink, slack: SlackWorkspace) -> None:
    given = report(grouped("East"))
    calls = json.loads(sink.preview(given))
    assert slack.calls == []
    sink.write(given)
    for call, posted in zip(calls, slack.general.messages, strict=True):
        assert call["method"] == "chat.postMessage"
        sent = {key: value for key, value in call["body"].items() if key != "channel"}
        kept = {key: value for key, value in posted.items() if key not in ("ts", "user", "type")}
        assert {**sent, "thread_ts": kept.get("thread_ts")} == {"thread_ts": None, **kept}


def test_slack_thread(slack: SlackWorkspace, golden: Callable[[str, str], None]) -> None:
    groups = breakdown("East", "<!channel>", "A&B <x>", note="and 12 more", further=12)
    won = line("Won amount", value=12500.0, value_text="12,500 USD", breakdowns=(groups,), **COURSE)
    goal = line(
        tone="bad", goal_text="60.0 % of the way", goal_status="off_track", goal_before="on_track",
        goal_owner="@vp", coverage_text="left out: 3 without close_date", breakdowns=(groups,),
    )  # fmt: skip
    sink = make_sink(slack, charts=False, mentions={"@vp": "U0VP"})
    given = delivery(report=message(won, goal, tone="bad", notes=("orders are old",)))
    golden("slack/bot.json", sink.preview(given) + "\n")
    sink.write(given)
    assert len(slack.general.messages) == 2


def test_messages_to_a_channel_keep_a_second_between_them(
    sink: PatientSlackSink, slack: SlackWorkspace
) -> None:
    slack.burst = 1
    lines = [line(breakdowns=(breakdown("x", dimension=f"d{n}"),)) for n in range(4)]
    sink.write(report(*lines))
    assert len(slack.general.messages) == 5
    assert slack.count("postMessage") == 5
    assert sum(slack.clock.slept) >= 4


def test_a_refusal_for_speed_is_waited_for_as_long_as_asked(
    sink: PatientSlackSink, slack: SlackWorkspace
) -> None:
    body = b'{"ok":false,"error":"ratelimited"}'
    slack.faults.answer(429, body, {"Retry-After": "17"}, on="postMessage")
    before = slack.clock()
    sink.write(report())
    assert len(slack.general.messages) == 1
    assert (slack.clock() - before).total_seconds() >= 17


# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"token": "xoxb-wrong-token-0000"}, "the token is not accepted"),
        ({"channel": "C0NOWHERE"}, "does not see that channel"),
        ({"channel": "C0PRIVATE"}, "invite the bot"),
        ({"channel": "C0CLOSED1"}, "is archived"),
    ],
)
def test_a_refusal_with_status_200_is_a_failure_with_its_meaning(
    slack: SlackWorkspace, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(SinkError, match=words) as caught:
        make_sink(slack, **options).write(report())
    assert not isinstance(caught.value, UnknownOutcomeError)
    assert slack.general.messages == []


def test_a_missing_scope_is_named(slack: SlackWorkspace) -> None:
    sink = make_sink(slack, slack.bot("files:write"))
    with pytest.raises(SinkError, match="lacks the scope chat:write"):
        sink.write(report())


@pytest.mark.parametrize("error", ["internal_error", "fatal_error", "service_unavailable"])
def test_an_error_after_which_it_may_be_there_is_an_unknown_outcome(
    sink: PatientSlackSink, slack: SlackWorkspace, error: str
) -> None:
    slack.faults.answer(200, json.dumps({"ok": False, "error": error}).encode(), on="postMessage")
    with pytest.raises(UnknownOutcomeError, match="may have been posted"):
        sink.write(report())
    assert slack.count("postMessage") == 1


@pytest.mark.parametrize(
    "answer",
    [b'{"ok": true, "channel": "C0GENERAL"}', b'{"ok": "true", "ts": "1.1"}', b"[1]", b"null"],
)
def test_an_answer_that_says_neither_yes_nor_no_is_an_unknown_outcome(
    sink: PatientSlackSink, slack: SlackWorkspace, answer: bytes
) -> None:
    slack.faults.answer(200, answer, on="postMessage")
    with pytest.raises(UnknownOutcomeError, match="may have been posted"):
        sink.write(report())


def test_blocks_that_slack_does_not_take_do_not_cost_the_message(
    sink: PatientSlackSink, slack: SlackWorkspace
) -> None:
    no = {"ok": False, "error": "invalid_blocks", "response_metadata": {"messages": None}}
    slack.faults.answer(200, json.dumps(no).encode(), on="postMessage")
    sink.write(report())
    [posted] = slack.general.parents
    assert posted.get("blocks") in (None, [])
    assert "Win rate 40.0 %" in posted["text"]


def test_a_cut_line_is_an_unknown_outcome_and_is_not_repeated(
    sink: PatientSlackSink, slack: SlackWorkspace
) -> None:
    slack.faults.hang_up(on="postMessage", acts=True)
    with pytest.raises(UnknownOutcomeError):
        sink.write(report())
    assert len(slack.general.messages) == 1


def test_the_token_is_in_no_error_log_or_preview(
    slack: SlackWorkspace, caplog: pytest.LogCaptureFixture
) -> None:
    token = slack.bot()
    sink = make_sink(slack, token)
    slack.faults.answer(200, f'{{"ok":false,"error":"{token}"}}'.encode(), on="postMessage")
    with caplog.at_level(logging.DEBUG), pytest.raises(SinkError) as caught:
        sink.write(report())
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    shown += repr(sink.config) + sink.preview(report()) + sink.destination(report())
    assert token not in shown


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"token": Secret("xoxb-1")},
        {"token": Secret("xoxb-1"), "channel": "C1", "webhook_url": Secret("https://x.test/y")},
        {"webhook_url": Secret("https://x.test/y"), "channel": "C1"},
        {"token": Secret("xoxb-1"), "channel": "C1", "mentions": {"@vp": "<!channel>"}},
    ],
)
def test_options_that_contradict_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SlackOptions(**options)


@pytest.mark.parametrize(
    ("channel", "token", "is_same"),
    [
        ("#general", "xoxb-111-444-other", True),
        ("#general", "xoxb-999-222-secret", False),
        ("C0GENERAL", "xoxb-999-222-secret", True),
    ],
)
def test_a_name_in_another_workspace_is_another_channel(
    slack: SlackWorkspace, ledger: Ledger, channel: str, token: str, is_same: bool
) -> None:
    for one in ("xoxb-111-222-secret", token):
        slack.tokens.issue("B0BOT", token=one, scopes=frozenset({"chat:write"}))
        sink = make_sink(slack, one, channel=channel, charts=False)
        deliver({"team": sink}, report(), Terms(ledger=ledger))
        assert "secret" not in sink.destination_id(report())
    assert len(slack.general.parents) == (1 if is_same else 2)


@pytest.mark.parametrize("token", ["xoxb-111-222-secret", "xoxb-simulated-1-secret"])
def test_a_channel_is_the_same_when_its_id_takes_the_place_of_its_name(
    slack: SlackWorkspace, ledger: Ledger, token: str
) -> None:
    slack.tokens.issue("B0BOT", token=token, scopes=frozenset({"chat:write"}))
    ends = []
    turns = [
        ("team", "#general", 0.4),
        ("team", "C0GENERAL", 0.4),
        ("team", "C0GENERAL", 0.5),
        ("team", "C0GENERAL", 0.5),
        ("team", "#general", 0.5),
        ("sales", "C0GENERAL", 0.5),  # renamed and by its id in one edit
        ("sales", "C0GENERAL", 0.6),
        ("team", "#general", 0.6),
    ]
    for number, (name, channel, value) in enumerate(turns):
        given = report(line(value=value, value_text=f"{value:.1%}"))
        sink = make_sink(slack, token, channel=channel, charts=False)
        terms = Terms(ledger=ledger, job_sinks={name: sink})
        told = last_told(sink, name, given, terms)
        assert bool(told) == (number > 0)
        [outcome] = deliver({name: sink}, replace(given, run_id=f"run-{number}"), terms)
        ends.append(outcome.status)
    assert ends == [
        "delivered", "skipped", "delivered", "skipped", "skipped", "skipped", "delivered", "skipped"
    ]  # fmt: skip
    [message] = slack.general.parents
    assert "60.0" in everything_seen(message)


def test_the_id_of_another_channel_is_another_channel(
    slack: SlackWorkspace, ledger: Ledger
) -> None:
    token = slack.bot()
    sinks = [make_sink(slack, token, channel=one) for one in ("#general", "C0OTHER")]
    deliver({"team": sinks[0]}, report(), Terms(ledger=ledger))
    [outcome] = deliver({"team": sinks[1]}, report(), Terms(ledger=ledger))
    assert outcome.status != "skipped"
    assert not last_told(sinks[1], "team", report(), Terms(ledger=ledger))


def test_what_an_older_version_posted_by_the_name_of_a_channel_stays_known(
    slack: SlackWorkspace, ledger: Ledger
) -> None:
    class OlderSink(PatientSlackSink):
        def destination_id(self, delivery: Delivery) -> str:
            return self.destination(delivery)

    slack.tokens.issue("B0BOT", token="xoxb-111-222-secret", scopes=frozenset({"chat:write"}))
    now = make_sink(slack, "xoxb-111-222-secret", channel="#general", charts=False)
    older = OlderSink(now.config, now.context)
    older.clock = slack.clock
    deliver({"team": older}, report(), Terms(ledger=ledger))
    [outcome] = deliver({"team": now}, report(), Terms(ledger=ledger))
    assert (outcome.status, len(slack.general.parents)) == ("skipped", 1)


@pytest.mark.parametrize("token", ["xoxb-simulated-1-secret", "xoxe.xoxb-1-secret"])
def test_a_token_that_names_no_workspace_is_that_of_any(slack: SlackWorkspace, token: str) -> None:
    sink = make_sink(slack, token, channel="#general")
    assert sink.destination_id(report()) == sink.destination(report())


def test_check_looks_at_the_token_and_posts_nothing(slack: SlackWorkspace) -> None:
    [found, *_] = make_sink(slack).check()
    assert (found.state, slack.general.messages) == ("ok", [])
    [refused, *_] = make_sink(slack, token="xoxb-wrong-token-0000").check()
    assert refused.state == "error"
    assert "not accepted" in refused.message


# --- the picture ------------------------------------------------------------------------------


def image_of(posted: dict[str, Any]) -> dict[str, Any] | None:
    return next((block for block in posted["blocks"] if block["type"] == "image"), None)


def test_the_courses_come_as_a_picture(sink: PatientSlackSink, slack: SlackWorkspace) -> None:
    slack.slow_files = 2
    sink.write(report(line(**COURSE)))
    [file] = slack.files.values()
    assert file.body is not None
    assert file.body.startswith(b"\x89PNG")
    [posted] = slack.general.parents
    image = image_of(posted)
    assert image is not None
    assert image["slack_file"] == {"id": file.id}
    assert "Win rate 40.0 %" in image["alt_text"]
    assert slack.clock.slept[:2] == [0.5, 1.0]
    assert "▁" not in texts([posted])


def test_the_upload_address_gets_no_token(sink: PatientSlackSink, slack: SlackWorkspace) -> None:
    sink.write(report(line(**COURSE)))
    [upload] = slack.seen("/upload/")
    assert "authorization" not in upload.headers


@pytest.mark.parametrize("what", ["off", "scope", "storing", "for ever", "charts: false"])
def test_without_a_picture_the_course_is_text(slack: SlackWorkspace, what: str) -> None:
    options: dict[str, Any] = {"charts": False} if what == "charts: false" else {}
    token = slack.bot("chat:write") if what == "scope" else ""
    if what == "off":
        slack.uploads = "off"
    elif what == "storing":
        slack.faults.answer(500, on="/upload/", times=None)
    elif what == "for ever":
        slack.slow_files = 1000
    make_sink(slack, token, **options).write(report(line(**COURSE)))
    [posted] = slack.general.parents
    assert image_of(posted) is None
    assert "▁·▄█" in texts([posted])


def test_a_file_that_is_not_ready_when_posted_is_waited_for(slack: SlackWorkspace) -> None:
    sink = make_sink(slack, slack.bot("chat:write", "files:write"))  # cannot ask for the file
    slack.slow_files = 2
    sink.write(report(line(**COURSE)))
    assert image_of(slack.general.parents[0]) is not None
    assert slack.count("postMessage") == 3


def test_a_file_that_is_never_ready_does_not_cost_the_message(slack: SlackWorkspace) -> None:
    sink = make_sink(slack, slack.bot("chat:write", "files:write"))
    slack.slow_files = 1000
    receipt = sink.write(report(line(**COURSE)))
    [posted] = slack.general.parents
    assert image_of(posted) is None
    assert receipt.details["file"] == ""


# --- again ------------------------------------------------------------------------------------

BEFORE = report(grouped("East"))
AFTER = report(grouped("East", value=0.43, value_text="43.0 %"))
CHANGE = Restated("Win rate", "40.0 %", "43.0 %")


def test_a_rerun_updates_the_message_in_place(
    sink: PatientSlackSink, slack: SlackWorkspace
) -> None:
    receipt = sink.write(BEFORE)
    second = sink.write(again(receipt, AFTER))
    [posted] = slack.general.parents
    assert "43.0 %" in texts([posted])
    assert len(slack.general.messages) == 2
    assert second.reference == receipt.reference


@pytest.mark.parametrize("on_rerun", ["update", "thread", "new"])
def test_a_message_that_somebody_deleted_is_posted_anew_once_when_figures_change(
    slack: SlackWorkspace, on_rerun: str
) -> None:
    sink = make_sink(slack, on_rerun=on_rerun, charts=False)
    first = sink.write(BEFORE)
    slack.general.messages.clear()
    second = sink.write(again(first, AFTER, CHANGE))
    [posted] = slack.general.parents
    assert "43.0 %" in texts([posted])
    below = [one["text"] for one in slack.general.replies(posted["ts"])]
    assert below == ["by owner.team", "Restated: Win rate was 40.0 %, is now 43.0 %"]
    assert second.reference == posted["ts"] != first.reference
    sink.write(again(second, AFTER, CHANGE))
    assert len(slack.general.parents) == (2 if on_rerun == "new" else 1)


@pytest.mark.parametrize("on_rerun", ["update", "thread"])
def test_a_message_that_somebody_deleted_stays_away_while_no_figure_changes(
    slack: SlackWorkspace, on_rerun: str
) -> None:
    sink = make_sink(slack, on_rerun=on_rerun, charts=False)
    first = sink.write(BEFORE)
    slack.general.messages.clear()
    second = sink.write(again(first, report(grouped("East", title="Wins"))))
    assert (slack.general.messages, second.reference) == ([], first.reference)


def deleted(slack: SlackWorkspace, sink: PatientSlackSink) -> Delivery:
    """The changed report, whose message somebody has deleted."""
    first = sink.write(BEFORE)
    slack.general.messages.clear()
    return again(first, AFTER, CHANGE)


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
def test_a_message_posted_anew_is_not_posted_twice_when_the_run_is_killed(
    slack: SlackWorkspace, step: int
) -> None:
    sink = make_sink(slack, charts=False)
    given = deleted(slack, sink)
    kept = kill_at(sink, replace(given, arrived=given.previous), step)
    resumed(sink, replace(given, arrived=given.previous), kept or Receipt(**given.previous))
    [posted] = slack.general.parents
    assert len(slack.general.replies(posted["ts"])) == 2


def test_a_message_that_slack_did_not_take_anew_comes_with_the_next_run(
    slack: SlackWorkspace,
) -> None:
    sink = make_sink(slack, slack.bot("chat:write"), charts=False)
    given, kept = deleted(slack, sink), list[Receipt]()
    slack.faults.answer(429, b"", {"Retry-After": "3000"}, on="postMessage")
    with pytest.raises(SinkError, match="asks to wait"):
        sink.write(replace(given, keep=kept.append))
    slack.faults.clear()
    resumed(sink, given, kept[-1])
    assert len(slack.general.parents) == 1


def test_a_restatement_updates_and_says_in_the_thread_what_changed(
    sink: PatientSlackSink, slack: SlackWorkspace
) -> None:
    receipt = sink.write(BEFORE)
    second = sink.write(again(receipt, AFTER, CHANGE))
    [posted] = slack.general.parents
    last = slack.general.replies(posted["ts"])[-1]
    assert "Win rate was 40.0 %, is now 43.0 %" in texts([last])
    sink.write(again(second, AFTER, CHANGE))
    assert len(slack.general.messages) == 3


@pytest.mark.parametrize(("on_rerun", "parents", "replies"), [("thread", 1, 3), ("new", 2, 1)])
def test_a_rerun_does_what_is_configured(
    slack: SlackWorkspace, on_rerun: str, parents: int, replies: int
) -> None:
    sink = make_sink(slack, on_rerun=on_rerun)
    receipt = sink.write(BEFORE)
    sink.write(again(receipt, AFTER))
    assert len(slack.general.parents) == parents
    assert len(slack.general.replies(receipt.reference)) == replies
    assert "40.0 %" in texts(slack.general.parents[:1])


def test_a_rerun_can_be_left_out(slack: SlackWorkspace) -> None:
    sink = make_sink(slack, on_rerun="skip")
    assert sink.why_not_again(AFTER) == "it is left as it is (on_rerun: skip)"
    assert make_sink(slack).why_not_again(AFTER) == ""


def test_replies_that_are_no_longer_wanted_go_and_new_ones_come(
    sink: PatientSlackSink, slack: SlackWorkspace
) -> None:
    both = line(breakdowns=(breakdown("East"), breakdown("web", dimension="lead_source")))
    receipt = sink.write(report(both))
    assert len(slack.general.messages) == 3
    receipt = sink.write(again(receipt, AFTER))
    assert len(slack.general.messages) == 2
    sink.write(again(receipt, report(both)))
    assert len(slack.general.messages) == 3


def test_a_message_of_another_app_is_an_error_with_the_way_out(
    sink: PatientSlackSink, slack: SlackWorkspace
) -> None:
    receipt = sink.write(BEFORE)
    slack.general.messages[0]["user"] = "B0FORMER"
    with pytest.raises(SinkError, match="--resend"):
        sink.write(again(receipt, AFTER))


def test_where_editing_is_forbidden_the_thread_tells(
    sink: PatientSlackSink, slack: SlackWorkspace
) -> None:
    receipt = sink.write(BEFORE)
    slack.edit_window_open = False
    sink.write(again(receipt, AFTER, CHANGE))
    assert "is now 43.0 %" in texts(slack.general.replies(receipt.reference)[-1:])


CASES: dict[str, tuple[str, Delivery, tuple[Restated, ...]]] = {
    "first": ("update", report(grouped("East", **COURSE)), ()),
    "words": ("update", report(grouped("West", **COURSE)), ()),
    "fewer groups": ("update", report(line(**COURSE)), ()),
    "figures": ("update", report(grouped("East", "West", **COURSE)), (CHANGE,)),
    "thread": ("thread", report(grouped("West", **COURSE)), (CHANGE,)),
    "new": ("new", report(grouped("West", **COURSE)), (CHANGE,)),
}


@pytest.mark.parametrize("case", CASES)
def test_the_preview_of_a_rerun_is_what_is_called(slack: SlackWorkspace, case: str) -> None:
    on_rerun, given, changes = CASES[case]
    sink = make_sink(slack, on_rerun=on_rerun)
    if case != "first":
        first = sink.write(CASES["first"][1])
        given = replace(again(first, given, *changes), told_by="run-1")
    known = {*slack.files, *(one["ts"] for one in slack.general.messages)}
    before = len(slack.calls)
    kept = list[Receipt]()
    shown = json.loads(sink.preview(replace(given, keep=kept.append)))
    assert (len(slack.calls), kept) == (before, [])
    sink.write(given)
    by_slack = {*slack.files, *(one["ts"] for one in slack.general.messages)} - known
    called = []
    for call in slack.calls[before:]:
        method = call.path.rpartition("/")[2]
        if method.startswith("chat.") or method == "files.getUploadURLExternal":
            body = call.form if method.startswith("files.") else call.json()
            text = json.dumps({"method": method, "body": body})
            for identity in by_slack:
                text = text.replace(identity, "(given by Slack)")
            called.append(json.loads(text))
    assert shown == called


def test_the_preview_of_what_stands_there_shows_it(
    sink: PatientSlackSink, slack: SlackWorkspace
) -> None:
    first = sink.write(BEFORE)
    assert sink.preview(again(first, BEFORE)) == sink.preview(BEFORE)


# --- cut short --------------------------------------------------------------------------------


def kill_at(sink: PatientSlackSink, given: Delivery, step: int) -> Receipt | None:
    """Deliver, but die when the sink keeps for the `step`-th time; what it kept before that."""
    kept: list[Receipt] = []

    def keep(receipt: Receipt) -> None:
        if len(kept) + 1 == step:
            raise KeyboardInterrupt
        kept.append(receipt)

    with pytest.raises(KeyboardInterrupt):
        sink.write(replace(given, keep=keep))
    return kept[-1] if kept else None


def resumed(sink: PatientSlackSink, given: Delivery, kept: Receipt | None) -> Receipt | None:
    """What the next run does: ask, then finish, or leave it by policy."""
    given = replace(given, previous=asdict(kept) if kept else {})
    settled = sink.settle(given)
    if settled.state == "unknown":
        return sink.write(given) if sink.repeats_unknown else None
    before = asdict(settled.receipt) if settled.receipt else {}
    return sink.write(replace(given, previous=before, is_resumed=bool(before)))


TWO_REPLIES = report(line(breakdowns=(breakdown("East"), breakdown("web", dimension="channel"))))


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
def test_a_delivery_killed_at_any_step_is_finished_once(
    sink: PatientSlackSink, slack: SlackWorkspace, step: int
) -> None:
    kept = kill_at(sink, TWO_REPLIES, step)
    assert resumed(sink, TWO_REPLIES, kept) is not None
    assert len(slack.general.parents) == 1
    assert len(slack.general.messages) == 3
    parts = [one["metadata"]["event_payload"]["part"] for one in slack.general.messages]
    assert sorted(parts) == ["0", "1", "2"]


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_report_into_the_thread_killed_at_any_step_is_finished_there(
    slack: SlackWorkspace, step: int
) -> None:
    sink = make_sink(slack, on_rerun="thread")
    receipt = sink.write(BEFORE)
    changed = replace(again(receipt, AFTER, CHANGE), told_by="run-1")
    kept = kill_at(sink, changed, step)
    # The next run says another time and run at its foot.
    later = replace(changed.message, footer=("Run run-3",))
    assert resumed(sink, replace(changed, message=later), kept) is not None
    [parent] = slack.general.parents
    assert "40.0 %" in texts([parent])
    assert "43.0 %" not in texts([parent])
    assert len(slack.general.replies(receipt.reference)) == 3


WITHOUT_HISTORY = ("chat:write", "files:write", "files:read")
EARLIER = report(grouped("East"))
LATER = report(
    line(
        value=0.43,
        value_text="43.0 %",
        breakdowns=(
            Breakdown(("owner.team",), (SegmentLine({"owner.team": "East"}, 0.5, "50 %"),)),
        ),
    )
)


@pytest.mark.parametrize("calls", [0, 1, 2])
@pytest.mark.parametrize("wanted", [LATER, EARLIER])
def test_an_update_killed_after_any_call_is_finished_by_a_bot_that_may_not_look(
    slack: SlackWorkspace, calls: int, wanted: Delivery
) -> None:
    sink = make_sink(slack, slack.bot(*WITHOUT_HISTORY), charts=False)
    first = sink.write(EARLIER)
    kept = [first]
    slack.faults.answer(503, on="chat.", times=None, skip=calls)
    with pytest.raises(SinkError):
        sink.write(replace(again(first, LATER, CHANGE), keep=kept.append))
    slack.faults.clear()
    assert resumed(sink, again(first, wanted), kept[-1]) is not None
    [parent] = slack.general.parents
    [reply] = slack.general.replies(first.reference)
    figures = ("43.0 %", "50 %") if wanted is LATER else ("40.0 %", "40.0 %")
    assert figures[0] in texts([parent])
    assert figures[1] in texts([reply])


def test_an_update_that_is_refused_leaves_the_message_as_it_was_known(
    slack: SlackWorkspace,
) -> None:
    sink, kept = make_sink(slack, charts=False), list[Receipt]()
    first = sink.write(EARLIER)
    slack.faults.answer(200, b'{"ok": false, "error": "is_archived"}', on="chat.update")
    with pytest.raises(SinkError, match="archived"):
        sink.write(replace(again(first, LATER, CHANGE), keep=kept.append))
    assert kept[-1] == first


@pytest.mark.parametrize(
    ("on_rerun", "updates"), [("update", True), ("thread", True), ("new", False)]
)
def test_only_a_bot_that_goes_on_with_its_message_updates_in_place(
    slack: SlackWorkspace, on_rerun: str, updates: bool
) -> None:
    assert make_sink(slack, on_rerun=on_rerun).updates_in_place is updates


def test_a_lost_answer_is_settled_by_looking_into_the_channel(
    sink: PatientSlackSink, slack: SlackWorkspace
) -> None:
    slack.faults.hang_up(on="postMessage", acts=True)
    with pytest.raises(UnknownOutcomeError):
        sink.write(TWO_REPLIES)
    resumed(sink, TWO_REPLIES, None)
    assert len(slack.general.messages) == 3


def test_what_never_arrived_is_posted(sink: PatientSlackSink, slack: SlackWorkspace) -> None:
    slack.faults.hang_up(on="postMessage")
    with pytest.raises(UnknownOutcomeError):
        sink.write(TWO_REPLIES)
    assert sink.settle(TWO_REPLIES).state == "absent"
    resumed(sink, TWO_REPLIES, None)
    assert len(slack.general.messages) == 3


@pytest.mark.parametrize("policy", ["at_most_once", "at_least_once"])
@pytest.mark.parametrize("fault", ["503", "service_unavailable"])
def test_while_slack_cannot_answer_the_attempt_stays_open(
    slack: SlackWorkspace, policy: str, fault: str
) -> None:
    sink = make_sink(slack, on_unknown=policy)
    slack.faults.hang_up(on="postMessage")
    with pytest.raises(UnknownOutcomeError):
        sink.write(report())
    refusal = json.dumps({"ok": False, "error": fault}).encode()
    status, body = (503, b"") if fault == "503" else (200, refusal)
    slack.faults.answer(status, body, on="history", times=None)
    with pytest.raises(SinkError, match=r"again"):
        sink.settle(report())
    slack.faults.clear()
    assert sink.settle(report()).state == "absent"


@pytest.mark.parametrize(("policy", "expected"), [("at_most_once", 1), ("at_least_once", 2)])
def test_without_the_scope_to_look_the_policy_decides(
    slack: SlackWorkspace, policy: str, expected: int
) -> None:
    sink = make_sink(slack, slack.bot("chat:write"), on_unknown=policy)
    slack.faults.hang_up(on="postMessage", acts=True)
    with pytest.raises(UnknownOutcomeError):
        sink.write(report())
    resumed(sink, report(), None)
    assert len(slack.general.messages) == expected


@pytest.mark.parametrize(("policy", "expected"), [("at_most_once", 1), ("at_least_once", 2)])
def test_a_reply_of_unknown_end_follows_the_policy_too(
    slack: SlackWorkspace, policy: str, expected: int
) -> None:
    sink = make_sink(slack, slack.bot("chat:write"), on_unknown=policy)
    kept = kill_at(sink, BEFORE, 3)  # the reply is posted, and not yet noted
    assert kept is not None
    assert kept.details["sending"] == "1"
    resumed(sink, BEFORE, kept)
    assert len(slack.general.replies(kept.reference)) == expected


NOT_TAKEN: dict[str, Callable[[SlackWorkspace, int], None]] = {
    "429": lambda slack, skip: slack.faults.answer(
        429, b"", {"Retry-After": "3000"}, on="postMessage", skip=skip
    ),
    "refused": lambda slack, skip: slack.faults.answer(
        200, b'{"ok": false, "error": "is_archived"}', on="postMessage", skip=skip
    ),
    "ratelimited": lambda slack, skip: slack.faults.answer(
        200, b'{"ok": false, "error": "ratelimited"}', on="postMessage", skip=skip, times=3
    ),
    "redirect": lambda slack, skip: slack.faults.html(302, on="postMessage", skip=skip),
}


@pytest.mark.parametrize("policy", ["at_most_once", "at_least_once"])
@pytest.mark.parametrize("fault", NOT_TAKEN)
@pytest.mark.parametrize("reply", [1, 2])
def test_a_reply_that_slack_surely_did_not_take_comes_with_the_next_run(
    slack: SlackWorkspace, policy: str, fault: str, reply: int
) -> None:
    sink, kept = make_sink(slack, slack.bot("chat:write"), on_unknown=policy), list[Receipt]()
    NOT_TAKEN[fault](slack, reply)
    with pytest.raises(SinkError) as caught:
        sink.write(replace(TWO_REPLIES, keep=kept.append))
    assert not isinstance(caught.value, UnknownOutcomeError)
    assert len(slack.general.messages) == reply
    slack.faults.clear()
    resumed(sink, TWO_REPLIES, kept[-1])
    parts = [one["metadata"]["event_payload"]["part"] for one in slack.general.messages]
    assert parts == ["0", "1", "2"]


@pytest.mark.parametrize("on_rerun", ["update", "thread"])
def test_a_correction_that_slack_surely_did_not_take_comes_with_the_next_run(
    slack: SlackWorkspace, on_rerun: str
) -> None:
    sink = make_sink(slack, slack.bot("chat:write"), on_rerun=on_rerun, charts=False)
    first, kept = sink.write(BEFORE), list[Receipt]()
    changed = replace(again(first, AFTER, CHANGE), told_by="run-1")
    NOT_TAKEN["429"](slack, 0)
    with pytest.raises(SinkError, match="asks to wait"):
        sink.write(replace(changed, keep=kept.append))
    slack.faults.clear()
    resumed(sink, changed, kept[-1])
    assert len(slack.general.parents) == 1
    told = [one for one in slack.general.messages[2:] if "43.0 %" in texts([one])]
    assert len(told) == 1


def test_a_reply_that_may_be_there_is_not_forgotten_over_one_that_came_later(
    slack: SlackWorkspace,
) -> None:
    sink, kept = make_sink(slack, slack.bot("chat:write"), charts=False), list[Receipt]()
    first = sink.write(BEFORE)
    slack.faults.hang_up(on="postMessage", acts=True)
    with pytest.raises(UnknownOutcomeError):
        sink.write(replace(again(first, AFTER, CHANGE), keep=kept.append))
    both = line(
        value=0.43,
        value_text="43.0 %",
        breakdowns=(breakdown("East"), breakdown("web", dimension="channel")),
    )
    resumed(sink, again(first, report(both), CHANGE), kept[-1])
    replies = slack.general.replies(first.reference)
    assert [one["text"] for one in replies if "Restated" in one["text"]] == [
        "Restated: Win rate was 40.0 %, is now 43.0 %"
    ]
    assert len(replies) == 3


PASSING = ["429", "503", "service_unavailable"]


@pytest.mark.parametrize("fault", PASSING)
def test_while_slack_cannot_show_the_thread_a_reply_of_unknown_end_stays_open(
    sink: PatientSlackSink, slack: SlackWorkspace, fault: str
) -> None:
    kept = kill_at(sink, BEFORE, 2)  # the reply was about to be posted, and is not there
    assert kept is not None
    kept = replace(kept, details={**kept.details, "sending": "1"})
    given = replace(BEFORE, previous=asdict(kept))
    refusal = json.dumps({"ok": False, "error": fault}).encode()
    status, body = (int(fault), b"") if fault.isdigit() else (200, refusal)
    slack.faults.answer(status, body, {"Retry-After": "3000"}, on="conversations", times=None)
    with pytest.raises(SinkError, match="again"):
        sink.settle(given)
    slack.faults.clear()
    resumed(sink, BEFORE, kept)
    assert len(slack.general.replies(kept.reference)) == 1


def test_a_thread_of_which_all_is_known_is_not_asked_for(
    sink: PatientSlackSink, slack: SlackWorkspace
) -> None:
    kept = kill_at(sink, BEFORE, 2)
    slack.faults.answer(503, on="conversations", times=None)
    resumed(sink, BEFORE, kept)
    assert len(slack.general.messages) == 2


def test_a_reply_that_was_given_up_is_posted_once_the_bot_may_look(slack: SlackWorkspace) -> None:
    blind = make_sink(slack, slack.bot("chat:write"), charts=False)
    kept = kill_at(blind, BEFORE, 2)
    assert kept is not None
    given_up = replace(kept, details={**kept.details, "parts": {"1": ""}})
    resumed(make_sink(slack, charts=False), BEFORE, given_up)
    assert len(slack.general.replies(kept.reference)) == 1


@pytest.mark.parametrize(
    ("policy", "on_a_page", "expected"),
    [("at_most_once", 200, 1), ("at_least_once", 200, 1), ("at_least_once", 1, 2),
     ("at_most_once", 1, 1)],
)  # fmt: skip
def test_a_correction_below_a_long_thread_is_looked_for_to_its_end(
    slack: SlackWorkspace, policy: str, on_a_page: int, expected: int
) -> None:
    """With one reply on a page the end is not reached, and the policy decides."""
    sink, kept = make_sink(slack, on_unknown=policy, charts=False), list[Receipt]()
    first = sink.write(BEFORE)
    slack.general.messages += [
        {"ts": f"1768204801.9{number:05d}", "thread_ts": first.reference, "text": "well done"}
        for number in range(450)
    ]
    slack.faults.hang_up(on="postMessage", acts=True)
    with pytest.raises(UnknownOutcomeError):
        sink.write(replace(again(first, AFTER, CHANGE), keep=kept.append))
    slack.page_limit = on_a_page
    resumed(sink, again(first, AFTER, CHANGE), kept[-1])
    replies = slack.general.replies(first.reference)
    assert len([one for one in replies if "Restated" in one["text"]]) == expected


@pytest.mark.parametrize("name", ["#general", "general"])
def test_a_channel_given_by_name_is_looked_into_by_its_id(slack: SlackWorkspace, name: str) -> None:
    sink = make_sink(slack, channel=name)
    slack.page_limit = 1
    slack.faults.hang_up(on="postMessage", acts=True)
    with pytest.raises(UnknownOutcomeError):
        sink.write(BEFORE)
    receipt = resumed(sink, AFTER, None)
    assert receipt is not None
    assert receipt.details["channel"] == "C0GENERAL"
    [parent] = slack.general.parents
    assert "43.0 %" in texts([parent])
    assert len(slack.general.replies(parent["ts"])) == 1


def test_a_private_channel_given_by_name_is_found_too(slack: SlackWorkspace) -> None:
    private = slack.channels["C0PRIVATE"]
    private.has_bot = private.is_private = True
    token = slack.bot("chat:write", "groups:read", "groups:history")
    sink = make_sink(slack, token, channel="#private", charts=False)
    slack.faults.hang_up(on="postMessage")
    with pytest.raises(UnknownOutcomeError):
        sink.write(BEFORE)
    assert sink.settle(BEFORE).state == "absent"


@pytest.mark.parametrize(
    ("channel", "scopes", "state"),
    [
        ("#general", ("chat:write", "channels:history"), "unknown"),
        ("#nowhere", (), "unknown"),
        ("#general", (), "absent"),
        ("C0GENERAL", ("chat:write", "channels:history"), "absent"),
    ],
)
def test_a_channel_whose_id_is_not_known_is_warned_of(
    slack: SlackWorkspace, channel: str, scopes: tuple[str, ...], state: str
) -> None:
    sink = make_sink(slack, slack.bot(*scopes), channel=channel)
    assert sink.settle(BEFORE).state == state
    found = list(sink.check())
    assert [one.state for one in found] == (["ok", "warning"] if state == "unknown" else ["ok"])
    assert all("Set channel to its id" in one.fix for one in found[1:])


def test_while_slack_cannot_list_its_channels_the_attempt_stays_open(slack: SlackWorkspace) -> None:
    sink = make_sink(slack, channel="#general")
    slack.faults.answer(503, on="users.conversations", times=None)
    with pytest.raises(SinkError, match="again"):
        sink.settle(BEFORE)


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (WEEK.start - timedelta(days=30), "absent"),  # nobody reports on a week to come
        (WEEK.start + timedelta(days=1), "unknown"),  # there is more than is read
    ],
)
def test_a_busy_channel_is_read_back_to_the_beginning_of_the_period(
    sink: PatientSlackSink, slack: SlackWorkspace, said: date, state: str
) -> None:
    second = int(datetime.combine(said, time(), UTC).timestamp())
    slack.general.messages += [
        {"ts": f"{second}.{number:06d}", "text": "well done", "type": "message"}
        for number in range(51)
    ]
    slack.page_limit = 1
    assert sink.settle(BEFORE).state == state
    slack.faults.hang_up(on="postMessage", acts=True)
    with pytest.raises(UnknownOutcomeError):
        sink.write(BEFORE)
    assert sink.settle(BEFORE).state == "arrived"


def test_another_report_in_the_channel_is_not_taken_for_this_one(
    sink: PatientSlackSink, slack: SlackWorkspace
) -> None:
    for number in range(3):
        sink.write(report(key=f"other-{number}"))
    assert sink.settle(report()).state == "absent"


# --- words ------------------------------------------------------------------------------------


def test_the_owner_is_mentioned_only_when_the_goal_changes_its_state(
    slack: SlackWorkspace,
) -> None:
    sink = make_sink(slack, mentions={"@vp-sales": "U0VPSALES"})
    goal = {"goal_text": "60 %, off track", "goal_status": "off_track", "goal_owner": "@vp-sales"}
    sink.write(report(line(goal_before="on_track", **goal)))
    sink.write(report(line(goal_before="off_track", **goal)))
    first, second = slack.general.parents
    assert tokens(first) == ["<@U0VPSALES>"]
    assert "(was on track)" in texts([first])
    assert tokens(second) == []


HOSTILE = ["<!channel>", "@here", "A&B <x>", "*_~`b`~_*", "", "日本 🚀", "a\nb", "&lt;!here&gt;"]


@pytest.mark.parametrize("takes_tables", [True, False])
def test_names_of_groups_are_inert_in_tables_and_code(
    sink: PatientSlackSink, slack: SlackWorkspace, takes_tables: bool
) -> None:
    slack.takes_tables = takes_tables
    sink.write(report(grouped(*HOSTILE)))
    [parent, reply] = slack.general.messages
    assert tokens(parent) == tokens(reply) == []
    shown = texts([reply]).replace("\n", " ")
    assert all(name.replace("\n", " ") in shown for name in HOSTILE)
    assert any(block["type"] == "table" for block in reply["blocks"]) is takes_tables


def test_a_table_too_large_is_folded_and_says_by_how_much(
    sink: PatientSlackSink, slack: SlackWorkspace
) -> None:
    segments = tuple(
        SegmentLine({"owner.team": f"Team {n} " + "x" * 60}, 0.4, "40.0 %", n=10)
        for n in range(300)
    )
    wide = Breakdown(("owner.team",), segments, further=7)
    sink.write(report(*[line(f"KPI {n}", breakdowns=(wide,)) for n in range(25)]))
    reply = slack.general.messages[-1]
    [table] = [block for block in reply["blocks"] if block["type"] == "table"]
    assert len(table["rows"][0]) == 20
    shown = texts([reply])
    left_out = 300 - (len(table["rows"]) - 1) + 7
    assert f"{left_out} groups more" in shown
    assert "6 more KPIs" in shown
    assert block_faults(reply["blocks"]) == []


def test_kpis_that_find_no_room_stand_in_the_thread(
    sink: PatientSlackSink, slack: SlackWorkspace
) -> None:
    sink.write(report(*[line(f"KPI {n}", goal_text="g" * 900) for n in range(60)]))
    [parent] = slack.general.parents
    replies = slack.general.replies(parent["ts"])
    sections = [
        block["text"]["text"]
        for one in (parent, *replies)
        for block in one["blocks"]
        if block["type"] == "section"
    ]
    assert all(any(f"*KPI {n}*" in text for text in sections) for n in range(60))


def test_figures_per_owner_stay_out_of_the_thread(
    sink: PatientSlackSink, slack: SlackWorkspace
) -> None:
    people = replace(breakdown("005-ANN", dimension="owner_id"), detail="person")
    sink.write(report(line(breakdowns=(people,))))
    shown = texts(slack.general.messages)
    assert "005-ANN" not in shown
    assert "figures by owner_id are not shown in chat" in shown


# --- the simulator ----------------------------------------------------------------------------


def test_the_official_client_works_against_the_simulator(
    slack: SlackWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    client = WebClient(token=slack.bot(), base_url=f"{slack.base_url}/api/")
    posted = client.chat_postMessage(channel="#general", text="hello")
    assert posted["channel"] == "C0GENERAL"
    client.chat_update(channel="C0GENERAL", ts=posted["ts"], text="bye")
    assert slack.general.messages[0]["text"] == "bye"
    offer = client.files_getUploadURLExternal(filename="a.png", length=3)
    assert offer["upload_url"].startswith(slack.base_url)
    with pytest.raises(SlackApiError, match="is_archived"):
        client.chat_postMessage(channel="C0CLOSED1", text="hello")
    with pytest.raises(SlackApiError, match="invalid_blocks"):
        client.chat_postMessage(
            channel="C0GENERAL", text="x", blocks=[{"type": "image", "image_url": "https://x"}]
        )
    uploaded = client.files_upload_v2(filename="a.png", content=b"png")
    assert uploaded["ok"]


def test_the_simulator_keeps_the_rules_of_slack(slack: SlackWorkspace) -> None:
    client = WebClient(token=slack.bot("chat:write"), base_url=f"{slack.base_url}/api/")
    with pytest.raises(SlackApiError) as caught:
        client.conversations_history(channel="C0GENERAL")
    assert caught.value.response["needed"] == "channels:history"
    sees_all = WebClient(token=slack.bot(), base_url=f"{slack.base_url}/api/")
    for by_name in (sees_all.conversations_history, sees_all.chat_update, sees_all.chat_delete):
        with pytest.raises(SlackApiError, match="channel_not_found"):
            by_name(channel="#general", ts="1.5", text="x")
    assert [one["id"] for one in sees_all.users_conversations()["channels"]] == [
        "C0GENERAL", "C0CLOSED1",
    ]  # fmt: skip
    slack.burst = 1
    client.chat_postMessage(channel="C0GENERAL", text="one")
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel="C0GENERAL", text="two")
    assert caught.value.response.headers["Retry-After"] == "1"
    with pytest.raises(SlackApiError, match="message_not_found"):
        client.chat_update(channel="C0GENERAL", ts="1.5", text="x")
    with pytest.raises(SlackApiError, match="no_text"):
        slack.burst = 5
        slack.clock.advance(5)
        client.api_call("chat.postMessage", json={"channel": "C0GENERAL", "text": ""})
