"""The connector's README fails the build when it lies."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from crmetrics_hubspot.options import HubSpotOptions
from crmetrics_hubspot.streams import SPECIAL, STREAMS

REPO = Path(__file__).resolve().parents[3]
PAGE = (REPO / "connectors" / "crmetrics_hubspot" / "README.md").read_text("utf-8")
TRAPS = PAGE.partition("## Traps")[2]


def test_every_trap_names_tests_that_exist() -> None:
    written = "\n".join(file.read_text("utf-8") for file in Path(__file__).parent.glob("test_*.py"))
    rows = [line for line in TRAPS.splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert len(rows) > 40
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        assert not [name for name in named if f"def {name}(" not in written], row


def test_every_dataset_is_in_the_table_with_its_scopes() -> None:
    table = PAGE.partition("| Dataset |")[2].partition("\n\n")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")]
    for name, streams in STREAMS.items():
        (row,) = (row for row in rows if f"`{name}`" in row.split("|")[1])
        assert all(f"`{stream.scope}`" in row for stream in streams), row
    for name, special in SPECIAL.items():
        (row,) = (row for row in rows if f"`{name}`" in row.split("|")[1])
        assert special.scopes[0] in row, row


def test_every_option_is_told() -> None:
    options = PAGE.partition("## Options")[2].partition("\n## ")[0]
    told = set(re.findall(r"`([a-z_]+)`", options))
    assert set(HubSpotOptions.model_fields) - {"datasets"} <= told


@pytest.mark.parametrize("number", range(len(re.findall(r"```yaml\n", PAGE))))
def test_every_example_is_valid(number: int) -> None:
    text = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[number]
    found = yaml.safe_load(re.sub(r"\$\{(\w+)\}", r"\1", text))
    source = found.get("sources") or {"x": found}
    (own,) = source.values()
    own = {key: value for key, value in own.items() if key != "connector"}
    own.setdefault("auth", {"token": "a token"})
    assert HubSpotOptions.model_validate(own).auth
