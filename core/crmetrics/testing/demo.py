"""The demo project: a folder with the sample CRM that can be opened, edited and run again.

The files stand in `demo_files/` beside this module; `@NAME@` in them is filled in. The figures in
the README are the sample's known answers, not the engine's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import date, timedelta
from importlib import resources
from pathlib import Path

from crmetrics.errors import UsageError
from crmetrics.periods import add_months
from crmetrics.testing.data import SampleCrm
from crmetrics.testing.data.truth import Truth

MARKER = ".crmetrics-demo"
"""Says that a folder is a demo, and how its files were when they were written."""

# Dot files have no dot in the package: packaging and version control read them otherwise.
_FILES: Mapping[str, str] = {
    "crmetrics.yaml": "crmetrics.yaml",
    "README.md": "README.md",
    "metrics/own.yaml": "own.yaml",
    ".gitignore": "gitignore",
}
_FIGURES = (
    ("won_amount", "{:,.0f} USD"),
    ("won_amount.won_count", "{:,.0f}"),
    ("win_rate", "{:.1%}"),
    ("average_deal_size", "{:,.0f} USD"),
    ("average_deal_size.median", "{:,.0f} USD"),
    ("sales_cycle_length", "{:g} days"),
    ("sales_velocity", "{:,.0f} USD per day"),
    ("sales_pipeline_value", "{:,.0f} USD"),
    ("sales_growth_rate", "{:.1%}"),
    ("sales_forecast_accuracy", "{:.1%}"),
    ("quota_attainment", "{:.1%}"),
)


def write_demo(
    directory: str | Path, *, seed: int = 7, end: date = date(2026, 1, 1), scale: float = 1.0
) -> Path:
    """Write the demo project into `directory` and return its path.

    The folder may be missing, empty or a former demo: of that, `data/` is written again and every
    other file that was changed since is kept. Raises UsageError for any other folder.
    """
    folder = Path(directory)
    written = _former_files(folder)
    crm = SampleCrm(seed, scale, end)
    texts = demo_texts(crm)
    # The marker comes first: a demo whose writing was interrupted is still known as one.
    folder.mkdir(parents=True, exist_ok=True)
    kept = {path for path in texts if _is_edited(folder / path, written.get(path))}
    marks = {path: written[path] if path in kept else _hash(text) for path, text in texts.items()}
    marker = json.dumps({"seed": seed, "files": marks}, indent=1) + "\n"
    (folder / MARKER).write_text(marker, encoding="utf-8")
    for path in texts.keys() - kept:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(texts[path], encoding="utf-8", newline="\n")
    crm.write_csv(folder / "data", split=True)
    return folder


def demo_texts(crm: SampleCrm) -> dict[str, str]:
    """Relative path -> text of every file of the demo but the data."""
    values = _values(crm)
    templates = resources.files("crmetrics.testing") / "demo_files"
    return {
        path: re.sub(
            r"@([A-Z_]+)@",
            lambda match: values[match[1]],
            (templates / file).read_text(encoding="utf-8"),
        )
        for path, file in _FILES.items()
    }


# --- what is in the folder already ---------------------------------------------------------------


def _former_files(folder: Path) -> dict[str, str]:
    """Path -> hash of the files of a former demo; empty for a new folder."""
    if not folder.exists():
        return {}
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file; the demo needs a folder. Choose another name.")
    marker = folder / MARKER
    if marker.is_file():
        try:
            files = json.loads(marker.read_text(encoding="utf-8"))["files"].items()
        except (ValueError, KeyError, TypeError, AttributeError):
            # Somebody emptied the marker: it is a demo, but nothing is known of its files.
            return {}
        return {path: hashed for path, hashed in files if isinstance(hashed, str)}
    if any(folder.iterdir()):
        raise UsageError(
            f"{folder} holds other files and is no demo of crmetrics; nothing was written. "
            "Choose an empty or a new folder: crmetrics demo my-demo"
        )
    return {}


def _is_edited(file: Path, written: str | None) -> bool:
    """True for a file of a former demo that is not as it was written."""
    if written is None or not file.is_file():
        return False
    return _hash(file.read_text(encoding="utf-8", errors="replace")) != written


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# --- what is filled in ---------------------------------------------------------------------------


def _values(crm: SampleCrm) -> dict[str, str]:
    end = crm.end
    month, before, year_ago = (add_months(end, -count) for count in (1, 2, 13))
    half_year, year = add_months(end, -6), add_months(end, -12)
    baseline = round(_mean_win_rate(crm.truth, year, half_year), 2)
    size = _deal_size(crm.truth, year, half_year)
    return {
        "START": crm.start.isoformat(),
        "END": end.isoformat(),
        "LAST_DAY": (end - timedelta(days=1)).isoformat(),
        "EXPORTED": crm.exported_at.date().isoformat(),
        "LAST_MONTH": f"{month:%Y-%m}",
        "LAST_MONTH_NAME": f"{_MONTH_NAMES[month.month - 1]} {month.year}",
        "MONTH_BEFORE": f"{before:%Y-%m}",
        "YEAR_AGO": f"{year_ago:%Y-%m}",
        "LAST_QUARTER": _quarter(month),
        "NEXT_QUARTER": _quarter(end),
        "LAST_YEAR": str(month.year),
        "ACCOUNTS": f"{len(crm.truth.live.rows('accounts')):,}",
        "DEALS": f"{len(crm.truth.deals):,}",
        "BASELINE": f"{baseline:.2f}",
        "TARGET": f"{baseline + 0.05:.2f}",
        "GOAL_START": half_year.isoformat(),
        "GOAL_DUE": end.isoformat(),
        "MIN_DEAL": str(int(size * 0.85) // 500 * 500),
        "FIGURES": _figures(crm.truth, (month, before, year_ago)),
    }


_MONTH_NAMES = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
"""Not strftime: its names follow the machine's language."""


def _quarter(day: date) -> str:
    return f"{day.year}-Q{(day.month - 1) // 3 + 1}"


def _figures(truth: Truth, months: tuple[date, ...]) -> str:
    """The rows of the table of known answers."""
    lines = []
    for kpi, form in _FIGURES:
        values = truth.figure(kpi)
        cells = [values.get(month) for month in months]
        shown = ["-" if value is None else form.format(value) for value in cells]
        lines.append(f"| `{kpi}` | {' | '.join(shown)} |")
    return "\n".join(lines)


def _mean_win_rate(truth: Truth, start: date, end: date) -> float:
    """Won of decided deals over whole months."""
    won, lost = truth.figure("won_amount.won_count"), truth.figure("lost_count")
    months = [month for month in won if start <= month < end]
    wins = sum(won[month] or 0 for month in months)
    return wins / max(1, wins + sum(lost[month] or 0 for month in months))


def _deal_size(truth: Truth, start: date, end: date) -> float:
    """Mean amount of the deals won in whole months, close enough for a limit."""
    amounts, counts = truth.figure("won_amount"), truth.figure("won_amount.won_count")
    months = [month for month in amounts if start <= month < end]
    total = sum(amounts[month] or 0 for month in months)
    return total / max(1, sum(counts[month] or 0 for month in months))
