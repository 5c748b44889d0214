"""Two minutes of faults at random moments; `benchmarks/soak.py` does the same for as long as it is told."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "soak.py"


@pytest.mark.slow
def test_runs_complete_with_equal_scores_under_faults(tmp_path):
    words = ["--minutes", "2", "--clients", "2", "--pause", "15", "--seed", "3"]
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "consortium", *words],
        capture_output=True, text=True, timeout=1800, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "runs whose scores differ from those of run 0: 0" in done.stdout
    assert "fault: " in done.stdout
