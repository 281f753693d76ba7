"""A seeded, believable CRM with known answers, for tests, demos and benchmarks.

from crmetrics.testing.data import SampleCrm

crm = SampleCrm(seed=7)
crm.tables["opportunities"]            # pyarrow.Table with the canonical columns
crm.truth.figure("won_amount")         # {date(2023, 1, 1): 512340.5, ...}
"""

from crmetrics.testing.data.sample import SampleCrm

__all__ = ["SampleCrm"]
