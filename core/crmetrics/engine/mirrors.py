"""Relations as they would be if only what quality rules left out were there (Q6).

A model that says `-- excluded: cases` has rows that stand for cases (`where CONDITION`: those for
which it holds). What of them was left out is found by reading the same model over the excluded
cases, apart for each reason, with the children that left with them. Everything else that the model
reads stays as KPIs see it. The excluded rows are few, so that the mirror costs little.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from crmetrics.catalog import Catalog
from crmetrics.datasets import Dataset
from crmetrics.engine.relations import Relations
from crmetrics.warehouse.compute import ComputeSession
from crmetrics.warehouse.placeholders import words

_STATED = re.compile(r"^-- excluded: (\w+)(?: where (.+))?$", re.MULTILINE)
_HEAD = re.compile(r"create or replace temp (?:view|table) \w+ as\b")
_APART = re.compile(r"\b(?:positional join|using sample|tablesample)\b", re.IGNORECASE)
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

_DEALS = {"orders": "opportunities", "order_items": "opportunity_items"}


@dataclass
class Mirrors:
    """Writes mirrors of models, vectors and derived relations.

    orders_from: what stands for orders.
    """

    catalog: Catalog
    relations: Relations
    session: ComputeSession
    datasets: Mapping[str, Dataset]
    orders_from: str

    def mirror(self, relation: str, vectors: Mapping[str, str]) -> str:
        """A query with the columns of `relation` and `_reason`; empty when nothing of it was left
        out, or nobody says what its rows stand for.

        vectors: name -> statement of the vectors that it is or reads.
        """
        reasons = self.reasons(relation)
        if not reasons:
            return ""
        vectors = {name: _query_of(statement) for name, statement in vectors.items()}
        rows = self._over(relation, "left_out_for.reason", vectors)
        if _APART.search(rows):
            found = ((reason, self._over(relation, f"'{reason}'", vectors)) for reason in reasons)
            parts = [f"select '{reason}' as _reason, * from (\n{rows})" for reason, rows in found]
            return "\nunion all by name\n".join(parts)
        # One text for all reasons: to bind it once for each would cost more than to run it.
        values = ", ".join(f"('{reason}')" for reason in reasons)
        return (
            "select left_out_for.reason as _reason, m.*\n"
            f"from (values {values}) left_out_for(reason), lateral (\n{rows}) m"
        )

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

    def _over(self, relation: str, reason: str, vectors: Mapping[str, str]) -> str:
        """The relation over the rows of its subject that were left out for a reason (SQL)."""
        subject = self._subject(relation)
        left_out = f"select id from excluded_{subject} where _reason = {reason}"
        changed = {
            f"live_{subject}": f"select * exclude (_reason) from excluded_{subject}"
            f" where _reason = {reason}"
        }
        for child in self.datasets.values():
            key = child.parent
            if key and child.column(key).references == subject and child.name != subject:
                changed[f"live_{child.name}"] = (
                    f"select * exclude (_reason) from excluded_{child.name}"
                    f" where _reason = 'parent' and {key} in ({left_out})"
                )
        bodies = self._bodies(relation, vectors)
        known = {*bodies, *changed}
        named = {name: known.intersection(words(body)) for name, body in bodies.items()}
        ordered = [name for name in _in_order(named) if _read_by(name, named) & changed.keys()]
        if relation not in ordered:
            return f"select * from {relation} where false\n"
        read = _read_by(relation, named)
        # What is named and never read would still be looked for by the statement that keeps it.
        steps = {name: body for name, body in changed.items() if name in read}
        steps |= {name: bodies[name] for name in ordered if name in read}
        ctes = ",\n".join(f"{name} as (\n{body}\n)" for name, body in steps.items())
        return f"with {ctes}\nselect * from {relation}\n{self._condition(relation)}"

    def _bodies(self, relation: str, vectors: Mapping[str, str]) -> dict[str, str]:
        """The queries of a relation and of everything it is made of, by name."""
        found: dict[str, str] = {}
        waiting = [relation]
        while waiting:
            name = waiting.pop()
            if name in found or name.startswith(_NO_MODELS):
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
