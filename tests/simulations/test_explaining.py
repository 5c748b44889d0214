"""A report spends about the same on explanations, whatever its encoder costs."""

import pytest

from collab_asd.monitoring.explain import COARSE, FINE
from collab_asd.report.run_report import BUDGET, ExplanationBudget


def grids(work, clips=10, seconds=10.0):
    explanations = ExplanationBudget(clips, work)
    return [explanations.grid(seconds) for _ in range(clips)]


def cost(grid):
    return 0 if grid is None else grid[0] * grid[1] + 1


def test_cheap_encoders_explain_every_clip_finely():
    assert grids(0.99 * BUDGET / 10 / 61 / 10) == [FINE] * 10


def test_dearer_ones_explain_every_clip_coarsely():
    assert grids(0.99 * BUDGET / 10 / 16 / 10) == [COARSE] * 10


def test_still_dearer_ones_explain_the_first_clips():
    assert grids(0.99 * BUDGET / 3 / 16 / 10) == [COARSE] * 3 + [None] * 7


def test_where_not_one_clip_can_be_paid_for_none_is_explained():
    assert grids(1.01 * BUDGET / 16 / 10) == [None] * 10


@pytest.mark.parametrize("work", [0.1, 0.5, 1.0, 3.0, 18.0, 80.0])
@pytest.mark.parametrize("clips", [1, 4, 10])
def test_the_budget_is_kept(work, clips):
    assert sum(map(cost, grids(work, clips))) * work * 10 <= BUDGET * (1 + 1e-9)
