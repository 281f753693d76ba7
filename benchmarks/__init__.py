"""Measurements of crmetrics against hand-written yardsticks; see README.md."""
