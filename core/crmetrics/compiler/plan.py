"""From requested KPIs to operands: alternatives chosen, inputs resolved, settings filled in.

A part is what is computed for one measure and some groupings: either one operand of a row set, or
a formula over inputs, which are parts themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from crmetrics.catalog import (
    NOWHERE,
    PLAIN,
    Catalog,
    Condition,
    Input,
    Kpi,
    Measure,
    Place,
    WindowSpec,
)
from crmetrics.catalog.inheriting import inherited, shape_of
from crmetrics.compiler import expressions
from crmetrics.compiler.expressions import columns
from crmetrics.compiler.operand import Grouping, Operand
from crmetrics.compiler.slices import SliceBook, window_of
from crmetrics.warehouse.business_hours import MACRO

Render = Callable[[str, Mapping[str, Any], Place], str]


class Part(Struct, frozen=True):
    """A measure for some groupings; `operand` for a leaf, `inputs` for a formula.

    extras: coverage counts that have a fact of their own.
    """

    number: int
    label: str
    measure: Measure
    groupings: tuple[Grouping, ...]
    settings: Mapping[str, Any]
    operand: Operand | None = None
    inputs: Mapping[str, Part] = field(default_factory=dict)
    extras: Mapping[str, Part] = field(default_factory=dict)

    @property
    def dimensions(self) -> list[str]:
        names: dict[str, None] = {}
        for grouping in self.groupings:
            names.update(dict.fromkeys(grouping))
        return list(names)

    def leaves(self) -> list[Operand]:
        found = [self.operand] if self.operand else []
        for child in (*self.inputs.values(), *self.extras.values()):
            found += child.leaves()
        return found


class Planner(Struct):
    """Makes parts; numbers parts and operands as it goes.

    settings_of: (KPI id, the entry's own defaults) -> effective settings. instance: the relation
    of a model rendered with settings.
    """

    catalog: Catalog
    book: SliceBook
    settings_of: Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
    render: Render
    instance: Callable[[str, Mapping[str, Any]], str]
    where: str = ""
    tracks_updates: bool = False
    _parts: int = 0
    _operands: int = 0

    def parts(self, kpi: Kpi, variant: str, groupings: tuple[Grouping, ...]) -> list[Part]:
        """The parts of a KPI: one per alternative that its groupings need."""
        measure = kpi.variant(variant).measure
        label = f"{kpi.id}.{variant}" if variant else kpi.id
        settings = self.settings_of(kpi.id, measure.settings)
        return self._split(measure, groupings, label, settings, PLAIN)

    def _split(
        self,
        measure: Measure,
        groupings: tuple[Grouping, ...],
        label: str,
        settings: Mapping[str, Any],
        window: WindowSpec,
    ) -> list[Part]:
        chosen: dict[tuple[Any, ...], list[Grouping]] = {}
        for grouping in groupings:
            chosen.setdefault(self._choice(measure, grouping, settings), []).append(grouping)
        return [
            self._part(_applied(measure, which[0]), tuple(some), label, settings, window)
            for which, some in chosen.items()
        ]

    def _choice(
        self, measure: Measure, grouping: Grouping, settings: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        """Which alternatives a grouping asks for, of the measure first, then of its inputs: what
        differs here cannot share a part."""
        which = _alternative(measure, grouping, settings)
        below = []
        for item in _applied(measure, which).inputs:
            own, local = item.measure, settings
            if own is None:
                own, local = self._referenced(item, settings)
            (inner,) = _groups_of(item, measure, (grouping,))
            below.append(self._choice(own, inner, local))
        return (which, *below)

    def _referenced(
        self, item: Input, settings: Mapping[str, Any]
    ) -> tuple[Measure, Mapping[str, Any]]:
        """The measure of the KPI that an input names, with that KPI's settings."""
        name = self.render(item.kpi, settings, NOWHERE).replace("'", "")
        kpi, variant = self.catalog.input(name)
        measure = kpi.variant(variant).measure
        return measure, self.settings_of(kpi.id, measure.settings)

    def _part(
        self,
        measure: Measure,
        groupings: tuple[Grouping, ...],
        label: str,
        settings: Mapping[str, Any],
        window: WindowSpec,
    ) -> Part:
        measure = _filled(measure, settings, self.render)
        if window.is_plain:
            window = self._lengths(measure.window, settings)
        groupings = _grouped(measure, groupings)
        operand = None
        inputs: dict[str, Part] = {}
        if measure.shape == "derived":
            used = _names(measure)
            for item in measure.inputs:
                if item.name in used:
                    inner = _groups_of(item, measure, groupings)
                    inputs[item.name] = self._input(item, inner, label, settings, window)
        else:
            operand = self._operand(measure, groupings, label, settings, window)
        whole = replace(measure, over=())
        extras = {
            item.name: _of_counted_rows(
                self._input(item, _groups_of(item, whole, groupings), label, settings, window)
            )
            for item in measure.coverage_inputs
        }
        self._parts += 1
        return Part(self._parts, label, measure, groupings, settings, operand, inputs, extras)

    def _input(
        self,
        item: Input,
        groupings: tuple[Grouping, ...],
        label: str,
        settings: Mapping[str, Any],
        window: WindowSpec,
    ) -> Part:
        own = self._lengths(item.window, settings) if not item.window.is_plain else window
        name = f"{label}/{item.name}"
        if item.measure is not None:
            measure, local = item.measure, settings
        else:
            measure, local = self._referenced(item, settings)
        (part,) = self._split(measure, groupings, name, local, own)
        return part

    def _lengths(self, window: WindowSpec, settings: Mapping[str, Any]) -> WindowSpec:
        """The window with the settings of the KPI that states it in place of `$setting`."""
        days, periods = (
            int(self.render(length, settings, NOWHERE)) if isinstance(length, str) else length
            for length in (window.trailing_days, window.trailing_periods)
        )
        return replace(window, trailing_days=days, trailing_periods=periods)

    def _operand(
        self,
        measure: Measure,
        groupings: tuple[Grouping, ...],
        label: str,
        settings: Mapping[str, Any],
        window: WindowSpec,
    ) -> Operand:
        windows = {}
        for item in self.book.slices:
            found = window_of(item, window, self.book.clock)
            if found is not None:
                windows[item.index] = found
        self._operands += 1
        return Operand(
            self._operands,
            label,
            replace(
                measure,
                window=window,
                relation=self.instance(measure.relation, settings),
            ),
            groupings,
            windows,
            where=self.where,
            settings=settings,
            tracks_updates=self.tracks_updates,
        )


def _of_counted_rows(part: Part) -> Part:
    """A coverage count under a filter as one of all rows under that condition: the others, which
    may be nearly all, need no groups. Where it counts nothing it need not say so."""
    if part.operand is None or part.measure.latest or part.measure.is_ratio:
        return part
    value = part.measure.value
    if expressions.split(value, "", part.measure.place("value")).outer != "{0}":
        return part
    shape = expressions.shape_of(value)
    if shape.kind != "count" or shape.is_distinct or shape.argument or not shape.condition:
        return part
    where = (*part.operand.measure.where, Condition(shape.condition))
    counted = replace(part.operand.measure, value="count(*)", where=where)
    return replace(part, operand=replace(part.operand, measure=counted))


def _groups_of(
    item: Input, measure: Measure, groupings: tuple[Grouping, ...]
) -> tuple[Grouping, ...]:
    """The groupings of an input: with those that the formula aggregates over, and without those
    that it is not split by."""
    found = []
    for grouping in groupings:
        names = dict.fromkeys((*grouping, *measure.over))
        found.append(tuple(n for n in names if not any(fnmatchcase(n, p) for p in item.without)))
    return tuple(dict.fromkeys(found))


def _names(measure: Measure) -> set[str]:
    """The inputs that a formula uses; a variant may use fewer than its default."""
    found: set[str] = set()
    for key in ("value", "numerator", "denominator", "n"):
        if sql := getattr(measure, key):
            found |= {name.partition(".")[0] for name in columns(sql, measure.place(key))}
    return found


def _grouped(measure: Measure, groupings: tuple[Grouping, ...]) -> tuple[Grouping, ...]:
    """The groupings with the dimensions that are in every row (S8)."""
    found = [tuple(dict.fromkeys((*measure.always_by, *grouping))) for grouping in groupings]
    if measure.keeps_total:
        found = [*groupings, *found]
    return tuple(dict.fromkeys(found))


def _alternative(measure: Measure, grouping: Grouping, settings: Mapping[str, Any]) -> int:
    """Index of the first alternative that settings and grouping ask for; -1 = the measure as it
    is."""
    for number, alternative in enumerate(measure.alternatives):
        if any(str(settings.get(name)) != value for name, value in alternative.when.items()):
            continue
        if alternative.when and not alternative.dimensions:
            return number
        for name in grouping:
            if any(fnmatchcase(name, pattern) for pattern in alternative.dimensions):
                return number
    return -1


def _applied(measure: Measure, which: int) -> Measure:
    if which < 0:
        return measure
    alternative = measure.alternatives[which]
    if not alternative.when and "inputs" not in alternative.changes:
        return replace(measure, **alternative.changes)
    changed = replace(measure, **inherited(measure, alternative.changes))
    return replace(changed, shape=alternative.changes.get("shape") or shape_of(changed))


def _filled(measure: Measure, settings: Mapping[str, Any], render: Render) -> Measure:
    """The measure with the values of its settings in place of `$setting`."""
    changes: dict[str, Any] = {}
    for key in ("time", "value", "numerator", "denominator", "n", "rate_day", "matures_after"):
        sql = getattr(measure, key)
        if _is_open(sql):
            changes[key] = render(sql, settings, measure.place(key))
    if any(_is_open(term.sql) for term in measure.where):
        changes["where"] = tuple(
            replace(term, sql=render(term.sql, settings, measure.place("where")))
            if not term.when or settings.get(term.when)
            else term
            for term in measure.where
        )
    for key in ("coverage", "status_when", "flag_when"):
        texts = getattr(measure, key)
        if any(_is_open(sql) for sql in texts.values()):
            changes[key] = {
                name: render(sql, settings, measure.place(f"{key}.{name}"))
                for name, sql in texts.items()
            }
    return replace(measure, **changes) if changes else measure


def _is_open(sql: str) -> bool:
    """True where settings decide what an expression says: a `$setting`, or the business hours."""
    return "$" in sql or MACRO in sql
