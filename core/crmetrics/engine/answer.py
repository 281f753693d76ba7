"""One question, answered: compile, run, and shape the result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from crmetrics.catalog import Catalog, Place
from crmetrics.compiler.coding import Coded
from crmetrics.compiler.frames import EMPTY_PERIODS
from crmetrics.compiler.labelling import Labelling
from crmetrics.compiler.needs import Supplied
from crmetrics.compiler.operand import Grouping
from crmetrics.compiler.plan import Planner
from crmetrics.compiler.program import Compiler, Program, Requested
from crmetrics.compiler.relations import Relation, Schema
from crmetrics.compiler.slices import Clock, SliceBook
from crmetrics.compiler.surroundings import Surroundings
from crmetrics.datasets import Dataset
from crmetrics.engine.coded_models import CodedModels
from crmetrics.engine.effective import HOURS_OF, Settings
from crmetrics.engine.given import GivenRelation, with_given_periods
from crmetrics.engine.identities import checkable
from crmetrics.engine.mirrors import Mirrors
from crmetrics.engine.projecting import with_projections
from crmetrics.engine.relations import Relations
from crmetrics.engine.standing import Standing
from crmetrics.errors import ConfigError, Finding, QueryError, UsageError
from crmetrics.periods import Period
from crmetrics.results import result_schema
from crmetrics.warehouse.business_hours import with_own_hours
from crmetrics.warehouse.currency import converted
from crmetrics.warehouse.placeholders import identifier, literal, render

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics.warehouse.compute import ComputeSession


class Question(Struct, frozen=True):
    """What is asked: KPIs for periods, in groups.

    groupings: sets of dimensions; () is the total. compare: `previous`, `year_ago`. identities:
    names of those whose sides are computed with it.
    """

    kpis: tuple[str, ...]
    periods: tuple[Period, ...]
    groupings: tuple[Grouping, ...] = ((),)
    where: str = ""
    compare: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()


@dataclass
class Answerer:
    """Answers questions over one compute session.

    supplied: what definitions find there; by default what the warehouse holds. given: relations
    that the engine fills itself. large_rows: from how many on a dataset is worth a look before its
    rows are read. additive: KPI and variant -> whether its groups add up to the
    total, of those answered so far.
    """

    catalog: Catalog
    session: ComputeSession
    datasets: Mapping[str, Dataset]
    settings: Settings
    clock: Clock
    currency: str
    supplied: Supplied | None = None
    given: Mapping[str, GivenRelation] = field(default_factory=dict)
    large_rows: int = 200_000
    relations: Relations = field(init=False)
    schema: Schema = field(init=False)
    standing: Standing = field(init=False)
    _coding: CodedModels = field(init=False)
    additive: dict[tuple[str, str], bool] = field(default_factory=dict)
    _first_days: dict[tuple[str, str], date | None] = field(default_factory=dict)
    _any_rows: dict[tuple[str, str], bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for sql in EMPTY_PERIODS:
            self.session.execute(sql)
        defaults = self.settings.of("")
        empty = {name: given.empty for name, given in self.given.items()}
        self.relations = Relations(self.catalog, self.session, self.datasets, defaults, empty)
        self._coding = CodedModels(self.session, self.datasets, cache(self._is_coded))
        self.relations.coding = self._coding
        self.schema = Schema(self.datasets, self.relations.describe, self.catalog.dimensions)
        self.standing = Standing(self.session, self.relations.behind, self._unsteady)

    def _unsteady(self) -> set[str]:
        """The names of relations that another question may find changed."""
        return {*self.given, *self.catalog.vectors}

    # --- compiling -------------------------------------------------------------------------------

    def program(self, question: Question) -> Program:
        """The statements that answer a question, compiled but not run."""
        requests = [
            Requested(*self.catalog.resolve(name), question.groupings) for name in question.kpis
        ]
        for name in question.identities:
            identity = self.catalog.identities[name]
            groupings = checkable(identity, question)
            requests.append(Requested(identity.as_kpi, "", groupings))
        book = SliceBook.of(question.periods, self.clock, question.compare)
        return self._compiler(book, question.where).compile(requests)

    def _compiler(self, book: SliceBook, where: str) -> Compiler:
        inventory, supplied = self.session.inventory, self.supplied or self._supplied()
        planner = Planner(
            self.catalog,
            book,
            self.settings.of,
            self._render,
            instance=self.relations.instance,
            where=where,
            tracks_updates=self.clock.is_past,
        )
        return Compiler(
            catalog=self.catalog,
            book=book,
            around=self._surroundings(),
            supplied=supplied,
            planner=planner,
            labelling=Labelling(
                book,
                planner,
                supplied,
                first_day=self._first_day,
                has_rows=lambda name: inventory[name].rows > 0,
                covers_from={
                    name: declared
                    for name in self.datasets
                    if (declared := inventory[name].covers_from) is not None
                },
                is_stale=self._is_stale,
                min_sample=lambda kpi: self.settings.configured_value(kpi, "min_sample"),
            ),
            band=lambda name: list(self.settings.of("")[name]),
            model_words=self.relations.model_words,
            fillings=self.relations.fillings,
            period_fillings=self.relations.period_fillings,
            vectors_of=self.relations.vectors_of,
            has_any=self._has_any,
            is_made=self.session.is_made,
            keeps_named=self._mirrors().keeps_named,
            mirror=self._mirrors().mirror,
            min_base=self.settings.of("")["min_base"],
        )

    def _mirrors(self) -> Mirrors:
        orders_from = str(self.settings.of("")["orders_from"])
        return Mirrors(self.catalog, self.relations, self.session, self.datasets, orders_from)

    def _supplied(self) -> Supplied:
        inventory = self.session.inventory
        columns = {
            name: frozenset(inventory[name].columns)
            for name in self.datasets
            if inventory[name].exists
        }
        model = self.session.customer_model
        orders_from = self.settings.of("")["orders_from"]
        is_assumed = model == "field" and self._has_former()
        return Supplied(columns, model, orders_from, is_assumed, cache(self._has_values))

    def _has_values(self, dataset: str, column: str) -> bool:
        """Whether any row that counts has a value there."""
        query = f'select count(*) from (from live_{dataset} where "{column}" is not null limit 1)'
        self.session.prepare(query)
        return bool(self.session.scalar(query))

    def _has_former(self) -> bool:
        """Whether the model `field` takes the day of an account's last change for its end."""
        query = (
            "select count(*) from live_accounts"
            " where account_type = 'former_customer' and customer_since_at is not null"
        )
        self.session.prepare(query)
        return bool(self.session.scalar(query))

    def _surroundings(self) -> Surroundings:
        inventory = self.session.inventory

        def join(child: str, parent: str, key: str, from_: Relation) -> str:
            column = self.schema.key(from_, key)
            assert column is not None
            if "source" not in from_.columns:
                return f"{parent}.id = {child}.{key}"
            dataset = from_.name if from_.dataset is not None else None
            return self.session.reference_condition(child, parent, column, dataset)

        return Surroundings(
            self.schema,
            source_name=self.relations.sql_name,
            join=join,
            convert=lambda amount, currency, rate: converted(
                amount, currency, rate or None, self.currency
            ),
            has_rates=inventory["exchange_rates"].rows > 0,
            day_of=lambda instant: f"local_day({instant})",
            as_of_day=f"date '{self.clock.as_of_day}'",
            reasons=self._reasons,
            is_large=self._is_large,
            is_coded=lambda name, coded: (
                not self.relations.is_whole and self._coding.has_few(name, coded)
            ),
            enumeration=lambda kind: (
                None if self.relations.is_whole else self._coding.type_of(kind)
            ),
            has_any=self._has_any,
            parent_of=self._mirrors().parent,
            table_of=self.session.table_of,
        )

    def _is_large(self, dataset: str) -> bool:
        inventory = self.session.inventory
        return dataset in inventory and inventory[dataset].rows >= self.large_rows

    def _is_coded(self, dataset: str, coded: Coded) -> bool:
        """Whether so many rows are grouped by so few values that numbers pay."""
        if not self._is_large(dataset):
            return False
        self.session.prepare(coded.few_sql)
        return bool(self.session.scalar(coded.few_sql))

    def _reasons(self, relation: str) -> tuple[str, ...]:
        """Why quality rules leave out rows of a dataset, or what the rows of a model stand for."""
        if relation in self.datasets:
            return self.session.reasons(relation)
        return self._mirrors().reasons(relation)

    def _render(self, sql: str, settings: Mapping[str, Any], place: Place) -> str:
        try:
            text = render(sql, settings)
        except ConfigError as exc:
            found = exc.findings[0] if exc.findings else Finding(str(exc))
            raise ConfigError(
                findings=[Finding(found.message, place.file, place.line, place.column, found.hint)]
            ) from exc
        return with_own_hours(text, settings[HOURS_OF]) if HOURS_OF in settings else text

    def _first_day(self, relation: str, sql: str, until: date) -> date | None:
        """The local day of the earliest row that a measure dates (rule N3); any row before
        `until` will do, as it is found without reading them all."""
        self.relations.require_readable(relation)
        known = self._first_days.get((relation, sql), date.max)
        if known is None or known < until:
            return known
        name = self.relations.sql_name(relation)
        is_date = self._is_date(relation, sql)
        limit = literal(until if is_date else self.clock.calendar.instant(until))
        is_column = sql in self.schema.relation(relation).columns
        at = f"r.{identifier(sql)}" if is_column else sql
        found = self._day(f"select {at} as day from {name} r where {at} < {limit} limit 1", is_date)
        if found is None:
            found = self._day(f"select min({at}) as day from {name} r", is_date)
        self._first_days[relation, sql] = found
        return found

    def _day(self, query: str, is_date: bool) -> date | None:
        text = f"select {'day' if is_date else 'local_day(day)'}::varchar from ({query})"
        self.session.prepare(text)
        found = self.session.scalar(text)
        return date.fromisoformat(found) if found else None

    def _has_any(self, name: str, condition: str) -> bool:
        known = self._any_rows.get((name, condition))
        if known is None:
            text = f"select exists (select 1 from {name} where {condition})"
            self.session.prepare(text)
            known = self._any_rows[name, condition] = bool(self.session.scalar(text))
        return known

    def _is_date(self, relation: str, sql: str) -> bool:
        return self.schema.relation(relation).columns.get(sql) == "DATE"

    def _is_stale(self, needs: Mapping[str, set[str]]) -> bool:
        limit = self.settings.of("")["max_age"]
        if limit is None:
            return False
        age = limit if isinstance(limit, timedelta) else timedelta(seconds=float(limit))
        inventory = self.session.inventory
        for dataset in needs:
            for synced in inventory[dataset].last_sync.values():
                if synced < self.clock.as_of - age:
                    return True
        return False

    # --- running ---------------------------------------------------------------------------------

    def answer(self, question: Question, *, run_id: str = "") -> pa.Table:
        """The result rows of a question (`results.result_schema()`)."""
        return with_given_periods(
            question,
            self,
            lambda asked: with_projections(
                asked,
                self.catalog,
                self.clock,
                lambda asked: self.run(self.program(asked), run_id=run_id),
            ),
        )

    def run(self, program: Program, *, run_id: str = "") -> pa.Table:
        for statement in program.statements[:-1]:
            try:
                self.standing.run(statement)
            except QueryError as exc:
                raise self._explained(exc, program, statement.sql) from exc
        for item in program.labelled:
            name = (item.kpi, item.variant)
            self.additive[name] = item.is_additive and self.additive.get(name, True)
        return shaped(self.session.arrow(program.answer), self.clock.as_of, run_id)

    def _explained(self, exc: QueryError, program: Program, sql: str) -> Exception:
        """An error of DuckDB in a row set, with the KPIs and the place of their definition."""
        for rowset in program.rowsets:
            if f" {rowset.name} as" not in sql:
                continue
            names = ", ".join(dict.fromkeys(o.label.partition("/")[0] for o in rowset.operands))
            if rowset.operands[0].where:
                return UsageError(f"cannot compute {names} with this filter: {exc}")
            place = rowset.operands[0].measure.place("")
            return ConfigError(
                findings=[
                    Finding(f"cannot compute {names}: {exc}", place.file, place.line, place.column)
                ]
            )
        return exc


def shaped(found: pa.Table, as_of: datetime, run_id: str) -> pa.Table:
    """The rows of the last statement as `results.result_schema()`."""
    import pyarrow as pa

    schema = result_schema()
    size = found.num_rows
    constants: Mapping[str, Any] = {
        "as_of": as_of,
        "run_id": run_id,
        "computed_at": datetime.now(UTC),
    }
    columns = []
    for item in schema:
        if item.name in found.column_names:
            column = found.column(item.name)
            if pa.types.is_list(column.type) and pa.types.is_map(item.type):
                column = _of_pairs(column, item.type)
            # A cast imports pyarrow.compute, which costs more than a small answer.
            columns.append(column if column.type == item.type else column.cast(item.type))
        elif item.name in constants:
            columns.append(pa.repeat(pa.scalar(constants[item.name], item.type), size))
        else:
            columns.append(pa.nulls(size, item.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _of_pairs(lists: Any, wanted: Any) -> Any:
    """Maps of lists of pairs, of which none is null: over the same memory. DuckDB would look at
    each pair to make a map of it."""
    import pyarrow as pa

    chunks = []
    for chunk in lists.chunks:
        keys, items = chunk.values.flatten()
        chunks.append(pa.MapArray.from_arrays(chunk.offsets, keys, items))
    return pa.chunked_array(chunks, wanted)


def groupings_of(by: Iterable[Sequence[str]], totals: bool) -> tuple[Grouping, ...]:
    """The sets of dimensions to group by; without any, the total alone."""
    sets = [tuple(dict.fromkeys(item)) for item in by if item]
    found = list(dict.fromkeys(sets))
    if totals or not found:
        found.insert(0, ())
    return tuple(found)
