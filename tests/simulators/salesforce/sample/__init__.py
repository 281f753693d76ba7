"""The generated sample CRM as a Salesforce org.

    world = serve_sample(salesforce.org, SampleCrm())
    world.ids["accounts", "acc-00001"]        # "001000000000001AAA"

It is made from the canonical tables with Salesforce's own object and field names, and knows nothing
of any connector. What no standard field can hold lies in custom fields: `columns.OWN` lists them.
"""

from simulators.salesforce.sample.columns import OWN
from simulators.salesforce.sample.serving import as_salesforce_keeps, serve_sample

__all__ = ["OWN", "as_salesforce_keeps", "serve_sample"]
