"""The command line. Only this package prints or exits.

`import crmetrics.cli` loads click and nothing heavy: no Arrow, no DuckDB, no YAML, no plugin.
"""

from crmetrics.cli.app import app, main

__all__ = ["app", "main"]
