"""`crmetrics check` of an org: one line per object, with what is missing and what to grant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from crmetrics.plugin import CheckResult, SourceError
from crmetrics_salesforce.catalog import Catalog
from crmetrics_salesforce.errors import TOO_HEAVY, ApiError
from crmetrics_salesforce.reach import Reach, fields_in

_SHOWN = 6


class SourceCheck:
    """Looks at login, allowance and every object; raises nothing."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def results(self) -> Iterator[CheckResult]:
        api = self._catalog.api
        try:
            limits = api.limits()
        except SourceError as exc:
            yield CheckResult("login", "error", str(exc), "Correct `auth:` or `domain:`.")
            return
        yield CheckResult("login", "ok", f"API {api.options.api_version}")
        yield self._quota(limits)
        datasets = list(dict.fromkeys(s.dataset for s in self._catalog.all_streams()))
        datasets += [name for name in self._catalog.options.datasets if name not in datasets]
        try:
            api.describe_all(self._catalog.needed_objects(datasets))
        except SourceError as exc:
            yield CheckResult("objects", "error", str(exc), "See the message.")
            return
        for dataset in datasets:
            yield from self._dataset(dataset)

    def _quota(self, limits: object) -> CheckResult:
        quota = self._catalog.api.quota
        found = limits.get("DailyApiRequests") if isinstance(limits, dict) else None
        if not isinstance(found, dict) or "Max" not in found:
            return CheckResult("quota", "warning", "the org does not tell its allowance of calls")
        used = found["Max"] - found["Remaining"]
        quota.learn(used, found["Max"])
        message = f"{used:,} of {found['Max']:,} daily calls used"
        if quota.ceiling is not None and used >= quota.ceiling:
            return CheckResult(
                "quota",
                "error",
                f"{message}; a run would stop at {quota.ceiling:,}",
                "Wait, or raise max_api_usage_percent.",
            )
        return CheckResult("quota", "ok", message)

    def _dataset(self, dataset: str) -> Iterator[CheckResult]:
        catalog = self._catalog
        own = catalog.dataset_options(dataset)
        mapping = own.columns if own is not None else {}
        mapped = {column: fields_in(text) or [text] for column, text in mapping.items()}
        columns = list(dict.fromkeys([*mapped, *_columns(catalog, dataset)]))
        try:
            reaches = catalog.survey(dataset, columns, mapped)
        except SourceError as exc:
            yield CheckResult(dataset, "error", str(exc), "See the message.")
            return
        if not reaches:
            objects = ", ".join(catalog.objects_of(dataset))
            yield CheckResult(
                f"{dataset} ({objects})",
                "warning",
                "the org lacks the object, or hides it from the user.",
                "Give the user read access to it, or switch the feature on, if its KPIs are "
                "wanted.",
                lacks={dataset: ()},
            )
            return
        for reach in reaches:
            yield self._object(dataset, reach, [r for r in reaches if r is not reach])

    def _object(self, dataset: str, reach: Reach, others: Sequence[Reach]) -> CheckResult:
        name = reach.stream.object
        message = "too many rows to count in time"
        try:
            rows = self._catalog.api.count(name, reach.stream.where)
        except ApiError as exc:
            if exc.code not in TOO_HEAVY:
                return CheckResult(
                    f"{dataset} ({name})", "error", str(exc), "Give the user read access to it."
                )
        else:
            message = f"about {rows:,} rows"
        elsewhere = {column for other in others for column in other.entries}
        lacking = tuple(c for c in reach.missing if c not in elsewhere)
        if not reach.missing:
            return CheckResult(f"{dataset} ({name})", "ok", message)
        whys = list(dict.fromkeys(reach.missing.values()))
        more = f" and {len(whys) - _SHOWN} more" if len(whys) > _SHOWN else ""
        return CheckResult(
            f"{dataset} ({name})",
            "warning",
            f"{message}; without {', '.join(reach.missing)}: {'; '.join(whys[:_SHOWN])}{more}.",
            "Give the user field access, or map another field under `columns:`.",
            lacks={dataset: lacking} if lacking else {},
        )


def _columns(catalog: Catalog, dataset: str) -> list[str]:
    return [column for stream in catalog.streams(dataset) for column in catalog.entries(stream)]
