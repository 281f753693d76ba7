"""Contract tests: one suite for all plugins of a kind, collected by pytest.

A plugin's test module subclasses the contract and says how to make the plugin:

    import pytest
    from crmetrics.testing import ConnectorContract

    class TestMyConnector(ConnectorContract):
        secrets = ("s3cret",)

        @pytest.fixture
        def connector_factory(self, tmp_path):
            return lambda: MyConnector(MyConnector.Config(token="s3cret"), context(tmp_path))

Every test of a contract is a mistake that plugins of the kind have made. A contract can be
loosened only through its class attributes, each of which says what it stands for.
"""

import pytest

# Rewritten asserts show the values that differ; this must come before the modules are imported.
pytest.register_assert_rewrite(
    "crmetrics.testing.contracts.connector",
    "crmetrics.testing.contracts.pack",
    "crmetrics.testing.contracts.sink",
)
