"""The sink `slack` against a local Slack with Slack's rules."""

from __future__ import annotations

import json
import logging
import re
import socket
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from crmetrics.deliver import Ledger, Terms, deliver
from crmetrics.message import KpiLine, Message, SegmentLine
from crmetrics.plugin import Secret, SinkContext, SinkError, UnknownOutcomeError, http
from crmetrics.secrets import redact
from crmetrics_slack.blocks import blocks, payload
from crmetrics_slack.sink import SlackOptions, SlackSink
from crmetrics_slack.text import cut, escaped, inert, size
from result_rows import breakdown, delivery, line, message
from simulators.slack import (
    PATH,
    TOKEN,
    Mood,
    SlackSimulator,
    block_faults,
    everything_seen,
    text_faults,
    tokens,
)


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s, self.pauses = 0.0, list[float]()

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds


class PatientSlackSink(SlackSink):
    """The sink with a clock that does not keep the tests waiting."""

    clock: Clock
    read_s = 5.0

    def open_session(self) -> http.Session:
        return http.Session(
            timeouts=http.Timeouts(5.0, self.read_s),
            retries=http.Retries(attempts=4, longest_wait_s=60.0),
            sleep=self.clock.sleep,
        )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def slack(clock: Clock) -> Iterator[SlackSimulator]:
    with SlackSimulator(now=lambda: clock.now_s) as simulator:
        yield simulator


@pytest.fixture
def sink(slack: SlackSimulator, clock: Clock) -> PatientSlackSink:
    return make_sink(slack.webhook_url, clock)


def make_sink(url: str, clock: Clock, **options: Any) -> PatientSlackSink:
    config = SlackOptions(webhook_url=Secret(url), **options)
    made = PatientSlackSink(config, SinkContext("team", Path()))
    made.clock = clock
    return made


def post(sink: SlackSink, *lines: KpiLine, **parts: Any) -> None:
    sink.write(delivery(report=message(*lines, **parts)))


# --- posting ---------------------------------------------------------------------------------


def test_a_report_is_posted_once_and_slack_takes_it(
    sink: PatientSlackSink, slack: SlackSimulator
) -> None:
    receipt = sink.write(delivery())
    [posted] = slack.posts
    assert posted["text"] == "acme: weekly sales 2026-W05: Win rate 40.0 %."
    assert receipt.rows == 1
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", receipt.reference)
    assert slack.headers[0]["content-type"] == "application/json; charset=utf-8"
    assert slack.headers[0]["user-agent"].startswith("crmetrics/")


def test_the_preview_is_byte_for_byte_what_is_posted(
    sink: PatientSlackSink, slack: SlackSimulator
) -> None:
    preview = sink.preview(delivery())
    assert slack.requests == []
    sink.write(delivery())
    assert slack.requests[0][1] == preview.encode("utf-8")


def test_base_url_takes_the_place_of_scheme_and_host(slack: SlackSimulator, clock: Clock) -> None:
    sink = make_sink(f"https://hooks.slack.com{PATH}", clock, base_url=slack.base_url)
    sink.write(delivery())
    assert len(slack.posts) == 1


def test_base_url_on_the_same_host_changes_nothing(slack: SlackSimulator, clock: Clock) -> None:
    sink = make_sink(slack.webhook_url, clock, base_url=f"{slack.base_url}/api/")
    sink.write(delivery())
    assert len(slack.posts) == 1


def test_what_a_test_server_took_has_not_reached_the_webhook(
    slack: SlackSimulator, clock: Clock, ledger: Ledger
) -> None:
    real = make_sink(slack.webhook_url, clock)
    with SlackSimulator(now=lambda: clock.now_s) as server:
        test = make_sink(slack.webhook_url, clock, base_url=server.base_url)
        found = []
        for sink in (test, test, real, real):
            [outcome] = deliver({"team": sink}, delivery(), Terms(ledger=ledger))
            found.append((outcome.status, len(server.posts), len(slack.posts)))
    assert found == [
        ("delivered", 1, 0), ("skipped", 1, 0), ("delivered", 1, 1), ("skipped", 1, 1)
    ]  # fmt: skip


def test_a_correction_that_a_test_server_got_is_still_posted_to_the_webhook(
    slack: SlackSimulator, clock: Clock, ledger: Ledger
) -> None:
    real = make_sink(slack.webhook_url, clock)
    with SlackSimulator(now=lambda: clock.now_s) as server:
        test = make_sink(slack.webhook_url, clock, base_url=server.base_url)
        found = []
        for number, (sink, value) in enumerate([(real, 0.4), (test, 0.5), (real, 0.5)]):
            report = message(line(value=value, value_text=f"{value:.1%}"))
            given = replace(delivery(report=report), run_id=f"run-{number}")
            [outcome] = deliver({"team": sink}, given, Terms(ledger=ledger))
            found.append((outcome.status, len(server.posts), len(slack.posts)))
    assert found == [("delivered", 0, 1), ("delivered", 1, 1), ("delivered", 1, 2)]
    assert "40.0" in str(slack.posts[-1]) and "50.0" in str(slack.posts[-1])


def test_what_is_shown_of_the_place_is_the_address_that_is_posted_to(
    slack: SlackSimulator, clock: Clock
) -> None:
    sink = make_sink(f"https://hooks.slack.com{PATH}", clock, base_url=slack.base_url)
    shown = sink.destination(delivery())
    assert shown.startswith(f"{slack.base_url} webhook")
    assert sink.write(delivery()).destination == shown


def test_a_burst_waits_as_long_as_slack_asks(
    sink: PatientSlackSink, slack: SlackSimulator, clock: Clock
) -> None:
    slack.retry_after_s = 7
    for _ in range(6):
        sink.write(delivery())
    assert len(slack.posts) == 6
    assert clock.pauses == [7.0]
    [*_, (declined_at, _), (posted_at, _)] = slack.requests
    assert posted_at - declined_at >= 7


def test_a_wait_beyond_the_limit_is_an_error_that_names_it(
    sink: PatientSlackSink, slack: SlackSimulator, clock: Clock
) -> None:
    slack.retry_after_s = 3600
    slack.answers = [(429, "rate_limited")]
    with pytest.raises(SinkError, match="asks to wait for 3600 s"):
        sink.write(delivery())
    assert (clock.pauses, slack.posts) == ([], [])


# --- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("revoked", "the webhook no longer exists. Make a new one"),
        ("app_removed", "the webhook no longer exists"),
        ("channel_gone", "the webhook no longer exists"),
        ("bad_token", "the webhook no longer exists"),
        ("archived", "the channel is archived"),
        ("forbidden", "does not allow this app to post there"),
    ],
)
def test_a_refusal_is_told_with_its_meaning_and_not_repeated(
    sink: PatientSlackSink, slack: SlackSimulator, state: str, words: str
) -> None:
    slack.state = state
    with pytest.raises(SinkError, match=words) as caught:
        sink.write(delivery())
    assert not isinstance(caught.value, UnknownOutcomeError)
    assert len(slack.requests) == 1


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (400, "invalid_payload", "not valid for Slack. This is a defect of crmetrics"),
        (404, '{"ok":false,"error":"invalid_blocks"}', "not valid for Slack"),
        (200, '{"ok": false, "error": "no_service"}', "no longer exists"),
        (403, "posting_to_general_channel_denied", "does not allow"),
        (404, "Not Found", "no longer exists"),
        (401, "", "does not allow"),
        (302, "", "redirects"),
        (418, "teapot", "nothing was posted"),
    ],
)
def test_other_refusals_have_a_meaning_too(
    sink: PatientSlackSink, slack: SlackSimulator, status: int, body: str, words: str
) -> None:
    slack.answers = [(status, body)]
    with pytest.raises(SinkError, match=f"sink team: Slack answered {status} with .*{words}"):
        sink.write(delivery())


def test_blocks_that_slack_does_not_take_do_not_cost_the_message(
    sink: PatientSlackSink, slack: SlackSimulator
) -> None:
    slack.answers = [(400, "invalid_blocks")]
    sink.write(delivery())
    [posted] = slack.posts
    assert "blocks" not in posted
    assert "Win rate 40.0 %" in posted["text"]


@pytest.mark.parametrize(
    "mood", ["store, then answer 500", "store, then hang up", "hang up", "html"]
)
def test_an_unclear_answer_is_an_unknown_outcome_and_never_repeated(
    sink: PatientSlackSink, slack: SlackSimulator, mood: Mood
) -> None:
    slack.moods = [mood]
    with pytest.raises(UnknownOutcomeError, match="may have been posted all the same"):
        sink.write(delivery())
    assert len(slack.requests) == 1


def test_silence_is_an_unknown_outcome(sink: PatientSlackSink, slack: SlackSimulator) -> None:
    slack.moods = ["say nothing"]
    sink.read_s = 0.05
    with pytest.raises(UnknownOutcomeError, match="no answer within the time limit"):
        sink.write(delivery())
    assert len(slack.requests) == 1


def test_a_slack_that_cannot_be_reached_is_tried_again_and_nothing_was_posted(
    clock: Clock,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    sink = make_sink(f"http://127.0.0.1:{port}{PATH}", clock)
    with pytest.raises(SinkError, match="Nothing was posted") as caught:
        sink.write(delivery())
    assert not isinstance(caught.value, UnknownOutcomeError)
    assert len(clock.pauses) == 3


# --- secrets ---------------------------------------------------------------------------------


def assert_hidden(text: str) -> None:
    assert TOKEN not in text
    assert PATH not in text


@pytest.mark.parametrize("answer", [(404, "no_service"), (500, TOKEN), (400, f"bad {PATH}")])
def test_the_webhook_is_in_no_error_log_or_receipt(
    sink: PatientSlackSink,
    slack: SlackSimulator,
    caplog: pytest.LogCaptureFixture,
    answer: tuple[int, str],
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert_hidden(str(sink.write(delivery())))
        slack.answers = [answer]
        with pytest.raises(SinkError) as caught:
            sink.write(delivery())
    assert_hidden("".join(traceback.format_exception(caught.value)))
    assert_hidden(caplog.text)


def test_the_webhook_is_in_no_repr_destination_or_preview(sink: PatientSlackSink) -> None:
    assert_hidden(repr(sink.config) + str(sink.config) + str(list(sink.check())))
    assert_hidden(sink.destination(delivery()) + sink.preview(delivery()))
    assert sink.destination(delivery()).endswith("webhook …0001")


def test_a_traceback_of_another_library_is_masked(sink: PatientSlackSink) -> None:
    assert_hidden(redact(f"Max retries exceeded with url: {PATH} (token {TOKEN})"))


def test_two_webhooks_are_two_destinations(clock: Clock) -> None:
    one = make_sink("https://hooks.slack.com/services/T1/B1/aaaaaaaaaaaaaaaaaaaaAAAA", clock)
    other = make_sink("https://hooks.slack.com/services/T1/B1/aaaaaaaaaaaaaaaaaaaaBBBB", clock)
    assert one.destination(delivery()) == "https://hooks.slack.com webhook …AAAA"
    assert one.destination(delivery()) != other.destination(delivery())


def test_two_webhooks_that_end_alike_are_two_destinations_in_the_ledger(clock: Clock) -> None:
    one = make_sink("https://hooks.slack.com/services/T1/B1/aaaaaaaaaaaaaaaaaaaaAAAA", clock)
    other = make_sink("https://hooks.slack.com/services/T1/B2/bbbbbbbbbbbbbbbbbbbbAAAA", clock)
    assert one.destination(delivery()) == other.destination(delivery())
    assert one.destination_id(delivery()) != other.destination_id(delivery())


@pytest.mark.parametrize(
    "options",
    [
        {"webhook_url": "http://hooks.slack.com/services/T/B/hunter2"},
        {"webhook_url": "hunter2"},
        {"webhook_url": "https://hooks.slack.com/x", "base_url": "http://example.com/hunter2"},
    ],
)
def test_an_unsafe_address_is_refused_without_being_shown(options: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as caught:
        SlackOptions(**options)  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("timeout", [0, -1, 301])
def test_a_time_limit_that_makes_no_sense_is_refused(timeout: float) -> None:
    with pytest.raises(ValidationError):
        SlackOptions(webhook_url=Secret("https://hooks.slack.com/x"), timeout=timeout)


# --- what is said ----------------------------------------------------------------------------


def full_message() -> Message:
    groups = breakdown("East", "<!channel>", "A&B <x>", "*_~`", note="and 12 more")
    driver = SegmentLine({"owner.team": "East"}, 5.0, "+5.0 USD")
    won = line("Won amount", unit="currency", value=12500.0, value_text="12,500 USD",
               change_text="down 3.0 % on the week before", tone="neutral",
               breakdowns=(replace(groups, driver=driver),))  # fmt: skip
    win_rate = line(
        change_text="up 3.1 points on the week before",
        tone="bad",
        goal_text="Close more: 60.0 % of the way to 40.0 % by 2026-06-30 (expected 80.0 %), "
        "guardrail broken, owner @vp-sales",
        guardrail_text="Average deal size 8,500 USD is below its limit of 9,000 USD",
        coverage_text="low coverage: only 90.0 % of the rows could be used; left out: 3 "
        "without close_date",
        goal_status="breached_guardrail",
    )
    missing = line("Forecast", value=None, value_text="no value", tone="warning",
                   status="missing_dataset", status_text="not available")  # fmt: skip
    return message(won, win_rate, missing, tone="bad", notes=("orders are 3 days old",))


def test_slack_message(
    sink: PatientSlackSink, slack: SlackSimulator, golden: Callable[[str, str], None]
) -> None:
    report = delivery(report=full_message())
    golden("slack/report.json", sink.preview(report) + "\n")
    sink.write(report)
    assert len(slack.posts) == 1


def sections(posted: dict[str, Any]) -> list[str]:
    return [block["text"]["text"] for block in posted["blocks"] if block["type"] == "section"]


def test_the_most_urgent_kpi_stands_first(sink: PatientSlackSink, slack: SlackSimulator) -> None:
    sink.write(delivery(report=full_message()))
    titles = [text.split("*")[1] for text in sections(slack.posts[0])[:3]]
    assert titles == ["Win rate", "Forecast", "Won amount"]


def test_the_header_says_how_it_stands(sink: PatientSlackSink, slack: SlackSimulator) -> None:
    post(sink, tone="bad", is_partial=True, title="acme " + "x" * 200)
    header = slack.posts[0]["blocks"][0]["text"]["text"]
    assert header.startswith("🔴 acme xxx")
    assert header.endswith("… - goal missed or guardrail broken, partial data")


def test_a_kpi_without_value_says_why(sink: PatientSlackSink, slack: SlackSimulator) -> None:
    post(sink, line(value=None, value_text="no value", status_text="no data: nothing to measure"))
    assert "no data: nothing to measure" in everything_seen(slack.posts[0])


def test_period_zone_and_currency_stand_at_the_foot(
    sink: PatientSlackSink, slack: SlackSimulator
) -> None:
    sink.write(delivery())
    foot = slack.posts[0]["blocks"][-1]
    assert foot["type"] == "context"
    assert [element["text"] for element in foot["elements"]] == [
        "Period 2026-W05 (2026-01-26 to 2026-02-01)",
        "Currency USD",
    ]


# --- nothing in the data acts ----------------------------------------------------------------

HOSTILE = [
    "<!channel>",
    "<!here|here>",
    "<@U12345678>",
    "<https://evil.example|click>",
    "@channel @Here @everyone",
    "A&B <x>",
    "&lt;!channel&gt;",
    "*_~`bold`~_*",
    "```code```",
    ":smile: > quote",
    "\u202eevil\u202c \U0001f600 日本 \x00",
    "https://evil.example/path",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_pings_links_or_breaks_the_message(
    sink: PatientSlackSink, slack: SlackSimulator, name: str
) -> None:
    everywhere = line(
        name, value_text=name, change_text=name, goal_text=name, guardrail_text=name,
        status_text=name, coverage_text=name, breakdowns=(breakdown(name, dimension=name),),
    )  # fmt: skip
    post(sink, everywhere, title=name, notes=(name,), footer=(name,))
    [posted] = slack.posts
    assert tokens(posted) == []
    assert everything_seen(posted).count(name) >= 12
    for block in posted["blocks"]:
        for part in [block.get("text"), *block.get("fields", []), *block.get("elements", [])]:
            if part and part["type"] == "mrkdwn":
                assert part["verbatim"] is True
            elif part:
                assert part["emoji"] is False


def test_markup_of_data_is_kept_apart_from_that_of_the_report() -> None:
    assert inert("a*b") == "a\u200b*\u200bb"
    assert escaped("<&>") == "&lt;&amp;&gt;"


# --- privacy ---------------------------------------------------------------------------------


def owners() -> KpiLine:
    groups = replace(breakdown("005-ANN", dimension="owner_id"), detail="person")
    return line(breakdowns=(groups,))


def test_figures_per_owner_are_left_out_and_it_is_said(
    sink: PatientSlackSink, slack: SlackSimulator
) -> None:
    post(sink, owners())
    shown = everything_seen(slack.posts[0])
    assert "005-ANN" not in shown
    assert "figures by owner_id are not shown in chat (allow_people is off)" in shown


def test_figures_per_owner_are_shown_when_allowed(slack: SlackSimulator, clock: Clock) -> None:
    post(make_sink(slack.webhook_url, clock, allow_people=True), owners())
    assert "005-ANN: 40.0 %" in everything_seen(slack.posts[0])


def test_a_group_of_four_users_is_not_shown_even_when_people_are(
    slack: SlackSimulator, clock: Clock
) -> None:
    small = SegmentLine({"owner.team": "Tiny"}, 0.123, "12.3 %", n=4)
    adoption = line(is_about_users=True, n=4, breakdowns=(
        replace(breakdown("Large"), segments=(small,)),
    ))  # fmt: skip
    post(
        make_sink(slack.webhook_url, clock, allow_people=True),
        adoption,
        headline="Win rate 40.0 %",
    )
    assert "40.0 %" not in slack.requests[0][1].decode()
    assert "12.3 %" not in slack.requests[0][1].decode()


# --- limits ----------------------------------------------------------------------------------


def test_sixty_kpis_fit_into_one_message_and_none_is_lost_in_silence(
    sink: PatientSlackSink, slack: SlackSimulator
) -> None:
    post(sink, *(line(f"KPI {index:02d}") for index in range(60)))
    [posted] = slack.posts
    assert len(posted["blocks"]) <= 50
    shown = everything_seen(posted)
    assert "14 more KPIs" in shown
    assert all(f"KPI {index:02d}" in shown for index in range(60))


def test_the_fold_keeps_the_urgent_ones(sink: PatientSlackSink, slack: SlackSimulator) -> None:
    calm = [line(f"Calm {index}", goal_text="g" * 900) for index in range(30)]
    urgent = line("Urgent", tone="bad", goal_text="it burns")
    post(sink, *calm, urgent)
    assert "it burns" in sections(slack.posts[0])[0]


def test_groups_give_way_before_kpis_and_are_counted(
    sink: PatientSlackSink, slack: SlackSimulator
) -> None:
    names = [f"A team with a rather long name, number {index}" for index in range(10)]
    groups = breakdown(*names, further=5, note="and 5 more")
    post(sink, *(line(f"KPI {index}", breakdowns=(groups,)) for index in range(20)))
    [posted] = slack.posts
    fields = [block["fields"][0]["text"] for block in posted["blocks"] if "fields" in block]
    assert len(fields) == 20
    assert {field.splitlines()[-1] for field in fields} == {"(10 groups more)"}
    assert {len(field.splitlines()) for field in fields} == {7}


def test_more_breakdowns_than_fields_are_counted(
    sink: PatientSlackSink, slack: SlackSimulator
) -> None:
    post(sink, line(breakdowns=tuple(breakdown("x", dimension=f"d{n}") for n in range(12))))
    assert "3 more breakdowns are not shown" in everything_seen(slack.posts[0])


def test_more_footer_lines_than_elements_are_counted(
    sink: PatientSlackSink, slack: SlackSimulator
) -> None:
    post(sink, footer=tuple(f"line {index}" for index in range(14)))
    elements = slack.posts[0]["blocks"][-1]["elements"]
    assert (len(elements), elements[-1]["text"]) == (10, "5 more lines")


def test_a_huge_report_still_arrives(sink: PatientSlackSink, slack: SlackSimulator) -> None:
    long = "&<>\"'\\*_ 🎉" * 450
    groups = breakdown(*(f"{long} {index}" for index in range(10)), dimension=long)
    heavy = line(long, goal_text=long, status_text=long, breakdowns=(groups,) * 12)
    post(sink, *[heavy] * 80, title=long, headline=long, notes=(long,) * 20, footer=(long,) * 20)
    [posted] = slack.posts
    assert len(posted["text"]) <= 4_000
    assert "more KPIs" in everything_seen(posted)


def test_a_report_without_kpis_is_a_message_too(
    sink: PatientSlackSink, slack: SlackSimulator
) -> None:
    empty = replace(message(), kpis=(), footer=())
    sink.write(delivery(report=empty))
    assert slack.posts[0]["text"] == "acme: weekly sales 2026-W05: no figures."


words = st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=4000)


@settings(max_examples=150, deadline=None)
@given(text=words, count=st.integers(0, 70), groups=st.integers(0, 15))
def test_every_message_is_within_the_limits_of_slack(text: str, count: int, groups: int) -> None:
    broken_down = breakdown(*(f"{index}{text}" for index in range(groups)), note=text[:50])
    one = line(text, value_text=text, goal_text=text, breakdowns=(broken_down,) * (groups % 3))
    report = message(*[one] * count, title=text, headline=text, notes=(text,), footer=(text,))
    built = payload(report)
    assert block_faults(built["blocks"]) == []
    assert text_faults(built) == []
    assert 1 <= size(built["text"]) <= 4_000
    json.dumps(built, ensure_ascii=False).encode("utf-8")


@given(text=words, limit=st.integers(2, 200))
def test_a_cut_keeps_the_limit_and_no_half_entity(text: str, limit: int) -> None:
    shown = cut(escaped(text), limit)
    assert size(shown) <= limit
    assert text_faults({"text": shown}) == []


def test_what_fits_is_not_cut() -> None:
    assert cut("x" * 150, 150) == "x" * 150
    assert cut("x" * 149 + "🎉", 150) == "x" * 149 + "…"
    assert cut("abc&amp;def", 8) == "abc…"


def test_the_simulator_refuses_what_slack_refuses() -> None:
    good = blocks(full_message())
    assert block_faults(good) == []
    assert block_faults(good * 20) != []
    assert block_faults([{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]) != []
    assert block_faults([{"type": "section", "text": {"type": "mrkdwn", "text": ""}}]) != []
    assert block_faults([{"type": "image", "image_url": "https://x"}]) != []
    assert text_faults({"text": "a < b"}) != []
    assert tokens({"text": "<!channel> and @here"}) == ["<!channel>", "@here"]
