"""What is said of a KPI's number besides the number: its unit, and the rules of its status."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

from msgspec import Struct

from crmetrics.catalog import Kpi, Measure
from crmetrics.compiler import expressions
from crmetrics.compiler.final import Labelled
from crmetrics.compiler.hashing import definition_hash, named_segments
from crmetrics.compiler.needs import Supplied
from crmetrics.compiler.plan import Part, Planner
from crmetrics.compiler.slices import SliceBook

_RATE_MIN_SAMPLE = 20


class Labelling(Struct, frozen=True):
    """Labels the parts of one question.

    first_day: (relation, expression, until) -> the earliest local day, or any before `until`;
    None = no row; asked for the rule of coverage (N3). covers_from: dataset -> first day that its
    source declares complete. has_rows: whether the warehouse holds any row of a dataset. is_stale:
    KPI needs -> freshness. min_sample: KPI -> what the project file says; None = nothing.
    """

    book: SliceBook
    planner: Planner
    supplied: Supplied
    first_day: Callable[[str, str, date], date | None]
    has_rows: Callable[[str], bool]
    covers_from: Mapping[str, date]
    is_stale: Callable[[Mapping[str, set[str]]], bool]
    min_sample: Callable[[str], int | None]

    def label(
        self,
        ordinal: int,
        kpi: Kpi,
        variant: str,
        part: Part,
        *,
        is_additive: bool,
        needs: Mapping[str, set[str]],
    ) -> Labelled:
        """A part of the KPI with this place in the question. needs: dataset -> columns that it
        reads."""
        unit = kpi.variant(variant).unit or kpi.unit
        undated = self._undated_status(part)
        return Labelled(
            ordinal,
            kpi.id,
            variant,
            unit,
            part,
            is_additive=is_additive,
            is_rate=_is_rate(part, unit),
            min_sample=self._min_sample(kpi, part, unit),
            maturing=self._maturing(part),
            definition_hash=definition_hash(
                kpi, variant, self.planner.catalog, self.planner.settings_of
            ),
            is_assumed=self.supplied.reads_assumed_ends(part),
            uncovered=() if undated else self._uncovered(part),
            undated_status=undated,
            is_stale=self.is_stale(needs),
            early=self._early(kpi, part),
        )

    def _min_sample(self, kpi: Kpi, part: Part, unit: str) -> int:
        configured = self.min_sample(kpi.id)
        if kpi.min_sample:
            return configured if configured is not None else kpi.min_sample
        if unit == "percent" and _is_of_counted(part):
            return configured if configured is not None else _RATE_MIN_SAMPLE
        return 0

    def _maturing(self, part: Part) -> tuple[int, ...]:
        days = maturity_of(part)
        if not days:
            return ()
        clock = self.book.clock
        return tuple(
            s.index
            for s in self.book.slices
            if not clock.is_over(date.fromordinal(s.end.toordinal() + days))
        )

    def _early(self, kpi: Kpi, part: Part) -> tuple[int, ...]:
        """Slices that begin before the day from which the definition, or a segment that it names,
        is agreed."""
        named = named_segments(repr(part.measure), self.planner.catalog)
        days = [kpi.effective_from, *(segment.effective_from for segment in named)]
        agreed = max((date.fromisoformat(day) for day in days if day), default=date.min)
        return tuple(s.index for s in self.book.slices if s.start < agreed)

    def _undated_status(self, part: Part) -> str:
        """The status of a measure whose dataset has rows, but none that is dated; else empty."""
        measure = part.measure
        if not measure.undated_status or not self.has_rows(measure.relation):
            return ""
        is_dated = self._first(measure.relation, measure.time)[0] is not None
        return "" if is_dated else measure.undated_status

    def _uncovered(self, part: Part) -> tuple[int, ...]:
        """Slices before the first row of what the measure dates (N3)."""
        gaps: set[int] = set()
        if part.operand is None:
            return tuple(sorted(gaps.union(*map(self._uncovered, part.inputs.values()))))
        for dated in _dated_by(part.measure):
            firsts = [self._first(*self.supplied.dated(name, sql)) for name, sql in dated]
            gaps |= {
                s.index
                for s in self.book.slices
                if not any(_covers(first, declared, s.start, s.end) for first, declared in firsts)
            }
        return tuple(sorted(gaps))

    def _first(self, relation: str, sql: str) -> tuple[date | None, date | None]:
        until = min((item.end for item in self.book.slices), default=self.book.clock.as_of_day)
        return self.first_day(relation, sql, until), self.covers_from.get(relation)


def _covers(first: date | None, declared: date | None, start: date, end: date) -> bool:
    return (first is not None and first < end) or (declared is not None and declared <= start)


def _dated_by(measure: Measure) -> list[list[tuple[str, str]]]:
    """(relation, dating SQL) of what must cover a period: of each group, one is enough."""
    if measure.covered_by or measure.each_covered_by:
        groups = [measure.covered_by, *([name] for name in measure.each_covered_by)]
        return [
            [(name.partition(".")[0], name.partition(".")[2]) for name in group]
            for group in groups
            if group
        ]
    if measure.shape == "event":
        return [[(measure.relation, measure.time)]]
    if measure.shape == "state" and measure.span:
        return [[(measure.relation, measure.span[0])]]
    return []


def maturity_of(part: Part) -> int:
    """Days that must pass after a period before a number is final: how far its windows reach."""
    days = int(part.measure.matures_after or 0)
    return max([days, *(maturity_of(child) for child in part.inputs.values())])


def _is_of_counted(part: Part) -> bool:
    """True for what is set against counted rows or units, its own or those of an input."""
    name, _, side = part.measure.denominator.partition(".")
    if name in part.inputs:
        measure = part.inputs[name].measure
        counted = measure.denominator if side == "denominator" else measure.value
    else:
        counted = part.measure.denominator if part.operand else ""
    return bool(counted) and expressions.text(counted).lower().startswith("count(")


def _is_rate(part: Part, unit: str) -> bool:
    """True for a share of counted rows or units, which has a Wilson interval."""
    measure = part.measure
    if unit != "percent" or part.operand is None or not measure.is_ratio or measure.value:
        return False
    return all(
        expressions.text(sql).lower().startswith("count(")
        for sql in (measure.numerator, measure.denominator)
    )
