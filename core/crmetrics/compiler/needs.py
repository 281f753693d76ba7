"""Which datasets and columns a measure cannot do without."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct, field

from crmetrics.catalog import Measure
from crmetrics.compiler import expressions
from crmetrics.compiler.fact import EVENT_COLUMNS
from crmetrics.compiler.plan import Part
from crmetrics.compiler.relations import Schema, virtual_base
from crmetrics.compiler.templates import columns_of

OPTIONAL_DATASETS = ("exchange_rates", "accounts", "users", "campaigns", "products")
"""References that may be absent: then they have no rows (rule E10)."""

_ALWAYS_THERE = ("id", "source", "is_deleted", "is_test", "updated_at", "currency")
"""Columns that never make a column missing: a null currency is the reporting currency."""

DERIVED_NEEDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "spend_by_day": {"marketing_spend": ("amount",)},
    "lead_first_response": {"leads": ("created_at",), "activities": ("lead_id", "occurred_at")},
    "case_solves": {"cases": ("created_at",)},
    "account_first_lead": {"leads": ("created_at",)},
}

CUSTOMER_NEEDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "subscription": {"subscriptions": ("account_id", "start_date", "mrr", "is_trial")},
    "purchase": {"orders": ("account_id", "ordered_at")},
    "field": {"accounts": ("customer_since_at",)},
}
_BUYER_NEEDS = {"opportunities": ("account_id", "close_date", "is_won")}
CUSTOMER_RELATIONS = ("customer_spells", "customer_first_days", "customers")
CUSTOMER_DATES: Mapping[str, tuple[str, str]] = {
    "subscription": ("subscriptions", "start_date"),
    "field": ("accounts", "customer_since_at"),
}
ORDER_RELATIONS = ("counted_orders", "counted_order_items")
_DEALS_AS_ORDERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "counted_orders": {"opportunities": ("amount", "close_date", "is_won")},
    "counted_order_items": {"opportunity_items": ("opportunity_id", "quantity", "total_amount")},
}


_EXPRESSIONS = ("time", "value", "numerator", "denominator")


class Supplied(Struct, frozen=True):
    """What is in the warehouse, as far as definitions care.

    columns: dataset -> columns that some source delivered; a dataset that nobody loaded is absent.
    customer_model: subscription, purchase or field. orders_from: orders or opportunities.
    ends_are_assumed: some customers left on a day that nobody recorded (model field).
    has_values: whether a delivered column (dataset, column) holds anything at all.
    """

    columns: Mapping[str, frozenset[str]]
    customer_model: str = "subscription"
    orders_from: str = "orders"
    ends_are_assumed: bool = False
    has_values: Callable[[str, str], bool] = lambda dataset, column: True

    def reads_assumed_ends(self, part: Part) -> bool:
        """True when a part reads customers of whom some left on an assumed day."""
        if not self.ends_are_assumed:
            return False
        named = {part.measure.relation, *part.measure.needs}
        below = (*part.inputs.values(), *part.extras.values())
        return bool(named & set(CUSTOMER_RELATIONS)) or any(map(self.reads_assumed_ends, below))

    def dated(self, relation: str, column: str) -> tuple[str, str]:
        """The dataset and column that date a relation (N3): customers are dated by what makes them
        one, so that a dataset of trials covers its periods."""
        if relation in CUSTOMER_RELATIONS and self.customer_model in ("subscription", "field"):
            return CUSTOMER_DATES[self.customer_model]
        if relation in (*CUSTOMER_RELATIONS, *ORDER_RELATIONS):
            is_won = self.orders_from == "opportunities"
            return ("opportunities", "close_date") if is_won else ("orders", "ordered_at")
        return relation, column


class Needs(Struct):
    """Datasets with the columns that must be there."""

    schema: Schema
    supplied: Supplied
    model_words: Callable[[str], Iterable[str]]
    datasets: dict[str, set[str]] = field(default_factory=dict)
    not_assumed: set[tuple[str, str]] = field(default_factory=set)
    unset: str = ""

    def add(self, dataset: str, columns: Iterable[str] = ()) -> None:
        self.datasets.setdefault(dataset, set()).update(columns)

    def of(self, part: Part) -> Needs:
        """Add what a part and its inputs need; coverage counts never make a number missing."""
        self._measure(part.measure, part.settings)
        for child in part.inputs.values():
            self.of(child)
        return self

    def _measure(self, measure: Measure, settings: Mapping[str, object]) -> None:
        for name, columns in measure.needs.items():
            self._relation(name, columns)
        if measure.relation:
            if not measure.needs:
                self._relation(measure.relation, ())
            self._columns(measure, settings)
        for name in measure.not_assumed:
            dataset, _, column = name.partition(".")
            self.add(dataset, [column])
            self.not_assumed.add((dataset, column))
        for name in (*measure.optional, *OPTIONAL_DATASETS):
            if "." in name or name not in measure.needs:
                self._spare(*name.split("."))
        for name in measure.optional:
            if name not in self.supplied.columns:
                self._spare(*name.split("."))
        for spared, instead in measure.spared_by.items():
            if not self._is_there(spared) and self._has_values(instead):
                self._spare(*spared.split("."))
        if measure.configured_by:
            self._configured(measure.configured_by, settings)

    def _is_there(self, name: str) -> bool:
        dataset, _, column = name.partition(".")
        held = self.supplied.columns.get(dataset)
        return held is not None and (not column or column in held)

    def _has_values(self, name: str) -> bool:
        """A column that the source knows but never fills makes up for nothing: its nulls would
        count as "no", and null is never 0."""
        dataset, _, column = name.partition(".")
        return self._is_there(name) and self.supplied.has_values(dataset, column)

    def _spare(self, dataset: str, column: str = "") -> None:
        if column:
            self.datasets.get(dataset, set()).discard(column)
        else:
            self.datasets.pop(dataset, None)

    def _configured(self, setting: str, settings: Mapping[str, object]) -> None:
        choice = settings.get(setting)
        if not choice:
            self.unset = setting
        for dataset, columns in columns_of(setting, choice, self.schema.datasets).items():
            self.add(dataset, columns)

    def _relation(self, name: str, columns: Iterable[str]) -> None:
        if name in self.schema.datasets:
            self.add(name, columns)
        elif name in CUSTOMER_RELATIONS:
            for dataset, needed in self._customers().items():
                self.add(dataset, needed)
            if name == "customer_spells" and self.supplied.customer_model == "subscription":
                self.add("subscriptions", ("end_date",))  # without it nobody would ever leave
        elif name in ORDER_RELATIONS:
            self._orders(name, columns)
        elif name in DERIVED_NEEDS:
            for dataset, needed in DERIVED_NEEDS[name].items():
                self.add(dataset, needed)
        else:
            self._model(name)

    def _customers(self) -> Mapping[str, tuple[str, ...]]:
        """What makes a customer; buyers of won deals, where these stand for orders."""
        model, source = self.supplied.customer_model, self.supplied.orders_from
        is_of_deals = (model, source) == ("purchase", "opportunities")
        return _BUYER_NEEDS if is_of_deals else CUSTOMER_NEEDS[model]

    def _orders(self, name: str, columns: Iterable[str]) -> None:
        """What stands for orders and their lines; columns: those of the datasets orders and
        order_items, where these are read."""
        if self.supplied.orders_from == "opportunities":
            for dataset, needed in _DEALS_AS_ORDERS[name].items():
                self.add(dataset, needed if columns else ())
        else:
            self.add("orders" if name == "counted_orders" else "order_items", columns)

    def _model(self, name: str) -> None:
        for word in self.model_words(name):
            if word.startswith("live_") and word.removeprefix("live_") in self.schema.datasets:
                self.add(word.removeprefix("live_"))
            elif word in ORDER_RELATIONS:
                # A model may read the lines only where a setting or an alternative asks for them.
                self._relation("counted_orders", ())
            elif word in CUSTOMER_RELATIONS or word in DERIVED_NEEDS:
                self._relation(word, ())

    def _columns(self, measure: Measure, settings: Mapping[str, object]) -> None:
        relation = self.schema.relation(measure.relation)
        if relation.dataset is None:
            return
        texts = [(key, getattr(measure, key)) for key in _EXPRESSIONS]
        texts += [("span", sql) for sql in measure.span or ()]
        texts += [("where", term.sql) for term in expressions.active(measure.where, settings)]
        for key, sql in texts:
            if sql:
                for name in expressions.columns(sql, measure.place(key)):
                    self._column(measure.relation, name)

    def _column(self, relation_name: str, name: str) -> None:
        if name in EVENT_COLUMNS:
            return
        relation = self.schema.relation(relation_name)
        path = self.schema.column_path(relation, name)
        if path is None:
            return
        for hop in path.hops:
            self.add(relation.name, [hop])
            following = self.schema.target(relation, hop)
            if following is None or following.dataset is None:
                return
            relation = following
        column = path.column
        if column not in relation.columns:
            column = virtual_base(column) or column
        computed = relation.dataset.column(column).expression if relation.dataset else ""
        self.add(relation.name, expressions.columns(computed) if computed else [column])

    # --- what is not there -----------------------------------------------------------------------

    def missing(self) -> tuple[str, str] | None:
        """(status, what is missing) if something is, else None."""
        if self.unset:
            return "missing_column", f"the setting {self.unset} names no dataset"
        for dataset in self.datasets:
            if dataset not in self.supplied.columns:
                return "missing_dataset", dataset
        for dataset, columns in self.datasets.items():
            there = self.supplied.columns[dataset]
            for column in sorted(columns):
                known = self.schema.datasets[dataset]
                if column in _ALWAYS_THERE or column not in known:
                    continue
                if column in there:
                    continue
                if known.column(column).default is None or (dataset, column) in self.not_assumed:
                    return "missing_column", f"{dataset}.{column}"
        return None
