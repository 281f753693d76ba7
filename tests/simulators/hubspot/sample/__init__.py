"""The generated sample CRM as a HubSpot account.

    serve_sample(hubspot.account, SampleCrm(scale=0.2))

Written from the generator's records and HubSpot's documentation, not from the connector: what has a
standard property stands in it, as HubSpot writes it; what has none stands in custom properties
(`COLUMNS` says which), or in the custom object `touches`. What HubSpot cannot hold (`LEFT_OUT`)
stays away: older copies of a record, unanswered invitations, undated spend, tables of finance.
"""

from __future__ import annotations

from simulators.hubspot.sample.columns import COLUMNS, LEFT_OUT, source_section
from simulators.hubspot.sample.serving import serve_sample

__all__ = ["COLUMNS", "LEFT_OUT", "serve_sample", "source_section"]
