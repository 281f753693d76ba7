"""The connector's README fails the build when it lies."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from connectors.salesforce.orgs import Connect, Quick
from crmetrics.config import load_config
from crmetrics.loader import load_plugins
from crmetrics_salesforce.options import SalesforceOptions

REPO = Path(__file__).resolve().parents[3]
PAGE = (REPO / "connectors" / "crmetrics_salesforce" / "README.md").read_text("utf-8")
TRAPS = PAGE.partition("## Traps")[2]


def test_every_trap_names_tests_that_exist() -> None:
    written = "\n".join(file.read_text("utf-8") for file in (REPO / "tests").rglob("test_*.py"))
    rows = [line for line in TRAPS.splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert len(rows) > 25
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        assert not [name for name in named if f"def {name}(" not in written], row


def test_every_option_is_told() -> None:
    missing = [name for name in SalesforceOptions.model_fields if f"`{name}`" not in PAGE]
    assert missing in ([], ["datasets", "timezone"], ["timezone", "datasets"])


def test_every_dataset_is_told(connect: Connect) -> None:
    table = PAGE.partition("## What it reads")[2].partition("Which field fills")[0]
    told = set(re.findall(r"`([a-z_]+)`", table))
    assert {supply.dataset for supply in connect().datasets()} <= told


@pytest.mark.parametrize("number", range(len(re.findall(r"```yaml\n", PAGE))))
def test_every_example_is_valid(number: int) -> None:
    text = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[number]
    found = yaml.safe_load(re.sub(r"\$\{(\w+)\}", r"\1", text))
    datasets = found.get("sources") or {"x": found}
    (source,) = datasets.values()
    source = {key: value for key, value in source.items() if key != "connector"}
    auth = {"flow": "access_token", "access_token": "a-token"}
    config = {"domain": "acme.my.salesforce.com", **source, "auth": auth}
    assert Quick.Config.model_validate(config).datasets  # type: ignore[attr-defined]


def test_the_projects_example_loads_with_the_connector_itself(tmp_path: Path) -> None:
    example = (REPO / "tests" / "config" / "example.yaml").read_text("utf-8")
    (tmp_path / "crmetrics.yaml").write_text(example)
    environ = {
        "SF_CLIENT_ID": "key-of-the-app",
        "SF_CLIENT_SECRET": "secret-of-the-app",
        "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T0/B0/abcdefghijkl",
    }
    registry = load_plugins(tmp_path)
    config = load_config(
        tmp_path,
        environ=environ,
        connectors=registry.connectors,
        sinks=registry.sinks,
        datasets=registry.datasets,
    )
    options = config.sources["sf_prod"].options
    assert isinstance(options, SalesforceOptions)
    assert options.host_url == "https://acme.my.salesforce.com"
    assert options.datasets["accounts"].columns == {"segment": "Segment__c"}
