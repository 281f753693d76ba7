"""SQL models of packs as temporary views, made when a statement needs them.

A model is rendered with the settings of the KPI that reads it; when two KPIs of one question give
it different settings, each gets a view of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from crmetrics.catalog import Catalog, Model, Vector
from crmetrics.compiler.expressions import check_model, rows_from
from crmetrics.compiler.portions import Portion
from crmetrics.compiler.slices import Clock, Frame, Window
from crmetrics.compiler.templates import expanded
from crmetrics.compiler.vectors import VectorViews
from crmetrics.datasets import Dataset
from crmetrics.engine.coded_models import CodedModels
from crmetrics.engine.effective import HOURS_OF
from crmetrics.errors import ConfigError, CrmetricsError, Finding, did_you_mean
from crmetrics.periods import Calendar
from crmetrics.warehouse.business_hours import with_own_hours
from crmetrics.warehouse.placeholders import identifier, render, words

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics.warehouse.compute import ComputeSession

PERIOD_RELATIONS = ("periods", "period_days")
LOOKED_AT = ("first_looked_at", "looked_at")


class Relations(Struct):
    """What statements may read beside datasets; makes each view once per session.

    given: relations that the engine fills itself, with what makes their empty table. made: model
    views with the text they were made of. prelude: their statements, in order. is_whole:
    materialized models get all their columns, not only those that the statements name. coding:
    which texts they keep as values of enumerations.
    """

    catalog: Catalog
    session: ComputeSession
    datasets: Mapping[str, Dataset]
    defaults: Mapping[str, Any]
    given: Mapping[str, Callable[[], pa.Table]] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)
    prelude: dict[str, tuple[str, ...]] = field(default_factory=dict)
    is_whole: bool = False
    coding: CodedModels | None = None
    _fillings: dict[str, str] = field(default_factory=dict)
    _empty: dict[str, str] = field(default_factory=dict)
    _columns: dict[str, Mapping[str, str]] = field(default_factory=dict)
    _described: set[str] = field(default_factory=set)
    _cut: set[str] = field(default_factory=set)  # given a part of their columns once
    _begun: list[str] = field(default_factory=list)  # models on the way to the one being rendered

    def sql_name(self, relation: str) -> str:
        """The SQL name of a relation of a definition; its view exists afterwards."""
        if relation in self.datasets:
            self.session.relation(f"live_{relation}")
            return f"live_{relation}"
        if relation in self.made:
            return relation
        if relation in self.catalog.models:
            return self.instance(relation, self.defaults)
        if relation in self.catalog.vectors:
            self._empty_vector(relation)
            return relation
        if relation in self.given:
            self._empty_given(relation)
        elif relation not in PERIOD_RELATIONS:
            self._derived(relation)
        return relation

    def fill(self, relation: str, rows: pa.Table) -> None:
        """Give a relation of `given` its rows."""
        self._described.add(relation)
        self.session.register(relation, rows)

    def _empty_given(self, relation: str) -> None:
        if relation not in self._described:
            self.fill(relation, self.given[relation]())

    def vectors_of(self, relation: str) -> list[Vector]:
        """The vectors that a relation is or reads; their views are made per set of periods."""
        names = {relation.partition("__")[0], *self.model_words(relation)}
        return [vector for name, vector in self.catalog.vectors.items() if name in names]

    def _empty_vector(self, name: str) -> None:
        """The vector without periods, so that its columns can be described and models bind."""
        if name in self._described:
            return
        self._described.add(name)
        vector = self.catalog.vectors[name]
        frame, clock = Frame(), Clock(Calendar(), datetime(1970, 1, 2, tzinfo=UTC))
        frame.number(Window(date(1970, 1, 1), date(1970, 1, 2)))
        for sql in VectorViews(vector, self.sql_name(vector.relation), frame, clock).statements():
            self.session.prepare(sql)
            self.session.execute(sql)

    def instance(self, name: str, settings: Mapping[str, Any]) -> str:
        """The view of a model rendered with these settings; the relation itself if it is none."""
        model = self.catalog.models.get(name)
        if model is None:
            return name
        if name in self._begun:
            raise self._circle(model)
        self._begun.append(name)
        try:
            text = self._rendered(model, settings)
        finally:
            self._begun.pop()
        view = name
        number = 1
        while view in self.made and self.made[view] != text:
            number += 1
            view = f"{name}__{number}"
        if view not in self.made:
            self._create(view, model, text)
        return view

    def _circle(self, model: Model) -> ConfigError:
        way = [*self._begun[self._begun.index(model.name) :], model.name]
        problem = (
            f"models read each other: {' -> '.join(way)}. Every bare word that is the name of a "
            "model counts, one behind WITH too: rename one of them, or read the datasets instead."
        )
        return ConfigError(findings=[Finding(problem, model.file, 1, 1)])

    def model_words(self, name: str) -> Sequence[str]:
        """Every relation that a model names, its own models included."""
        found: dict[str, None] = {}
        open_names = [name]
        while open_names:
            model = self.catalog.models.get(open_names.pop().partition("__")[0])
            if model is None:
                continue
            for word in words(model.text):
                if word in self.catalog.models and word not in found:
                    open_names.append(word)
                found[word] = None
        return list(found)

    def describe(self, name: str) -> Mapping[str, str]:
        view = self.sql_name(name)
        return self._columns[view] if view in self._columns else self.session.describe(view)

    def _rendered(self, model: Model, settings: Mapping[str, Any]) -> str:
        values = {**self.defaults, **settings}
        text = model.text
        if model.for_each:
            text = expanded(model, values.get(model.for_each), self.datasets)
        text = render(text, values, file=model.file)
        if HOURS_OF in settings:
            text = with_own_hours(text, settings[HOURS_OF])
        # Models that this one reads are rendered with the same settings, under the same name.
        for word in sorted(words(model.text)):
            if word in self.catalog.models and word != model.name:
                nested = self.instance(word, settings)
                if nested != word:
                    text = text.replace(f" {word} ", f" {nested} ")
        return text

    def _create(self, view: str, model: Model, text: str) -> None:
        check_model(text, model.file)
        self.session.prepare(text)
        for word in words(model.text) & self.catalog.vectors.keys():
            self._empty_vector(word)
        for word in words(model.text) & self.given.keys():
            self._empty_given(word)
        coded, types = self._coded(model, text)
        body = coded.strip()
        sql = f"create or replace temp view {view} as\n{body}"
        if model.is_materialized:
            self._fillings[view] = sql.replace(" temp view ", " temp table ", 1)
            sql = f"create or replace temp table {view} as\nselect * from (\n{body}\n) where false"
            self._empty[view] = sql
        try:
            with self._all_columns_of(text):
                self.session.execute(sql)
                self._columns[view] = self.session.describe(view)
        except CrmetricsError as exc:
            raise ConfigError(
                findings=[Finding(f"model {model.name!r}: {exc}", model.file, 1, 1)]
            ) from exc
        self.made[view] = text
        self.prelude[view] = (*types, sql)

    @contextmanager
    def _all_columns_of(self, text: str) -> Iterator[None]:
        """While a model is made: what an earlier question left of the materialized models that it
        reads are the columns which that one read. Their rows stand aside, and come back."""
        read = self._cut & self.behind(words(text)) if self._cut else set()
        names = [name for name in self._fillings if name in read]
        aside = [name for name in names if self.session.describe(name) != self._columns[name]]
        for name in aside:
            self.session.execute(f"alter table {name} rename to {name}_aside")
            self.session.execute(self._empty[name])
        try:
            yield
        finally:
            for name in aside:
                self.session.execute(f"drop table {name}")
                self.session.execute(f"alter table {name}_aside rename to {name}")

    def _coded(self, model: Model, text: str) -> tuple[str, Sequence[str]]:
        """The text of a model over coded texts, where it only passes them on, and the statements
        that make the enumerations it names."""
        if self.coding is None:
            return text, ()
        text = self.coding.plain(text, self._columns)
        is_read_by_vector = any(one.relation == model.name for one in self.catalog.vectors.values())
        if not model.is_materialized or is_read_by_vector:
            return text, ()
        return self.coding.coded(text)

    def reads_periods(self, view: str) -> bool:
        return not {*PERIOD_RELATIONS, *self.catalog.vectors}.isdisjoint(self.model_words(view))

    def require_readable(self, relation: str) -> None:
        """Raises ConfigError for a model that has its rows only while a question is answered:
        nobody can see before how far back it reaches. It is materialized, takes all its rows from
        one that is, or filters them by what is looked at."""
        model = self.catalog.models.get(relation.partition("__")[0])
        if model is None:
            return
        fault = "is materialized"
        if not model.is_materialized:
            asks, is_kept = self._rests_on(self.sql_name(relation))
            fault = "takes its rows from a materialized model" if is_kept else ""
            fault = "asks what is looked at" if asks else fault
        if fault:
            problem = (
                f"model {model.name!r} {fault}: a KPI that reads it must say by covered_by which "
                "column of which dataset dates its rows."
            )
            raise ConfigError(findings=[Finding(problem, model.file, 1, 1)])

    def _rests_on(self, view: str) -> tuple[bool, bool]:
        """Whether the rows of a view depend on what is looked at, and whether all of them are those
        of materialized models; of those behind it, too, that its rows come from."""
        asks, taken, required = rows_from(self.made[view], LOOKED_AT)
        plain = self.made.keys() - self._fillings.keys()
        behind = {name: self._rests_on(name) for name in taken if name in plain}
        kept = {name for name, (_, is_kept) in behind.items() if is_kept} | self._fillings.keys()
        return asks or any(asks for asks, _ in behind.values()), not kept.isdisjoint(required)

    def fillings(self, text: str, portions: Mapping[str, Portion]) -> list[str]:
        """The statements that compute the materialized models that `text` reads, directly or
        through other models, in an order that runs; without those of `period_fillings`. portions:
        what is read of those whose readers are all known."""
        found = self.behind(words(text))
        return [
            self._narrowed(name, sql, text, found, portions.get(name))
            for name, sql in self._fillings.items()
            if name in found and not self.reads_periods(name)
        ]

    def _narrowed(
        self, name: str, sql: str, text: str, found: set[str], portion: Portion | None
    ) -> str:
        """The filling of a model with the columns and rows that are read, or else the columns that
        `text` names; with all of them where another model reads it, which may read whole rows."""
        others = found & self.made.keys() - {name}
        if self.is_whole or any(name in words(self.made[other]) for other in others):
            return sql
        named = portion.columns if portion else words(text)
        columns = [c for c in self._columns[name] if c.lower() in named or f'"{c}"' in text]
        if len(columns) in (0, len(self._columns[name])) and not (portion and portion.where):
            return sql
        head, _, body = sql.partition("\n")
        shown = ", ".join(f"m.{identifier(name)}" for name in columns) or "*"
        where = f"\nwhere {portion.where}" if portion and portion.where else ""
        self._cut.add(name)
        return f"{head}\nselect {shown}\nfrom (\n{body}\n) m{where}"

    def period_fillings(self, text: str) -> list[str]:
        """The same for models that read periods: they are computed for each set of periods."""
        found = self.behind(words(text))
        return [
            sql
            for name, sql in self._fillings.items()
            if name in found and self.reads_periods(name)
        ]

    def behind(self, names: Iterable[str]) -> set[str]:
        """These names, and all that the models among them name, directly or through others."""
        found: set[str] = set()
        waiting = set(names)
        while waiting:
            name = waiting.pop()
            found.add(name)
            if name in self.made:
                waiting |= words(self.made[name]) - found
        return found

    def _derived(self, name: str) -> None:
        if name not in self.session.relations:
            known = [*self.datasets, *self.catalog.models, *self.session.relations]
            raise ConfigError(f"there is no relation {name!r}. {did_you_mean(name, known)}")
        self.session.relation(name)
