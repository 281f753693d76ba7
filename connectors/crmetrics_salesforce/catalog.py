"""What this source can give: the streams as the project file adapts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from crmetrics.plugin import ConnectorContext, ReadRequest, Supply, did_you_mean
from crmetrics_salesforce.api import Api
from crmetrics_salesforce.currency import Currencies
from crmetrics_salesforce.every_stream import EVERY_STREAM
from crmetrics_salesforce.expressions import fields_of
from crmetrics_salesforce.history import reached
from crmetrics_salesforce.options import SalesforceDatasetOptions, SalesforceOptions
from crmetrics_salesforce.reach import Absence, Lack, Reach, Surveyor, fields_in
from crmetrics_salesforce.soql import conjunct
from crmetrics_salesforce.streams import CURSORS, Companion, Entry, Extra, Stream

WHOLE = frozenset({"exchange_rates", "forecasts", "quotas"})
"""Read whole each time: rates are few, a forecast tells only what it is now, quotas are sums."""

_LEAD_COLUMNS = {"mql": "ReachedMql", "sql": "ReachedSql", "disqualified": "ReachedDisqualified"}


@dataclass(frozen=True)
class Survey:
    """What of a dataset can be read, and what cannot."""

    dataset: str
    reaches: tuple[Reach, ...]
    absent: tuple[Absence, ...]

    @property
    def why_absent(self) -> str:
        """Why nothing of the dataset can be read."""
        told: dict[str, None] = {}
        for item in self.absent:
            is_own = item.lack.is_object and item.lack.object == item.stream.object
            told[
                f"the org has no {item.lack.object}, or hides it from the user"
                if is_own
                else f"{item.lack}, and {self.dataset} cannot be put together without"
            ] = None
        return (
            f"{'; '.join(told)}. Give the user read access, or switch the feature on, if these "
            "KPIs are wanted."
        )


class Catalog:
    """The streams of the source, and what of them can be read."""

    def __init__(self, options: SalesforceOptions, context: ConnectorContext, api: Api) -> None:
        self.options = options
        self.context = context
        self.api = api
        self.currencies = Currencies(api)
        self._surveyor = Surveyor(api)

    # --- without a network -----------------------------------------------------------------------

    def supplies(self) -> list[Supply]:
        """Every dataset with every column that an org may have; what it lacks shows when it is
        read, and by `check`."""
        found = []
        for dataset in dict.fromkeys([*(s.dataset for s in EVERY_STREAM), *self._mapped()]):
            model = self.context.datasets.get(dataset)
            columns = {"updated_at"} if dataset not in WHOLE else set()
            for stream in self.streams(dataset):
                columns |= set(self.entries(stream))
            own = self.dataset_options(dataset)
            columns |= set(own.columns) if own else set()
            names = model.column_names if model is not None else tuple(sorted(columns))
            found.append(
                Supply(
                    dataset,
                    tuple(name for name in names if name in columns),
                    incremental=dataset not in WHOLE,
                    deletes=dataset not in WHOLE,
                    selects_columns=True,
                )
            )
        return found

    def _mapped(self) -> list[str]:
        return [name for name, own in self.options.datasets.items() if own.object]

    def dataset_options(self, dataset: str) -> SalesforceDatasetOptions | None:
        return self.options.datasets.get(dataset)

    def rule(self, key: str, stream: Stream) -> str:
        """The condition of the project file for records of a stream; empty without one."""
        own = self.dataset_options(stream.dataset)
        return "" if own is None else own.rule(key, stream.object)

    def streams(self, dataset: str) -> list[Stream]:
        """The streams of a dataset, with the rules of the project file."""
        own = self.dataset_options(dataset)
        if own is not None and own.object:
            # What comes again after leaving `where:` is back, also where no field says so.
            fields: dict[str, Entry] = {"id": "Id", "is_deleted": ("IsDeleted", "false")}
            return [self._ruled(Stream(dataset, own.object, fields))]
        return [self._ruled(s) for s in EVERY_STREAM if s.dataset == dataset]

    def _ruled(self, stream: Stream) -> Stream:
        """With the conditions that only Salesforce may look at, as columns."""
        extras: dict[str, Extra] = {}
        if not stream.relation:
            for column in ("is_test", "is_spam"):
                if condition := self.rule(column, stream):
                    extras[_rule_name(column)] = _rule(stream.object, column, condition)
        if stream.dataset == "leads":
            for meaning, name in _LEAD_COLUMNS.items():
                statuses = tuple(s for s, m in self.options.lead_statuses.items() if m == meaning)
                if statuses:
                    extras[name] = reached(statuses, meaning)
        return replace(stream, extras={**stream.extras, **extras}) if extras else stream

    def entries(self, stream: Stream) -> dict[str, Entry]:
        """Canonical columns that the stream may fill; those that need a setting without it not."""
        unset = set(_LEAD_COLUMNS.values()) - set(stream.extras)
        found = {c: e for c, e in stream.fields.items() if not (isinstance(e, str) and e in unset)}
        for column in ("is_test", "is_spam"):
            if _rule_name(column) in stream.extras:
                found[column] = _rule_name(column)
        return found

    # --- what the org has ------------------------------------------------------------------------

    def surveyed(self, request: ReadRequest, passed_over: Sequence[str] = ()) -> Survey:
        """The streams that can be read for a request, with what of its columns they give.

        passed_over: objects that others go on standing in for."""
        mapped = {column: fields_of(request, column) for column in request.mapping}
        return self.survey(request.dataset.name, request.columns, mapped, passed_over)

    def survey(
        self,
        dataset: str,
        columns: Sequence[str],
        mapped: Mapping[str, Sequence[str]],
        passed_over: Sequence[str] = (),
    ) -> Survey:
        streams = [s for s in self.streams(dataset) if s.object not in passed_over]
        self.api.describe_all(
            [s.object for s in streams] + [s.instead_of for s in streams if s.instead_of]
        )
        reaches: list[Reach] = []
        absent: list[Absence] = []
        for stream in streams:
            if stream.instead_of in {reach.stream.object for reach in reaches}:
                continue
            found = self._surveyor.survey(
                stream, columns, mapped, self.entries(stream), self.rule("where", stream)
            )
            if isinstance(found, Reach):
                reaches.append(found)
            else:
                absent.append(found)
        return Survey(dataset, tuple(reaches), tuple(absent))

    def unknown_object(self, dataset: str) -> str:
        """What to say of an object that the project file names for a dataset (`object:`) and that
        cannot be read; empty where it names none."""
        own = self.dataset_options(dataset)
        if own is None or own.object is None:
            return ""
        told, names = f"`object: {own.object}` of {dataset}:", self.api.names()
        if own.object.lower() in (name.lower() for name in names):
            return f"{told} the user may not query it. Give the user read access to {own.object}."
        close = did_you_mean(own.object, names)
        return (
            f"{told} the org has no such object, or hides it from the user. {close}".rstrip()
            + f" Correct the name, or give the user read access to {own.object}."
        )

    def companion_lacks(self, companion: Companion) -> list[Lack]:
        """Why a companion cannot be read; empty when it can."""
        found = self._surveyor.companion_types(companion)
        return [found] if isinstance(found, Lack) else []

    def needed_objects(self, datasets: Sequence[str]) -> list[str]:
        """Everything that reading these datasets looks at, so that it is described in few calls."""
        names: dict[str, None] = {}
        for dataset in datasets:
            for stream in self.streams(dataset):
                names[stream.object] = None
                companions = [
                    *stream.companions,
                    *(c for e in stream.extras.values() for c in e.companions),
                ]
                names.update(dict.fromkeys(companion.object for companion in companions))
                if stream.instead_of:
                    names[stream.instead_of] = None
        return list(names)

    def calls_of(self, dataset: str, columns: Sequence[str], *, is_incremental: bool) -> int:
        """How many calls these columns take at least, where the org has all objects: a description
        and a query for each; of changes also the questions for deletions, for records that left a
        condition or whose time came, and for those that completing records belong to."""
        found = len(self.needed_objects([dataset]))  # each counts, also of those asked in one go
        for stream in self.streams(dataset):
            if stream.instead_of:
                continue
            entries = self.entries(stream)
            texts = " ".join(_first(entries[column]) for column in columns if column in entries)
            extras = [stream.extras[n] for n in fields_in(texts) if n in stream.extras]
            companions = {c for extra in extras for c in extra.companions} | set(stream.companions)
            found += 1 + len(companions)
            if is_incremental:
                has_rule = bool(stream.where or self.rule("where", stream))
                found += (stream.removals == "log" or stream.belongs_to is not None) + (
                    has_rule and not stream.relation
                )
                found += bool(stream.ripens) + sum(c.touches for c in companions)
                kept = [c for c in columns if c in entries and c not in stream.remembered]
                names = fields_in(" ".join(_first(entries[column]) for column in kept))
                shown = {
                    c for n in names if n in stream.extras for c in stream.extras[n].companions
                }
                found += len({c.object for c in shown if c.touches} - {stream.object})
        return found

    def cursor_of(self, name: str) -> str:
        described = self.api.describe(name)
        if described is None:
            return ""
        return next((cursor for cursor in CURSORS if described.field(cursor)), "")


def _first(entry: Entry) -> str:
    """What is read where the org has all fields."""
    return entry if isinstance(entry, str) else entry[0]


def _rule_name(column: str) -> str:
    return "Rule" + "".join(part.title() for part in column.split("_"))


def _rule(name: str, column: str, condition: str) -> Extra:
    """Whether a record meets a condition: Salesforce is asked for the ids only."""
    table = f"{column}_rows"
    return Extra(
        f"{table}.Id is not null",
        f"left join {table} on {table}.Id = m.Id",
        (),
        (Companion(table, name, ("Id",), link="Id", where=conjunct(condition), is_rule=True),),
    )
