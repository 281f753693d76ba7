"""The contract of sinks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import date
from typing import Any, ClassVar

import pytest

from crmetrics.errors import SinkError
from crmetrics.plugin import CheckResult, Options, Receipt, Sink
from crmetrics.testing.contracts.secrecy import config_texts, error_texts, leaks
from crmetrics.testing.deliveries import empty_delivery, sample_delivery

SinkFactory = Callable[[], Sink]
ReadBack = Callable[[], Any]


class SinkContract:
    """What every sink keeps; subclass it and give `sink_factory` and `read_back`."""

    secrets: ClassVar[tuple[str, ...]] = ()
    """Secret values of the config; they must not show anywhere."""

    keeps_periods: ClassVar[bool] = True
    """Reports of different periods stand beside each other at the destination."""

    # --- what a subclass gives ---------------------------------------------------------------

    @pytest.fixture
    def sink_factory(self) -> SinkFactory:
        """A function that makes a sink, new on each call, for one and the same destination."""
        raise NotImplementedError("give the fixture `sink_factory` in the test class")

    @pytest.fixture
    def read_back(self) -> ReadBack:
        """A function that gives what is at the destination now, as values that can be compared.

        Leave out what differs between two equal deliveries, such as the instant of writing.
        """
        raise NotImplementedError("give the fixture `read_back` in the test class")

    @pytest.fixture
    def broken_factory(self) -> SinkFactory | None:
        """A function that makes a sink whose destination cannot be written to."""
        return None

    # --- fixtures of the contract ------------------------------------------------------------

    @pytest.fixture
    def sink(self, sink_factory: SinkFactory) -> Iterator[Sink]:
        sink = sink_factory()
        yield sink
        sink.close()

    # --- declarations ------------------------------------------------------------------------

    def test_it_has_a_name_and_typed_options(self, sink: Sink) -> None:
        assert sink.name, "set `name`: what `sink:` in the project file says"
        assert issubclass(sink.Config, Options), "Config is a subclass of Options"

    # --- looking without touching ------------------------------------------------------------

    def test_check_finds_a_working_destination_in_order_and_sends_nothing(
        self, sink: Sink, read_back: ReadBack
    ) -> None:
        before = read_back()
        for result in sink.check():
            assert isinstance(result, CheckResult)
            assert result.state != "error", f"{result.subject}: {result.message}"
        assert read_back() == before, "check() changed the destination"

    def test_preview_and_destination_have_no_effect(self, sink: Sink, read_back: ReadBack) -> None:
        before = read_back()
        delivery = sample_delivery()
        shown = sink.preview(delivery)
        assert shown.strip(), "preview() shows what write() would send"
        assert sink.preview(delivery) == shown, "preview() differs from one call to the next"
        assert sink.destination(delivery) == sink.destination(delivery)
        assert read_back() == before, "preview() or destination() changed the destination"

    # --- delivering --------------------------------------------------------------------------

    def test_write_delivers_and_says_where(self, sink: Sink, read_back: ReadBack) -> None:
        before = read_back()
        delivery = sample_delivery()
        receipt = sink.write(delivery)
        assert isinstance(receipt, Receipt)
        assert receipt.destination == sink.destination(delivery)
        assert read_back() != before, "write() left no trace at the destination"

    def test_a_repeated_delivery_leaves_one_copy(
        self, sink_factory: SinkFactory, read_back: ReadBack
    ) -> None:
        delivery = sample_delivery()
        first, second = sink_factory(), sink_factory()
        if not first.is_idempotent:
            pytest.skip("the sink does not claim to be idempotent")
        receipt = first.write(delivery)
        once = read_back()
        # A repeat comes from a later run, in another process, and knows the former receipt.
        second.write(replace(delivery, run_id="run-2", previous=asdict(receipt)))
        first.close()
        second.close()
        assert read_back() == once, "the same key was delivered twice"

    def test_a_repeat_leaves_other_periods_alone(self, sink: Sink, read_back: ReadBack) -> None:
        if not (sink.is_idempotent and self.keeps_periods):
            pytest.skip("the destination does not keep several periods")
        january = sample_delivery()
        february = sample_delivery(key="monthly_sales/2026-02/test", start=date(2026, 2, 1))
        sink.write(january)
        sink.write(february)
        both = read_back()
        sink.write(january)
        assert read_back() == both

    def test_a_delivery_without_results_arrives(self, sink: Sink) -> None:
        delivery = empty_delivery()
        assert sink.preview(delivery).strip()
        assert isinstance(sink.write(delivery), Receipt)

    def test_a_partial_delivery_arrives(self, sink: Sink) -> None:
        assert isinstance(sink.write(sample_delivery(is_partial=True)), Receipt)

    def test_what_was_previewed_is_what_is_written(self, sink: Sink) -> None:
        delivery = sample_delivery()
        before = sink.preview(delivery)
        sink.write(delivery)
        assert sink.preview(delivery) == before, "write() changed what is to be sent"

    def test_it_closes_twice_and_unused(self, sink_factory: SinkFactory) -> None:
        sink = sink_factory()
        sink.close()
        sink.close()

    # --- failures ----------------------------------------------------------------------------

    def test_a_delivery_that_fails_is_a_sink_error(
        self, broken_factory: SinkFactory | None
    ) -> None:
        sink = _broken(broken_factory)
        error = _failure(sink)
        sink.close()
        assert isinstance(error, SinkError), (
            f"expected a SinkError, found {error!r}: a delivery that did not arrive must not "
            "pass for one that did"
        )
        assert str(error), "say what was expected, what was found and what to do"

    def test_check_of_a_broken_destination_reports_and_raises_nothing(
        self, broken_factory: SinkFactory | None
    ) -> None:
        sink = _broken(broken_factory)
        for result in sink.check():
            assert result.state != "error" or (result.message and result.fix)
        sink.close()

    def test_secrets_are_not_shown(self, sink: Sink, broken_factory: SinkFactory | None) -> None:
        if not self.secrets:
            pytest.skip("the sink has no secrets (class attribute `secrets`)")
        delivery = sample_delivery()
        shown: list[tuple[str, Any]] = [
            ("repr(sink)", repr(sink)),
            *config_texts(sink.config),
            ("preview", sink.preview(delivery)),
            ("destination", sink.destination(delivery)),
            ("receipt", sink.write(delivery)),
            *((f"check: {result.subject}", result) for result in sink.check()),
        ]
        if broken_factory is not None:
            broken = broken_factory()
            error = _failure(broken)
            shown += error_texts(error) if error is not None else []
            shown += [(f"check: {result.subject}", result) for result in broken.check()]
            broken.close()
        assert not leaks(self.secrets, shown)


def _broken(factory: SinkFactory | None) -> Sink:
    if factory is None:
        pytest.skip("no broken destination is given (fixture `broken_factory`)")
    return factory()


def _failure(sink: Sink) -> BaseException | None:
    """What a delivery to a broken destination raises; None when it passes for one that arrived."""
    try:
        sink.write(sample_delivery())
    except Exception as exc:  # noqa: BLE001 - whatever it is, the test tells it
        return exc
    return None
