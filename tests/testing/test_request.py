"""The request in memory behaves as the engine's: it is the engine's, without a warehouse."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from crmetrics.errors import SourceError
from crmetrics.testing import CollectingRequest

if TYPE_CHECKING:
    from crmetrics.plugin import ReadRequest

    # Checked by mypy: whatever a connector may ask, this request answers.
    _request: ReadRequest = CollectingRequest("accounts")

AT = datetime(2026, 1, 5, tzinfo=UTC)


def batch(**columns: list[object]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(columns)


def test_it_wants_all_columns_but_the_source_unless_told() -> None:
    with CollectingRequest("exchange_rates") as request:
        assert request.columns == ("currency", "valid_from", "rate")
    with CollectingRequest("accounts", columns=["segment"]) as request:
        assert request.columns == ("id", "segment")


def test_collected_rows_have_canonical_types_and_every_wanted_column() -> None:
    with CollectingRequest("opportunities", columns=["amount", "is_won", "stage"]) as request:
        table = request.collect(
            iter([batch(id=[1], amount=["12.5"], is_won=["true"]), batch(id=["2"], stage=["x"])])
        )
    assert table.to_pylist() == [
        {"id": "1", "stage": None, "amount": 12.5, "is_won": True},
        {"id": "2", "stage": "x", "amount": None, "is_won": None},
    ]
    assert table.schema.field("amount").type == pa.decimal128(18, 4)
    assert [len(each) for each in request.batches] == [1, 1]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": ["1"], "sgment": ["x"]}, "Did you mean 'segment'"),
        ({"segment": ["x"]}, "without id"),
        ({"id": ["1"], "created_at": ["soon"]}, "created_at"),
    ],
)
def test_rows_that_the_engine_refuses_are_refused(
    columns: dict[str, list[object]], message: str
) -> None:
    with CollectingRequest("accounts") as request, pytest.raises(SourceError, match=message):
        request.collect([batch(**columns)])


def test_the_mapping_is_evaluated_and_names_its_fields() -> None:
    mapping = {"id": "Key", "is_won": "Status = 'Won'"}
    with CollectingRequest("opportunities", mapping=mapping) as request:
        assert request.source_fields == ("Key", "Status")
        found = request.evaluate(batch(Key=[7], Status=["Won"]))
    assert found.to_pylist() == [{"id": "7", "is_won": True}]


def test_what_the_connector_reports_is_kept() -> None:
    with CollectingRequest("accounts") as request:
        request.begin_part("a.csv")
        request.drop_part("b.csv")
        request.reject("no id", where="a.csv:3", record="x")
        request.delete(["1", "2"], at=AT)
        request.notice("slow today")
        request.save_state({"page": 2})
        assert (request.parts, request.dropped_parts) == (["a.csv"], ["b.csv"])
        assert [(each.reason, each.place) for each in request.rejected] == [("no id", "a.csv:3")]
        assert [(each.ids, each.at) for each in request.deleted] == [(("1", "2"), AT)]
        assert list(request.notices) == ["slow today"]
        with request.following(since=AT) as later:
            assert later.state == {"page": 2}
            assert later.since == AT


def test_a_state_that_json_cannot_hold_is_refused() -> None:
    with CollectingRequest("accounts") as request, pytest.raises(TypeError):
        request.save_state({"at": AT})
