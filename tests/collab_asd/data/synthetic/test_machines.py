"""The bearing of a synthetic machine."""

import pytest

from collab_asd.data.synthetic.machines import outer_race_order


def test_outer_race_order_of_a_common_bearing():
    # SKF 6205: 9 balls of 7.94 mm on a pitch circle of 39.04 mm; its tabulated outer race frequency is 3.585 per turn.
    assert outer_race_order(9, 7.94 / 39.04) == pytest.approx(3.585, abs=0.001)
