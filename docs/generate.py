"""Writes the generated pages of docs/: datasets, KPIs, settings, sinks, sources, hooks, commands.

python docs/generate.py            rewrite them
python docs/generate.py --check    exit with 1 when one of them is out of date
"""

from __future__ import annotations

import csv
import inspect
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from crmetrics import hookspecs
from crmetrics.catalog import Catalog, Kpi, Variant, load_catalog
from crmetrics.cli.reference import reference as commands
from crmetrics.compiler.needs import Supplied
from crmetrics.config.settings import SETTINGS
from crmetrics.datasets import Dataset, canonical_datasets
from crmetrics.engine import Project
from crmetrics.engine.answer import Question, groupings_of
from crmetrics.loader import load_plugins
from crmetrics.plugin import ConnectorContext, MetricPack

DOCS = Path(__file__).resolve().parent
NOTE = "<!-- Written by docs/generate.py (`make docs`); changes here are lost. -->\n\n"


def main(arguments: list[str]) -> int:
    stale = []
    for name, write in PAGES.items():
        file, text = DOCS / name, write()
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            file.write_text(text, encoding="utf-8")
    if stale:
        verb = "out of date" if "--check" in arguments else "written"
        print(f"{verb}: {', '.join(stale)}")
    return int(bool(stale) and "--check" in arguments)


# --- datasets --------------------------------------------------------------------------------


def datasets() -> str:
    found = canonical_datasets()
    lines = [
        NOTE + "# Datasets",
        "",
        f"The {len(found)} datasets that connectors deliver and KPIs read. Every dataset also has "
        "`id`, `source`, `is_deleted`, `is_test` and `updated_at` (exchange_rates excepted). "
        "Money is a decimal in the currency of the row, instants are UTC, dates are days of the "
        "reporting zone. *Required* columns are those KPIs rely on: a null is kept, left out where "
        "it is needed, and counted.",
        "",
        "| Dataset | What a row is |",
        "| --- | --- |",
        *(f"| [{d.name}](#{d.name}) | {_cell(d.about)} |" for d in found.values()),
    ]
    for dataset in found.values():
        lines += ["", *_dataset(dataset)]
    return "\n".join(lines) + "\n"


def _dataset(dataset: Dataset) -> Iterator[str]:
    yield f"## {dataset.name}"
    yield ""
    yield f"{dataset.about} Salesforce: {dataset.salesforce}. HubSpot: {dataset.hubspot}."
    yield ""
    yield f"Key: {', '.join(f'`{name}`' for name in ('source', *dataset.key))}."
    yield ""
    yield "| Column | Type | Required | Refers to | Meaning | Salesforce | HubSpot |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for column in dataset.columns:
        required = "" if column.nullable else "yes"
        refers = f"[{column.references}](#{column.references})" if column.references else ""
        yield (
            f"| `{column.name}` | {column.type} | {required} | {refers} | {_cell(column.about)} "
            f"| {_cell(column.salesforce)} | {_cell(column.hubspot)} |"
        )


# --- KPIs ------------------------------------------------------------------------------------


def kpis() -> str:
    packs = load_plugins(DOCS, ()).packs
    catalog = load_catalog(packs.values())
    total = sum(len(kpi.variants) - 1 for kpi in catalog.kpis.values())
    lines = [
        NOTE + "# KPIs",
        "",
        f"{len(catalog.kpis)} KPIs with {total} variants in {len(packs)} packs. Ask for a variant as "
        "`kpi.variant`. Percentages are stored as fractions, money in the reporting currency. "
        "Deleted, test and merged records never count; what else is left out is counted in the "
        "coverage of each value.",
        "",
        "Under *Reads* stand the columns without which there is no number, with the fields of "
        "Salesforce and HubSpot that fill them ([datasets.md](datasets.md) has all columns). "
        "Customers are read from subscriptions here; under the customer model `purchase` they are "
        "read from `orders` (`account_id`, `ordered_at`), under `field` from `accounts` "
        "(`customer_since_at`). What source articles ask for is ticked off "
        "[at the end](#what-the-source-articles-ask-for).",
        "",
        "| KPI | Pack | Question |",
        "| --- | --- | --- |",
    ]
    lines += [
        f"| [{kpi.id}](#{kpi.id}) | {kpi.pack} | {_cell(kpi.question)} |"
        for kpi in catalog.kpis.values()
    ]
    reads = _reads()
    for kpi in catalog.kpis.values():
        lines += ["", *_kpi(kpi, catalog, packs[kpi.pack], reads[kpi.id])]
    lines += ["", *_coverage(catalog)]
    return "\n".join(lines) + "\n"


def _reads() -> Mapping[str, Mapping[str, set[str]]]:
    """Per KPI the datasets and columns that its default cannot do without."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        packs = sorted(load_plugins(DOCS, ()).packs)
        document = {"version": 1, "project": "docs", "sources": {}, "metrics": {"packs": packs}}
        (Path(folder) / "crmetrics.yaml").write_text(json.dumps(document), encoding="utf-8")
        project = Project(folder, environ={})
        period = project.calendar.last_complete(project.now(), "month")
        catalog = project.catalog
        # A column that spares a dataset is left out, so that the page shows what it spares.
        sparing = {
            column
            for kpi in catalog.kpis.values()
            for column in kpi.default.measure.spared_by.values()
        }
        supplied = {
            name: frozenset(c for c in data.column_names if f"{name}.{c}" not in sparing)
            for name, data in canonical_datasets().items()
        }
        with project.answerer([period], is_binding=True) as answerer:
            answerer.supplied = Supplied(supplied, "subscription", "orders")
            for name in catalog.kpis:
                program = answerer.program(Question((name,), (period,), groupings_of((), totals=True)))
                found[name] = program.needs[name]
    return found


def _coverage(catalog: Catalog) -> Iterator[str]:
    """What the source articles ask for, line by line, with what answers it."""
    rules = {row["rule"]: row for row in _table("rules.csv")}
    yield "## What the source articles ask for"
    yield ""
    yield (
        "Every metric, analysis, tip or feature that the five articles behind this catalogue name or "
        "imply. Letter codes are rules that hold for all KPIs, listed below; a line is ticked when "
        "everything named in it is there."
    )
    article = ""
    for line in _table("coverage.csv"):
        if line["article"] != article:
            article = line["article"]
            yield ""
            yield f"### Article {article}"
            yield ""
        missing = [rules[rule]["open"] for rule in _rules_in(line["covered_by"], rules)]
        missing = [text for text in missing if text]
        covered = re.sub(
            r"\b[a-z][a-z_]*\b",
            lambda word: f"[{word[0]}](#{word[0]})" if word[0] in catalog.kpis else word[0],
            line["covered_by"],
        )
        open_ = f" *Open: {'; '.join(missing)}.*" if missing else ""
        yield f"- [{' ' if missing else 'x'}] {line['phrase']}: {covered}{open_}"
    yield ""
    yield "| Rule | What it says | Where |"
    yield "| --- | --- | --- |"
    for name, rule in rules.items():
        where = f"[{rule['page'].partition('#')[0]}]({rule['page']})" if rule["page"] else ""
        yield f"| {name} | {rule['title']} | {'; '.join(filter(None, (where, rule['open'])))} |"


def _rules_in(text: str, rules: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The rules that a line names; S1-S5 are five."""
    named = [name for name in rules if len(name) > 2 and name in text]
    for first, last in re.findall(r"\b([A-Z]\d)(?:-([A-Z]\d))?\b", text):
        numbers = range(int(first[1]), int((last or first)[1]) + 1)
        named += [f"{first[0]}{number}" for number in numbers]
    return named


def _table(name: str) -> list[dict[str, str]]:
    with (DOCS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _kpi(
    kpi: Kpi, catalog: Catalog, pack: MetricPack, reads: Mapping[str, set[str]]
) -> Iterator[str]:
    yield f"## {kpi.id}"
    yield ""
    yield f"**{kpi.title}.** {kpi.question}"
    yield ""
    yield f"- Unit: {kpi.unit}; better: {kpi.better}; kind: {kpi.kind}; grain: {', '.join(kpi.grains)}"
    yield from _measure(kpi.default)
    if kpi.dimensions:
        yield f"- Dimensions: {', '.join(f'`{name}`' for name in kpi.dimensions)}"
    if kpi.guardrails:
        yield f"- Guardrails: {', '.join(f'`{name}`' for name in kpi.guardrails)}"
    for title, text in (("Treatment", kpi.treatment), ("Common mistakes", kpi.mistakes)):
        if text:
            yield f"- {title}: {text}"
    yield ""
    yield from _origins(kpi, reads)
    variants = [variant for name, variant in kpi.variants.items() if name]
    if variants:
        yield ""
        yield "| Variant | Unit | Meaning |"
        yield "| --- | --- | --- |"
        for variant in variants:
            about = variant.about or variant.measure.value
            yield f"| `{kpi.id}.{variant.name}` | {variant.unit or kpi.unit} | {_cell(about)} |"
    example = pack.path / "examples" / f"{kpi.id}.csv"
    if example.is_file():
        yield ""
        yield "Worked example (tables, then the values they give):"
        yield ""
        yield "```csv"
        yield example.read_text(encoding="utf-8").strip()
        yield "```"


def _origins(kpi: Kpi, reads: Mapping[str, set[str]]) -> Iterator[str]:
    if not any(reads.values()):
        yield "Reads: " + (", ".join(f"`{name}`" for name in reads) or "what its settings name") + "."
        return
    known = canonical_datasets()
    yield "| Reads | Column | Salesforce | HubSpot |"
    yield "| --- | --- | --- | --- |"
    for name, columns in reads.items():
        dataset = known[name]
        place = (dataset.salesforce, dataset.hubspot)
        for column in dataset.columns:
            if column.name in columns or (not columns and column.name in dataset.key):
                fields = (
                    f"{_cell(of)}: {_cell(field)}" if field else ""
                    for of, field in zip(place, (column.salesforce, column.hubspot), strict=True)
                )
                yield f"| [{name}](datasets.md#{name}) | `{column.name}` | {' | '.join(fields)} |"


def _measure(variant: Variant) -> Iterator[str]:
    measure = variant.measure
    if measure.value:
        yield f"- Value: `{_line(measure.value)}`"
    if measure.is_ratio:
        yield (
            f"- Numerator: `{_line(measure.numerator)}`; "
            f"denominator: `{_line(measure.denominator)}`"
        )
    if measure.inputs:
        named = (
            f"`{item.name}`" + (f" = {item.kpi}" if item.kpi else "") for item in measure.inputs
        )
        yield f"- Inputs: {', '.join(named)}"
    if measure.relation:
        dated = f", dated by `{_line(measure.time)}`" if measure.time else ""
        yield f"- Rows of: `{measure.relation}`{dated}"
    if measure.where:
        terms = (
            f"`{_line(term.sql)}`" + (f" (if `{term.when}` is set)" if term.when else "")
            for term in measure.where
        )
        yield f"- Only where: {' and '.join(terms)}"
    needs = {**measure.needs}
    if needs:
        parts = (f"{name}({', '.join(columns)})" for name, columns in needs.items())
        yield f"- Needs: {'; '.join(parts)}"
    for spared, column in measure.spared_by.items():
        yield f"- `{spared}` may be absent where `{column}` is delivered"
    if measure.matures_after:
        yield f"- Final after: `{measure.matures_after}` days"
    if measure.always_by:
        yield f"- Always by: {', '.join(f'`{name}`' for name in measure.always_by)}"


# --- settings and hooks ----------------------------------------------------------------------


def settings() -> str:
    lines = [
        NOTE + "# Settings of KPIs",
        "",
        "Under `metrics.settings` of the project file: flat, or under the id of a KPI, which wins.",
        "",
        "| Setting | Default | For | Meaning |",
        "| --- | --- | --- | --- |",
    ]
    for name, setting in SETTINGS.items():
        own = ", ".join(f"{kpi}: {value}" for kpi, value in setting.per_kpi.items())
        default = "unset" if setting.default is None else f"`{_plain(setting.default)}`"
        default = f"{default} ({own})" if own else default
        users = ", ".join(setting.kpis) or "every KPI that has it"
        lines.append(f"| `{name}` | {default} | {users} | {_cell(setting.about)} |")
    return "\n".join(lines) + "\n"


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


# --- sinks -----------------------------------------------------------------------------------


def sinks() -> str:
    lines = [
        NOTE + "# Sinks",
        "",
        "Where results go. Each entry under `sinks:` of the project file names a sink and its keys; "
        "a job lists the entries it delivers to. How to set them up is in "
        "[destinations.md](destinations.md), how deliveries are repeated, settled and kept back in "
        "[operator.md](operator.md).",
    ]
    for name, sink in sorted(load_plugins(DOCS, ()).sinks.items()):
        module = sys.modules[sink.__module__.partition(".")[0]]
        lines += ["", f"## {name}", "", (inspect.getdoc(sink) or "").strip(), ""]
        _, _, example = (inspect.getdoc(module) or "").partition("\n\n")
        if example:
            lines += ["```yaml", example.strip(), "```", ""]
        lines += ["| Key | Default | Meaning |", "| --- | --- | --- |", *_keys_of(sink.Config)]
    return "\n".join(lines) + "\n"


# --- sources ---------------------------------------------------------------------------------

_BARE: Mapping[str, Mapping[str, object]] = {
    "salesforce": {
        "domain": "example.my.salesforce.com",
        "auth": {"flow": "access_token", "access_token": "written in the docs"},
    },
    "hubspot": {"auth": {"token": "written in the docs"}},
}
"""The least that each connector to a service asks for."""


def sources() -> str:
    found = load_plugins(DOCS, ()).connectors
    supplies = {name: _supplies(found[name], given) for name, given in _BARE.items()}
    lines = [
        NOTE + "# Sources",
        "",
        "What the connectors can supply by themselves, and what has to be added. A dataset that a "
        "source does not have comes from another one: every dataset can be a CSV file beside the "
        "CRM. A column that it has no standard field for is mapped to a custom one under "
        "`columns:`. What an account or org lacks beyond that, `crmetrics check` says.",
        "",
        *_reach(supplies),
    ]
    for name, offered in supplies.items():
        title = {"salesforce": "Salesforce", "hubspot": "HubSpot"}[name]
        lines += ["", f"## {title}: datasets and columns", "", "| Dataset | Columns |", "| --- | --- |"]
        lines += [
            f"| [{dataset}](datasets.md#{dataset}) | {', '.join(f'`{c}`' for c in sorted(columns))} |"
            for dataset, columns in offered.items()
        ]
        lines += ["", f"## {title}: keys of a source", "", "| Key | Default | Meaning |", "| --- | --- | --- |"]
        lines += _keys_of(found[name].Config)
        (of_dataset,) = get_args(found[name].Config.model_fields["datasets"].annotation)[1:]
        lines += ["", f"## {title}: keys of a dataset", "", "Under `datasets: NAME:`.", ""]
        lines += ["| Key | Default | Meaning |", "| --- | --- | --- |", *_keys_of(of_dataset)]
    return "\n".join(lines) + "\n"


def _keys_of(config: type[BaseModel]) -> Iterator[str]:
    for key, option in config.model_fields.items():
        given = None if option.is_required() else option.get_default(call_default_factory=True)
        default = "required" if option.is_required() else _default(given)
        yield f"| `{key}` | {default} | {_cell(option.description or '')} |"


def _supplies(kind: Any, given: Mapping[str, object]) -> dict[str, set[str]]:
    """Dataset -> columns that a connector supplies without any mapping."""
    context = ConnectorContext("docs", DOCS, datasets=canonical_datasets())
    connector = kind(kind.Config.model_validate(given), context)
    return {supply.dataset: set(supply.columns) for supply in connector.datasets()}


def _reach(supplies: Mapping[str, Mapping[str, set[str]]]) -> Iterator[str]:
    """The table of KPIs by source."""
    rows = []
    not_assumed = _not_assumed()
    whole = dict.fromkeys(supplies, 0)
    for kpi, reads in _reads().items():
        cells = []
        for name, offered in supplies.items():
            lacking = _lacking(reads, offered, not_assumed[kpi])
            whole[name] += not lacking
            assumed = "" if lacking else _assumed(reads, offered)
            cells.append(", ".join(lacking) or f"yes{assumed}")
        rows.append(f"| [{kpi}](kpis.md#{kpi}) | {' | '.join(cells)} | yes |")
    yield (
        f"Of {len(rows)} KPIs, {whole['salesforce']} come from Salesforce and {whole['hubspot']} "
        "from HubSpot without any mapping or further source, by default definition and the customer "
        "model `subscription`."
    )
    yield from ("", "| KPI | Salesforce | HubSpot | CSV |", "| --- | --- | --- | --- |", *rows)


def _not_assumed() -> Mapping[str, set[str]]:
    """KPI -> `dataset.column` of the flags whose default is no answer to its question."""
    catalog = load_catalog(load_plugins(DOCS, ()).packs.values())
    return {kpi.id: set(kpi.default.measure.not_assumed) for kpi in catalog.kpis.values()}


def _assumed(reads: Mapping[str, set[str]], offered: Mapping[str, set[str]]) -> str:
    """The flags that a KPI reads, a source does not tell, and a default stands for."""
    known = canonical_datasets()
    found = [
        f"`{name}.{column.name}` as {str(column.default).lower()}"
        for name in reads
        for column in known[name].columns
        if column.name in reads[name] - offered[name]
        and column.default is not None
        and column.name not in ("is_deleted", "is_test")
    ]
    return f", with {', '.join(found)}" if found else ""


def _lacking(
    reads: Mapping[str, set[str]], offered: Mapping[str, set[str]], not_assumed: set[str]
) -> list[str]:
    """What a KPI reads and a source has not, in words."""
    known = canonical_datasets()
    absent = [f"no `{name}`" for name in reads if name not in offered]
    unmapped = [
        f"map `{name}.{column.name}`"
        for name in reads
        if name in offered
        for column in known[name].columns
        if column.name in reads[name] - offered[name]
        and (column.default is None or f"{name}.{column.name}" in not_assumed)
        and column.name not in (*known[name].key, "source")
    ]
    return absent + unmapped


def _default(value: object) -> str:
    if value is None:
        return "unset"
    shown = str(value).lower() if isinstance(value, bool) else str(_plain(value))
    return f"`{shown}`" if shown else "empty"


def hooks() -> str:
    lines = [
        NOTE + "# Hooks",
        "",
        "What a plugin may offer and watch. Write a module-level function of that name with "
        "`@hookimpl` from `crmetrics.plugin`; leave out arguments that you do not need.",
    ]
    for name, function in inspect.getmembers(hookspecs, inspect.isfunction):
        if name.startswith("crmetrics_"):
            arguments = ", ".join(inspect.signature(function).parameters)
            lines += ["", f"## {name}({arguments})", "", inspect.getdoc(function) or ""]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _line(text: str) -> str:
    return " ".join(text.split())


PAGES: Mapping[str, Callable[[], str]] = {
    "datasets.md": datasets,
    "kpis.md": kpis,
    "settings.md": settings,
    "sinks.md": sinks,
    "sources.md": sources,
    "hooks.md": hooks,
    "cli.md": commands,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
