"""A local Salesforce org that enforces the rules of the real one.

    with SalesforceSimulator() as salesforce:
        account = salesforce.org.create("Account", Name="Acme")
        token = salesforce.issue()
        ...GET salesforce.base_url + "/services/data/v67.0/query?q=SELECT+Id+FROM+Account"...

`org` holds the data and what its user may see, `login` the app and its tokens, `rest` and `bulk`
the moods of the two APIs, `faults` what goes wrong on the wire, `clock` the time.
"""

from simulators.salesforce.org import Org, long_id, make_id
from simulators.salesforce.server import SalesforceSimulator

__all__ = ["Org", "SalesforceSimulator", "long_id", "make_id"]
