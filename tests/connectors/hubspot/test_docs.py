"""The page about HubSpot names tests, scopes and keys that exist."""

from __future__ import annotations

import re
from pathlib import Path

from crmetrics_hubspot.options import HubSpotOptions
from crmetrics_hubspot.streams import SPECIAL, STREAMS

REPO = Path(__file__).resolve().parents[3]
PAGE = (REPO / "docs" / "hubspot.md").read_text(encoding="utf-8")


def test_each_trap_is_held_by_a_test_that_exists() -> None:
    known = "\n".join(
        file.read_text(encoding="utf-8") for file in Path(__file__).parent.glob("test_*.py")
    )
    named = re.findall(r"`(test_\w+)`", PAGE.partition("## Traps")[2])
    assert len(named) > 20
    assert not [name for name in named if f"def {name}(" not in known]


def test_every_dataset_is_in_the_table_with_its_scopes() -> None:
    table = PAGE.partition("| Dataset |")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")]
    for name, streams in STREAMS.items():
        (row,) = (row for row in rows if re.search(rf"\b{name}\b", row.split("|")[1]))
        assert all(f"`{stream.scope}`" in row for stream in streams), row
    for name, special in SPECIAL.items():
        (row,) = (row for row in rows if re.search(rf"\b{name}\b", row.split("|")[1]))
        assert special.scopes[0] in row, row


def test_the_keys_that_the_page_names_exist() -> None:
    known = set(HubSpotOptions.model_fields)
    for name in ("leads_from", "subscriptions_from", "case_messages_from", "test_email_domains",
                 "refresh_every", "max_api_usage_percent", "max_calls_per_run", "api_version",
                 "hold_back", "overlap"):  # fmt: skip
        assert name in PAGE and name in known
