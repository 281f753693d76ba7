"""Extract: connectors run, their batches are loaded, and every record is accounted for."""

from __future__ import annotations

from crmetrics.extract.reading import Progress, sync
from crmetrics.extract.request import Request, trial

__all__ = ["Progress", "Request", "sync", "trial"]
