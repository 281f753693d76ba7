"""Project files with a Salesforce source, and what is wrong with them before anything is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from crmetrics.config import load_config
from crmetrics.errors import ConfigError
from crmetrics.loader import load_plugins


def project(folder: Path, *lines: str) -> None:
    """A project file whose lines from the ninth on are those of `datasets:`."""
    head = (
        "version: 1",
        "project: p",
        "sources:",
        "  crm:",
        "    connector: salesforce",
        "    domain: acme.my.salesforce.com",
        "    auth: {flow: access_token, access_token: abcdefgh}",
        "    datasets:",
    )
    (folder / "crmetrics.yaml").write_text("\n".join((*head, *lines)) + "\n", encoding="utf-8")


def findings(folder: Path) -> list[str]:
    """What loading it finds."""
    registry = load_plugins(folder)
    with pytest.raises(ConfigError) as failure:
        load_config(
            folder,
            environ={},
            connectors=registry.connectors,
            sinks=registry.sinks,
            datasets=registry.datasets,
        )
    return [str(finding) for finding in failure.value.findings]
