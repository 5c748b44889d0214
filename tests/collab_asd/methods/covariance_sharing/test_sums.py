"""Sums in fixed point: no bit depends on the order, and what cannot be a machine's is refused."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from flwr.app import ConfigRecord, RecordDict

from collab_asd.detection.second_order import DIMENSION, TRIANGLE, pooled_sums
from collab_asd.methods.covariance_sharing.strategy import read_member
from collab_asd.methods.covariance_sharing.sums import (
    MOST_CLIPS,
    MOST_MACHINES,
    SQUARES_BITS,
    Part,
    bits_of,
    read_part,
    require_valid_scatter,
    require_valid_variances,
    to_fixed,
    total,
)

BITS = 16


@pytest.fixture(scope="module")
def parts():
    """What four machines contribute."""
    rng = np.random.default_rng(0)
    clips = [rng.normal(size=(n, DIMENSION)) * rng.uniform(0.2, 3, DIMENSION) for n in (8, 20, 12, 31)]
    return [
        Part(1, s.dof, to_fixed(s.squares, SQUARES_BITS), to_fixed(s.scatter[TRIANGLE], BITS))
        for s in pooled_sums(clips)
    ]


def test_no_bit_depends_on_the_order(parts):
    sums = [total(order) for order in permutations(parts)]
    assert len({(s.dof, s.squares.tobytes(), s.scatter.tobytes()) for s in sums}) == 1


def test_who_joins_and_leaves_has_changed_no_bit(parts):
    before = total(parts[:3])
    after = before + parts[3] - parts[3]
    assert (after.machines, after.dof) == (before.machines, before.dof)
    assert np.array_equal(after.scatter, before.scatter)
    assert np.array_equal(after.squares, before.squares)


def test_a_matrix_takes_132_kilobytes(parts):
    assert parts[0].arrays["scatter"].nbytes == 131_584
    read = read_part(parts[0].facts, parts[0].arrays)
    assert np.array_equal(read.scatter, parts[0].scatter)
    assert (read.machines, read.dof) == (1, 7)


def test_what_the_largest_client_adds_up_is_read(parts):
    largest = replace(parts[0], machines=MOST_MACHINES, dof=MOST_MACHINES * (MOST_CLIPS - 1))
    read = read_part(largest.facts, largest.arrays)
    assert (read.machines, read.dof) == (256, 255_744)


@pytest.mark.parametrize(("machines", "dof"), [(1, 4), (4, 696), (600, 60_000), (4000, 3_996_000)])
def test_the_largest_sum_fits_32_bits(machines, dof):
    assert (dof + 50 * machines) * 8 * 2.0 ** bits_of(machines, dof) <= 2**31 - 1


def test_sums_that_do_not_fit_are_refused(parts):
    full = replace(parts[0], scatter=np.full_like(parts[0].scatter, 2**31 - 1))
    with pytest.raises(ValueError, match="32 bits"):
        total([full, full])


def test_a_true_part_is_accepted(parts):
    for part in parts:
        require_valid_variances(part)
        require_valid_scatter(part, replace(part, scatter=None), BITS)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"machines": 0}, "0 machines"),
        ({"machines": 100_000}, "100000 machines"),
        ({"dof": 0}, "0 degrees"),
        ({"dof": MOST_CLIPS}, "1000 degrees"),
        ({"squares": np.full(DIMENSION, -1)}, "negative"),
        ({"squares": np.full(DIMENSION, 2**60)}, "10000 dB"),
    ],
)
def test_impossible_variances_are_refused(parts, changes, said):
    with pytest.raises(ValueError, match=said):
        require_valid_variances(replace(parts[0], **changes))


def with_entry(part, where, value):
    scatter = part.scatter.copy()
    scatter[where] = value
    return replace(part, scatter=scatter)


@pytest.mark.parametrize("spoil", [
    lambda part: with_entry(part, 0, -(2**20)),
    lambda part: with_entry(part, 1, int(40 * 2**BITS)),  # off the diagonal: larger than its diagonal bears
    lambda part: with_entry(part, 0, 2**30),
    lambda part: replace(part, scatter=-part.scatter),
    lambda part: replace(part, scatter=part.scatter * 1000),
    lambda part: replace(part, scatter=None),
    lambda part: replace(part, dof=part.dof + 1),
    lambda part: replace(part, squares=part.squares + 1),
])  # fmt: skip
def test_impossible_matrices_are_refused(parts, spoil):
    with pytest.raises(ValueError, match="its matrix"):
        require_valid_scatter(spoil(parts[0]), replace(parts[0], scatter=None), BITS)


@pytest.mark.parametrize("array", [np.zeros(32_896), np.zeros(10, np.int32), np.full(32_896, np.nan, np.float32)])
def test_a_matrix_of_other_numbers_is_refused(parts, array):
    with pytest.raises(ValueError, match="scatter"):
        read_part(parts[0].facts, parts[0].arrays | {"scatter": array})


@pytest.mark.parametrize("lacking", ["machines", "dof"])
def test_sums_of_an_unknown_number_are_refused(parts, lacking):
    with pytest.raises(ValueError, match="lack"):
        read_part({name: fact for name, fact in parts[0].facts.items() if name != lacking}, parts[0].arrays)


def test_other_features_are_refused():
    with pytest.raises(ValueError, match="features"):
        read_member(RecordDict({"client": ConfigRecord({"features": "another", "clips": ""})}))
