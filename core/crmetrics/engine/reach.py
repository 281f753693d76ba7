"""What a source cannot give after all, and the KPIs that this puts out of reach."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from crmetrics.plugin import CheckResult, Supply

if TYPE_CHECKING:
    from crmetrics.engine.planning import OutOfReach
    from crmetrics.engine.project import Project

_SHOWN = 8


def told_with_kpis(
    project: Project, source: str, results: Sequence[CheckResult]
) -> list[CheckResult]:
    """The findings of a source's check; those that lack something name the enabled KPIs that are
    out of reach because of it."""
    from crmetrics.engine.planning import needs_of, supplies_of

    lacking = [result for result in results if result.lacks]
    if not lacking:
        return list(results)
    supplies = supplies_of(project, or_held=True)
    kpis = every_variant(project)
    _, before = needs_of(project, kpis, (), supplies)
    supplies[source] = without(supplies[source], (result.lacks for result in lacking))
    _, after = needs_of(project, kpis, (), supplies)
    lost = [gap for gap in after if gap.kpi not in {former.kpi for former in before}]
    return [_told(result, lost) if result.lacks else result for result in results]


def every_variant(project: Project) -> tuple[str, ...]:
    """All enabled KPIs and their variants, by name."""
    return tuple(
        f"{kpi.id}.{variant}" if variant else kpi.id
        for kpi in project.catalog.kpis.values()
        for variant in kpi.variants
    )


def without(
    supplies: Iterable[Supply], lacks: Iterable[Mapping[str, tuple[str, ...]]]
) -> list[Supply]:
    """The supplies less what is lacking: dataset -> columns, none = the whole dataset."""
    left = {supply.dataset: supply for supply in supplies}
    for lacking in lacks:
        for dataset, columns in lacking.items():
            supply = left.get(dataset)
            if supply is None:
                continue
            kept = tuple(name for name in supply.columns if name not in columns)
            if columns:
                left[dataset] = replace(supply, columns=kept)
            else:
                del left[dataset]
    return list(left.values())


def _told(result: CheckResult, lost: Sequence[OutOfReach]) -> CheckResult:
    names = {gap.kpi for gap in lost if _is_cause(result.lacks, gap.what)}
    kpis = sorted(name for name in names if name.partition(".")[0] not in names - {name})
    if not kpis:
        return result
    more = f" and {len(kpis) - _SHOWN} more" if len(kpis) > _SHOWN else ""
    message = f"{result.message} Out of reach: {', '.join(kpis[:_SHOWN])}{more}."
    return replace(result, message=message)


def _is_cause(lacks: Mapping[str, tuple[str, ...]], what: str) -> bool:
    dataset, _, column = what.partition(".")
    return dataset in lacks and (not lacks[dataset] or column in lacks[dataset])
