"""Trends and warning signs of a series, against counts by hand and the exact distribution."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmetrics.goals import Rules, Trend, trend, unusual

PAST = [10.0, 11.0, 9.0, 10.0, 12.0, 8.0, 10.0, 11.0]
"""Median 10; distances from it 0 0 0 1 1 1 2 2, so their median is 1 and a deviation 1.4826."""


def exact_shares(count: int) -> dict[int, float]:
    """P(|score| >= s) of Kendall's score when all orders of `count` values are equally likely.

    The number of orders with k inversions, built up value by value; score = pairs - 2 k.
    """
    orders = [1]
    for size in range(2, count + 1):
        longer = [0] * (len(orders) + size - 1)
        for inversions, number in enumerate(orders):
            for more in range(size):
                longer[inversions + more] += number
        orders = longer
    pairs, total = count * (count - 1) // 2, sum(orders)
    scores = {pairs - 2 * inversions: number for inversions, number in enumerate(orders)}
    return {
        score: sum(number for other, number in scores.items() if abs(other) >= score) / total
        for score in scores
        if score >= 0
    }


def with_score(count: int, score: int) -> list[float]:
    """Values whose pairs rise `score` times more often than they fall: rising ones, disturbed by as
    many neighbour swaps as it takes."""
    values = [float(number) for number in range(count)]
    swaps = (count * (count - 1) // 2 - score) // 2
    while swaps:
        for place in range(count - 1):
            if swaps and values[place] < values[place + 1]:
                values[place], values[place + 1] = values[place + 1], values[place]
                swaps -= 1
    return values


@pytest.mark.parametrize("count", range(8, 14))
def test_a_trend_is_told_where_chance_explains_it_in_less_than_one_of_twenty(count: int) -> None:
    shares = exact_shares(count)
    for score, share in shares.items():
        if 0.045 < share < 0.055:
            continue  # the normal approximation may fall on either side of the border
        values = with_score(count, score)
        expected = "rising" if share < 0.05 else "none"
        assert trend(values).heading == expected, (score, share)  # type: ignore[union-attr]
        falling = trend([-value for value in values])
        assert falling is not None
        assert falling.heading == expected.replace("rising", "falling")


def test_the_slope_is_the_median_of_all_slopes_and_follows_no_outlier() -> None:
    found = trend([1.0, 2.0, 3.0, 400.0, 5.0, 6.0, 7.0, 8.0, 9.0])
    assert found == Trend("rising", 1.0, 4, 9)


def test_a_missing_value_keeps_its_place() -> None:
    # 2 a period over the gap as well: 4, 6, -, 10, 12
    assert trend([4.0, 6.0, None, 10.0, 12.0]) == Trend("rising", 2.0, 3, 4)


def test_fewer_than_eight_values_head_where_their_slope_points() -> None:
    found = trend([5.0, 3.0, 4.0])
    # slopes -2, 1, -1/2
    assert found == Trend("falling", -0.5, 1, 3)
    assert found is not None
    assert not found.is_tested


def test_two_values_and_equal_values_have_no_trend() -> None:
    assert trend([1.0, None, 2.0]) is None
    assert trend([]) is None
    assert trend([3.0] * 10) == Trend("none", 0.0, 0, 10)


@pytest.mark.parametrize(
    ("values", "run"),
    [([1, 2, 3], 2), ([3, 2, 1], -2), ([1, 3, 2, 1, 0], -3), ([1, 2, 2], 0), ([2, 2, 3], 1)],
)
def test_a_run_is_how_often_in_a_row_the_values_moved_the_same_way(
    values: list[int], run: int
) -> None:
    found = trend([float(value) for value in values])
    assert found is not None
    assert found.run == run


@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=13), st.floats(-1e3, 1e3))
def test_a_shift_of_all_values_changes_no_slope(values: list[float], shift: float) -> None:
    one, other = trend(values), trend([value + shift for value in values])
    assert one is not None and other is not None
    assert other.slope == pytest.approx(one.slope, abs=1e-6)


@pytest.mark.parametrize(
    ("value", "side"), [(14.44, None), (14.45, "high"), (5.56, None), (5.55, "low")]
)
def test_three_robust_deviations_from_the_median_are_unusual(
    value: float, side: str | None
) -> None:
    found = unusual(value, PAST, Rules())
    assert (found and found.side) == side
    if found is not None:
        assert (found.typical, found.periods, found.limit, found.is_new) == (10.0, 8, None, True)


def test_a_sign_goes_on_until_the_value_is_back_within_two() -> None:
    still = unusual(12.97, PAST, Rules(), before="high")
    assert still is not None
    assert not still.is_new
    assert unusual(12.96, PAST, Rules(), before="high") is None
    assert unusual(7.03, PAST, Rules(), before="high") is None  # the other side is a new sign
    other = unusual(5.0, PAST, Rules(), before="high")
    assert other is not None
    assert other.is_new


def test_fewer_than_eight_values_to_compare_with_give_no_sign() -> None:
    assert unusual(1e9, PAST[:7], Rules()) is None


@pytest.mark.parametrize(("value", "side"), [(5.9, None), (6.0, "high"), (2.1, None), (2.0, "low")])
def test_where_most_values_are_equal_the_relative_change_decides(
    value: float, side: str | None
) -> None:
    found = unusual(value, [4.0] * 7 + [9.0], Rules())
    assert (found and found.side) == side


def test_sums_that_differ_in_their_last_bit_are_equal() -> None:
    past = [0.1 + 0.2, 0.3, 0.3, 0.1 + 0.2, 0.3, 0.1 + 0.2, 0.3, 0.1 + 0.2]
    assert unusual(0.31, past, Rules()) is None


def test_mostly_zeros_have_no_measure_of_distance() -> None:
    assert unusual(5.0, [0.0] * 8, Rules()) is None


def test_a_limit_that_was_set_needs_no_past() -> None:
    low = unusual(0.2, [], Rules(below=0.25))
    assert low is not None
    assert (low.side, low.limit, low.typical, low.is_new) == ("low", 0.25, None, True)
    high = unusual(9.0, PAST, Rules(above=8.0), before="high")
    assert high is not None
    assert (high.side, high.limit, high.is_new) == ("high", 8.0, False)
    assert unusual(0.25, [], Rules(below=0.25)) is None
