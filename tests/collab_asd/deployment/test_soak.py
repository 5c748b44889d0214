"""A deployment of real processes under faults, one after another: `benchmarks/soak.py` in its short form."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "soak.py"
FAULTS = (
    "kill the executor",
    "kill the SuperNode",
    "kill the SuperExec",
    "stop the SuperLink",
    "drop all connections",
    "lose a message",
    "full disk",
)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of other processes are set as on Linux")
def test_runs_are_completed_with_equal_scores_under_every_fault(tmp_path):
    command = [sys.executable, str(SCRIPT), str(tmp_path / "consortium"), "--short"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert tuple(re.findall(r"fault: (.+?) \(", done.stdout)) == FAULTS
    runs = re.findall(r"run [1-9]\d*: .*; (\d+) clips, largest difference to run 0 (\S+);", done.stdout)
    assert runs
    assert set(runs) == {("120", "0")}
