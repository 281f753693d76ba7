"""What the org gives for each column, compared with what it gave at the last read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from crmetrics.plugin import ReadRequest, SourceError
from crmetrics_salesforce.catalog import Catalog, Survey
from crmetrics_salesforce.reach import Reach, fields_in

_UNKNOWN = ""
"""In place of an entry that is not compared."""
_HIDDEN = "-"
"""In place of a field that no column comes from, and that the org does not show."""


class Given:
    """Objects, their columns and the entries that these are made of.

    A column with several entries is there whichever of them the org shows, and means something
    else with each: rows of the last read go with those of this one only when both used the same.
    """

    def __init__(self, catalog: Catalog, request: ReadRequest, survey: Survey) -> None:
        self._catalog = catalog
        self._request = request
        self._survey = survey

    @cached_property
    def now(self) -> dict[str, dict[str, str]]:
        """Object -> column -> its entry; unknown for one of the project file, whose change is
        noticed with those of other rules. Beside them the fields that rows are chosen or added by
        where the org shows them."""
        return {
            reach.stream.object: dict(sorted(self._of(reach))) for reach in self._survey.reaches
        }

    def _of(self, reach: Reach) -> Iterator[tuple[str, str]]:
        yield from reach.entries.items()
        yield from ((c, _UNKNOWN) for c in self._request.mapping if c not in reach.missing)
        yield from _beside(reach).items()

    @cached_property
    def before(self) -> Mapping[str, Mapping[str, str]]:
        """As `now`, at the last read; empty when there was none."""
        found = self._request.state.get("given")
        if not isinstance(found, dict):
            return {}
        return {
            name: columns if isinstance(columns, dict) else dict.fromkeys(columns, _UNKNOWN)
            for name, columns in found.items()  # names alone: of a version that kept no entries
        }

    def gained(self) -> list[str]:
        """Objects, columns of them and better entries for these that the last read could not see:
        their past has never been read."""
        found = []
        for reach in self._survey.reaches if self.before else ():
            name = reach.stream.object
            if name not in self.before:
                found.append(name)
                continue
            beside = _beside(reach)
            for column, text in self.now[name].items():
                if column in beside:
                    if (self.before[name].get(column), text) == (_HIDDEN, column):
                        found.append(f"{column} of {name}")
                elif column not in self.before[name]:
                    found.append(f"{column} of {name}")
                elif self._is_new(reach, column, self.before[name][column], text):
                    found.append(f"what {column} of {name} comes from")
        return found

    def _is_new(self, reach: Reach, column: str, before: str, now: str) -> bool:
        if before == _UNKNOWN:
            return len(self._choices(reach, column)) > 1 and column not in self._request.mapping
        return before != now and not self._is_fallen(reach, column, before, now)

    def _is_fallen(self, reach: Reach, column: str, before: str, now: str) -> bool:
        """Whether a better entry than that of now was used before."""
        choices = self._choices(reach, column)
        return before in choices and now in choices and choices.index(before) < choices.index(now)

    def _choices(self, reach: Reach, column: str) -> tuple[str, ...]:
        found = self._catalog.entries(reach.stream).get(column, ())
        return (found,) if isinstance(found, str) else found

    @property
    def way_without(self) -> str:
        """How to go on without a dataset that was read before; empty when it never was."""
        if not self.before:
            return ""
        return (
            " What earlier reads gave of it stays until then, and is not up to date; "
            "`crmetrics sync --full` gives it up, for good, and goes on without."
        )

    def require_former(self) -> None:
        """What has disappeared would leave old values standing as if they were true.

        Raises SourceError, unless the user accepts the loss.
        """
        gone = {} if self._request.begins_anew else self._gone()
        if gone:
            whys = "; ".join(dict.fromkeys(gone.values()))
            raise SourceError(
                f"{', '.join(gone)} could be read before and cannot any more: {whys}. "
                "Give the user access again, or accept the loss with `crmetrics sync --full`."
            )

    def _gone(self) -> dict[str, str]:
        """Object, or column that is asked for -> why it cannot be read as the last read could.

        What the project file no longer asks for is not gone, nor is what only stood in for an
        object that has been granted.
        """
        lacks = {absence.stream.object: str(absence.lack) for absence in self._survey.absent}
        reaches = {reach.stream.object: reach for reach in self._survey.reaches}
        found: dict[str, str] = {}
        for name, columns in self.before.items():
            reach = reaches.get(name)
            if reach is None:
                found.update({name: lacks[name]} if name in lacks else {})
                continue
            for column, text in columns.items():
                now = self.now[name].get(column)
                if now == _HIDDEN != text:
                    found[f"{name}.{column}"] = (
                        f"{name}.{column} is missing or hidden from the user"
                    )
                if column not in self._request.columns:
                    continue
                if now is None and column in reach.missing:
                    found[column] = str(reach.missing[column])
                elif now is not None and self._is_fallen(reach, column, text, now):
                    found[column] = str(reach.weakened.get(column, "unknown"))
        return found

    @cached_property
    def displaced(self) -> list[str]:
        """Objects that gave rows to the last read and give none to this one: others take their
        place, and the two are never added."""
        return [name for name in self.before if name not in self.now]


def _beside(reach: Reach) -> dict[str, str]:
    """Fields that no column may come from, and without which rows mean something else -> the same,
    or that they are hidden."""
    stream = reach.stream
    is_chosen = bool(stream.where_shown) and stream.where_shown in stream.where
    return {
        **{name: name if name in reach.types else _HIDDEN for name in stream.if_shown},
        **{name: name if is_chosen else _HIDDEN for name in fields_in(stream.where_shown)},
    }
