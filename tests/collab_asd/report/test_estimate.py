"""Means over seeds, against numbers worked out by hand."""

import pytest

from collab_asd.report.comparison import DIFFERENCE, UNLIMITED, estimate

T2 = 4.302653  # Student's t, 2 degrees of freedom, two-sided 95 %; from the tables


def test_three_values_by_hand():
    found = estimate([0.8, 0.9, 1.0])
    assert found.n == 3
    assert found.mean == pytest.approx(0.9)
    assert found.deviation == pytest.approx(0.1)
    assert found.half_width == pytest.approx(T2 * 0.1 / 3**0.5, rel=1e-6)
    assert (found.low, found.high) == pytest.approx((0.651586, 1.0), abs=1e-6)  # no share lies beyond 1
    assert estimate([0.8, 0.9, 1.0], UNLIMITED).high == pytest.approx(1.148414, abs=1e-6)


def test_two_values_have_one_degree_of_freedom():
    assert estimate([1.0, 3.0]).half_width == pytest.approx(12.706205, rel=1e-6)


def test_no_interval_reaches_beyond_what_can_be():
    assert (estimate([0.0, 0.1]).low, estimate([0.0, 0.1]).arms[0]) == (0.0, pytest.approx(0.05))
    assert (estimate([-0.9, -0.5], DIFFERENCE).low, estimate([0.9, 0.5], DIFFERENCE).high) == (-1.0, 1.0)
    assert not estimate([0.9, 1.0]).is_symmetric
    assert estimate([0.90, 0.91]).is_symmetric


def test_one_value_has_no_interval():
    found = estimate([0.8])
    assert (found.mean, found.deviation, found.half_width, found.n) == (0.8, None, None, 1)
    assert (found.low, found.high) == (None, None)


def test_values_that_are_not_there_do_not_count():
    assert estimate([None, 0.5, None]).mean == 0.5
    assert estimate([None]) is None
    assert estimate([]) is None
