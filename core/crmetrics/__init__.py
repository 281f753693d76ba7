"""crmetrics: CRM data in, KPIs out.

The Python API beside the command line:

    from crmetrics import Project
    table = Project("DIR").query(["win_rate"], grain="month", by=["owner.team"])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmetrics._version import __version__

if TYPE_CHECKING:
    from crmetrics.engine import Project

__all__ = ["Project", "__version__"]


def __getattr__(name: str) -> Any:
    # Lazy, so that `import crmetrics.cli` (help, completion) does not pay for the engine.
    if name == "Project":
        from crmetrics.engine import Project

        return Project
    raise AttributeError(f"module 'crmetrics' has no attribute {name!r}")
