"""The engine: one project, from its file to results and deliveries."""

from crmetrics.engine.project import Project
from crmetrics.engine.running import RunReport

__all__ = ["Project", "RunReport"]
