"""The files of a new project, as `crmetrics init` writes them.

They stand in `starter_files/` beside this module. `@PROJECT@`, `@TIMEZONE@` and `@CURRENCY@` are
filled in, and `{-1:20}` is the 20th of the month before the day on which the project begins: the
example deals are recent, so that the first run prints numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date, datetime
from importlib import resources
from zoneinfo import ZoneInfo

from crmetrics.periods import add_months

# Dot files have no dot here: packaging and version control read them otherwise.
_FILES: Mapping[str, str] = {
    "crmetrics.yaml": "crmetrics.yaml",
    "data/accounts.csv": "data/accounts.csv",
    "data/opportunities.csv": "data/opportunities.csv",
    "data/users.csv": "data/users.csv",
    ".env.example": "env.example",
    ".gitignore": "gitignore",
}
_DAY = re.compile(r"\{(-?\d):(\d\d)\}")


def starter_files(
    project: str, *, timezone: str, currency: str, today: date | None = None
) -> Mapping[str, str]:
    """Relative path -> text of every file of a starter project; it runs as it is.

    today: the day around which the example deals are dated; default: the current day in
    `timezone`. Raises ZoneInfoNotFoundError when that default needs a zone that does not exist.
    """
    day = today or datetime.now(ZoneInfo(timezone)).date()
    # A JSON string is a YAML string, whatever stands in it; `$` could begin a variable.
    values = {
        f"@{name}@": json.dumps(value, ensure_ascii=False).replace("${", "$${")
        for name, value in (("PROJECT", project), ("TIMEZONE", timezone), ("CURRENCY", currency))
    }
    templates = resources.files("crmetrics.config") / "starter_files"
    return {
        path: _fill((templates / file).read_text(encoding="utf-8"), values, day)
        for path, file in _FILES.items()
    }


def _fill(template: str, values: Mapping[str, str], day: date) -> str:
    text = _DAY.sub(lambda match: _day(day, int(match[1]), int(match[2])), template)
    return re.sub(r"@[A-Z]+@", lambda match: values[match[0]], text)


def _day(day: date, months: int, number: int) -> str:
    return add_months(day.replace(day=1), months).replace(day=number).isoformat()
