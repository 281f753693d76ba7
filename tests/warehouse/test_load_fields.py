"""The mapping of the project file: what expressions give, may read, and say when they fail."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from crmetrics.errors import SourceError
from crmetrics.secrets import Secret
from crmetrics.warehouse.fields import FieldMapper
from warehouse.loading import DATASETS


@pytest.fixture
def mapper() -> Iterator[FieldMapper]:
    opened = FieldMapper(DATASETS["opportunities"], "America/New_York")
    yield opened
    opened.close()


PIPELINE = pa.record_batch(
    {
        "opportunity_id": ["1C1I7A6R", "Z063OYW0", "EC4QE1BX"],
        "deal_stage": ["Won", "Lost", "Engaging"],
        "engage_date": ["10/20/2016", "10/25/2016", None],
        "close_value": ["1054", "0", None],
        "Close Date": ["2026-03-08 02:30:00", "2026-07-01", "2026-07-01T10:00:00Z"],
        "details": [{"size": 3}, {"size": None}, None],
        "tags": [["a", "b"], [], None],
    }
)


def evaluated(mapper: FieldMapper, **mapping: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = mapper.evaluate(PIPELINE, mapping).to_pylist()
    return rows


# --- values ----------------------------------------------------------------------------------


def test_the_example_of_the_project_file_works(mapper: FieldMapper) -> None:
    batch = mapper.evaluate(
        PIPELINE,
        {
            "id": "opportunity_id",
            "created_at": "strptime(engage_date, '%m/%d/%Y')",
            "close_date": "strptime(engage_date, '%m/%d/%Y')",
            "amount": "close_value",
            "is_closed": "deal_stage in ('Won', 'Lost')",
            "is_won": "deal_stage = 'Won'",
        },
    )
    schema = DATASETS["opportunities"].arrow_schema(batch.schema.names)
    assert dict(zip(batch.schema.names, batch.schema.types, strict=True)) == dict(
        zip(schema.names, schema.types, strict=True)
    )
    assert batch.to_pylist()[0] == {
        "id": "1C1I7A6R",
        "created_at": datetime(2016, 10, 20, 4, tzinfo=UTC),  # midnight in New York
        "close_date": date(2016, 10, 20),
        "amount": Decimal("1054.0000"),
        "is_closed": True,
        "is_won": True,
    }
    assert batch.to_pylist()[2]["created_at"] is None


def test_instants_without_a_zone_are_read_in_the_zone_of_the_source(mapper: FieldMapper) -> None:
    assert [row["created_at"] for row in evaluated(mapper, created_at="Close Date")] == [
        datetime(2026, 3, 8, 7, 30, tzinfo=UTC),  # 02:30 did not exist: one hour later
        datetime(2026, 7, 1, 4, tzinfo=UTC),
        datetime(2026, 7, 1, 10, tzinfo=UTC),
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("deal_stage", "Won"),
        ("DEAL_STAGE", "Won"),
        ('"deal_stage"', "Won"),
        ("Close Date", "2026-03-08 02:30:00"),
        ('upper("Close Date")', "2026-03-08 02:30:00"),
        ("'fixed'", "fixed"),
        ("null", None),
        ("deal_stage -- the comment ends with the line", "Won"),
        ("details.size", "3"),
        ("tags[2]", "b"),
        ("list_transform(tags, lambda t: t || deal_stage)[1]", "aWon"),
        ("case when deal_stage = 'Won' then 'yes' end", "yes"),
    ],
)
def test_a_mapping_is_a_field_or_an_expression(
    mapper: FieldMapper, text: str, value: str | None
) -> None:
    assert evaluated(mapper, stage=text)[0]["stage"] == value


def test_a_field_with_dots_in_its_name_is_found(mapper: FieldMapper) -> None:
    batch = pa.record_batch({"Owner.Team": ["north"], "Owner": ["x"]})
    assert mapper.evaluate(batch, {"stage": "Owner.Team"}).to_pylist() == [{"stage": "north"}]


def test_an_empty_batch_gives_an_empty_batch(mapper: FieldMapper) -> None:
    batch = mapper.evaluate(PIPELINE.slice(0, 0), {"amount": "close_value", "id": "deal_stage"})
    assert (batch.num_rows, batch.schema.names) == (0, ["amount", "id"])


def test_rows_keep_their_order_in_a_large_batch(mapper: FieldMapper) -> None:
    count = 150_000
    batch = pa.record_batch({"n": list(range(count))})
    found = mapper.evaluate(batch, {"id": "n", "amount": "n / 2"})
    assert found["id"].to_pylist() == [str(n) for n in range(count)]
    assert found["amount"][count - 1].as_py() == Decimal(count - 1) / 2


# --- fields that an expression reads ---------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("Segment__c", ("Segment__c",)),
        ("Owner.Name", ("Owner.Name",)),
        ("Close Date", ("Close Date",)),
        ('coalesce("Close Date", b, b)', ("Close Date", "b")),
        ("list_transform(tags, lambda t, i: t || suffix || i)", ("tags", "suffix")),
        ("a + (case when b then c end)", ("a", "b", "c")),
        ("current_date - created", ("created",)),
        ("'text'", ()),
        ("upper(Owner.Role.Name)", ("Owner.Role.Name",)),
    ],
)
def test_the_fields_of_a_mapping_are_known(
    mapper: FieldMapper, text: str, fields: tuple[str, ...]
) -> None:
    assert mapper.parse("stage", text).fields == fields


def test_fields_of_parents_need_no_quotes(mapper: FieldMapper) -> None:
    batch = pa.RecordBatch.from_pydict(
        {"id": ["a", "b"], "Owner.Name": ["Ann", None], "Owner.Role.Name": ["EMEA", "APAC"]}
    )
    expression = "coalesce(Owner.Name, '-') || ' ' || lower(owner.role.name)"
    found = mapper.evaluate(batch, {"id": "id", "stage": expression})
    assert found.column("stage").to_pylist() == ["Ann emea", "- apac"]


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("deal_stag", "no field 'deal_stag'. Did you mean 'deal_stage'?"),
        ("upper(deal_stag)", 'column "deal_stag" not found'),
        ("upperr(deal_stage)", "upperr does not exist"),
        ("upper(deal_stage", "neither a field of the source nor SQL"),
        ("max(deal_stage)", "max is an aggregate over many records"),
        ("row_number() over ()", "a window function"),
        ("(select max(deal_stage) from source_rows)", "a subquery"),
        ("exists (from source_rows)", "a subquery"),
        ("*", "a star"),
        ("columns('deal.*')", "a star"),
        ("$name", "a parameter"),
        ("deal_stage, close_value", "more than one expression"),
        ("deal_stage), (close_value", "more than one expression"),
        ("deal_stage) as x, (1", "more than one expression"),
        ("deal_stage); drop table t; select (1", "neither a field of the source nor SQL"),
        ("read_text('/etc/hostname')", "read_text"),
        ("getenv('HOME')", "getenv"),
    ],
)
def test_what_is_no_expression_over_one_record_is_refused(
    mapper: FieldMapper, text: str, reason: str
) -> None:
    with pytest.raises(SourceError) as caught:
        evaluated(mapper, id="opportunity_id", stage=text)
    message = str(caught.value)
    assert message.startswith(f"column 'stage' is mapped to {text!r}, which cannot be used: ")
    assert reason in message
    assert message.endswith("Correct `datasets: opportunities: columns: stage:` in crmetrics.yaml.")


def test_an_expression_that_gives_more_rows_than_records_is_refused(mapper: FieldMapper) -> None:
    with pytest.raises(SourceError, match="gives 6 rows for 3 records"):
        evaluated(mapper, stage="unnest(['a', 'b'])")


def test_an_unknown_canonical_column_is_refused(mapper: FieldMapper) -> None:
    with pytest.raises(SourceError, match=r"no column 'stge'\. Did you mean 'stage'"):
        evaluated(mapper, stge="deal_stage")


# --- values that do not fit ------------------------------------------------------------------


@pytest.mark.parametrize("row", [0, 1, 499, 998, 999])
def test_a_value_that_does_not_fit_is_found_wherever_it_stands(
    mapper: FieldMapper, row: int
) -> None:
    values = ["01/31/2026"] * 1000
    values[row] = "31/01/2026"
    batch = pa.record_batch({"id": [f"deal-{n}" for n in range(1000)], "closed": values})
    with pytest.raises(SourceError) as caught:
        mapper.evaluate(batch, {"id": "id", "created_at": "strptime(closed, '%m/%d/%Y')"})
    assert str(caught.value).startswith(
        "column 'created_at' (timestamp, TIMESTAMPTZ) cannot be read by "
        f"strptime(closed, '%m/%d/%Y') from closed = '31/01/2026', id = 'deal-{row}': "
    )


def test_a_long_or_secret_value_is_not_shown_whole(mapper: FieldMapper) -> None:
    Secret("correct-horse")
    batch = pa.record_batch({"a": ["correct-horse " + "x" * 500]})
    with pytest.raises(SourceError) as caught:
        mapper.evaluate(batch, {"amount": "a"})
    assert "correct-horse" not in str(caught.value)
    assert "from a = '******** xxx" in str(caught.value)


# --- batches in canonical columns ------------------------------------------------------------


def test_a_canonical_batch_is_taken_as_it_is(mapper: FieldMapper) -> None:
    batch = pa.record_batch({"id": ["1"], "is_won": [True]})
    assert mapper.conform(batch, ("id", "is_won")) is batch


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("id", pa.array([42]), "42"),
        ("id", pa.array(["a"]).dictionary_encode(), "a"),
        ("id", pa.array(["a"], pa.large_string()), "a"),
        ("amount", pa.array(["1.5"]), Decimal("1.5")),
        ("amount", pa.array([1.00005]), Decimal("1.0001")),
        ("amount", pa.array([None]), None),
        ("is_won", pa.array(["true"]), True),
        ("is_won", pa.array([0]), False),
        ("close_date", pa.array(["2026-02-28"]), date(2026, 2, 28)),
        (
            "created_at",
            pa.array(["2026-01-01T00:00:00.000+0000"]),
            datetime(2026, 1, 1, tzinfo=UTC),
        ),
        (
            "created_at",
            pa.array([datetime(2026, 1, 1)]),
            datetime(2026, 1, 1, 5, tzinfo=UTC),
        ),
        (
            "created_at",
            pa.array([1_000], pa.timestamp("ns", tz="Europe/Berlin")),
            datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        ),
    ],
)
def test_other_types_are_cast(
    mapper: FieldMapper, column: str, values: pa.Array, expected: object
) -> None:
    columns = {"id": pa.array(["1"]), column: values}
    found = mapper.conform(pa.record_batch(columns), ("id", column))
    assert found.to_pylist()[0][column] == expected
    assert found.schema.field(column).type == DATASETS["opportunities"].column(column).arrow_type
