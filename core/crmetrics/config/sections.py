"""The core sections of the project file, as the file writes them."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from crmetrics.config.cron import parse_cron
from crmetrics.config.expectations import (
    Count,
    CountOrZero,
    Duration,
    Name,
    Number,
    PositiveDuration,
    Text,
    Timezone,
    Unique,
    expected,
    lower,
    refuse_bool,
    stated,
)
from crmetrics.errors import did_you_mean
from crmetrics.options import Options
from crmetrics.periods import WEEKDAYS, Calendar, Grain

# --- value types -----------------------------------------------------------------------------


def _currency(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{3}", value):
        raise expected("a currency code of three letters such as USD")
    return value.upper()


def _month_and_day(value: str) -> str:
    match = re.fullmatch(r"(\d\d?)-(\d\d?)", value)
    if not match or not (1 <= int(match[1]) <= 12 and 1 <= int(match[2]) <= 28):
        raise expected("month and day as MM-DD such as 02-01, the day at most 28")
    return f"{int(match[1]):02d}-{int(match[2]):02d}"


def _memory(value: str) -> str:
    if not re.fullmatch(r"\d+(\.\d+)?\s*([KMGT]i?B|%)", value, re.IGNORECASE):
        raise expected("an amount of memory such as 4GB or 80%")
    return value


def _warehouse_path(value: str) -> str:
    if value.startswith(":memory:") or value.endswith(("/", "\\")):
        raise expected("the path of a file")
    return value


def _schedule(value: str) -> str:
    try:
        parse_cron(value)
    except ValueError as exc:
        raise stated(f"{exc}") from None
    return value


def _module(value: str) -> str:
    if not all(part.isidentifier() for part in value.split(".")):
        raise expected("the dotted name of a Python module")
    return value


def _known_sink(value: str, info: ValidationInfo) -> str:
    known = (info.context or {}).get("sinks")
    if known is not None and value not in known:
        what = f"one of the sinks {', '.join(known)}" if known else "a name defined under `sinks:`"
        raise expected(what, did_you_mean(value, known))
    return value


Currency = Annotated[str, AfterValidator(_currency)]
MonthAndDay = Annotated[str, AfterValidator(_month_and_day)]
Weekday = Annotated[
    Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"],
    BeforeValidator(lower),
]
Memory = Annotated[str, AfterValidator(_memory)]
WarehousePath = Annotated[Text, AfterValidator(_warehouse_path)]
Schedule = Annotated[str, AfterValidator(_schedule)]
ModuleName = Annotated[str, AfterValidator(_module)]
SinkName = Annotated[str, AfterValidator(_known_sink)]
Grouping = Annotated[tuple[Text, ...], Field(min_length=1), Unique]

# --- sections --------------------------------------------------------------------------------


class ReportingConfig(Options):
    """How days become periods and money becomes comparable."""

    timezone: Timezone = Field(default="UTC", description="IANA name of the reporting zone")
    currency: Currency = Field(default="USD", description="reporting currency, ISO 4217")
    week_start: Weekday = Field(default="monday", description="first day of the week")
    fiscal_year_start: MonthAndDay = Field(
        default="01-01", description="first day of the fiscal year as MM-DD, day at most 28"
    )

    @property
    def calendar(self) -> Calendar:
        month, _, day = self.fiscal_year_start.partition("-")
        return Calendar(self.timezone, WEEKDAYS.index(self.week_start), (int(month), int(day)))


class WarehouseSection(Options):
    """The DuckDB file that holds what was loaded; a path alone is the short form."""

    path: WarehousePath = Field(
        default=".crmetrics/warehouse.duckdb", description="relative to the project file"
    )
    memory_limit: Memory | None = Field(
        default=None, description="such as 4GB or 80%; default: DuckDB's, 80% of the memory"
    )
    threads: Count | None = Field(
        default=None, description="default: one per core; one to read a file of less than 32 MB"
    )
    spill_directory: Text = Field(
        default=".crmetrics/spill", description="where work that exceeds the memory goes"
    )
    statement_timeout: PositiveDuration | None = Field(
        default=None, description="how long one statement may run; default: no limit"
    )
    lock_timeout: Duration = Field(
        default=timedelta(seconds=60),
        description="how long to wait for another process that holds the file",
    )


class MetricsSection(Options):
    """What is computed."""

    packs: Annotated[tuple[Name, ...], Unique] = Field(
        default=(), description="metric packs to enable"
    )
    disable: tuple[Text, ...] = Field(default=(), description="KPIs of these packs to leave out")
    settings: dict[str, Any] = Field(
        default_factory=dict, description="flat, or under the id of the KPI they are for"
    )


class Guardrail(Options):
    """The limits that a guardrail KPI must keep, in its stored unit (percent as a fraction)."""

    min: Number | None = None
    max: Number | None = None

    @model_validator(mode="after")
    def _has_a_limit(self) -> Guardrail:
        if self.min is None and self.max is None:
            raise stated("needs a limit: min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise stated("min is above max")
        return self


class GoalConfig(Options):
    """A SMART goal (rule T2). Values in the stored unit of the KPI: percent as a fraction."""

    title: Text = Field(description="specific: what it is about")
    kpi: Text = Field(description="measurable: the KPI or KPI.variant")
    objective: Text = Field(description="relevant: what the business wants from it")
    baseline: Number = Field(description="measurable: the value at the start")
    target: Number = Field(description="measurable: the value to reach")
    start: date = Field(description="time-bound: the first day")
    due: date = Field(description="time-bound: the day by which it is reached")
    owner: Text = Field(description="who answers for it")
    rationale: Text = Field(description="achievable: why it can be reached")
    guardrails: dict[str, Guardrail] = Field(
        min_length=1, description="KPIs that must not suffer, with their limits"
    )
    segment: dict[str, str] = Field(
        default_factory=dict, description="dimension: value, when the goal is for one group only"
    )

    @field_validator("due")
    @classmethod
    def _due_after_start(cls, due: date, info: ValidationInfo) -> date:
        start = info.data.get("start")
        if start is not None and due <= start:
            raise expected(f"a day after the start {start}")
        return due


Doubt = Literal["partial", "stale", "low_coverage", "broken_identity"]
"""What can be wrong with the data behind a report; it is marked, and on demand kept back."""


class JobSection(Options):
    """What `crmetrics run` computes and where it goes."""

    description: str = ""
    schedule: Schedule | None = Field(
        default=None, description="cron: minute hour day month weekday, in the reporting zone"
    )
    grain: Grain = Field(default="month", description="the job reports the last complete one")
    kpis: Annotated[tuple[Text, ...], Field(min_length=1), Unique] = Field(
        description="KPI or KPI.variant"
    )
    by: tuple[Text | Grouping, ...] = Field(
        default=(),
        description="dimensions of one grouping: [a, b]; of several groupings: [[a], [b]]; by "
        "default what a KPI is reported by (churn and lifetime value: segment); none at all: []",
    )
    totals: bool = Field(
        default=True,
        description="give the total beside the groups; else only where there is no group",
    )
    compare: Annotated[tuple[Literal["previous", "year_ago"], ...], Unique] = ()
    where: Text | None = Field(default=None, description="SQL condition over the KPI's rows")
    sinks: Annotated[tuple[SinkName, ...], Unique] = Field(
        default=(), description="names defined under sinks"
    )
    block_on: Annotated[tuple[Doubt, ...], Unique] = Field(
        default=(),
        description="what keeps the numbers back instead of only marking them: partial (a source "
        "failed, data are missing), stale, low_coverage, broken_identity",
    )
    catch_up: Annotated[CountOrZero, Field(le=1000)] = Field(
        default=10, description="how many missed periods a run without --date reports as well"
    )
    jitter: Duration = Field(
        default=timedelta(), description="scheduler: start up to this much later, at random"
    )
    misfire_grace: PositiveDuration | None = Field(
        default=None, description="scheduler: a start missed by more than this is left out"
    )
    retries: Annotated[CountOrZero, Field(le=100)] = Field(
        default=2, description="scheduler: how often a run is repeated that failed"
    )
    retry_after: PositiveDuration = Field(
        default=timedelta(minutes=10), description="scheduler: pause before it, doubled each time"
    )
    time_limit: PositiveDuration | None = Field(
        default=None, description="scheduler: a run that takes longer is ended"
    )

    @field_validator("by")
    @classmethod
    def _one_form(cls, by: tuple[str | tuple[str, ...], ...]) -> tuple[str | tuple[str, ...], ...]:
        if len({isinstance(item, str) for item in by}) > 1:
            raise stated("names and lists of names are mixed; write [a, b] or [[a], [b]]")
        return by

    @property
    def groupings(self) -> tuple[tuple[str, ...], ...]:
        """The sets of dimensions to group by; empty = totals only."""
        names = tuple(item for item in self.by if isinstance(item, str))
        return (names,) if names else tuple(item for item in self.by if not isinstance(item, str))


def _version(value: int) -> int:
    if value != 1:
        raise expected("1, the version of the project file that this crmetrics reads")
    return value


def _warehouse(value: Any) -> Any:
    return {"path": value} if isinstance(value, (str, int, float)) else value


class ProjectSection(Options):
    """The whole file. Sources and sinks are only taken apart here: their keys belong to plugins."""

    version: Annotated[int, BeforeValidator(refuse_bool), AfterValidator(_version)] = Field(
        default=1, description="version of the project file"
    )
    project: Text | None = Field(default=None, description="default: the name of the directory")
    reporting: ReportingConfig = ReportingConfig()
    warehouse: Annotated[WarehouseSection, BeforeValidator(_warehouse)] = WarehouseSection()
    plugins: tuple[ModuleName, ...] = Field(
        default=(), description="modules to load beside installed plugins and plugins/"
    )
    sources: dict[Name, Any] = Field(default_factory=dict, description="where data comes from")
    metrics: MetricsSection = MetricsSection()
    goals: tuple[GoalConfig, ...] = Field(default=(), description="what the KPIs are judged by")
    sinks: dict[Name, Any] = Field(default_factory=dict, description="where results go")
    jobs: dict[Name, JobSection] = Field(default_factory=dict, description="what is run")
