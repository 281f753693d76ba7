"""Deliveries to a database, one after the other, in this process: its driver reads the environment
only once.

python write_rows.py < '{"url": "...", "steps": [{"rows": [{"value": 0.4}], "options": {}}]}'

Prints a JSON list with the details of each receipt, or the text of the error.
"""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

from crmetrics.plugin import Secret, SinkContext, SinkError
from crmetrics_database.sink import DatabaseOptions, DatabaseSink
from result_rows import delivery, kpi, table


class ImpatientSink(DatabaseSink):
    def pause(self, seconds: float) -> bool:
        """Nobody waits for a simulator."""
        return True


def outcome(url: str, step: dict[str, Any]) -> Any:
    config = DatabaseOptions(url=Secret(url), **{"table": "kpis", **step.get("options", {})})
    sink = ImpatientSink(config, SinkContext("history", Path("/")))
    if step.get("check"):
        return [result.state for result in sink.check()]
    rows = [
        kpi(**{name: date.fromisoformat(value) if name.startswith("period_") else value
               for name, value in row.items()})
        for row in step["rows"]
    ]  # fmt: skip
    try:
        return dict(sink.write(delivery(table(*rows))).details)
    except SinkError as exc:
        return str(exc)


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    print(json.dumps([outcome(asked["url"], step) for step in asked["steps"]]))
