"""Identities, checked with every answer: a broken one is a defect of the data or of a definition.

What packs state (`catalog.identities`) is computed beside the KPIs, over the same rows. One rule
needs no statement: of a KPI whose groups add up, no group is larger than the total (S4, Q5).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from crmetrics.catalog import Catalog, Identity
from crmetrics.catalog.identities import LABEL
from crmetrics.errors import CrmetricsError
from crmetrics.message import Note
from crmetrics.periods import Period

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics.compiler.operand import Grouping
    from crmetrics.engine.answer import Answerer, Question

log = logging.getLogger(__name__)

FLAG = "broken_identity"
"""Flag of the rows concerned, with the name of the identity: `broken_identity:kept_and_lost`."""

TOTALS = "totals"
"""The name of the rule about totals and groups."""

_MORE = "Its figures: `crmetrics run`."
_TOLERANCE = 1e-6
_NOT_COMPARED = ("partial", "maturing")

Row = Mapping[str, Any]
Segment = tuple[tuple[str, str], ...]


class Breach(Struct, frozen=True):
    """An identity that does not hold for one period and group.

    kpis: the KPIs and variants whose rows are concerned. text: the whole finding as a sentence.
    chat_text: the same without the group and its figures, which may be those of a person.
    """

    identity: str
    kpis: tuple[str, ...]
    period_start: date
    segment: Segment
    left: float
    right: float
    text: str
    chat_text: str

    @property
    def note(self) -> Note:
        return Note(self.text, self.chat_text)

    @property
    def flag(self) -> str:
        return f"{FLAG}:{self.identity}"


class Checked(Struct, frozen=True):
    """An answer whose identities were looked at: its rows, with flags where one is broken, the
    names of the identities looked at, and what is broken."""

    results: pa.Table
    identities: tuple[str, ...]
    breaches: tuple[Breach, ...]


# --- which identities ----------------------------------------------------------------------------


def applicable(answerer: Answerer, question: Question, *, with_companions: bool) -> tuple[str, ...]:
    """The identities to look at with a question: those of which all KPIs are asked for, or with
    companions one, the others being computed for it alone. None with a filter: a filter that one
    side reads otherwise than the other breaks what holds."""
    if question.where:
        return ()
    settings = answerer.settings.of("")
    judge = any if with_companions else all
    return tuple(
        name
        for name, identity in answerer.catalog.identities.items()
        if judge(kpi in question.kpis for kpi in identity.kpis)
        and all(str(settings.get(key)) == value for key, value in identity.when.items())
    )


def checkable(identity: Identity, question: Question) -> tuple[Grouping, ...]:
    """The groupings to compute an identity for: all of the question, so that it shares their
    statements, where each of its KPIs is asked for by them and nothing else goes into it, which
    might lack their dimensions; else those that it claims."""
    claimed = [one for one in question.groupings if identity.holds_by(one)]
    is_of_kpis = all(item.kpi for item in identity.measure.inputs)
    if claimed and is_of_kpis and all(kpi in question.kpis for kpi in identity.kpis):
        return question.groupings
    return tuple(dict.fromkeys(((), *claimed)))


# --- looking -------------------------------------------------------------------------------------


def answered(
    answerer: Answerer,
    question: Question,
    *,
    run_id: str = "",
    with_companions: bool = False,
) -> Checked:
    """The answer to a question, its identities checked."""
    names = applicable(answerer, question, with_companions=with_companions)
    try:
        found = answerer.answer(replace(question, identities=names), run_id=run_id)
    except CrmetricsError as exc:
        if not with_companions:
            raise
        # What nobody asked for must not stop what somebody did.
        log.warning("identities of KPIs that were not asked for are not checked: %s", exc)
        return answered(answerer, question, run_id=run_id)
    results, sides = _parted(found)
    breaches = [*_broken(answerer, sides), *_broken_totals(answerer, results)]
    return Checked(_flagged(results, breaches), names, tuple(breaches))


def _parted(found: pa.Table) -> tuple[pa.Table, list[dict[str, Any]]]:
    """The rows of the KPIs, and those of the identities."""
    import pyarrow as pa

    is_side = [(name or "").startswith(LABEL) for name in found.column("kpi").to_pylist()]
    if not any(is_side):
        return found, []
    # A question by groups may have no row of its own beside those of its identities.
    kept = pa.array([not own for own in is_side], pa.bool_())
    return found.filter(kept), found.filter(pa.array(is_side, pa.bool_())).to_pylist()


def _broken(answerer: Answerer, sides: Iterable[Row]) -> list[Breach]:
    found = []
    for row in sides:
        identity = answerer.catalog.identities[row["kpi"].removeprefix(LABEL)]
        segment = tuple(row["segment"] or ())
        if not identity.holds_by(name for name, _ in segment) or _is_open(row):
            continue
        counts = dict(row["coverage"] or ())
        left, right = row["numerator"], row["denominator"]
        if any(counts.get(name) for name in identity.unless) or left is None or right is None:
            continue
        if not _holds(left, right, identity.relation):
            breach = Breach(
                identity.name,
                identity.kpis,
                row["period_start"],
                segment,
                left,
                right,
                _text(answerer, identity, row, segment),
                f"{_opening(answerer, identity.name, row, segment)}: {identity.title}."
                f" {_cause(identity, answerer.catalog)} {_MORE}",
            )
            found.append(breach)
    return found


def _is_open(row: Row) -> bool:
    """A running period is compared with as many days of the one before: its opening is not the
    closing of that one."""
    return row["status"] in _NOT_COMPARED or any(flag in _NOT_COMPARED for flag in row["flags"])


def _holds(left: float, right: float, relation: str) -> bool:
    if math.isclose(left, right, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
        return True
    return {"=": False, "<=": left < right, ">=": left > right}[relation]


def _text(answerer: Answerer, identity: Identity, row: Row, segment: Segment) -> str:
    left, right = _figure(row["numerator"]), _figure(row["denominator"])
    meant = ", ".join(
        f"{item.name} = {item.kpi}" + (" of the period before" if item.window.shift else "")
        for item in identity.measure.inputs
        if item.kpi
    )
    return (
        f"identity {identity.name} is broken in {_place(answerer, row, segment)}:"
        f" {identity.title}. Expected {identity.holds}, found {left} and {right} ({meant})."
        f" {_cause(identity, answerer.catalog)}"
    )


def _opening(answerer: Answerer, name: str, row: Row, segment: Segment) -> str:
    """Which identity, period and dimensions, no values of these."""
    where = _period(answerer, row)
    if segment:
        where += f" for a group by {', '.join(dimension for dimension, _ in segment)}"
    return f"identity {name} is broken in {where}"


def _cause(identity: Identity, catalog: Catalog) -> str:
    """Which definition to look at: the team's own, if one of the KPIs is."""
    own = []
    for name in dict.fromkeys(kpi.partition(".")[0] for kpi in identity.kpis):
        kpi = catalog.kpis[name]
        if kpi.overrides:
            own.append(f"{name} is redefined at {kpi.place.file}:{kpi.place.line}")
    if own:
        return f"Look at the definition first: {', '.join(own)}."
    return "The definitions are the pack's: the data contradict themselves."


def _place(answerer: Answerer, row: Row, segment: Segment) -> str:
    label = _period(answerer, row)
    return f"{label} for {_words(segment)}" if segment else label


def _period(answerer: Answerer, row: Row) -> str:
    period = Period(row["period_start"], row["period_end"], row["grain"])
    return answerer.clock.calendar.label(period)


def _words(segment: Segment) -> str:
    return ", ".join(f"{name} = {value}" for name, value in segment)


def _figure(value: float) -> str:
    return f"{value:,.6f}".rstrip("0").rstrip(".")


# --- totals and groups ---------------------------------------------------------------------------


def _broken_totals(answerer: Answerer, results: pa.Table) -> list[Breach]:
    """Groups larger than their total, where the KPI adds up and no group is negative."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    totals: dict[tuple[Any, ...], Row] = {}
    columns = ["kpi", "variant", "period_start", "period_end", "grain", "segment", "value"]
    for row in results.select(columns).to_pylist():
        key = (row["kpi"], row["variant"], row["period_start"], row["period_end"])
        if row["value"] is None or not answerer.additive.get(key[:2]):
            continue
        if not row["segment"]:
            totals[key] = row
        else:
            names = tuple(name for name, _ in row["segment"])
            groups.setdefault((*key, names), []).append(row)
    found = []
    for key, rows in groups.items():
        total = totals.get(key[:4])
        if total is None or any(row["value"] < 0 for row in rows):
            continue
        largest = max(rows, key=lambda row: float(row["value"]))
        if not _holds(largest["value"], total["value"], "<="):
            found.append(_too_large(answerer, largest, total))
    return found


def _too_large(answerer: Answerer, group: Row, total: Row) -> Breach:
    name = f"{group['kpi']}.{group['variant']}".rstrip(".")
    segment = tuple(group["segment"])
    cause = "What the group is read from contradicts what the total is read from."
    return Breach(
        TOTALS,
        (name,),
        group["period_start"],
        segment,
        group["value"],
        total["value"],
        f"identity {TOTALS} is broken in {_place(answerer, group, segment)}: {name} is"
        f" {_figure(group['value'])} there and {_figure(total['value'])} in total. {cause}",
        f"{_opening(answerer, TOTALS, group, segment)}: {name} is more there than in total."
        f" {cause} {_MORE}",
    )


# --- flags ---------------------------------------------------------------------------------------


def _flagged(results: pa.Table, breaches: Sequence[Breach]) -> pa.Table:
    """The results with a flag on the rows concerned: those of the KPIs in the broken period and
    group, and where the total is not among the results all groups of the period."""
    if not breaches:
        return results
    import pyarrow as pa

    rows = results.select(["kpi", "variant", "period_start", "segment", "flags"]).to_pylist()
    flags = [list(row["flags"] or ()) for row in rows]
    for breach in breaches:
        own = [
            number
            for number, row in enumerate(rows)
            if row["period_start"] == breach.period_start
            and f"{row['kpi']}.{row['variant']}".rstrip(".") in breach.kpis
        ]
        exact = [n for n in own if tuple(rows[n]["segment"]) == breach.segment]
        for number in exact or ([] if breach.segment else own):
            flags[number] = list(dict.fromkeys([*flags[number], breach.flag]))
    place = results.schema.get_field_index("flags")
    column = pa.array(flags, results.schema.field(place).type)
    return results.set_column(place, results.schema.field(place), column)
