"""Cells in processes of their own: what one does, and how it dies, is nothing to the others."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess

import psutil

from collab_asd.processes import follow_parent, leaving_interrupts_here
from simulations.comparison.experiment import Cell
from simulations.logs import show_progress

log = logging.getLogger(__name__)
UNKNOWN_NEED_MB = 1500.0  # of a process whose cells nobody has measured yet
RESERVE = 1.2  # times what was measured
MEGABYTE = 1_000_000
RunCell = Callable[[Cell, int], None]


def affordable(jobs: int, peaks_mb: Sequence[float]) -> int:
    """Return how many processes the free memory has room for: at least one, at most `jobs`.

    Parameters
    ----------
    peaks_mb : sequence of float
        Anonymous memory that cells of this comparison are known to have taken.
    """
    need = RESERVE * max(peaks_mb) if peaks_mb else UNKNOWN_NEED_MB
    room = max(1, int(psutil.virtual_memory().available / MEGABYTE / need))
    if room < jobs:
        log.warning("memory is free for %d processes of %.0f MB each, not for %d", room, need, jobs)
    return min(jobs, room)


def run_units(
    units: Sequence[Sequence[Cell]], run_cell: RunCell, clients: int, jobs: int, advance: Callable[[], None]
) -> None:
    """Run units of cells, each unit in a process of its own and at most `jobs` of them at once.

    Parameters
    ----------
    run_cell : callable
        Called in the process with each cell of the unit and `clients`; keeps what stops it in the cell's
        ``error.txt``. A process that dies is written down there by this function.
    advance : callable
        Called for each cell that is over.
    """
    context = multiprocessing.get_context("spawn")  # a fork would inherit the threads of PyTorch half
    waiting, running = list(units), dict[SpawnProcess, Sequence[Cell]]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                unit = waiting.pop(0)
                process = context.Process(target=_work, args=(unit, run_cell, clients), daemon=True)
                with leaving_interrupts_here():
                    process.start()
                log.info("begun: %s", ", ".join(cell.name for cell in unit))
                running[process] = unit
            wait([process.sentinel for process in running])
            for process in [p for p in running if not p.is_alive()]:
                for cell in running.pop(process):
                    _account(process, cell)
                    advance()
    finally:
        for process in running:
            process.terminate()


def _account(process: SpawnProcess, cell: Cell) -> None:
    """Say what became of a cell whose process has ended."""
    process.join()
    log.info("cell %s: %s", cell.name, cell.state)
    if cell.state not in ("finished", "failed"):
        cell.fail(f"its process ended with exit code {process.exitcode}; out of memory? try fewer --jobs")


def _work(unit: Sequence[Cell], run_cell: RunCell, clients: int) -> None:
    """Run the cells of one unit, in the process that was made for them."""
    follow_parent()
    show_progress(logging.WARNING)
    logging.getLogger("flwr").setLevel(logging.WARNING)
    for cell in unit:
        run_cell(cell, clients)
