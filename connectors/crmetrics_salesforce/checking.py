"""`crmetrics check` of an org: one line per object, with what is missing and what to grant."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from crmetrics.plugin import CheckResult, ReadRequest, SourceError, http
from crmetrics_salesforce.answers import Limits
from crmetrics_salesforce.applying import Applying
from crmetrics_salesforce.catalog import Catalog, Survey
from crmetrics_salesforce.errors import TOO_HEAVY, ApiError, SetupError
from crmetrics_salesforce.every_stream import EVERY_STREAM
from crmetrics_salesforce.expressions import fields_of
from crmetrics_salesforce.reach import Absence, Lack, Reach
from crmetrics_salesforce.rules import RULES
from crmetrics_salesforce.streams import ORG_CURRENCY, Companion

_SHOWN = 6
_CORRECT = "Correct the entry under `columns:`."


class SourceCheck:
    """Looks at login, allowance and every object; raises nothing."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._counts: dict[tuple[str, str], str] = {}

    def results(self) -> Iterator[CheckResult]:
        api = self._catalog.api
        try:
            limits = api.limits()
        except SourceError as exc:
            yield CheckResult("login", "error", str(exc), _way_out(exc))
            return
        yield CheckResult("login", "ok", f"API {api.options.api_version}")
        yield self._quota(limits)
        datasets = list(dict.fromkeys(s.dataset for s in EVERY_STREAM))
        datasets += [name for name in self._catalog.options.datasets if name not in datasets]
        try:
            api.describe_all(self._catalog.needed_objects(datasets))
        except ApiError:
            pass  # the datasets that need the object meet it again
        except SourceError as exc:
            yield CheckResult("objects", "error", str(exc), "See the message.")
            return
        yield from self._currency()
        for dataset in datasets:
            try:
                yield from self._dataset(dataset)
            except SourceError as exc:
                yield CheckResult(dataset, "error", str(exc), "See the message.")

    def _quota(self, limits: Limits) -> CheckResult:
        quota = self._catalog.api.quota
        daily = limits.daily_api_requests
        if daily is None:
            return CheckResult(
                "quota",
                "warning",
                "/limits does not tell the user the allowance of calls; it is learnt from the "
                "answers to other calls",
                "Give the user the permission View Setup and Configuration.",
            )
        used = daily.max - daily.remaining
        quota.learn(used, daily.max)
        message = f"{used:,} of {daily.max:,} daily calls used"
        if quota.ceiling is not None and used >= quota.ceiling:
            return CheckResult(
                "quota",
                "error",
                f"{message}; a run would stop at {quota.ceiling:,}",
                "Wait, or raise max_api_usage_percent.",
            )
        return CheckResult("quota", "ok", message)

    def _currency(self) -> Iterator[CheckResult]:
        """In which currency the amounts of an org are that has only one."""
        try:
            if self._catalog.api.describe("CurrencyType") is not None:
                return
            found = self._catalog.currencies.of_org()
        except SourceError as exc:
            yield CheckResult("currency", "error", str(exc), "See the message.")
            return
        reporting = self._catalog.context.currency
        if found.code is None:
            yield CheckResult(
                "currency",
                "warning",
                f"{found.why}: amounts are taken as {reporting}",
                "Map `currency:` of the datasets with amounts, or give the user access to either.",
            )
            return
        message = f"amounts are in {found.code}, the only one of the org"
        if found.code != reporting:
            message += f"; reports in {reporting} need rates, as the dataset exchange_rates"
        yield CheckResult("currency", "ok", message)

    def _dataset(self, dataset: str) -> Iterator[CheckResult]:
        own = self._catalog.dataset_options(dataset)
        mapping = own.columns if own is not None else {}
        if not mapping:
            yield from self._objects(dataset, self._survey(dataset, {}))
            return
        trial = self._catalog.context.trial
        if trial is None:
            raise SourceError("`columns:` cannot be looked at: the context has no trial request.")
        with trial(dataset, mapping) as request:
            wrong = yield from self._unusable(dataset, mapping, request)
            mapped = {c: fields_of(request, c) for c in mapping if c not in wrong}
            survey = self._survey(dataset, mapped)
            yield from self._uncomputable(dataset, mapped, survey, request)
            yield from self._objects(dataset, survey)

    def _survey(self, dataset: str, mapped: Mapping[str, Sequence[str]]) -> Survey:
        columns = dict.fromkeys([*mapped, *_columns(self._catalog, dataset)])
        return self._catalog.survey(dataset, tuple(columns), mapped)

    def _unusable(
        self, dataset: str, mapping: Mapping[str, str], request: ReadRequest
    ) -> Generator[CheckResult, None, set[str]]:
        """Entries of `columns:` that are no expression over one record; they are left out then."""
        wrong = set()
        for column in mapping:
            try:
                fields_of(request, column)
            except SourceError as exc:
                wrong.add(column)
                yield CheckResult(f"{dataset} (columns)", "error", str(exc), _CORRECT)
        return wrong

    def _uncomputable(
        self, dataset: str, mapped: Iterable[str], survey: Survey, request: ReadRequest
    ) -> Iterator[CheckResult]:
        """Entries whose fields are there, and that cannot be computed from them all the same."""
        import pyarrow as pa

        told = set()
        for reach in survey.reaches:
            empty = pa.RecordBatch.from_pylist([], pa.schema(list(reach.types.items())))
            for column in mapped:
                try:
                    if column not in reach.missing:
                        request.evaluate(empty, [column])
                except SourceError as exc:
                    if column not in told:
                        yield CheckResult(f"{dataset} (columns)", "error", str(exc), _CORRECT)
                    told.add(column)

    # --- one line per object ---------------------------------------------------------------------

    def _objects(self, dataset: str, survey: Survey) -> Iterator[CheckResult]:
        if not survey.reaches:
            yield self._absent(dataset, survey)
            return
        yield from self._rules(dataset, survey)
        lines: dict[str, CheckResult] = {}
        given = {c for reach in survey.reaches for c in reach.entries}
        for item in survey.absent:
            if not item.stream.instead_of:
                line = self._absent_beside(dataset, item, survey.reaches)
                lost = tuple(c for c in self._catalog.entries(item.stream) if c not in given)
                lines[line.subject] = replace(line, lacks={dataset: lost} if lost else {})
        for reach in survey.reaches:
            elsewhere = {c for other in survey.reaches if other is not reach for c in other.entries}
            for line in self._lines(dataset, reach, elsewhere):
                lines.setdefault(line.subject, line)
        yield from lines.values()

    def _absent(self, dataset: str, survey: Survey) -> CheckResult:
        objects = ", ".join(dict.fromkeys(item.lack.object for item in survey.absent))
        if unknown := self._catalog.unknown_object(dataset):
            lacks: Mapping[str, tuple[str, ...]] = {dataset: ()}
            subject = f"{dataset} (object)"
            return CheckResult(subject, "error", unknown, "Correct `object:`.", lacks=lacks)
        return CheckResult(
            f"{dataset} ({objects})",
            "warning",
            f"{survey.why_absent.partition('. ')[0]}.",
            f"Give the user read access to {objects}, or switch the feature on, if its KPIs are "
            "wanted.",
            lacks={dataset: ()},
        )

    def _absent_beside(self, dataset: str, item: Absence, reaches: Sequence[Reach]) -> CheckResult:
        """The line of an object that gives nothing to a dataset that others give."""
        name = item.stream.object
        other = next((r.stream.object for r in reaches if r.stream.instead_of == name), "")
        gives = f"{other} takes its place" if other else f"its records are not among {dataset}"
        return CheckResult(
            f"{dataset} ({name})",
            "warning",
            f"{item.lack}; {gives}.",
            f"Give the user read access to {item.lack.object}, or switch the feature on, if its "
            "records are wanted.",
        )

    def _rules(self, dataset: str, survey: Survey) -> Iterator[CheckResult]:
        """The conditions of the project file, which only the org can look at."""
        rules = Applying(self._catalog.dataset_options(dataset), survey)
        for key in RULES:
            for reach in survey.reaches:
                subject, name, rule = (
                    f"{dataset} ({key})",
                    reach.stream.object,
                    rules.of(key, reach),
                )
                if not rule:
                    continue
                try:
                    if misfit := rules.misfit(key, reach):
                        raise SourceError(misfit)
                    yield CheckResult(subject, "ok", f"{self._counted(name, rule)} of {name}")
                except SourceError as exc:
                    yield CheckResult(subject, "error", str(exc), f"Correct `{key}:`.")
        for unused in rules.unused():
            yield CheckResult(f"{dataset} (rules)", "warning", unused, "Leave it out.")

    def _lines(
        self, dataset: str, reach: Reach, elsewhere: Collection[str]
    ) -> Iterator[CheckResult]:
        """The object itself, then those that its rows are put together with."""
        companions = _companions(reach)
        weakened = self._weakened(reach)

        def owner(lack: Lack) -> str:
            return lack.object if lack.object in companions else reach.stream.object

        for name in (reach.stream.object, *companions):
            where = reach.stream.where if name == reach.stream.object else ""
            lacks = {c: why for c, why in reach.missing.items() if owner(why) == name}
            weaker = {c: why for c, why in weakened.items() if owner(why) == name}
            whys = list(dict.fromkeys(str(lack) for lack in (lacks | weaker).values()))
            if name in companions and not whys:
                whys = [str(lack) for lack in self._catalog.companion_lacks(companions[name])]
            lost = {dataset: tuple(c for c in lacks if c not in elsewhere)}
            effect = _effect(lacks, weaker)
            line = self._object(f"{dataset} ({name})", name, where, effect, whys)
            yield replace(line, lacks=lost) if lost[dataset] else line

    def _weakened(self, reach: Reach) -> Mapping[str, Lack]:
        """Columns whose first entry is hidden; CurrencyIsoCode is not in an org of one currency."""
        if self._catalog.api.describe("CurrencyType") is not None:
            return reach.weakened
        return {c: why for c, why in reach.weakened.items() if reach.entries[c] != ORG_CURRENCY}

    def _object(
        self, subject: str, name: str, where: str, effect: str, whys: Sequence[str]
    ) -> CheckResult:
        is_there = self._catalog.api.describe(name) is not None
        try:
            message = self._counted(name, where) if is_there else "not there"
        except SourceError as exc:
            return CheckResult(subject, "error", str(exc), f"Give the user read access to {name}.")
        if not whys:
            return CheckResult(subject, "ok", message)
        shown = "; ".join(whys[:_SHOWN])
        more = f" and {len(whys) - _SHOWN} more" if len(whys) > _SHOWN else ""
        fix = f"Give the user read access to the fields of {name}, or map others under `columns:`."
        if not is_there:
            fix = f"Give the user read access to {name}, or switch the feature on."
        return CheckResult(subject, "warning", f"{message}; {effect}: {shown}{more}.", fix)

    def _counted(self, name: str, where: str) -> str:
        if (name, where) not in self._counts:
            try:
                rows = self._catalog.api.count(name, (where,) if where else ())
                self._counts[name, where] = f"about {rows:,} rows"
            except ApiError as exc:
                if exc.code not in TOO_HEAVY:
                    raise
                self._counts[name, where] = "too many rows to count in time"
        return self._counts[name, where]


def _way_out(exc: SourceError) -> str:
    """What to do when nothing can be asked of the org."""
    if isinstance(exc, SetupError):
        return exc.fix
    if isinstance(exc, ApiError) and exc.status != 401:
        return "See the message."  # the login is right: the edition, a permission, the allowance
    if isinstance(exc, http.HttpError):
        return (
            "Correct the address (`domain:`, `base_url:`), or the way to it: the network, the "
            "proxy of this machine, its certificates."
        )
    return "Correct `auth:` or `domain:`."


def _columns(catalog: Catalog, dataset: str) -> list[str]:
    return [column for stream in catalog.streams(dataset) for column in catalog.entries(stream)]


def _effect(lacks: Mapping[str, Lack], weaker: Mapping[str, Lack]) -> str:
    """What it takes from the dataset that fields are hidden."""
    told = [f"without {', '.join(lacks)}"] if lacks else []
    if weaker:
        told.append(f"{', '.join(weaker)} from other fields than usual")
    return "; ".join(told) or "what it gives comes from elsewhere"


def _companions(reach: Reach) -> dict[str, Companion]:
    """The further objects that rows are put together with, by name."""
    needed = [c for extra in reach.stream.extras.values() for c in extra.companions]
    return {
        companion.object: companion
        for companion in (*reach.stream.companions, *needed)
        if companion.object != reach.stream.object
    }
