"""How finely the alarms of a report are explained: as its encoder allows.

An explanation encodes a clip once for each patch of its spectrogram. What one encoding costs is known of every encoder,
so a report spends about as much on explanations, whichever it is: with a costly one patches are larger, and once the
budget is spent clips stay unexplained.
"""

from __future__ import annotations

from collab_asd.monitoring.explain import COARSE, FINE, Grid

BUDGET = 3000.0  # 10^9 multiply-accumulates of a matrix product: 45 s of a usual core


class Explanations:
    """Deals out a budget to the clips of one report.

    Parameters
    ----------
    clips : int
        Among which it is to be divided.
    work : float
        10^9 multiply-accumulates of a matrix product that take as long as to encode a second.
    """

    def __init__(self, clips: int, work: float) -> None:
        self._share, self._left, self._work = BUDGET / max(clips, 1), BUDGET, work

    def grid(self, seconds: float) -> Grid | None:
        """Return the grid to explain the next clip by, of some length in s, and take its cost off the budget."""
        fine, coarse = (self._cost(grid, seconds) for grid in (FINE, COARSE))
        if fine <= min(self._share, self._left):
            self._left -= fine
            return FINE
        if coarse <= self._left:
            self._left -= coarse
            return COARSE
        return None

    def _cost(self, grid: Grid, seconds: float) -> float:
        whole = 1
        return (grid[0] * grid[1] + whole) * seconds * self._work
