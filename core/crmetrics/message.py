"""The message model: what a report says, before any chat or file format.

Renderers (Slack, Markdown, HTML, e-mail) read it; they never compute. Every text in it is plain:
escaping for a format is the renderer's work. A chat renderer passes the message through `for_chat`
first, which takes out what rule V1 of the KPI catalogue keeps away from chat.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

Tone = Literal["good", "bad", "neutral", "warning"]
"""How a line reads at a glance: of a change, a goal or the whole message."""

Detail = Literal["group", "person", "record"]
"""What one segment is: a group, one user of the CRM, or one record (an account, a contact)."""

SMALLEST_GROUP = 5
"""Figures about fewer people than this are not shown in chat (V1)."""

GOAL_WORDS: Mapping[str, str] = {
    "achieved": "achieved",
    "on_track": "on track",
    "at_risk": "at risk",
    "off_track": "off track",
    "breached_guardrail": "guardrail broken",
}
"""Goal statuses as they are said."""

_KPIS_IN_HEADLINE = 3
_NEW_ROWS = "Rows of the table that goes along have changed; the figures shown here have not"
_TROUBLE = frozenset({"at_risk", "off_track", "breached_guardrail"})
_URGENCY: Mapping[Tone, int] = {"bad": 0, "warning": 1, "good": 2, "neutral": 2}


@dataclass(frozen=True, slots=True)
class SegmentLine:
    """One group of a KPI in one period: its segment and its value, ready to read.

    n: rows or units behind the value; people, when the KPI is about users.
    """

    segment: Mapping[str, str]
    value: float | None
    value_text: str
    change_text: str = ""
    tone: Tone = "neutral"
    n: int | None = None
    goal_text: str = ""

    @property
    def label(self) -> str:
        """The values of the segment, in the order of its dimensions."""
        return " / ".join(self.segment.values())


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The groups of a KPI by one set of dimensions.

    segments: the first groups by value; `further` more exist. note: what the reader must know of
    the groups ("and 12 more"). detail: what one segment is. driver: the group that contributes
    most to the change of the total, with its share of it as value; None = cannot be told.
    """

    dimensions: tuple[str, ...]
    segments: tuple[SegmentLine, ...] = ()
    further: int = 0
    note: str = ""
    detail: Detail = "group"
    driver: SegmentLine | None = None


@dataclass(frozen=True, slots=True)
class KpiLine:
    """One KPI of the reported period.

    value: in the stored unit (percent as 0 to 1); None when there is none, then `status` says why,
    or when the KPI was computed for groups only, then `breakdowns` hold the values.
    change_text: the change in words ("up 3.1 points on the week before"). trend_text: where the
    series is heading. alert_text: why the value is unusual, good or bad; is_new_alert: that of the
    period before was not.
    series: the values of the last periods, oldest first, this one last; None = no value.
    target: that of the goal. goal_owner: who answers for it. goal_before: its state in the report
    that was delivered before this one; None = not known, as in the first report.
    is_about_users: the KPI measures the users of the CRM, and `n` counts them.
    lacks_groups: it was asked for in groups alone and there is none; the value is the total's.
    """

    kpi: str
    title: str
    unit: str
    value: float | None
    value_text: str
    status: str = "ok"
    status_text: str = ""
    change_text: str = ""
    trend_text: str = ""
    alert_text: str = ""
    is_new_alert: bool = False
    tone: Tone = "neutral"
    goal_text: str = ""
    guardrail_text: str = ""
    coverage_text: str = ""
    flags: tuple[str, ...] = ()
    series: tuple[float | None, ...] = ()
    series_labels: tuple[str, ...] = ()
    breakdowns: tuple[Breakdown, ...] = ()
    variant: str = ""
    n: int | None = None
    is_about_users: bool = False
    goal_status: str = ""
    goal_owner: str = ""
    goal_before: str | None = None
    target: float | None = None
    lacks_groups: bool = False

    @property
    def name(self) -> str:
        """`ID` or `ID.VARIANT`, as the project file writes it."""
        return f"{self.kpi}.{self.variant}" if self.variant else self.kpi

    @property
    def calls_owner(self) -> bool:
        """True when the goal's owner is to be told: the goal came into trouble or out of it.

        Trouble that goes on is no news; a goal whose state was never told is, when it is bad.
        """
        troubles = {self.goal_status, self.goal_before or ""} & _TROUBLE
        return bool(troubles) and bool(self.goal_status) and self.goal_status != self.goal_before

    @property
    def goal_words(self) -> str:
        """`goal_status` as it is said; empty without a judged goal."""
        return GOAL_WORDS.get(self.goal_status, "")

    @property
    def goal_words_before(self) -> str:
        """How the goal stood in the report before, as it is said; empty when not known."""
        return GOAL_WORDS.get(self.goal_before or "", "")


@dataclass(frozen=True, slots=True)
class Restated:
    """A figure that was delivered and reads differently now."""

    title: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Note:
    """What the reader must know about the data.

    chat: the same without any value of a record: counts and places only (rule V1).
    """

    text: str
    chat: str


@dataclass(frozen=True, slots=True)
class Message:
    """One report: a job's KPIs for one period.

    headline: a full sentence that stands alone (notification, fallback text).
    notes: what the reader must know about the data (partial, stale, skipped datasets). They may
    name records and quote their values; chat_notes: what a chat may read in their place, None =
    all of them as they are.
    footer: period, as_of, zone, currency and definition marks (rule V3).
    is_partial: a source or dataset is missing in it.
    """

    title: str
    headline: str
    period_label: str
    period_start: str
    period_end: str
    tone: Tone = "neutral"
    kpis: tuple[KpiLine, ...] = ()
    notes: tuple[str, ...] = ()
    footer: tuple[str, ...] = ()
    created_at: datetime | None = None
    extras: Mapping[str, str] = field(default_factory=dict)
    is_partial: bool = False
    chat_notes: tuple[str, ...] | None = None


def by_urgency(lines: Iterable[KpiLine]) -> list[KpiLine]:
    """Broken guardrails and missed goals first, then warnings, else in the order of the job."""
    return sorted(lines, key=lambda line: _URGENCY[line.tone])


def compose_headline(title: str, lines: Sequence[KpiLine], *, is_partial: bool = False) -> str:
    """The report in full sentences: the most urgent KPIs with their change, then the goals."""
    warning = " Based on partial data." if is_partial else ""
    if not lines:
        return f"{title}: no figures.{warning}"
    named = by_urgency(lines)[:_KPIS_IN_HEADLINE]
    figures = ", ".join(_figure(line) for line in named)
    if len(lines) > len(named):
        figures += f" and {len(lines) - len(named)} more"
    sentences = [f"{title}: {figures}."]
    for status, words in (
        ("breached_guardrail", "Guardrail broken"),
        ("off_track", "Goal off track"),
        ("at_risk", "Goal at risk"),
    ):
        titles = [line.title for line in lines if line.goal_status == status]
        if titles:
            sentences.append(f"{words}: {_listed(titles)}.")
    unusual = [line.title for line in lines if line.is_new_alert]
    if unusual:
        sentences.append(f"Unusual: {_listed(unusual)}.")
    return " ".join(sentences) + warning


def _listed(titles: Iterable[str]) -> str:
    """Titles side by side; one may hold commas itself."""
    return "; ".join(titles)


def _figure(line: KpiLine) -> str:
    if line.value is None:
        return f"{line.title} ({line.status_text or line.value_text})"
    return f"{line.title} {line.value_text}" + (
        f" ({line.change_text})" if line.change_text else ""
    )


def as_restatement(
    message: Message,
    restated: Sequence[Restated],
    goals_told: Mapping[str, str] | None = None,
    *,
    has_new_rows: bool = False,
) -> Message:
    """The report as a correction of one that cannot be replaced: it says so in the title, and what
    read differently before anything else. goals_told: KPI -> state of its goal that was told then;
    its owner is called only when it is another now. has_new_rows: rows that go along have changed,
    perhaps in nothing that the message shows."""
    if not restated and not has_new_rows:
        return message
    title = f"Restated: {message.title}"
    changes = tuple(restatement_text(one) for one in restated) or (_NEW_ROWS,)
    headline = compose_headline(title, message.kpis, is_partial=message.is_partial)
    known = goals_told or {}
    lines = tuple(
        replace(line, goal_before=known.get(line.name, line.goal_before)) for line in message.kpis
    )
    notes = (*changes, *message.notes)
    return replace(message, title=title, headline=headline, notes=notes, kpis=lines)


def with_note(message: Message, note: str) -> Message:
    """The message with one more note, which names nobody."""
    chat_notes = message.chat_notes
    if chat_notes is not None:
        chat_notes = (*chat_notes, note)
    return replace(message, notes=(*message.notes, note), chat_notes=chat_notes)


def restatement_text(one: Restated) -> str:
    """`Win rate was 40.0 %, is now 41.2 %`"""
    return f"{one.title} was {one.before}, is now {one.after}"


# --- chat ------------------------------------------------------------------------------------


def for_chat(message: Message, *, allow_people: bool = False) -> Message:
    """The message as it may be shown to a chat channel (rule V1).

    Segments that are records (accounts, contacts) are never shown, segments that are users only
    with allow_people. A KPI about users shows no value of fewer than five of them. What is left
    out is said in the note of the breakdown or in `status_text`; the headline is composed anew.
    Notes are those for chats, which quote no record.
    """
    lines = tuple(_line_for_chat(line, allow_people) for line in message.kpis)
    headline = compose_headline(message.title, lines, is_partial=message.is_partial)
    notes = message.notes if message.chat_notes is None else message.chat_notes
    return replace(message, kpis=lines, headline=headline, notes=notes, chat_notes=None)


def _line_for_chat(line: KpiLine, allow_people: bool) -> KpiLine:
    shown = tuple(
        _breakdown_for_chat(breakdown, allow_people, line.is_about_users)
        for breakdown in line.breakdowns
    )
    line = replace(line, breakdowns=shown)
    if not (line.is_about_users and line.value is not None and _is_few(line.n)):
        return line
    return replace(
        line,
        value=None,
        value_text="not shown",
        status_text=f"not shown: fewer than {SMALLEST_GROUP} people",
        change_text="",
        trend_text="",
        alert_text="",
        is_new_alert=False,
        goal_text="",
        guardrail_text="",
        coverage_text="",
        n=None,
        series=(),
        series_labels=(),
    )


def _breakdown_for_chat(
    breakdown: Breakdown, allow_people: bool, is_about_users: bool
) -> Breakdown:
    if breakdown.detail == "record" or (breakdown.detail == "person" and not allow_people):
        hint = " (allow_people is off)" if breakdown.detail == "person" else ""
        note = f"figures by {', '.join(breakdown.dimensions)} are not shown in chat{hint}"
        return replace(breakdown, segments=(), further=0, note=note, driver=None)
    if not is_about_users:
        return breakdown
    shown = tuple(segment for segment in breakdown.segments if not _is_few(segment.n))
    hidden = len(breakdown.segments) - len(shown)
    driver = breakdown.driver
    if driver is not None and _is_few(driver.n):
        driver = None
    notes = [breakdown.note] if breakdown.note else []
    if hidden:
        notes.append(f"not shown: {hidden} with fewer than {SMALLEST_GROUP} people")
    return replace(breakdown, segments=shown, note="; ".join(notes), driver=driver)


def _is_few(people: int | None) -> bool:
    return people is None or people < SMALLEST_GROUP
