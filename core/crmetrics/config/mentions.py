"""The names of packs, KPIs and dimensions that the project file mentions, each with its path.

Read from the tree of the file and not from the checked sections, so that nothing else that is wrong
hides an unknown name. A value with a missing variable names nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from crmetrics.config.sections import GoalConfig
from crmetrics.config.settings import SETTINGS
from crmetrics.config.tree import Listing, Node, Path, Scalar, Section, child, find, is_empty
from crmetrics.config.validation import check


class Mention(Struct, frozen=True):
    """A name and where it stands: `place(*path)` of the configuration. is_key: as a key."""

    name: str
    path: Path
    is_key: bool = False


class JobMentions(Struct, frozen=True):
    """What one job names. by: every dimension of every grouping; where: its filter."""

    name: str
    kpis: tuple[Mention, ...]
    by: tuple[Mention, ...]
    where: Mention | None


class Mentions(Struct, frozen=True):
    """All names of one file.

    kpi_settings: KPI -> the settings under its id. goals: KPIs, guardrails among them; segments:
    index of a goal -> the dimensions of its segment. right_goals: by their index, those without an
    error of form. has_open_packs: a pack is named by a variable that is missing.
    """

    packs: tuple[Mention, ...]
    disabled: tuple[Mention, ...]
    kpi_settings: dict[Mention, tuple[Mention, ...]]
    jobs: tuple[JobMentions, ...]
    goals: tuple[Mention, ...]
    goal_kpis: dict[int, str]
    segments: dict[int, tuple[Mention, ...]]
    right_goals: dict[int, GoalConfig]
    has_open_packs: bool


def read_mentions(root: Section) -> Mentions:
    """The names in a file; what has the wrong form is left out."""
    packs = find(root, ("metrics", "packs"))
    goals = root.node("goals")
    indices = range(len(goals.items)) if isinstance(goals, Listing) else range(0)
    kpis = {index: _text(root, ("goals", index, "kpi")) for index in indices}
    right = {index: check(GoalConfig, root, ("goals", index))[0] for index in indices}
    return Mentions(
        packs=tuple(_texts(root, ("metrics", "packs"))),
        disabled=tuple(_texts(root, ("metrics", "disable"))),
        kpi_settings=dict(_kpi_settings(root)),
        jobs=tuple(_job(root, name) for name in _keys(root, ("jobs",))),
        goals=tuple(_goal_names(root, indices)),
        goal_kpis={index: mention.name for index, mention in kpis.items() if mention},
        segments={index: tuple(_named(root, ("goals", index, "segment"))) for index in indices},
        right_goals={index: goal for index, goal in right.items() if goal is not None},
        has_open_packs=any(item.is_unresolved for item in _scalars(packs)),
    )


def _job(root: Section, name: str) -> JobMentions:
    path: Path = ("jobs", name)
    return JobMentions(
        name,
        tuple(_texts(root, (*path, "kpis"))),
        tuple(_texts(root, (*path, "by"))),
        _text(root, (*path, "where")),
    )


def _goal_names(root: Section, indices: range) -> Iterator[Mention]:
    for index in indices:
        kpi = _text(root, ("goals", index, "kpi"))
        if kpi is not None:
            yield kpi
        yield from _named(root, ("goals", index, "guardrails"))


def _kpi_settings(root: Section) -> Iterator[tuple[Mention, tuple[Mention, ...]]]:
    path: Path = ("metrics", "settings")
    for mention in _named(root, path):
        if mention.name not in SETTINGS and isinstance(find(root, mention.path), Section):
            yield mention, tuple(_named(root, mention.path))


def _keys(root: Section, path: Path) -> tuple[str, ...]:
    node = find(root, path)
    return tuple(node.entries) if isinstance(node, Section) else ()


def _named(root: Section, path: Path) -> Iterator[Mention]:
    """The keys of a section as names."""
    for key in _keys(root, path):
        yield Mention(key, (*path, key), is_key=True)


def _text(root: Section, path: Path) -> Mention | None:
    node = find(root, path)
    return Mention(node.text, path) if _names(node) and isinstance(node, Scalar) else None


def _texts(root: Section, path: Path) -> Iterator[Mention]:
    """The texts of a list, and of the lists in it."""
    node = find(root, path)
    for index in range(len(node.items)) if isinstance(node, Listing) else ():
        below: Path = (*path, index)
        item = child(node, index)
        if isinstance(item, Listing):
            yield from _texts(root, below)
        elif (mention := _text(root, below)) is not None:
            yield mention


def _names(node: Node | None) -> bool:
    return isinstance(node, Scalar) and not node.is_unresolved and not is_empty(node)


def _scalars(node: Node | None) -> Iterator[Scalar]:
    for item in node.items if isinstance(node, Listing) else ():
        if isinstance(item, Scalar):
            yield item
