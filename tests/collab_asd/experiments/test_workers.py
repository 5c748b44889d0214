"""Cells in processes of their own."""

import os
import types

import pytest

from collab_asd.config import RunConfig
from collab_asd.experiments import runner as workers
from collab_asd.experiments.experiment import Cell


@pytest.mark.parametrize(
    ("free_mb", "peaks", "jobs"),
    [
        (16000, [], 4),  # room for ten of 1500 MB
        (3100, [], 2),
        (3100, [1000.0, 200.0], 2),  # 1200 MB each
        (3100, [400.0], 4),
        (100, [], 1),
    ],
)
def test_no_more_processes_than_memory_has_room_for(monkeypatch, free_mb, peaks, jobs):
    memory = types.SimpleNamespace(available=free_mb * 1e6)
    monkeypatch.setattr(workers.psutil, "virtual_memory", lambda: memory)
    assert workers.affordable(4, peaks) == jobs


def finish(cell, clients):
    """Finish a cell, or die as one that the kernel kills does."""
    if cell.config.seed == 1:
        os.kill(os.getpid(), 9)
    cell.folder.mkdir(parents=True)
    (cell.folder / "summary.json").write_text(f"{clients}")


@pytest.mark.slow
def test_a_process_that_is_killed_takes_only_its_own_cells_along(tmp_path):
    cells = [Cell(RunConfig(seed=s, results_dir=str(tmp_path / str(s)))) for s in range(4)]
    over = []
    workers.run_units([cells[:1], cells[1:3], cells[3:]], finish, 7, 2, lambda: over.append(1))
    assert [cell.state for cell in cells] == ["finished", "failed", "failed", "finished"]
    assert "exit code -9" in cells[1].error
    assert (cells[3].folder / "summary.json").read_text() == "7"
    assert len(over) == 4
