"""The contract of connectors."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from crmetrics.datasets import Dataset, canonical_datasets
from crmetrics.errors import SourceError
from crmetrics.plugin import CheckResult, Connector, SourceOptions, Supply
from crmetrics.testing.contracts.secrecy import config_texts, error_texts, leaks
from crmetrics.testing.request import CollectingRequest

if TYPE_CHECKING:
    import pyarrow as pa

ConnectorFactory = Callable[[], Connector]
_FAR_FUTURE = datetime(2200, 1, 1, tzinfo=UTC)


class ConnectorContract:
    """What every connector keeps; subclass it and give the fixture `connector_factory`.

    The source must hold at least one record of each dataset that the connector supplies, and must
    not change between two reads of a test.
    """

    secrets: ClassVar[tuple[str, ...]] = ()
    """Secret values of the config; they must not show anywhere."""

    largest_batch: ClassVar[int] = 200_000
    """Rows of one batch at most: memory stays bounded whatever the size of the source."""

    may_reject: ClassVar[bool] = False
    """The source of the test holds records that have to be set aside."""

    # --- what a subclass gives ---------------------------------------------------------------

    @pytest.fixture
    def connector_factory(self) -> ConnectorFactory:
        """A function that makes a connector, new on each call, for a source that works."""
        raise NotImplementedError("give the fixture `connector_factory` in the test class")

    @pytest.fixture
    def broken_factory(self) -> ConnectorFactory | None:
        """The same for a source that cannot be read (a wrong path, a refused token)."""
        return None

    # --- fixtures of the contract ------------------------------------------------------------

    @pytest.fixture
    def connector(self, connector_factory: ConnectorFactory) -> Iterator[Connector]:
        connector = connector_factory()
        yield connector
        connector.close()

    @pytest.fixture
    def supplies(self, connector: Connector) -> list[Supply]:
        return list(connector.datasets())

    # --- declarations ------------------------------------------------------------------------

    def test_it_has_a_name_and_typed_options(self, connector: Connector) -> None:
        assert connector.name, "set `name`: what `connector:` in the project file says"
        assert issubclass(connector.Config, SourceOptions), "Config is a subclass of SourceOptions"

    def test_it_supplies_known_columns_with_their_key(
        self, connector: Connector, supplies: list[Supply]
    ) -> None:
        assert supplies, "datasets() is empty: the connector gives nothing"
        names = [supply.dataset for supply in supplies]
        assert len(set(names)) == len(names), f"a dataset is supplied twice: {names}"
        known = _datasets(connector)
        for supply in supplies:
            assert supply.dataset in known, f"{supply.dataset!r} is no dataset"
            dataset = known[supply.dataset]
            unknown = set(supply.columns) - set(dataset.column_names)
            assert not unknown, f"{supply.dataset} has no columns {sorted(unknown)}"
            missing = set(dataset.key) - set(supply.columns)
            assert not missing, f"{supply.dataset} is supplied without its key {sorted(missing)}"

    def test_an_incremental_dataset_tells_when_a_record_changed(
        self, supplies: list[Supply]
    ) -> None:
        for supply in supplies:
            if supply.incremental:
                assert "updated_at" in supply.columns, (
                    f"{supply.dataset} is declared incremental, but gives no updated_at: "
                    "the engine could not know from where to go on"
                )

    def test_it_says_the_same_each_time(self, connector: Connector) -> None:
        assert list(connector.datasets()) == list(connector.datasets())

    # --- check -------------------------------------------------------------------------------

    def test_check_finds_a_working_source_in_order(self, connector: Connector) -> None:
        for result in connector.check():
            assert isinstance(result, CheckResult)
            assert result.state != "error", f"{result.subject}: {result.message}"

    def test_check_of_a_broken_source_reports_with_a_fix_and_raises_nothing(
        self, broken_factory: ConnectorFactory | None
    ) -> None:
        connector = _broken(broken_factory)
        errors = [result for result in connector.check() if result.state == "error"]
        connector.close()
        assert errors, "check() finds nothing wrong with a source that cannot be read"
        for error in errors:
            assert error.message, f"{error.subject}: say what is wrong"
            assert error.fix, f"{error.subject}: say what to do about it"

    # --- read --------------------------------------------------------------------------------

    def test_batches_hold_what_was_asked_in_bounded_portions(
        self, connector: Connector, supplies: list[Supply]
    ) -> None:
        for supply in supplies:
            request = _request(connector, supply)
            stream = connector.read(request)
            assert isinstance(stream, Iterator), "read() streams: it gives an iterator, no list"
            # collect() checks names, keys and types as the engine does.
            table = request.collect(stream)
            for batch in request.batches:
                extra = set(batch.schema.names) - set(request.columns)
                assert not extra, f"{supply.dataset}: {sorted(extra)} were not asked for"
                assert batch.num_rows <= self.largest_batch, f"{supply.dataset}: yield less at once"
            assert table.num_rows, f"the source of the test holds no {supply.dataset}"
            request.close()

    def test_every_declared_column_is_given(
        self, connector: Connector, supplies: list[Supply]
    ) -> None:
        for supply in supplies:
            with _request(connector, supply) as request:
                request.collect(connector.read(request))
                given = {name for batch in request.batches for name in batch.schema.names}
                missing = set(supply.columns) - given - {"source"}
                assert not missing, (
                    f"{supply.dataset}: declared, but never given: {sorted(missing)}"
                )

    def test_no_key_is_null_and_nothing_is_set_aside_in_silence(
        self, connector: Connector, supplies: list[Supply]
    ) -> None:
        for supply in supplies:
            with _request(connector, supply) as request:
                table = request.collect(connector.read(request))
                for name in request.dataset.key:
                    nulls = table[name].null_count
                    assert nulls == 0, f"{supply.dataset}.{name} is null in {nulls} records"
                for rejected in request.rejected:
                    assert rejected.reason and rejected.place, "say why, and where it stands"
                assert self.may_reject or not request.rejected, request.rejected

    def test_a_repeated_read_gives_the_same_records(
        self, connector_factory: ConnectorFactory
    ) -> None:
        first, second = connector_factory(), connector_factory()
        for supply in first.datasets():
            once = _read(first, supply)
            assert once.equals(_read(second, supply)), f"{supply.dataset} differs, new connector"
            assert once.equals(_read(first, supply)), f"{supply.dataset} differs, same connector"
        first.close()
        second.close()

    def test_fewer_columns_give_the_same_records(
        self, connector: Connector, supplies: list[Supply]
    ) -> None:
        for supply in supplies:
            key = list(_datasets(connector)[supply.dataset].key)
            whole = _read(connector, supply).select(key)
            with _request(connector, supply, columns=key) as request:
                narrow = request.collect(connector.read(request))
                for batch in request.batches:
                    extra = set(batch.schema.names) - set(request.columns)
                    assert not extra, f"{supply.dataset}: {sorted(extra)} were not asked for"
                assert _sorted(narrow, key).select(key).equals(whole)

    # --- only what changed -------------------------------------------------------------------

    def test_an_incremental_read_leaves_out_what_did_not_change(
        self, connector: Connector, supplies: list[Supply]
    ) -> None:
        incremental = [supply for supply in supplies if supply.incremental]
        if not incremental:
            pytest.skip("no dataset is declared incremental")
        for supply in incremental:
            with _request(connector, supply) as request:
                request.collect(connector.read(request))
            with request.following(since=_FAR_FUTURE) as later:
                table = later.collect(connector.read(later))
                assert table.num_rows == 0, f"{supply.dataset}: `since` is not honoured"

    def test_a_first_read_ignores_no_record_because_of_a_bound(
        self, connector: Connector, supplies: list[Supply]
    ) -> None:
        for supply in supplies:
            key = list(_datasets(connector)[supply.dataset].key)
            bound = datetime(1970, 1, 2, tzinfo=UTC)
            with _request(connector, supply, since=bound) as request:
                table = _sorted(request.collect(connector.read(request)), key)
            assert table.select(key).equals(_read(connector, supply).select(key))

    def test_a_saved_state_spares_a_second_read_and_a_full_one_ignores_it(
        self, connector: Connector, supplies: list[Supply]
    ) -> None:
        has_state = False
        for supply in supplies:
            with _request(connector, supply) as request:
                rows = request.collect(connector.read(request)).num_rows
            if request.saved_state is None:
                continue
            has_state = True
            # What spares an incremental source its reading is `since`; its state is only a help.
            # Where what does not come leaves, all has to come.
            since = _FAR_FUTURE if supply.incremental else None
            with request.following(since=since) as second:
                again = second.collect(connector.read(second)).num_rows
                if second.drops_unseen:
                    assert again == rows, f"{supply.dataset}: rows leave that are still there"
                else:
                    assert again < rows or not rows, f"{supply.dataset}: the state spares nothing"
            with _request(connector, supply, state=request.saved_state, is_full=True) as full:
                whole = full.collect(connector.read(full)).num_rows
                assert whole == rows, f"{supply.dataset}: a full read is not whole"
        if not has_state:
            pytest.skip("the connector keeps no state")

    # --- the end -----------------------------------------------------------------------------

    def test_it_closes_twice_unread_and_in_the_middle_of_a_read(
        self, connector_factory: ConnectorFactory
    ) -> None:
        unread = connector_factory()
        unread.close()
        unread.close()
        halfway = connector_factory()
        supply = next(iter(halfway.datasets()))
        with _request(halfway, supply) as request:
            stream = halfway.read(request)
            next(stream, None)
            del stream
            gc.collect()  # an open file or connection would be reported as a warning here
        halfway.close()

    # --- failures ----------------------------------------------------------------------------

    def test_a_source_that_cannot_be_read_is_a_source_error(
        self, broken_factory: ConnectorFactory | None
    ) -> None:
        connector = _broken(broken_factory)
        error = _failure(connector)
        connector.close()
        assert isinstance(error, SourceError), (
            f"expected a SourceError, found {error!r}: a broken source must not look like an "
            "empty one, nor end the program with somebody else's exception"
        )
        assert str(error), "say what was expected, what was found and what to do"

    def test_secrets_are_not_shown(
        self, connector: Connector, broken_factory: ConnectorFactory | None
    ) -> None:
        if not self.secrets:
            pytest.skip("the connector has no secrets (class attribute `secrets`)")
        shown: list[tuple[str, Any]] = [
            ("repr(connector)", repr(connector)),
            ("vars(connector)", repr(vars(connector).get("config"))),
            *config_texts(connector.config),
            *((f"check: {result.subject}", result) for result in connector.check()),
        ]
        for supply in connector.datasets():
            with _request(connector, supply) as request:
                request.collect(connector.read(request))
                shown += [("notices", request.notices), ("rejected", request.rejected)]
                shown.append(("state", request.saved_state))
        if broken_factory is not None:
            broken = broken_factory()
            shown += [(f"check: {result.subject}", result) for result in broken.check()]
            error = _failure(broken)
            shown += error_texts(error) if error is not None else []
            broken.close()
        assert not leaks(self.secrets, shown)


def _datasets(connector: Connector) -> dict[str, Dataset]:
    return {**canonical_datasets(), **connector.context.datasets}


def _request(connector: Connector, supply: Supply, **options: Any) -> CollectingRequest:
    options.setdefault("columns", supply.columns)
    dataset = _datasets(connector)[supply.dataset]
    return CollectingRequest(dataset, timezone=connector.context.timezone, **options)


def _read(connector: Connector, supply: Supply) -> pa.Table:
    with _request(connector, supply) as request:
        return _sorted(request.collect(connector.read(request)), request.dataset.key)


def _sorted(table: pa.Table, key: Any) -> pa.Table:
    return table.sort_by([(name, "ascending") for name in key]).combine_chunks()


def _broken(factory: ConnectorFactory | None) -> Connector:
    if factory is None:
        pytest.skip("no broken source is given (fixture `broken_factory`)")
    return factory()


def _failure(connector: Connector) -> BaseException | None:
    """What reading a broken source raises; None when it passes for a source that works."""
    try:
        for supply in connector.datasets():
            with _request(connector, supply) as request:
                request.collect(connector.read(request))
    except Exception as exc:  # noqa: BLE001 - whatever it is, the test tells it
        return exc
    return None
