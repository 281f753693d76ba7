"""The engine: one project, from its file to results and deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmetrics.engine.project import Project

if TYPE_CHECKING:
    from crmetrics.engine.running import RunReport

__all__ = ["Project", "RunReport"]


def __getattr__(name: str) -> Any:
    # Lazy: a question does not pay for what a job needs.
    if name == "RunReport":
        from crmetrics.engine.running import RunReport

        return RunReport
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
