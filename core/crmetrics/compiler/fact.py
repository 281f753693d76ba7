"""The fact of a row set: one relation, joined along keys, with the columns its measures read.

`Fact` collects what expressions and dimensions need and then writes the SELECT. Every join is
many-to-one, so a fact never has more rows than its relation (times the windows a row falls into).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct, field
from msgspec.structs import replace

from crmetrics.catalog import NOWHERE, DerivedDimension, Place
from crmetrics.compiler import expressions
from crmetrics.compiler.bands import band_sql
from crmetrics.compiler.coding import Coded, can_be_coded, text_name, with_codes
from crmetrics.compiler.conditions import conjunction
from crmetrics.compiler.expressions import failure
from crmetrics.compiler.frames import WINDOW_COLUMNS, FrameTables
from crmetrics.compiler.relations import FIRST_LEAD, Path, Relation, alias_of, virtual_base
from crmetrics.compiler.surroundings import ALL_COLUMNS, Surroundings
from crmetrics.errors import ConfigError, Finding, did_you_mean
from crmetrics.warehouse.placeholders import identifier

EVENT_COLUMNS = ("event_day", "event_at", *WINDOW_COLUMNS)


class Fact(Struct):
    """One fact under construction.

    is_parent: it is a parent of other facts, with what lies behind it (`opportunities` with the
    team of their owner). Such a parent stands in `around.parents` and is joined with its own
    parents once for a question, not once for every row of every fact that follows two keys. A fact
    of a relation that is kept like that for others (`around.kept`) reads it there as well.
    coded: its columns that hold, or name groups by, values of enumerations.
    """

    around: Surroundings
    relation: Relation
    frame: FrameTables
    time: str = ""
    span: tuple[str, str] | None = None
    currency: str = "currency"
    rate_day: str = ""
    place: Place = NOWHERE
    label: str = ""
    _columns: dict[str, str] = field(default_factory=dict)
    _joins: dict[str, str] = field(default_factory=dict)
    _orphans: dict[str, str] = field(default_factory=dict)
    is_running: bool = False
    is_parent: bool = False
    is_by_piece: bool = False
    shows_orphans: bool = True
    _widened: dict[str, Fact] = field(default_factory=dict)
    _read: dict[str, set[str]] = field(default_factory=dict)
    _uses_windows: bool = False
    _base: str = ""
    _gone_parent: str = ""
    coded: dict[str, Coded] = field(default_factory=dict)

    def over(self, base: str, gone_parent: str = "") -> Fact:
        """The same fact over another table. gone_parent: whose left-out records are found too."""
        return replace(self, _base=base, _gone_parent=gone_parent)

    def read_for(self, text: str) -> Fact:
        """The same fact with its dimensions and, of its columns, those that a text names."""
        low = text.lower()
        columns = {
            name: sql
            for name, sql in self._columns.items()
            if name.startswith("by ") or name.replace('"', '""').lower() in low
        }
        return replace(self, _columns=columns, _orphans={})

    # --- what is read ----------------------------------------------------------------------------

    def need(self, tree_columns: Iterable[str], place: Place) -> None:
        """Expose these columns (`amount`, `owner.team`, `amount_rc`) under their names.

        Raises ConfigError for all of them that do not exist.
        """
        new = sorted({*tree_columns} - self._columns.keys())
        self._columns |= self._columns_sql(new, place)

    def _columns_sql(self, names: Iterable[str], place: Place) -> dict[str, str]:
        found: dict[str, str] = {}
        findings: list[Finding] = []
        for name in names:
            try:
                found[name] = self._column_sql(name, place)
            except ConfigError as exc:
                findings += exc.findings
        if findings:
            raise ConfigError(findings=findings)
        return found

    def _column_sql(self, name: str, place: Place) -> str:
        if name in EVENT_COLUMNS and name not in self.relation.columns:
            return self._event_column(name, place)
        path = self.around.schema.column_path(self.relation, name)
        if path is None:
            known = [*self.relation.columns, *EVENT_COLUMNS]
            known += [f"{c}_rc" for c in self.relation.money_columns()]
            known += [f"{c}_day" for c in self.relation.instants()]
            raise failure(
                f"{self.label}: {self.relation.name} has no column {name!r}.",
                place,
                did_you_mean(name, known),
            )
        return self.path_sql(path)

    def path_sql(self, path: Path) -> str:
        """SQL of a column along its joins; virtual columns are made here."""
        relation = self._at(path.hops)
        is_money = path.column not in relation.columns and not path.column.endswith("_day")
        if not is_money and self._is_behind_parent(path.hops):
            return self._behind_parent(path)
        alias = self._join(path.hops)
        if path.column in relation.columns:
            sql = self._field(alias, path.column)
            is_coded = relation.columns[path.column].startswith("ENUM")
            return f"{sql}::varchar" if is_coded else sql
        base = virtual_base(path.column) or path.column
        if not is_money:
            return self.around.day_of(self._field(alias, base))
        return self._money(alias, base, relation, is_constant=path.column.endswith("_cc"))

    def _field(self, alias: str, column: str) -> str:
        self._read.setdefault(alias, set()).add(column)
        return f"{alias}.{identifier(column)}"

    def _event_column(self, name: str, place: Place) -> str:
        if name == "event_day":
            if not self.time:
                raise failure(f"{self.label}: only dated facts have event_day.", place)
            return "d.day"
        if name == "event_at":
            if not self.time or self.is_daily:
                raise failure(f"{self.label}: only facts dated by an instant have event_at.", place)
            return self.expression(self.time, self.place)
        self._uses_windows = True
        return f"w.{name}"

    def _money(self, alias: str, base: str, relation: Relation, *, is_constant: bool) -> str:
        amount = self._field(alias, base)
        currency = self._currency_sql(alias, relation)
        if not currency:
            return amount
        if not self.around.has_rates:
            return self.around.convert(amount, currency, "")
        day = self.around.as_of_day if is_constant else self._rate_day_sql()
        name = "rate_as_of" if is_constant else "rate"
        if alias != "f":
            name = f"{name}_{alias}"
        self._joins.setdefault(
            name,
            f"left join rates_by_day {name} on {name}.currency = {currency} and {name}.day = {day}",
        )
        return self.around.convert(amount, currency, f"{name}.rate")

    def _currency_sql(self, alias: str, relation: Relation) -> str:
        if alias != "f":
            return self._field(alias, "currency") if "currency" in relation.columns else ""
        path = self.around.schema.column_path(self.relation, self.currency)
        return self.path_sql(path) if path is not None else ""

    def _rate_day_sql(self) -> str:
        if self.rate_day:
            return self.expression(self.rate_day, self.place)
        if self.time:
            return "d.day"
        self._uses_windows = True
        return "w.snapshot_day"

    def expression(self, sql: str, place: Place) -> str:
        """An expression with its columns qualified, for use inside the fact itself."""
        names = expressions.columns(sql, place)
        return expressions.substituted(sql, self._columns_sql(names, place), place)

    def column_type(self, name: str) -> str:
        """SQL type of a column by its name or path; empty when there is none of that name."""
        path = self.around.schema.column_path(self.relation, name)
        return self._at(path.hops).columns.get(path.column, "") if path is not None else ""

    # --- joins -----------------------------------------------------------------------------------

    def _at(self, hops: tuple[str, ...]) -> Relation:
        """The relation behind these keys; without any its own."""
        *_, relation = (self.relation, *self.around.schema.along(self.relation, hops))
        return relation

    def _join(self, hops: tuple[str, ...]) -> str:
        if not hops:
            return "f"
        alias = alias_of(hops)
        if alias in self._joins:
            return alias
        before = self._join(hops[:-1])
        child, parent = self._at(hops[:-1]), self._at(hops)
        if hops[-1] == FIRST_LEAD:
            condition = f"{alias}.account_id = {before}.id and {alias}.source = {before}.source"
        else:
            self._field(before, hops[-1])
            condition = self.around.join(before, alias, hops[-1], child)
        name = self.around.source_name(parent.name)
        self._joins[alias] = f"left join {name} {alias} on {condition}"
        return alias

    @property
    def _is_kept(self) -> bool:
        return not self.is_parent and self.relation.name in self.around.kept

    def _is_behind_parent(self, hops: tuple[str, ...]) -> bool:
        """True where the last key is one of a parent, or of a relation that is kept with what lies
        behind it: it can be followed beforehand."""
        if self.is_parent or FIRST_LEAD in hops:
            return False
        return len(hops) > (0 if self._is_kept else 1)

    def _parent(self, hops: tuple[str, ...]) -> tuple[str, Fact, tuple[str, ...]]:
        """The alias of the parent behind the first key, the parent as it is to be widened, and the
        keys from there on; of a kept relation itself."""
        near, far = ((), hops) if self._is_kept else (hops[:1], hops[1:])
        alias, relation = self._join(near), self._at(near)
        if relation.name not in self.around.parents:
            self.around.parents[relation.name] = Fact(
                self.around, relation, self.frame, label=self.label, is_parent=True
            )
        self._widened[alias] = self.around.parents[relation.name]
        return alias, self._widened[alias], far

    def _behind_parent(self, path: Path) -> str:
        alias, parent, far = self._parent(path.hops)
        behind = Path(far, path.column)
        parent._columns.setdefault(behind.name, parent.path_sql(behind))
        return f"{alias}.{identifier(behind.name)}"

    @property
    def widened_name(self) -> str:
        return f"{self.relation.name}_with_parents"

    def _joined(self, read: str) -> list[str]:
        """The joins that a text reads, with the widened parents in place of the plain ones."""
        found: dict[str, str] = {}
        for alias, join in reversed(self._joins.items()):
            if f"{alias}." in read:
                found = {alias: join, **found}
                read += join
        for alias, parent in self._widened.items():
            if alias != "f" and alias not in found:
                continue
            named = {"id", *self._read.get(alias, ())}
            for column in sorted(named | {"source"} if f"{alias}.source" in read else named):
                parent._columns.setdefault(column, f"f.{identifier(column)}")
            if alias in found:
                plain = f"left join {self.around.source_name(parent.relation.name)} "
                found[alias] = found[alias].replace(plain, f"left join {parent.widened_name} ", 1)
        return list(self._with_gone(found).values())

    def _with_gone(self, joins: dict[str, str]) -> dict[str, str]:
        """Joins whose keys into the parent find its left-out records too."""
        base = f"excluded_{self._gone_parent}"
        own = {alias_of((column,)) for column in self.relation.columns if self._gone_parent}
        for alias in joins.keys() & own:
            parent = self._widened.get(alias)
            known = parent.widened_name if parent else self.around.source_name(self._gone_parent)
            gone = parent.over(base).sql(()) if parent else f"select {ALL_COLUMNS} from {base}"
            living = f"select * from {known} as known\nunion all by name\n"
            both = f"(\n{'' if self._left_with_parent_alone(alias) else living}{gone}\n)"
            if not parent or parent.relation.name == self._gone_parent:
                joins[alias] = joins[alias].replace(f"left join {known} ", f"left join {both} ", 1)
        return joins

    def _left_with_parent_alone(self, alias: str) -> bool:
        """True where all left-out rows left for the parent that is joined here, and for nothing
        else: it is among left-out parents, then, and not among the others."""
        dataset = self.relation.dataset
        is_its_parent = dataset is not None and alias == alias_of((dataset.parent or "",))
        return is_its_parent and self.around.reasons(self.relation.name) == ("parent",)

    # --- dimensions ------------------------------------------------------------------------------

    def dimension(self, name: str, kpi: str, settings_band: Callable[[str], list[float]]) -> str:
        """Expose a dimension as text, empty as `(none)`; gives the name of its column."""
        shown = f"by {name}"
        if shown not in self._columns:
            self._columns[shown] = self._dimension_sql(name, kpi, settings_band)
        return shown

    def _dimension_sql(
        self, name: str, kpi: str, settings_band: Callable[[str], list[float]]
    ) -> str:
        schema = self.around.schema
        derived = schema.derived(self.relation, name)
        if derived is not None:
            return text_name(self._derived_sql(derived, settings_band))
        path = schema.dimension_path(self.relation, name)
        if path is None:
            raise schema.no_dimension(self.relation, name, kpi)
        self._note_orphans(path)
        return self._coded_sql(f"by {name}", path) or text_name(self.path_sql(path))

    def _coded_sql(self, shown: str, path: Path) -> str | None:
        """A dimension by way of an enumeration; None where the text is as good."""
        own = self.relation.columns.get(path.column, "") if not path.hops else ""
        enumeration = self.around.enumeration(own)
        if enumeration is None:
            return self._coded_behind(shown, path)
        self.coded[shown] = enumeration
        return enumeration.named(self._field("f", path.column))

    def _coded_behind(self, shown: str, path: Path) -> str | None:
        """The same for a text behind a relation that is kept, with its number beside it."""
        near, target = self._at(() if self._is_kept else path.hops[:1]), self._at(path.hops)
        is_kept = not self.is_parent and near.name in self.around.kept
        kind = target.columns.get(path.column, "")
        is_plain = target.dataset is not None and FIRST_LEAD not in path.hops
        if not (is_kept and is_plain and can_be_coded(path.column, kind)):
            return None
        far = path.hops if self._is_kept else path.hops[1:]
        at = alias_of(far) if far else "f"
        table = self.around.table_of(target.name, path.column)
        coded = Coded(at, self.around.source_name(target.name), path.column, table)
        if not self.around.is_coded(near.name, coded):
            return None
        alias, parent, _ = self._parent(path.hops)
        behind = Path(far, path.column)
        column = f"code of {behind.name}"
        parent._columns.setdefault(column, parent.path_sql(behind))
        parent.coded[column] = self.coded[shown] = coded
        return coded.named(f"{alias}.{identifier(column)}")

    def _note_orphans(self, path: Path) -> None:
        """Remember what makes a row an orphan: a key along the path that names no row (E6)."""
        for depth, hop in enumerate(path.hops, start=1):
            if hop == FIRST_LEAD:
                continue
            hops = path.hops[:depth]
            if self._is_behind_parent(hops):
                alias, parent, far = self._parent(hops)
                name = f"{alias_of(far)} is orphan"
                parent._columns.setdefault(name, parent._orphan(far))
                self._orphans[alias_of(hops)] = f"{alias}.{identifier(name)}"
            else:
                self._orphans[alias_of(hops)] = self._orphan(hops)

    def _orphan(self, hops: tuple[str, ...]) -> str:
        child, parent = self._join(hops[:-1]), self._join(hops)
        # A join has `id` in hand, as it is part of its key; any further column costs.
        return f"({child}.{hops[-1]} is not null and {parent}.id is null)"

    @property
    def is_orphan(self) -> str:
        """SQL that is true for a row with such a key; empty when no dimension follows a key."""
        return " or ".join(self._orphans.values())

    def orphan_along(self, dimensions: Iterable[str]) -> str:
        """The same for the keys that some of its dimensions follow."""
        schema, found = self.around.schema, {}
        for name in dimensions:
            path = schema.dimension_path(self.relation, name)
            if schema.derived(self.relation, name) is None and path is not None:
                for depth in range(1, len(path.hops) + 1):
                    alias = alias_of(path.hops[:depth])
                    if alias in self._orphans:
                        found[alias] = self._orphans[alias]
        return " or ".join(found.values())

    def _derived_sql(
        self, dimension: DerivedDimension, settings_band: Callable[[str], list[float]]
    ) -> str:
        if dimension.band:
            value = self.expression(dimension.band, dimension.place)
            return band_sql(value, settings_band(dimension.setting))
        if dimension.lookup:
            alias = f"{dimension.name}_lookup"
            own, theirs = dimension.key
            name = self.around.source_name(dimension.lookup)
            own_sql = self.expression(own, dimension.place)
            self._joins.setdefault(
                alias,
                f"left join {name} {alias} on {alias}.{theirs} = {own_sql}"
                f" and {alias}.source = {self._source_of(own, own_sql)}",
            )
            return f"{alias}.{identifier(dimension.column)}"
        return self.expression(dimension.expression, dimension.place)

    def _source_of(self, column: str, sql: str) -> str:
        """The source of what a column of the fact names: of a foreign key the one it leads into."""
        key = self.around.schema.key(self.relation, column)
        if key is None or not key.references:
            return "f.source"
        return f"source_of_{key.references}(f.source, {sql})"

    # --- SQL -------------------------------------------------------------------------------------

    def columns_read(self) -> frozenset[str]:
        """The columns of the relation itself that are read anywhere."""
        return frozenset(self._read.get("f", ()))

    @property
    def reads_windows(self) -> bool:
        """True when a column or dimension depends on the window a row falls into."""
        return self._uses_windows

    def column_names(self) -> list[str]:
        """The columns the fact exposes, dimensions as `by NAME`."""
        return list(self._columns)

    def kept_sql(self) -> str:
        """The SELECT of a parent that is kept: with values of enumerations in place of texts."""
        columns = dict(self._columns)
        for name, coded in self.coded.items():
            is_own = coded.alias == "f"
            columns[name] = coded.own_sql() if is_own else f"{coded.alias}.{identifier(coded.code)}"
        text = replace(self, _columns=columns).sql(())
        return with_codes(text, [one for one in self.coded.values() if one.alias != "f"])

    def sql(self, conditions: Iterable[str], extra: Iterable[tuple[str, str]] = ()) -> str:
        """The SELECT of the fact. conditions: qualified SQL. extra: (sql, name) further columns."""
        shown = [*((sql, name) for name, sql in self._columns.items()), *extra]
        if self._orphans and self.shows_orphans:
            shown.append((f"({self.is_orphan})", "is_orphan"))
        head = self._from()
        if self._uses_windows:
            head.append(f"join {self.frame.windows} w on w.window_id = {self._window_id}")
        lines = [] if self.is_parent else [f"{self._window_id} as window_id"]
        if self.is_by_piece:
            lines = ["d.piece"]
        if self.is_running:
            lines = ["f.first_reading", "f.last_reading"]
        lines += [
            sql if sql == f"f.{name}" else f"{sql} as {identifier(name)}" for sql, name in shown
        ]
        where = conjunction(conditions)
        text = "select\n  " + ",\n  ".join(lines) + "\n" + "\n".join(head)
        text = "\n".join([text, *self._joined(text + where)])
        return text + (f"\nwhere {where}" if where else "")

    @property
    def _window_id(self) -> str:
        return "f.window_id" if self.span or not self.time else "d.window_id"

    def _from(self) -> list[str]:
        name = self._base or self.around.source_name(self.relation.name)
        if "f" in self._widened:
            name = self._widened_over(self._base) if self._base else self.widened_name
        if self.time:
            time = self.expression(self.time, self.place)
            keys, on = self.frame.days, f"d.day = {time}"
            if not self.is_daily:
                keys, on = self.frame.slots, f"d.slot = epoch_us({time}) // {self.frame.slot_us}"
            if self.is_by_piece:
                keys = self.frame.piece_days(is_daily=self.is_daily)
            return [f"from {name} f", f"join {keys} d on {on}"]
        if self.span:
            start, end = (self.expression(sql, self.place) for sql in self.span)
            return self.frame.spans(
                name, (start, end), is_daily=self.is_daily, is_running=self.is_running
            )
        if self.is_parent or "window_id" in self.relation.columns:
            return [f"from {name} f"]
        on = "w.period_start = m.period_start"
        if "period_end" in self.relation.columns:
            # Periods of the relation's own: two of them may begin on one day.
            on += " and w.period_end = m.period_end"
        return [
            "from (",
            f"  select m.*, w.window_id from {name} m",
            f"  join {self.frame.windows} w on {on}",
            ") f",
        ]

    def of_records(self) -> Fact:
        """The fact over all columns of its relation, not only those that are kept."""
        name = self.around.source_name(self.relation.name)
        return self.over(name) if "f" in self._widened else self

    def _widened_over(self, base: str) -> str:
        """All columns of another table, and what lies behind the relation."""
        parent = self._widened["f"]
        behind = {n: sql for n, sql in parent._columns.items() if sql != f"f.{identifier(n)}"}
        inner = replace(parent, _columns=behind, _base=base, _gone_parent=self._gone_parent)
        lines = inner.sql((), [("f.*", "*")]).splitlines()
        return "(\n" + "\n".join("  " + line for line in lines) + "\n)"

    @property
    def is_daily(self) -> bool:
        """True when the dating column (or the span's start) is a date, not an instant."""
        sql = self.time or (self.span[0] if self.span else "")
        path = self.around.schema.column_path(self.relation, sql)
        if path is None:
            return sql.endswith("_day") or "::date" in sql
        kind = self._at(path.hops).columns.get(path.column, "DATE")
        return kind == "DATE"
