"""How a project file reads the sample CRM from Salesforce.

For HubSpot the simulator's sample says it itself (`simulators.hubspot.sample.source_section`).
"""

from __future__ import annotations

from typing import Any

from simulators.salesforce import SalesforceSimulator
from simulators.salesforce.sample.mapping import COLUMNS


def salesforce_section(salesforce: SalesforceSimulator) -> dict[str, Any]:
    """The source of a project file that reads the sample org whole."""
    app = salesforce.login.app
    return {
        "connector": "salesforce",
        "base_url": salesforce.base_url,
        "auth": {
            "flow": "client_credentials",
            "client_id": app.client_id,
            "client_secret": app.client_secret,
        },
        "case_statuses": {
            "new": "new",
            "open": "open",
            "waiting": "pending",
            "third party": "on_hold",
            "solved": "solved",
        },
        "datasets": COLUMNS,
    }
