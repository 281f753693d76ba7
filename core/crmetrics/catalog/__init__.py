"""The catalog: KPI definitions as data, read from packs and from the project's own files."""

from crmetrics.catalog.definition import (
    NOWHERE,
    PLAIN,
    Condition,
    DerivedDimension,
    Input,
    Kpi,
    Latest,
    Measure,
    Model,
    Place,
    Variant,
    Vector,
    Whole,
    WindowSpec,
)
from crmetrics.catalog.identities import Identity
from crmetrics.catalog.registry import Catalog, ReadCatalog, load_catalog, read_catalog
from crmetrics.catalog.segments import Segment

__all__ = [
    "NOWHERE",
    "PLAIN",
    "Catalog",
    "Condition",
    "DerivedDimension",
    "Identity",
    "Input",
    "Kpi",
    "Latest",
    "Measure",
    "Model",
    "Place",
    "ReadCatalog",
    "Segment",
    "Variant",
    "Vector",
    "Whole",
    "WindowSpec",
    "load_catalog",
    "read_catalog",
]
