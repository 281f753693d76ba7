"""A budget never lets more start than allowed, halves on refusals and recovers."""

from __future__ import annotations

import itertools
import random

import pytest

from crmetrics import http
from simulators.scripted import Server


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def starts(budget: http.Budget, clock: Clock, count: int) -> list[float]:
    """When so many requests start that each wait for their turn; seconds from now on."""
    began, found = clock.now, []
    for _ in range(count):
        start, wait_s = budget.book()
        assert start == pytest.approx(clock.now + wait_s)
        clock.now += wait_s
        found.append(round(start - began, 3))
    return found


def test_no_span_ever_holds_more_starts_than_allowed() -> None:
    clock, dice = Clock(), random.Random(7)
    budget = http.Budget(10, 3.0, clock=clock)
    begun = []
    for _ in range(500):
        clock.now += dice.choice([0.0, 0.0, 0.01, 0.4, 2.0])
        begun.append(budget.book()[0])
    begun.sort()
    for first, eleventh in zip(begun, begun[10:], strict=False):
        assert eleventh - first >= 3.0 - 1e-9


def test_a_burst_goes_out_at_once_and_the_rest_waits_for_the_span() -> None:
    clock = Clock()
    assert starts(http.Budget(3, 10.0, clock=clock), clock, 7) == [0, 0, 0, 10, 10, 10, 20]


def test_a_refusal_halves_and_the_budget_recovers_span_by_span() -> None:
    clock = Clock()
    budget = http.Budget(10, 1.0, clock=clock)
    start, _ = budget.book()
    budget.refused(start)
    seen = []
    for _ in range(7):
        seen.append(budget.allowed)
        clock.now += 1.0
    assert seen == [5, 6, 7, 8, 9, 10, 10]


def test_many_refusals_of_one_burst_halve_once() -> None:
    clock = Clock()
    budget = http.Budget(16, 1.0, clock=clock)
    burst = [budget.book()[0] for _ in range(8)]
    clock.now += 0.2
    for start in burst:
        budget.refused(start)
    assert budget.allowed == 8
    clock.now += 0.2
    budget.refused(budget.book()[0])
    assert budget.allowed == 4


def test_it_never_falls_below_one() -> None:
    clock = Clock()
    budget = http.Budget(2, 1.0, clock=clock)
    for _ in range(5):
        clock.now += 0.01
        budget.refused(budget.book()[0])
    assert budget.allowed == 1


def test_everybody_waits_as_long_as_the_server_asked() -> None:
    clock = Clock()
    budget = http.Budget(10, 1.0, clock=clock)
    budget.refused(budget.book()[0], wait_s=7.0)
    assert budget.book()[1] == pytest.approx(7.0)


def test_without_a_limit_the_first_refusal_teaches_one() -> None:
    clock = Clock()
    budget = http.Budget(clock=clock)
    begun = [budget.book()[0] for _ in range(20)]
    assert budget.allowed is None
    budget.refused(begun[-1])
    assert budget.allowed == 10


def test_a_429_of_one_budget_leaves_the_others_alone(server: Server, pauses: list[float]) -> None:
    clock = Clock()
    budgets = {name: http.Budget(4, 10.0, clock=clock) for name in ("", "search")}
    server.script = [(429, {"Retry-After": "2"}, b"")]
    with http.Session(server.url, budgets=budgets, sleep=pauses.append) as session:
        assert session.request("POST", "/search", body=b"{}", budget="search").status == 200
        session.request("GET", "/records").close()
        assert (budgets["search"].allowed, budgets[""].allowed) == (2, 4)
        assert (session.sent("search"), session.sent(""), session.requests_sent) == (2, 1, 3)


def test_a_session_waits_for_its_budget(server: Server) -> None:
    clock = Clock()
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        clock.now += seconds

    budgets = {"": http.Budget(2, 5.0, clock=clock)}
    with http.Session(server.url, budgets=budgets, sleep=sleep) as session:
        for _ in range(5):
            session.request("GET", "/").close()
    assert waited == [5.0, 5.0]


@pytest.mark.parametrize(("calls", "per_s"), [(0, 1.0), (1, 0.0), (-1, 1.0)])
def test_a_budget_of_nothing_is_refused(calls: int, per_s: float) -> None:
    with pytest.raises(ValueError, match="at least one call"):
        http.Budget(calls, per_s)


def test_places_are_given_in_order() -> None:
    clock = Clock()
    budget = http.Budget(3, 1.0, clock=clock)
    begun = [budget.book()[0] for _ in range(50)]
    assert all(a <= b for a, b in itertools.pairwise(begun))
