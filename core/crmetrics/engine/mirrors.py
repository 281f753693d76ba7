"""Relations as they would be if only what quality rules left out were there (Q6).

A model that says `-- excluded: cases` has rows that stand for cases (`where CONDITION`: those for
which it holds). What of them was left out is found by reading the same model over the excluded
cases, apart for each reason, with the children that left with them. Everything else that the model
reads stays as KPIs see it. The excluded rows are few, so that the mirror costs little: most of that
to plan it, so that what several mirrors of a question are made of is looked at once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from msgspec import Struct

from crmetrics.catalog import Catalog
from crmetrics.compiler.excluded import Mirror, columns_named
from crmetrics.compiler.expressions import names_columns
from crmetrics.compiler.surroundings import ALL_COLUMNS
from crmetrics.datasets import Dataset
from crmetrics.engine.relations import Relations
from crmetrics.warehouse.compute import ComputeSession
from crmetrics.warehouse.placeholders import words

_STATED = re.compile(r"^-- excluded: (\w+)(?: where (.+))?$", re.MULTILINE)
_HEAD = re.compile(r"create or replace temp (?:view|table) \w+ as\b")
_NOT_LATERAL = re.compile(r"\b(?:positional join|using sample|tablesample)\b", re.IGNORECASE)
"""What DuckDB cannot do in a lateral join."""

_NO_MODELS = ("live_", "excluded_", "removed_", "gone_", "merged_")
_CUSTOMERS = "customers"
_DERIVED = {
    "account_first_lead": "leads",
    "case_solves": "cases",
    "counted_order_items": "order_items",
    "counted_orders": "orders",
    "customer_cover": _CUSTOMERS,
    "customer_first_days": _CUSTOMERS,
    "customer_spells": _CUSTOMERS,
    "lead_first_response": "leads",
    "spend_by_day": "marketing_spend",
}
"""Derived relations and the dataset whose records make their rows."""

_NONE: Mapping[str, str] = {}

_DEALS = {"orders": "opportunities", "order_items": "opportunity_items"}


class Mirrors(Struct):
    """Writes mirrors of models, vectors and derived relations.

    orders_from: what stands for orders.
    """

    catalog: Catalog
    relations: Relations
    session: ComputeSession
    datasets: Mapping[str, Dataset]
    orders_from: str

    def mirror(
        self, relation: str, vectors: Mapping[str, str], windows: str, among: Sequence[str]
    ) -> Mirror:
        """What was left out of a relation; nothing when nothing was, or when nobody says what its
        rows stand for.

        vectors: name -> statement of the vectors that it is or reads. windows: the table of its
        periods. among: the relation of each row set over these periods, its own among them.
        """
        reasons = self.reasons(relation)
        if not reasons:
            return Mirror()
        vectors = {name: _query_of(statement) for name, statement in vectors.items()}
        subject = self._subject(relation)
        tables = {name: f"left_out_{subject}_{name}" for name in self._shared(relation, among)}

        def rows(reason: str) -> str:
            condition = self._condition(relation)
            return self._over(relation, subject, reason, condition, vectors, tables)

        made = []
        for name, table in tables.items():
            body = _apart(reasons, partial(self._over, name, subject))
            of = f"-- of {windows}\n" if self.relations.reads_periods(name) else ""
            made.append(f"create or replace temp table {table} as\n{of}{body}")
        return Mirror(_apart(reasons, rows), tuple(made))

    def _shared(self, relation: str, among: Sequence[str]) -> list[str]:
        """The materialized models that several mirrors are made of, this one among them."""
        subject = self._subject(relation)
        same = [other for other in among if self._subject(other) == subject]
        found = {other: self._parts(other, subject) for other in {relation, *same}}
        readers = Counter(name for other in same for name in found[other])
        return [name for name in found[relation] if readers[name] > 1]

    def _parts(self, relation: str, subject: str) -> list[str]:
        """The materialized models that a relation reads and that read rows of its subject; not
        those over vectors, which have rows of their own for each set of periods."""
        found = []
        for name in sorted(self.relations.behind([relation]) - {relation}):
            model = self.catalog.models.get(name.partition("__")[0])
            if model is None or not model.is_materialized or name not in self.relations.made:
                continue
            if self.catalog.vectors.keys().isdisjoint(self.relations.behind([name])):
                found += [name] if self._steps(name, self._changed(subject, "''")) else []
        return found

    def reasons(self, relation: str) -> tuple[str, ...]:
        """Why records that its rows stand for may have been left out."""
        subject = self._subject(relation)
        return self.session.reasons(subject) if subject in self.datasets else ()

    def parent(self, relation: str) -> str:
        """The dataset whose left-out records took rows of a relation with them (rule E7); empty
        when none did."""
        if "parent" not in self.reasons(relation):
            return ""
        subject = self.datasets[self._subject(relation)]
        return subject.column(subject.parent or "").references or ""

    def keeps_named(self, dataset: str) -> bool:
        """Whether what was left out of a dataset is worth a table of the columns that two readers
        name: it is little, a join finds it (flags are read as fast as the table), and no model
        reads it itself, maybe with other columns."""
        if "parent" not in self.session.reasons(dataset):
            return False
        named = f"excluded_{dataset}"
        is_read = any(named in words(model.text) for model in self.catalog.models.values())
        return self.session.excludes_few(dataset) and not is_read

    def _condition(self, relation: str) -> str:
        model = self.catalog.models.get(relation.partition("__")[0])
        stated = _STATED.search(model.text) if model else None
        return f"where {stated[2]}\n" if stated and stated[2] else ""

    def _subject(self, relation: str) -> str:
        name = relation.partition("__")[0]
        if name in self.catalog.models:
            found = _STATED.search(self.catalog.models[name].text)
            return self._dataset(found[1]) if found else ""
        if name in self.catalog.vectors:
            return self._subject(self.catalog.vectors[name].relation)
        return self._dataset(_DERIVED.get(name, name))

    def _dataset(self, name: str) -> str:
        if name == _CUSTOMERS:
            models = {"subscription": "subscriptions", "purchase": "orders", "field": "accounts"}
            name = models[self.session.customer_model]
        return _DEALS.get(name, name) if self.orders_from == "opportunities" else name

    # --- one reason ------------------------------------------------------------------------------

    def _over(
        self,
        relation: str,
        subject: str,
        reason: str,
        condition: str = "",
        vectors: Mapping[str, str] = _NONE,
        tables: Mapping[str, str] = _NONE,
    ) -> str:
        """The relation over the rows of a subject that were left out for a reason (SQL), where a
        condition holds. tables: models that are read from a table of what was left out of them."""
        changed = self._changed(subject, reason)
        changed |= {name: _of_reason(table, reason) for name, table in tables.items()}
        steps = self._steps(relation, changed, vectors)
        if not steps:
            return f"select * from {relation} where false\n"
        ctes = ",\n".join(f"{name} as (\n{body}\n)" for name, body in steps.items())
        return f"with {ctes}\nselect * from {relation}\n{condition}"

    def _changed(self, subject: str, reason: str) -> dict[str, str]:
        """What stands for a dataset and its children: what was left out of them for a reason."""
        left_out = f"select id from excluded_{subject} where _reason = {reason}"
        changed = {f"live_{subject}": _of_reason(f"excluded_{subject}", reason)}
        for child in self.datasets.values():
            key = child.parent
            if key and child.column(key).references == subject and child.name != subject:
                rows = _of_reason(f"excluded_{child.name}", "'parent'")
                changed[f"live_{child.name}"] = f"{rows} and {key} in ({left_out})"
        return changed

    def _steps(
        self, relation: str, changed: Mapping[str, str], vectors: Mapping[str, str] = _NONE
    ) -> dict[str, str]:
        """Name -> query of all that leads from what is changed to a relation, in order; empty when
        it reads nothing of that."""
        bodies = self._bodies(relation, vectors, changed)
        known = {*bodies, *changed}
        named = {name: known.intersection(words(body)) for name, body in bodies.items()}
        ordered = [name for name in _in_order(named) if _read_by(name, named) & changed.keys()]
        if relation not in ordered:
            return {}
        read = _read_by(relation, named)
        # What is named and never read would still be looked for by the statement that keeps it.
        steps = {name: bodies[name] for name in ordered if name in read}
        starts = {name: body for name, body in changed.items() if name in read}
        return self._narrowed(starts, steps) | steps

    def _narrowed(self, starts: Mapping[str, str], steps: Mapping[str, str]) -> dict[str, str]:
        """What stands for datasets with the columns that the steps name; with all of them where a
        step may read others."""
        models = [self.catalog.models.get(name.partition("__")[0]) for name in steps]
        if not all(one and not one.for_each and names_columns(one.text) for one in models):
            return {**starts}
        text = "\n".join(steps.values())
        found = {}
        for name, body in starts.items():
            dataset = self.datasets.get(name.removeprefix("live_"))
            shown = ", ".join(columns_named(dataset, text)) if dataset else ""
            found[name] = body.replace(ALL_COLUMNS, shown, 1) if shown else body
        return found

    def _bodies(
        self, relation: str, vectors: Mapping[str, str], changed: Collection[str]
    ) -> dict[str, str]:
        """The queries of a relation and of everything it is made of, by name; not of what is
        changed."""
        found: dict[str, str] = {}
        waiting = [relation]
        while waiting:
            name = waiting.pop()
            if name in found or name in changed or name.startswith(_NO_MODELS):
                continue
            body = self._body(name, vectors)
            if body:
                found[name] = body
                waiting += sorted(words(body) - found.keys())
        return found

    def _body(self, name: str, vectors: Mapping[str, str]) -> str:
        if name in vectors:
            return vectors[name]
        if name in self.relations.made:
            return self.relations.made[name]
        if name not in self.session.relations:
            return ""
        return _query_of(self.session.text(name))


def _apart(reasons: Sequence[str], rows: Callable[[str], str]) -> str:
    """The rows of each reason with it as `_reason`. rows: SQL of a reason -> query."""
    if len(reasons) > 1 and not _NOT_LATERAL.search(text := rows("left_out_for.reason")):
        # One text for all reasons: to bind it once for each would cost more than to run it.
        values = ", ".join(f"('{reason}')" for reason in reasons)
        return (
            "select left_out_for.reason as _reason, m.*\n"
            f"from (values {values}) left_out_for(reason), lateral (\n{text}) m"
        )
    texts = [(reason, rows(f"'{reason}'")) for reason in reasons]
    parts = [f"select '{reason}' as _reason, m.* from (\n{text}) m" for reason, text in texts]
    return "\nunion all by name\n".join(parts)


def _of_reason(rows: str, reason: str) -> str:
    return f"select {ALL_COLUMNS} from {rows} where _reason = {reason}"


def _query_of(statement: str) -> str:
    """The query of a statement that makes a view or table; empty for a macro."""
    head = _HEAD.search(statement)
    return statement[head.end() :] if head else ""


def _in_order(named: Mapping[str, set[str]]) -> list[str]:
    """The names, each after those it names."""
    found: dict[str, None] = {}

    def visit(name: str) -> None:
        if name in found or name not in named:
            return
        for other in sorted(named[name] - {name}):
            visit(other)
        found[name] = None

    for name in named:
        visit(name)
    return list(found)


def _read_by(name: str, named: Mapping[str, set[str]]) -> set[str]:
    """The relation and all that it reads, directly or through others."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        at = waiting.pop()
        if at not in seen:
            seen.add(at)
            waiting += named.get(at, ())
    return seen
