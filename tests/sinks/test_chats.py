"""The sinks `teams`, `google_chat` and `webhook` against receivers on this machine."""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from crmetrics.deliver import Ledger, Terms, create_deliveries, deliver
from crmetrics.message import KpiLine, SegmentLine
from crmetrics.plugin import (
    Delivery,
    Restated,
    Secret,
    SinkContext,
    SinkError,
    UnknownOutcomeError,
    chat,
    http,
)
from crmetrics.warehouse.connection import EngineSettings, connect
from crmetrics_google_chat.card import payload as google_payload
from crmetrics_google_chat.sink import GoogleChatSink
from crmetrics_teams.card import payload as teams_payload
from crmetrics_teams.sink import TeamsSink
from crmetrics_webhook.sink import WebhookOptions, WebhookSink
from result_rows import breakdown, delivery, kpi, line, message, table
from simulators.dripping import Drip
from simulators.service import Service
from simulators.webhooks import GoogleChatSpace, Receiver, TeamsWorkflow

KEY = "signing-key-0123456789"
HOSTILE = ["<at>all</at>", "<users/all>", "[x](https://evil.example)", "*_~`b`~_*", "- item",
           "<b>&amp;</b>", "日本 🚀", "a\nb", "<https://evil.example|click>"]  # fmt: skip


class Channel:
    """A receiver with the sink that serves it, and a way to see what came."""

    def __init__(self, name: str, service: Service) -> None:
        self.name, self.service = name, service
        self.secret = {"teams": TeamsWorkflow.SIGNATURE, "google_chat": GoogleChatSpace.TOKEN,
                       "webhook": "0123456789abcdef"}[name]  # fmt: skip

    def sink(self, **options: Any) -> chat.ChatSink:
        service, clock = self.service, self.service.clock

        def session_options(sink: chat.ChatSink) -> dict[str, Any]:
            return {
                "timeouts": http.Timeouts(5.0, 5.0),
                "retries": http.Retries(attempts=3, longest_wait_s=60.0),
                "sleep": clock.sleep,
                "now": clock,
            }

        context = SinkContext("team", Path(), project="acme")
        kind: type[chat.ChatSink]
        if isinstance(service, Receiver):
            kind = WebhookSink
            config: Any = WebhookOptions(url=Secret(service.url), secret=Secret(KEY), **options)
            extra = {"now": lambda sink: clock().timestamp()}
        else:
            kind = TeamsSink if isinstance(service, TeamsWorkflow) else GoogleChatSink
            config = chat.WebhookOptions(webhook_url=Secret(service.webhook_url), **options)  # type: ignore[attr-defined]
            extra = {}
        patient = type(
            f"Patient{kind.__name__}", (kind,), {"session_options": session_options, **extra}
        )
        made: chat.ChatSink = patient(config, context)
        return made

    @property
    def received(self) -> list[Any]:
        if isinstance(self.service, TeamsWorkflow):
            return self.service.cards
        if isinstance(self.service, GoogleChatSpace):
            return self.service.messages
        assert isinstance(self.service, Receiver)
        return list(self.service.documents.values())

    def shown(self) -> str:
        """Every text that a reader sees, markup of the service taken away."""
        texts = list(_texts(self.received))
        if self.name == "google_chat":
            texts = [unescape(re.sub(r"</?(?:b|i|br|font)\b[^>]*>", " ", one)) for one in texts]
        return "\n".join(texts).replace("\u200b", "")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, str):
        yield value


@pytest.fixture(params=["teams", "google_chat", "webhook"])
def channel(request: pytest.FixtureRequest) -> Iterator[Channel]:
    services: dict[str, Callable[[], Service]] = {
        "teams": TeamsWorkflow,
        "google_chat": GoogleChatSpace,
        "webhook": lambda: Receiver(KEY),
    }
    with services[request.param]() as service:
        yield Channel(request.param, service)


@pytest.fixture
def card(channel: Channel) -> Channel:
    """As `channel`, of those that people read."""
    if channel.name == "webhook":
        pytest.skip("a document for systems, not a card")
    return channel


def report(*lines: KpiLine, **parts: Any) -> Delivery:
    return delivery(report=message(*lines, **parts))


# --- posting ----------------------------------------------------------------------------------


def test_a_report_arrives_and_the_preview_is_what_is_posted(channel: Channel) -> None:
    sink, given = channel.sink(), report(line(change_text="up 3.1 points on the week before"))
    preview = sink.preview(given)
    assert channel.service.calls == []
    receipt = sink.write(given)
    assert len(channel.received) == 1
    assert channel.service.calls[0].body == preview.encode("utf-8")
    assert receipt.destination == sink.destination(given)
    shown = channel.shown()
    assert "Win rate" in shown
    assert "40.0 %" in shown
    assert "up 3.1 points on the week before" in shown


def test_goal_guardrail_coverage_and_state_are_said(card: Channel) -> None:
    urgent = line(
        "Won amount", tone="bad", goal_text="60 %, off track", goal_status="off_track",
        guardrail_text="Deal size is below", coverage_text="low coverage", series=(1.0, 2.0),
        goal_before="on_track",
    )  # fmt: skip
    given = report(line(), urgent, tone="bad", is_partial=True, notes=("orders are old",))
    card.sink().write(given)
    shown = card.shown()
    for said in ("60 %, off track (was on track)", "Guardrails: Deal size is below", "low coverage",
                 "▁█", "goal missed or guardrail broken, partial data", "orders are old",
                 "Currency USD"):  # fmt: skip
        assert said in shown
    assert shown.index("Won amount") < shown.rindex("Win rate")


def test_a_correction_says_what_it_corrects(channel: Channel) -> None:
    changed = replace(report(), restated=(Restated("Win rate", "38.0 %", "40.0 %"),))
    channel.sink().write(changed)
    assert "Win rate was 38.0 %, is now 40.0 %" in channel.shown()


def test_a_changed_report_is_sent_again_only_with_changed_figures(card: Channel) -> None:
    changed = replace(report(), restated=(Restated("Win rate", "38.0 %", "40.0 %"),))
    assert card.sink().why_not_again(report()) == "no figure has changed since"
    assert card.sink().why_not_again(changed) == ""
    assert card.sink(on_rerun="skip").why_not_again(changed) != ""


# --- failures ---------------------------------------------------------------------------------


def test_a_service_that_asks_to_wait_is_waited_for(channel: Channel) -> None:
    channel.service.faults.answer(429, headers={"Retry-After": "9"})
    channel.sink().write(report())
    assert channel.service.clock.slept == [9.0]
    assert len(channel.received) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 418])
def test_a_refusal_is_a_failure_and_not_repeated(channel: Channel, status: int) -> None:
    channel.service.faults.answer(status, b"no")
    with pytest.raises(SinkError, match=f"answered {status}") as caught:
        channel.sink().write(report())
    assert not isinstance(caught.value, UnknownOutcomeError)
    assert len(channel.service.calls) == 1


@pytest.mark.parametrize("policy", ["at_most_once", "at_least_once"])
def test_a_lost_answer_is_an_unknown_outcome_for_the_policy(channel: Channel, policy: str) -> None:
    channel.service.faults.hang_up(acts=True)
    sink = channel.sink(on_unknown=policy)
    with pytest.raises(UnknownOutcomeError, match=policy):
        sink.write(report())
    assert sink.repeats_unknown is (policy == "at_least_once")
    assert len(channel.service.calls) == 1


def test_a_receiver_that_answers_for_ever_is_left_when_the_time_is_up() -> None:
    with Drip(b"HTTP/1.1 200 OK\r\nX-Slow: ") as drip:
        options = WebhookOptions(url=Secret(f"http://127.0.0.1:{drip.port}/hook"), timeout=0.3)
        sink = WebhookSink(options, SinkContext("team", Path()))
        with pytest.raises(UnknownOutcomeError, match=r"no whole answer within 0\.3 s"):
            sink.write(report())


def test_a_page_of_a_proxy_is_not_taken_for_a_message() -> None:
    with GoogleChatSpace() as space:
        space.faults.html(200)
        with pytest.raises(UnknownOutcomeError):
            Channel("google_chat", space).sink().write(report())


def test_the_secret_is_in_no_error_log_or_preview(
    channel: Channel, caplog: pytest.LogCaptureFixture
) -> None:
    sink = channel.sink()
    channel.service.faults.answer(403, channel.secret.encode())
    with caplog.at_level(logging.DEBUG), pytest.raises(SinkError) as caught:
        sink.write(report())
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    shown += repr(sink.config) + sink.preview(report()) + sink.destination(report())
    shown += str(list(sink.check()))
    assert channel.secret not in shown
    assert KEY not in shown


# --- nothing in the data acts -----------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_becomes_markup_link_or_mention(card: Channel, name: str) -> None:
    everywhere = line(
        name, value_text=name, change_text=name, goal_text=name, guardrail_text=name,
        status_text=name, breakdowns=(breakdown(name, dimension=name),),
    )  # fmt: skip
    card.sink().write(report(everywhere, title=name, notes=(name,), footer=(name,)))
    [received] = card.received
    assert card.shown().count(name) >= 8
    if isinstance(card.service, GoogleChatSpace):
        paragraphs = [
            widget["textParagraph"]["text"]
            for section in received["cardsV2"][0]["card"]["sections"]
            for widget in section["widgets"]
        ]
        tags = set(re.findall(r"</?(\w+)", " ".join(paragraphs)))
        assert tags <= {"b", "i", "br", "font"}
        assert not re.search(r"[<>*_~`](?!\u200b)", received["text"])
    else:
        kinds = {element["type"] for element in received["body"]}
        assert kinds <= {"RichTextBlock", "Container"}


def test_figures_of_persons_and_small_groups_stay_out(channel: Channel) -> None:
    people = replace(breakdown("005-ANN", dimension="owner_id"), detail="person")
    few = replace(
        breakdown("Large"), segments=(SegmentLine({"owner.team": "Tiny"}, 0.123, "12.3 %", n=4),)
    )
    given = report(line(breakdowns=(people,)), line(is_about_users=True, n=9, breakdowns=(few,)))
    channel.sink().write(given)
    body = channel.service.calls[0].body.decode()
    assert "005-ANN" not in body
    assert "12.3 %" not in body
    channel.sink(allow_people=True).write(given)
    assert "005-ANN" in channel.service.calls[1].body.decode()


# --- limits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 60])
def test_any_report_fits(card: Channel, count: int) -> None:
    long = "&<>\"'\\*_ 🎉" * 400
    groups = breakdown(*(f"{long} {index}" for index in range(10)), dimension=long)
    heavy = line(long, goal_text=long, status_text=long, breakdowns=(groups,) * 6)
    big = report(*[heavy] * count, title=long, headline=long, notes=(long,) * 9, footer=(long,) * 9)
    if not count:
        big = delivery(report=replace(message(), kpis=(), footer=()))
    card.sink().write(big)
    assert len(card.received) == 1


def test_what_finds_no_room_is_counted(card: Channel) -> None:
    card.sink().write(report(*(line(f"KPI {n}", goal_text="g" * 3000) for n in range(200))))
    [left_out] = re.findall(r"(\d+) more KPIs are not shown", card.shown())[:1]
    shown = set(re.findall(r"KPI (\d+)\b", card.shown()))
    assert len(shown) + int(left_out) == 200


@pytest.mark.parametrize(
    ("count", "words"), [(2, "1[0257]? groups more"), (9, "groups .*not shown|15 g")]
)
def test_groups_give_way_before_kpis_and_that_is_said(count: int, words: str) -> None:
    names = [f"A rather long name of a team, it goes on and on, number {n}" for n in range(10)]
    wide = breakdown(*names, further=5)
    big = message(*(line(f"KPI {n}", breakdowns=(wide,) * count) for n in range(20)))
    for build in (teams_payload, google_payload):
        text = json.dumps(build(big))
        assert all(f"KPI {n}" in text for n in range(20))
        assert re.search(words, text)


# --- each its own -----------------------------------------------------------------------------


def test_a_correction_stands_in_the_thread_of_the_report() -> None:
    with GoogleChatSpace() as space:
        sink = Channel("google_chat", space).sink()
        sink.write(report())
        sink.write(replace(report(), restated=(Restated("Win rate", "1 %", "2 %"),)))
        sink.write(replace(report(), key="another"))
        threads = [one["thread"]["name"] for one in space.messages]
        assert threads[0] == threads[1] != threads[2]


def test_a_workflow_that_is_off_is_told() -> None:
    with TeamsWorkflow() as flow:
        flow.state = "gone"
        with pytest.raises(SinkError, match="its owner has left"):
            Channel("teams", flow).sink().write(report())


def test_a_document_is_signed_and_a_repeat_has_the_same_id() -> None:
    with Receiver(KEY) as receiver:
        sink = Channel("webhook", receiver).sink()
        sink.write(report())
        receiver.clock.advance(60)
        sink.write(replace(report(), run_id="run-2"))
        assert len(receiver.documents) == 1
        sink.write(report(line(value=0.5, value_text="50.0 %")))
        assert len(receiver.documents) == 2
        receiver.secret = "another key"
        with pytest.raises(SinkError, match="answered 401"):
            sink.write(report())


def test_a_correction_back_to_an_earlier_figure_has_an_id_of_its_own() -> None:
    up = (Restated("Win rate", "40.0 %", "50.0 %"),)
    down = (Restated("Win rate", "50.0 %", "40.0 %"),)
    with Receiver() as receiver:
        sink = Channel("webhook", receiver).sink()
        first = sink.write(report())
        half = line(value=0.5, value_text="50.0 %")
        second = sink.write(replace(report(half), restated=up, told_by="run-1"))
        third = sink.write(replace(report(), restated=down, told_by="run-2"))
        fourth = sink.write(replace(report(half), restated=up, told_by="run-3"))
        repeated = sink.write(replace(report(half), restated=up, told_by="run-3", run_id="run-9"))
        ids = [one.reference for one in (first, second, third, fourth)]
        assert len(set(ids)) == len(receiver.documents) == 4
        assert repeated.reference == fourth.reference


def test_a_document_with_other_rows_has_an_id_of_its_own() -> None:
    rows = {"rows_id": "0a"}, {"rows_id": "0b", "has_new_rows": True, "told_by": "run-1"}
    with Receiver() as receiver:
        sink = Channel("webhook", receiver).sink(include="results")
        first = sink.write(replace(report(), **rows[0]))
        second = sink.write(replace(report(), **rows[1]))
        repeated = sink.write(replace(report(), **rows[1], run_id="run-9"))
        back = {"rows_id": "0a", "has_new_rows": True, "told_by": "run-2"}
        third = sink.write(replace(report(), **back))
        assert len({one.reference for one in (first, second, third)}) == 3
        assert repeated.reference == second.reference
        assert sink.sends_rows
        assert not Channel("webhook", receiver).sink().sends_rows


def test_a_document_says_which_report_it_is() -> None:
    with Receiver() as receiver:
        given = delivery(table(kpi(), kpi(segment={"owner.team": "East"})))
        Channel("webhook", receiver).sink(include="results").write(given)
        [document] = receiver.documents.values()
    assert (document["job"], document["project"]) == ("weekly_sales", "acme")
    assert (document["period_start"], document["period_end"]) == ("2026-01-26", "2026-02-02")
    assert document["message"]["kpis"][0]["value_text"] == "40.0 %"
    assert [row["segment"] for row in document["results"]] == [{}, {"owner.team": "East"}]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://acme.test/hooks/test", "https://acme.test/hooks/prod"),
        ("https://acme.test/hooks/0123456789abcdef", "https://acme.test/hooks/9876543210abcdef"),
        ("https://acme.test/in?token=a", "https://acme.test/in?token=b"),
    ],
)
def test_addresses_that_look_the_same_are_different_destinations(one: str, other: str) -> None:
    def sinks(address: str) -> list[chat.ChatSink]:
        given, context = Secret(address), SinkContext("team", Path())
        return [
            WebhookSink(WebhookOptions(url=given), context),
            TeamsSink(chat.WebhookOptions(webhook_url=given), context),
        ]

    shown = {sink.destination(delivery()) for url in (one, other) for sink in sinks(url)}
    found = {sink.destination_id(delivery()) for url in (one, other) for sink in sinks(url)}
    assert (len(shown), len(found)) == (1, 4)
    assert not [told for told in shown | found if "hooks" in told or "token" in told]


def test_a_receiver_that_drops_repeats_follows_a_filter_that_is_taken_back(tmp_path: Path) -> None:
    settings = EngineSettings(path=tmp_path / "warehouse.duckdb", timezone="Europe/Berlin")
    with Receiver(KEY) as receiver, connect(settings, read_only=False) as connection:
        create_deliveries(connection)
        sink, found = Channel("webhook", receiver).sink(), []
        for number, where in enumerate(("", "team = 'East'", "", "team = 'East'", "")):
            half = line(value=0.5, value_text="50.0 %")
            given = delivery(report=message(half if where else line()))
            terms = Terms(ledger=Ledger(connection), where=where)
            deliver({"hub": sink}, replace(given, run_id=f"run-{number}"), terms)
            found.append(len(receiver.documents))
    assert found == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("kind", [TeamsSink, GoogleChatSink])
def test_a_test_server_in_place_of_the_webhook_is_another_destination(
    kind: type[chat.WebhookSink],
) -> None:
    url, context = Secret("https://acme.test/hooks/0123456789abcdef"), SinkContext("team", Path())

    def sink(base_url: str | None) -> chat.WebhookSink:
        return kind(chat.WebhookOptions(webhook_url=url, base_url=base_url), context)

    real, test = sink(None), sink("http://127.0.0.1:8025")
    assert real.destination_id(delivery()) != test.destination_id(delivery())
    assert real.destination_id(delivery()) == sink("https://acme.test").destination_id(delivery())
    assert test.destination(delivery()).startswith("http://127.0.0.1:8025 webhook")


@pytest.mark.parametrize(
    "options", [{"url": "http://acme.test/hunter2"}, {"url": "hunter2"}, {}, {"url": ""}]
)
def test_an_unsafe_address_is_refused_without_being_shown(options: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as caught:
        WebhookOptions(**options)  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)
