"""What a KPI definition says, as frozen values.

A KPI is data: one default measure and named variants. A measure is an aggregate, a ratio or a
formula over a fact of one of three shapes:

- event: one row per thing that happened; `time` puts it into a period;
- state: one row per validity span `span` = (from, to); read at the closing of each period (a
  `vector` gives the opening beside it);
- period: a SQL model that joins `periods` and gives `period_start` itself;

or derived: a formula over `inputs`, which are measures themselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, field

Better = Literal["higher", "lower", "none"]
Shape = Literal["event", "state", "period", "derived"]


class Place(Struct, frozen=True):
    """Where a definition stands, for error messages (line and column are 1-based)."""

    file: str = ""
    line: int = 0
    column: int = 0


NOWHERE = Place()
"""The place of something that no file holds."""


class Places(dict[str, Place]):
    """Where the parts of something stand. It is no part of what they say: any two are equal."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Places)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None


class Condition(Struct, frozen=True):
    """One term of a `where`; with `when`, it holds only if that setting is neither empty nor
    false."""

    sql: str
    when: str = ""


class WindowSpec(Struct, frozen=True):
    """Which days a measure reads for a period.

    trailing_days, trailing_months, trailing_periods: a fixed length that ends with the period (P9);
    periods are those of the question's grain.
    shift: the period before, or the same period one year earlier. shift_months: that many months
    back (after the length was applied).
    """

    trailing_days: int | str = 0
    trailing_months: int = 0
    trailing_periods: int | str = 0
    shift: Literal["", "previous", "year_ago"] = ""
    shift_months: int = 0

    @property
    def is_plain(self) -> bool:
        return self == WindowSpec()


PLAIN = WindowSpec()
"""The period itself."""


class Alternative(Struct, frozen=True):
    """Measure keys that replace the default's when one of these dimensions is asked for: a deal's
    amount by product is read from its lines.

    when: setting -> value under which it applies; then it is read like a variant, and without
    dimensions it applies to every question.
    """

    dimensions: tuple[str, ...]
    changes: Mapping[str, Any]
    when: Mapping[str, str] = field(default_factory=dict)


class Latest(Struct, frozen=True):
    """Of several rows that are the same by `per`, only the latest `by` counts, in every group and
    window anew. Both are expressions over the fact's columns."""

    per: str
    by: str


class Input(Struct, frozen=True):
    """A named operand of a derived measure: another KPI, or a measure of its own.

    without: dimensions (patterns) that it is not split by: its value in a group is the one of the
    group without them.
    """

    name: str
    kpi: str = ""
    measure: Measure | None = None
    window: WindowSpec = PLAIN
    without: tuple[str, ...] = ()


class Measure(Struct, frozen=True):
    """How one number is computed.

    value, or numerator and denominator: SQL with aggregates over the fact's columns (or, when
    derived, over the inputs). n: rows or units behind the value; None = derived from the
    expressions. coverage: further named counts. matures_after: days that must pass after the
    period before the value is final.
    coverage_inputs: counts that need a fact of their own. currency: the column (or `ref.column`)
    beside the money columns. rate_day: day of the exchange rate where it is not the event's.
    needs: datasets and columns that a model reads and that must be there; optional: datasets,
    or `dataset.column`, that may be absent (= no rows, null). covered_by: `dataset.column` that
    date a period model, of which one is enough (N3); each_covered_by: of which all must be there.
    spared_by: needed dataset or `dataset.column` -> `dataset.column` that gives the same where a
    source delivers it; what is needed may then be absent.
    not_assumed: `dataset.column` of flags whose default is no answer: a source that does not tell
    them leaves no number.
    configured_by: setting {dataset: [column or condition, ...]} that says what the relation reads;
    unset = `missing_column`.
    keeps_total: the row over all of the always-by dimensions comes with them.
    status_when, flag_when: status or flag -> SQL condition over value, numerator, denominator, n.
    undated_status: of an event none of whose rows is dated (instead of `missing_dataset`).
    looks_ahead: never `partial` (P16). projected: the value continues the measure's own earlier
    periods (F1). periods_of: a relation whose periods are reported instead of those asked for.
    settings: defaults of the entry's own settings.
    latest: which of several rows counts. over: the inputs of a formula are taken by these
    dimensions as well, and its expressions aggregate them. standard_error: SQL whose value gives a
    normal 95 % interval around the measure.
    """

    relation: str = ""
    shape: Shape = "event"
    time: str = ""
    span: tuple[str, str] | None = None
    where: tuple[Condition, ...] = ()
    value: str = ""
    numerator: str = ""
    denominator: str = ""
    n: str = ""
    coverage: Mapping[str, str] = field(default_factory=dict)
    coverage_inputs: tuple[Input, ...] = ()
    inputs: tuple[Input, ...] = ()
    window: WindowSpec = PLAIN
    matures_after: str = ""
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    spared_by: Mapping[str, str] = field(default_factory=dict)
    not_assumed: tuple[str, ...] = ()
    covered_by: tuple[str, ...] = ()
    each_covered_by: tuple[str, ...] = ()
    configured_by: str = ""
    alternatives: tuple[Alternative, ...] = ()
    always_by: tuple[str, ...] = ()
    keeps_total: bool = False
    status_when: Mapping[str, str] = field(default_factory=dict)
    flag_when: Mapping[str, str] = field(default_factory=dict)
    undated_status: str = ""
    looks_ahead: bool = False
    projected: bool = False
    flags: tuple[str, ...] = ()
    currency: str = "currency"
    rate_day: str = ""
    periods_of: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    latest: Latest | None = None
    over: tuple[str, ...] = ()
    standard_error: str = ""
    places: Places = field(default_factory=Places)

    @property
    def is_ratio(self) -> bool:
        return bool(self.numerator and self.denominator)

    def place(self, key: str) -> Place:
        """Where `key` of this measure stands; the measure itself when the key has no place."""
        return self.places.get(key) or self.places.get("", NOWHERE)


class Variant(Struct, frozen=True):
    """One way of reading a KPI; the default has the empty name."""

    name: str
    measure: Measure
    title: str = ""
    unit: str = ""
    about: str = ""


class Kpi(Struct, frozen=True):
    """One entry of a pack or of the project's own definitions.

    reported_by: the dimensions that a report shows it by when the job names none (rule S5).
    """

    id: str
    pack: str
    title: str
    question: str
    unit: str
    better: Better
    variants: Mapping[str, Variant]
    kind: str = ""
    grains: tuple[str, ...] = ("month",)
    dimensions: tuple[str, ...] = ()
    reported_by: tuple[str, ...] = ()
    guardrails: tuple[str, ...] = ()
    about: str = ""
    treatment: str = ""
    mistakes: str = ""
    source: str = ""
    overrides: str = ""
    owners: tuple[str, ...] = ()
    effective_from: str = ""
    min_sample: int = 0
    place: Place = NOWHERE

    @property
    def default(self) -> Variant:
        return self.variants[""]

    def variant(self, name: str) -> Variant:
        """The variant of that name ('' = the default); KeyError if there is none."""
        return self.variants[name]


class Model(Struct, frozen=True):
    """A SQL model of a pack: a named relation that KPIs and other models read.

    text: one SELECT with `$setting` placeholders; one that reads `periods` gives `period_start`.
    """

    name: str
    pack: str
    text: str
    file: str

    @property
    def is_materialized(self) -> bool:
        """True when the text begins with `-- materialized`: computed once per question (once
        per set of periods, if it reads them), instead of by every statement that reads it."""
        return self.text.lstrip().lower().startswith("-- materialized")

    @property
    def for_each(self) -> str:
        """The setting {dataset: [column or condition, ...]} that a text which begins with
        `-- for each SETTING` is repeated for; empty when there is none."""
        found = re.match(r"\s*-- for each (\w+)", self.text)
        return found[1] if found else ""


class DerivedDimension(Struct, frozen=True):
    """A dimension that is no plain column (rule S9).

    on: the relations whose facts have it. expression: SQL over the fact's columns; or bands of
    `band` by the list in `setting`; or a look-up of `column` in `lookup` by `key` (fact column ->
    look-up column).
    """

    name: str
    pack: str
    on: tuple[str, ...]
    expression: str = ""
    band: str = ""
    setting: str = ""
    lookup: str = ""
    key: tuple[str, str] = ("", "")
    column: str = ""
    place: Place = NOWHERE


class Whole(Struct, frozen=True):
    """A vector that holds another one: read in its place by a question that reads several such.

    vector: its name. values: own value -> that of the whole. They say the same when settings have
    these values (`when`), and no row of a relation meets the condition that stands for it (`none`).
    """

    vector: str
    values: Mapping[str, str]
    when: Mapping[str, str] = field(default_factory=dict)
    none: Mapping[str, str] = field(default_factory=dict)


class Vector(Struct, frozen=True):
    """A relation with one row per entity and period: its state at opening and closing.

    relation: a dataset or view whose rows are valid over `span` (dates, [from, to)). entity: the
    columns that identify it. values: name -> aggregate over the rows valid on a day; types: their
    SQL types where they are not DECIMAL(38,4). In a value, `amount_rc` is the amount in the
    reporting currency, `currency` the column beside it; rate_day: both sides of a period at the
    rate of its opening day (C3), or each reading at the rate of its own day. defects: name ->
    count of rows that an amount leaves out; null for entities whose amounts are all there and in
    the reporting currency. part_of: another vector that holds it.
    """

    name: str
    pack: str
    relation: str
    entity: tuple[str, ...]
    span: tuple[str, str]
    values: Mapping[str, str]
    types: Mapping[str, str] = field(default_factory=dict)
    where: str = ""
    currency: str = "currency"
    rate_day: Literal["opening", "reading"] = "opening"
    defects: Mapping[str, str] = field(default_factory=dict)
    place: Place = NOWHERE
    part_of: Whole | None = None

    def type_of(self, value: str) -> str:
        if value in self.defects:
            return "BIGINT"
        return self.types.get(value, "DECIMAL(38,4)")
