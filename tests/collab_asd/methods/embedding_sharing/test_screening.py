"""Clients that f_s must not learn from."""

import pytest

from collab_asd.methods.embedding_sharing.screening import find_norm_outliers, find_singletons


@pytest.mark.parametrize(
    ("odd", "found"),
    [(21.0, True), (19.9, False), (1.0, False), (0.21, False), (0.19, True), (0.0, True)],
)
def test_embeddings_much_larger_or_smaller_than_the_median_are_refused(odd, found):
    assert set(find_norm_outliers({0: 2.0, 1: 2.0, 2: odd, 3: 2.0}, limit=10)) == ({2} if found else set())


def test_of_two_clients_nobody_knows_who_is_odd():
    assert find_norm_outliers({0: 1.0, 1: 1000.0}, limit=10) == {}
    assert set(find_norm_outliers({0: 1.0, 1: 1000.0, 2: 1.0}, limit=10)) == {1}


def test_a_machine_with_no_other_in_its_group_is_refused():
    assert set(find_singletons({0: [(0, 0), (1, 0)], 1: [(1, 1)], 2: [(1, 1)]})) == {0}
