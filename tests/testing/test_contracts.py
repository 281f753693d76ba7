"""The contracts fail where a plugin makes a mistake, and pass where it makes none."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from crmetrics.plugin import (
    CheckResult,
    Connector,
    ConnectorContext,
    Delivery,
    Options,
    ReadRequest,
    Receipt,
    Secret,
    Sink,
    SinkContext,
    SinkError,
    SourceError,
    SourceOptions,
    Supply,
)
from crmetrics.testing import ConnectorContract, SinkContract

TOKEN = "t0p-s3cret"
MARCH = datetime(2026, 3, 1, tzinfo=UTC)


class CardOptions(SourceOptions):
    token: Secret = Secret(TOKEN)
    is_broken: bool = False


class Cards(Connector):
    """A card index of two accounts; makes no mistake."""

    name = "cards"
    Config = CardOptions
    rows: ClassVar[list[dict[str, Any]]] = [
        {"id": "a", "updated_at": MARCH, "segment": "smb"},
        {"id": "b", "updated_at": MARCH, "segment": None},
    ]

    def datasets(self) -> Sequence[Supply]:
        return [Supply("accounts", ("id", "updated_at", "segment"), incremental=True)]

    def check(self) -> Iterator[CheckResult]:
        if self.config.is_broken:
            yield CheckResult("token", "error", "the token was refused", fix="Renew it.")
        else:
            yield CheckResult("token", "ok", "works")

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        if self.config.is_broken:
            raise SourceError("cards: the token was refused. Renew it.")
        rows = [row for row in self.rows if not request.since or row["updated_at"] >= request.since]
        schema = request.dataset.arrow_schema(
            [name for name in request.columns if name in ("id", "updated_at", "segment")]
        )
        yield from pa.Table.from_pylist(rows, schema).to_batches(max_chunksize=1)


def made(kind: type[Connector], **options: Any) -> Callable[[], Connector]:
    context = ConnectorContext("cards", Path())
    return lambda: kind(kind.Config(**options), context)


class TestCards(ConnectorContract):
    secrets = (TOKEN,)

    @pytest.fixture
    def connector_factory(self) -> Callable[[], Connector]:
        return made(Cards)

    @pytest.fixture
    def broken_factory(self) -> Callable[[], Connector]:
        return made(Cards, is_broken=True)


# --- connectors that make one mistake each ------------------------------------------------------


class Nameless(Cards):
    name = ""


class SuppliesUnknownColumn(Cards):
    def datasets(self) -> Sequence[Supply]:
        return [Supply("accounts", ("id", "sgment"))]


class SuppliesWithoutKey(Cards):
    def datasets(self) -> Sequence[Supply]:
        return [Supply("accounts", ("segment",))]


class SuppliesUnknownDataset(Cards):
    def datasets(self) -> Sequence[Supply]:
        return [Supply("acounts", ("id",))]


class IncrementalWithoutChange(Cards):
    def datasets(self) -> Sequence[Supply]:
        return [Supply("accounts", ("id", "segment"), incremental=True)]


class CheckFindsErrors(Cards):
    def check(self) -> Iterator[CheckResult]:
        yield CheckResult("token", "error", "refused", fix="Renew it.")


class CheckSeesNothing(Cards):
    def check(self) -> Iterator[CheckResult]:
        yield CheckResult("token", "ok", "works")


class ReadsAList(Cards):
    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        return list(super().read(request))  # type: ignore[return-value]


class GivesUnaskedColumns(Cards):
    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pylist([{"id": "a", "segment": "x", "country": "DE"}])


class GivesTables(Cards):
    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        yield pa.table({"id": ["a"]})  # type: ignore[misc]


class GivesNothing(Cards):
    rows: ClassVar[list[dict[str, Any]]] = []


class NeverGivesAColumn(Cards):
    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        for batch in super().read(request):
            yield batch.select(["id"])


class NullKey(Cards):
    rows: ClassVar[list[dict[str, Any]]] = [{"id": None, "updated_at": MARCH, "segment": "x"}]


class RejectsAll(Cards):
    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        request.reject("odd", where="card 7")
        yield from super().read(request)


class CannotBeCast(Cards):
    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pylist([{"id": "a", "updated_at": "yesterday"}])


class ForgetsOnRepeat(Cards):
    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        if not getattr(self, "was_read", False):
            yield from super().read(request)
        self.was_read = True


class DropsRowsWithFewColumns(Cards):
    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        batches = list(super().read(request))
        yield from batches if "segment" in request.columns else batches[:1]


class IgnoresSince(Cards):
    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        columns = [name for name in request.columns if name in self.rows[0]]
        schema = request.dataset.arrow_schema(columns)
        yield from pa.Table.from_pylist(self.rows, schema).to_batches()


class StateSparesNothing(Cards):
    def datasets(self) -> Sequence[Supply]:
        # Without `since`, the state alone has to spare the second read.
        return [Supply("accounts", ("id", "updated_at", "segment"))]

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        request.save_state({"page": 1})
        yield from super().read(request)


class FullReadTrustsTheState(Cards):
    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        if not request.state:
            yield from super().read(request)
        request.save_state({"seen": ["a", "b"]})


class StateIsNoJson(Cards):
    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        request.save_state({"at": MARCH})
        yield from super().read(request)


class ClosesOnce(Cards):
    def close(self) -> None:
        assert not getattr(self, "is_closed", False)
        self.is_closed = True


class RaisesItsOwn(Cards):
    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        if self.config.is_broken:
            raise KeyError("access_token")
        yield from super().read(request)


class LooksEmptyWhenBroken(Cards):
    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        if not self.config.is_broken:
            yield from super().read(request)


class ShowsTheTokenInErrors(Cards):
    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        if self.config.is_broken:
            raise SourceError(f"cards: 401 for ?token={self.config.token.reveal()}")
        yield from super().read(request)


class ShowsTheTokenInTheCause(Cards):
    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        if self.config.is_broken:
            try:
                raise OSError(f"GET ?token={self.config.token.reveal()}")
            except OSError as exc:
                raise SourceError("cards: 401") from exc
        yield from super().read(request)


class ShowsTheTokenInNotices(Cards):
    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        request.notice(f"read with {self.config.token.reveal()}")
        yield from super().read(request)


class ShowsTheTokenInRepr(Cards):
    def __repr__(self) -> str:
        return f"Cards({self.config.token.reveal()})"


def fails(contract: Any, test: str, values: dict[str, Any]) -> str:
    """What the test of the contract objects to; fails when it objects to nothing."""
    function = getattr(contract, test)
    arguments = {name: values[name] for name in inspect.signature(function).parameters}
    with pytest.raises((AssertionError, SourceError, TypeError)) as caught:
        function(**arguments)
    return str(caught.value)


CONNECTOR_MISTAKES = [
    (Nameless, "it_has_a_name_and_typed_options"),
    (SuppliesUnknownColumn, "it_supplies_known_columns_with_their_key"),
    (SuppliesWithoutKey, "it_supplies_known_columns_with_their_key"),
    (SuppliesUnknownDataset, "it_supplies_known_columns_with_their_key"),
    (IncrementalWithoutChange, "an_incremental_dataset_tells_when_a_record_changed"),
    (CheckFindsErrors, "check_finds_a_working_source_in_order"),
    (CheckSeesNothing, "check_of_a_broken_source_reports_with_a_fix_and_raises_nothing"),
    (ReadsAList, "batches_hold_what_was_asked_in_bounded_portions"),
    (GivesUnaskedColumns, "batches_hold_what_was_asked_in_bounded_portions"),
    (GivesTables, "batches_hold_what_was_asked_in_bounded_portions"),
    (GivesNothing, "batches_hold_what_was_asked_in_bounded_portions"),
    (CannotBeCast, "batches_hold_what_was_asked_in_bounded_portions"),
    (NeverGivesAColumn, "every_declared_column_is_given"),
    (NullKey, "no_key_is_null_and_nothing_is_set_aside_in_silence"),
    (RejectsAll, "no_key_is_null_and_nothing_is_set_aside_in_silence"),
    (ForgetsOnRepeat, "a_repeated_read_gives_the_same_records"),
    (DropsRowsWithFewColumns, "fewer_columns_give_the_same_records"),
    (IgnoresSince, "an_incremental_read_leaves_out_what_did_not_change"),
    (StateSparesNothing, "a_saved_state_spares_a_second_read_and_a_full_one_ignores_it"),
    (FullReadTrustsTheState, "a_saved_state_spares_a_second_read_and_a_full_one_ignores_it"),
    (StateIsNoJson, "a_saved_state_spares_a_second_read_and_a_full_one_ignores_it"),
    (ClosesOnce, "it_closes_twice_unread_and_in_the_middle_of_a_read"),
    (RaisesItsOwn, "a_source_that_cannot_be_read_is_a_source_error"),
    (LooksEmptyWhenBroken, "a_source_that_cannot_be_read_is_a_source_error"),
    (ShowsTheTokenInErrors, "secrets_are_not_shown"),
    (ShowsTheTokenInTheCause, "secrets_are_not_shown"),
    (ShowsTheTokenInNotices, "secrets_are_not_shown"),
    (ShowsTheTokenInRepr, "secrets_are_not_shown"),
]


@pytest.mark.parametrize(
    ("mistake", "test"), CONNECTOR_MISTAKES, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_connector_mistake_is_found(mistake: type[Connector], test: str) -> None:
    connector = made(mistake)()
    values = {
        "connector": connector,
        "supplies": list(connector.datasets()),
        "connector_factory": made(mistake),
        "broken_factory": made(mistake, is_broken=True),
    }
    assert fails(TestCards(), f"test_{test}", values)


def test_every_test_of_the_connector_contract_is_proven_to_fail() -> None:
    proven = {test for _, test in CONNECTOR_MISTAKES}
    # Bounds and repeated declarations are shown below, one by one.
    proven |= {"it_says_the_same_each_time", "a_first_read_ignores_no_record_because_of_a_bound"}
    assert {f"test_{name}" for name in proven} == contract_tests(ConnectorContract)


def contract_tests(contract: type) -> set[str]:
    return {name for name in vars(contract) if name.startswith("test_")}


def test_declarations_that_change_are_found() -> None:
    class Moody(Cards):
        def datasets(self) -> Sequence[Supply]:
            self.calls = getattr(self, "calls", 0) + 1
            return [Supply("accounts", ("id", "updated_at", "segment")[: self.calls])]

    connector = made(Moody)()
    assert fails(TestCards(), "test_it_says_the_same_each_time", {"connector": connector})


def test_a_bound_that_hides_records_is_found() -> None:
    class Forgetful(Cards):
        def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
            yield from list(super().read(request))[1 if request.since else 0 :]

    connector = made(Forgetful)()
    values = {"connector": connector, "supplies": list(connector.datasets())}
    test = "test_a_first_read_ignores_no_record_because_of_a_bound"
    assert fails(TestCards(), test, values)


def test_a_batch_that_is_too_large_is_found() -> None:
    class Small(TestCards):
        largest_batch = 0

    connector = made(Cards)()
    values = {"connector": connector, "supplies": list(connector.datasets())}
    test = "test_batches_hold_what_was_asked_in_bounded_portions"
    assert "yield less" in fails(Small(), test, values)


# --- sinks ----------------------------------------------------------------------------------------


class ShelfOptions(Options):
    token: Secret = Secret(TOKEN)
    is_broken: bool = False


class Shelf(Sink):
    """Keeps reports in a dict; makes no mistake."""

    name = "shelf"
    Config = ShelfOptions
    is_idempotent = True
    kept: ClassVar[dict[str, str]] = {}

    def destination(self, delivery: Delivery) -> str:
        return f"shelf/{delivery.job}"

    def check(self) -> Iterator[CheckResult]:
        yield CheckResult("shelf", "error" if self.config.is_broken else "ok", "room", fix="Tidy.")

    def preview(self, delivery: Delivery) -> str:
        return f"{delivery.message.headline} ({delivery.results.num_rows} rows)"

    def write(self, delivery: Delivery) -> Receipt:
        if self.config.is_broken:
            raise SinkError("shelf: there is no room. Tidy it.")
        self.kept[delivery.key] = self.preview(delivery)
        return Receipt(self.destination(delivery), rows=delivery.results.num_rows)


def shelved(kind: type[Sink], **options: Any) -> Callable[[], Sink]:
    return lambda: kind(kind.Config(**options), SinkContext("shelf", Path()))


class TestShelf(SinkContract):
    secrets = (TOKEN,)

    @pytest.fixture(autouse=True)
    def _empty(self) -> None:
        Shelf.kept.clear()

    @pytest.fixture
    def sink_factory(self) -> Callable[[], Sink]:
        return shelved(Shelf)

    @pytest.fixture
    def read_back(self) -> Callable[[], Any]:
        return lambda: dict(Shelf.kept)

    @pytest.fixture
    def broken_factory(self) -> Callable[[], Sink]:
        return shelved(Shelf, is_broken=True)


class NamelessSink(Shelf):
    name = ""


class CheckSends(Shelf):
    def check(self) -> Iterator[CheckResult]:
        self.kept["test"] = "hello"
        yield CheckResult("shelf", "ok", "a message was sent")


class PreviewSends(Shelf):
    def preview(self, delivery: Delivery) -> str:
        self.kept[delivery.key] = "hello"
        return "hello"


class PreviewIsEmpty(Shelf):
    def preview(self, delivery: Delivery) -> str:
        return ""


class WritesNothing(Shelf):
    def write(self, delivery: Delivery) -> Receipt:
        return Receipt(self.destination(delivery))


class SaysAnotherPlace(Shelf):
    def write(self, delivery: Delivery) -> Receipt:
        super().write(delivery)
        return Receipt("somewhere")


class Piles(Shelf):
    def write(self, delivery: Delivery) -> Receipt:
        self.kept[f"{delivery.key} {len(self.kept)}"] = "report"
        return Receipt(self.destination(delivery))


class StampsTheRun(Shelf):
    def preview(self, delivery: Delivery) -> str:
        return f"run {delivery.run_id}"


class ClearsTheShelf(Shelf):
    def write(self, delivery: Delivery) -> Receipt:
        self.kept.clear()
        return super().write(delivery)


class NeedsARow(Shelf):
    def write(self, delivery: Delivery) -> Receipt:
        assert delivery.results.num_rows, "no first row"
        return super().write(delivery)


class RefusesPartial(Shelf):
    def write(self, delivery: Delivery) -> Receipt:
        assert not delivery.is_partial
        return super().write(delivery)


class CountsDeliveries(Shelf):
    def preview(self, delivery: Delivery) -> str:
        return f"number {len(self.kept)}"


class ClosesOnceOnly(Shelf):
    def close(self) -> None:
        assert not getattr(self, "is_closed", False)
        self.is_closed = True


class PretendsToArrive(Shelf):
    def write(self, delivery: Delivery) -> Receipt:
        return Receipt(self.destination(delivery))


class CheckWithoutFix(Shelf):
    def check(self) -> Iterator[CheckResult]:
        yield CheckResult("shelf", "error", "no room")


class ShowsTheToken(Shelf):
    def preview(self, delivery: Delivery) -> str:
        return f"POST https://shelf.example/{self.config.token.reveal()}"


SINK_MISTAKES = [
    (NamelessSink, "it_has_a_name_and_typed_options"),
    (CheckSends, "check_finds_a_working_destination_in_order_and_sends_nothing"),
    (PreviewSends, "preview_and_destination_have_no_effect"),
    (PreviewIsEmpty, "preview_and_destination_have_no_effect"),
    (WritesNothing, "write_delivers_and_says_where"),
    (SaysAnotherPlace, "write_delivers_and_says_where"),
    (Piles, "a_repeated_delivery_leaves_one_copy"),
    (StampsTheRun, "a_repeated_delivery_leaves_one_copy"),
    (ClearsTheShelf, "a_repeat_leaves_other_periods_alone"),
    (NeedsARow, "a_delivery_without_results_arrives"),
    (RefusesPartial, "a_partial_delivery_arrives"),
    (CountsDeliveries, "what_was_previewed_is_what_is_written"),
    (ClosesOnceOnly, "it_closes_twice_and_unused"),
    (PretendsToArrive, "a_delivery_that_fails_is_a_sink_error"),
    (CheckWithoutFix, "check_of_a_broken_destination_reports_and_raises_nothing"),
    (ShowsTheToken, "secrets_are_not_shown"),
]


@pytest.mark.parametrize(
    ("mistake", "test"), SINK_MISTAKES, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_sink_mistake_is_found(mistake: type[Sink], test: str) -> None:
    Shelf.kept.clear()
    values = {
        "sink": shelved(mistake)(),
        "sink_factory": shelved(mistake),
        "read_back": lambda: dict(Shelf.kept),
        "broken_factory": shelved(mistake, is_broken=True),
    }
    fails(TestShelf(), f"test_{test}", values)


def test_every_test_of_the_sink_contract_is_proven_to_fail() -> None:
    assert {f"test_{name}" for _, name in SINK_MISTAKES} == contract_tests(SinkContract)
