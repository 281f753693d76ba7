"""Operands: what is to be evaluated, and which of them may share a statement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from crmetrics.catalog import NOWHERE, Measure, Place, WindowSpec
from crmetrics.compiler.adding import adds_up, reads_windows
from crmetrics.compiler.slices import Window

Grouping = tuple[str, ...]
"""Dimensions to group by; none = the total."""


class Operand(Struct, frozen=True):
    """One measure to evaluate: as a KPI's own number, an input, or a coverage count.

    measure: placeholders filled, alternatives chosen. windows: slice index -> window.
    """

    number: int
    label: str
    measure: Measure
    groupings: tuple[Grouping, ...]
    windows: Mapping[int, Window]
    where: str = ""
    where_place: Place = NOWHERE
    settings: Mapping[str, Any] = field(default_factory=dict)
    tracks_updates: bool = False

    @property
    def key(self) -> tuple[Any, ...]:
        """Operands with the same key share a statement."""
        measure = self.measure
        return (
            measure.relation,
            measure.shape,
            measure.time,
            measure.span,
            measure.looks_ahead,
            measure.currency,
            measure.rate_day,
            self._window_key,
            self.groupings,
            self.where,
            (measure.latest, measure.where) if measure.latest else None,
        )

    @property
    def _window_key(self) -> WindowSpec | None:
        """Which windows may stand beside others in one statement: None = those of events that can
        be added up, and the periods themselves; of others each row would count in all windows."""
        measure = self.measure
        window = replace(measure.window, shift="", shift_months=0)
        if measure.shape != "event" or measure.latest or reads_windows(measure):
            return window
        return None if window.is_plain or adds_up(measure) else window
