"""Identities: what must hold between KPIs whatever the data, as packs state it (rule Q5).

    identities:
      kept_and_lost:
        title: every customer of the opening is kept or lost
        inputs:
          kept: {kpi: customer_retention_rate}
          lost: {kpi: customer_churn_rate}
        holds: kept + lost = 1
        by: [segment, owner_id]

An identity is compiled like a formula KPI over the same inputs: its numerator is the left side, its
denominator the right one, so that it shares the rows that its KPIs read anyway.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Literal, cast

from msgspec import Struct, field

from crmetrics.catalog.definition import NOWHERE, Input, Kpi, Measure, Place, Places, Variant
from crmetrics.catalog.fields import Fields
from crmetrics.catalog.measures import read_inputs
from crmetrics.errors import Finding, did_you_mean

Relation = Literal["=", "<=", ">="]

KEYS = ("title", "inputs", "holds", "by", "when", "unless", "about")
LABEL = "identity."
"""What the name of an identity's rows begins with; no KPI id holds a dot."""

_COMPARISON = re.compile(r"(?P<left>[^=<>!]+?)\s*(?P<relation><=|>=|=)\s*(?P<right>[^=<>!]+)")
_NAME = re.compile(r"(?<![\w.])([a-z_]\w*)(?!\w|\s*\()")


class Identity(Struct, frozen=True):
    """A comparison over KPIs of the same period and group.

    holds: the comparison as it is written. by: patterns of the dimensions whose groups it holds in;
    the total always. when: settings under which it is claimed. unless: coverage counts with which
    it is not, as a KPI that leaves rows out need not match one that does not.
    """

    name: str
    pack: str
    title: str
    holds: str
    relation: Relation
    measure: Measure
    by: tuple[str, ...] = ()
    when: Mapping[str, str] = field(default_factory=dict)
    unless: tuple[str, ...] = ()
    place: Place = NOWHERE

    @property
    def label(self) -> str:
        return f"{LABEL}{self.name}"

    @property
    def kpis(self) -> tuple[str, ...]:
        """The KPIs and variants that it compares."""
        return tuple(dict.fromkeys(item.kpi for item in self.measure.inputs if item.kpi))

    @property
    def as_kpi(self) -> Kpi:
        """The identity as the compiler takes it: numerator = left side, denominator = right."""
        variants = {"": Variant("", self.measure)}
        return Kpi(self.label, self.pack, self.title, "", "ratio", "none", variants)

    def holds_by(self, dimensions: Iterable[str]) -> bool:
        return all(any(fnmatchcase(name, one) for one in self.by) for name in dimensions)


def read_identity(name: str, pack: str, fields: Fields) -> Identity | None:
    """The identity of one section; None (and findings) when it says no comparison."""
    inputs = read_inputs(fields)
    fields.known(KEYS)
    text = fields.text("holds")
    found = _COMPARISON.fullmatch(text)
    if found is None:
        fields.refuse(
            fields.section.node("holds") or fields.section,
            f"{fields.path}.holds: expected one comparison with =, <= or >=, found {text!r}.",
            "Say for example `kept + lost = 1`.",
        )
        return None
    left, right = found["left"].strip(), found["right"].strip()
    for word in _NAME.findall(f"{left} {right}"):
        _require_input(word, inputs, fields)
    place = fields.place("holds")
    measure = Measure(
        shape="derived",
        inputs=inputs,
        value=f"({left}) - ({right})",
        numerator=left,
        denominator=right,
        places=Places(dict.fromkeys(("", "value", "numerator", "denominator"), place)),
    )
    return Identity(
        name,
        pack,
        fields.text("title", name),
        text,
        cast(Relation, found["relation"]),
        measure,
        fields.texts("by"),
        fields.mapping("when"),
        fields.texts("unless"),
        fields.place(""),
    )


def _require_input(word: str, inputs: tuple[Input, ...], fields: Fields) -> None:
    names = [item.name for item in inputs]
    if word not in names:
        fields.refuse(
            fields.section.node("holds") or fields.section,
            f"{fields.path}.holds: {word!r} is no input.",
            did_you_mean(word, names) or f"Inputs: {', '.join(names) or 'none'}.",
        )


def unknown_kpis(
    identities: Iterable[Identity], kpis: Mapping[str, Kpi], *, pack: str
) -> list[Finding]:
    """What a pack's identities name although no definition has it. A KPI of another pack may be
    missing, as that pack need not be enabled; a variant of a known KPI may not."""
    found = []
    for identity in identities:
        for name in identity.kpis if identity.pack == pack else ():
            kpi_id, _, variant = name.partition(".")
            known = kpis.get(kpi_id)
            if known is not None and variant in known.variants:
                continue
            if known is None and pack != "project":
                continue
            place = identity.place
            message, names = f"there is no KPI {kpi_id!r} in the enabled packs", list(kpis)
            if known is not None:
                message = f"KPI {kpi_id!r} has no variant {variant!r}"
                names = [key for key in known.variants if key]
            hint = did_you_mean(variant if known else kpi_id, names)
            found.append(
                Finding(
                    f"identities.{identity.name}: {message}.",
                    place.file,
                    place.line,
                    place.column,
                    hint,
                )
            )
    return found
