"""`crmetrics explain`: why a number is what it is."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import asdict

from crmetrics.cli.console import Console, redact_leaves
from crmetrics.cli.options import GRAINS, by_option, command, groupings, json_option
from crmetrics.cli.session import Session, pass_session

if TYPE_CHECKING:
    from crmetrics.engine.explaining import Explanation, Step


@command("explain")
@click.argument("kpi", metavar="KPI[.VARIANT]")
@click.option("--sql", "only_sql", is_flag=True, help="Print only the SQL, as a script that runs.")
@click.option(
    "--period", metavar="P", help="Which period to count.  [default: the last complete month]"
)
@click.option("--grain", type=click.Choice(GRAINS), help="Cut the period into these.")
@by_option
@json_option
@pass_session
def explain(
    session: Session,
    kpi: str,
    only_sql: bool,
    period: str | None,
    grain: str | None,
    by: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show how KPI is defined, what it reads, which rows are left at each step, its value, its
    usual mistakes, and with --sql the statements that compute it."""
    found = session.project.explain(kpi, period=period, by=groupings(by), grain=grain)
    if only_sql:
        session.console.print(found.sql.rstrip())
    elif as_json:
        document = json.dumps(_document(found), indent=2, ensure_ascii=False, default=str)
        session.console.print_data(document + "\n")
    else:
        _print(found, session)


def _print(found: Explanation, session: Session) -> None:
    console = session.console
    name = f"{found.kpi}.{found.variant}" if found.variant else found.kpi
    console.print(f"{found.title} ({name})\n{found.question}")
    _print_pairs("Definition", found.definition.items(), console)
    needs = ((dataset, ", ".join(columns)) for dataset, columns in found.needs.items())
    _print_pairs("Reads", needs, console)
    settings = ((key, str(value)) for key, value in found.settings.items())
    _print_pairs("Settings", settings, console)
    _print_pairs("Rows", ((step.what, _count(step)) for step in found.steps), console)
    if found.missing:
        console.print(f"\nNo value: {found.missing}")
    elif found.results is not None:
        _print_results(found, session)
    lists = (("Dimensions", found.dimensions), ("Guardrails", found.guardrails))
    _print_pairs("Use", ((label, ", ".join(names)) for label, names in lists if names), console)
    for label, text in found.notes.items():
        console.print(f"\n{label}\n  {' '.join(text.split())}")
    console.print(f"\nDefinition {found.definition_hash}")


def _count(step: Step) -> str:
    return f"{'-' if step.is_left_out else ''}{step.rows:,}"


def _print_pairs(title: str, pairs: Iterable[tuple[str, str]], console: Console) -> None:
    lines = [(label, " ".join(text.split())) for label, text in pairs]
    if not lines:
        return
    width = max(len(label) for label, _ in lines)
    console.print(f"\n{title}")
    for label, text in lines:
        console.print(f"  {label:{width}}  {text}")


def _print_results(found: Explanation, session: Session) -> None:
    from crmetrics.cli.result_table import result_table, view_of
    from crmetrics.cli.text_table import show

    assert found.results is not None
    session.console.print()
    show(result_table(found.results, view_of(session.project)), session.console)


def _document(found: Explanation) -> dict[str, Any]:
    from crmetrics import export

    shown = asdict(found)
    shown["steps"] = [
        {"what": step.what, "rows": step.rows, "is_left_out": step.is_left_out}
        for step in found.steps
    ]
    del shown["results"]
    document: dict[str, Any] = redact_leaves(
        {key: dict(value) if hasattr(value, "items") else value for key, value in shown.items()}
    )
    document["results"] = None if found.results is None else list(export.rows(found.results))
    return document
