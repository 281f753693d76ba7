"""Rank correlation of two series, against the textbook formula and figures by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmetrics.goals import associations


def test_without_ties_it_is_one_minus_six_times_the_squared_differences_of_ranks() -> None:
    first = [106, 86, 100, 101, 99, 103, 97, 113, 112, 110, 90, 120]
    second = [7, 1, 27, 50, 28, 29, 20, 12, 6, 17, 2, 3]
    pairs = zip(first, second, strict=True)
    apart = [sorted(first).index(one) - sorted(second).index(other) for one, other in pairs]
    expected = 1 - 6 * sum(d * d for d in apart) / (12 * (12 * 12 - 1))
    assert associations(first, second)[0].rho == pytest.approx(expected)


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    # ranks of the first: 1.5 1.5 3.5 3.5 ... 11.5 11.5; of the second 1 to 12. Their covariance sum
    # is that of the first with itself, 6 x 2 x (0.5 shared) less: 143 - 12 x 0.25 = 140.
    first = [float(number // 2) for number in range(12)]
    second = [float(number) for number in range(12)]
    assert associations(first, second)[0].rho == pytest.approx(140 / (140 * 143) ** 0.5)


def test_a_series_that_follows_is_found_at_its_lag() -> None:
    first = [float((number * 7) % 17) for number in range(17)]
    second = [None, None, *first[:-2]]
    found = associations(first, second)
    assert [each.lag for each in found] == [0, 1, 2, 3]
    assert found[2].rho == pytest.approx(1.0)
    assert found[2].pairs == 15
    assert all(abs(each.rho or 0.0) < 0.9 for each in found if each.lag != 2)


def test_fewer_than_twelve_pairs_tell_nothing() -> None:
    numbers = [float(number) for number in range(12)]
    found = associations(numbers, [None, *numbers[1:]])
    assert (found[0].pairs, found[0].rho, found[0].chance) == (11, None, None)


def test_a_series_that_never_changes_goes_with_nothing() -> None:
    found = associations([1.0] * 20, [float(number) for number in range(20)])
    assert found[0].rho is None


def test_chance_shrinks_with_the_number_of_pairs() -> None:
    numbers = [float(number) for number in range(26)]
    found = associations(numbers, numbers)
    assert found[0].chance == pytest.approx(1.959964 / 5)
    assert found[1].chance == pytest.approx(1.959964 / 24**0.5)


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=12, max_size=40))
def test_the_second_series_turned_over_turns_the_sign(pairs: list[tuple[float, float]]) -> None:
    first, second = [one for one, _ in pairs], [other for _, other in pairs]
    there = associations(first, second)[0].rho
    back = associations(first, [-value for value in second])[0].rho
    assert (there is None) == (back is None)
    if there is not None and back is not None:
        assert back == pytest.approx(-there, abs=1e-9)
        assert -1 - 1e-9 <= there <= 1 + 1e-9
