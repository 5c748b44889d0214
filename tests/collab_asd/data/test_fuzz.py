"""Damaged recordings are read or refused: `benchmarks/fuzz_recordings.py` with fewer files."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "fuzz_recordings.py"


@pytest.mark.slow
@pytest.mark.parametrize("container", ["WAV", "RF64", "W64", "AIFF", "FLAC", "OGG", "MP3"])
def test_damaged_recordings_are_read_or_refused(container):
    command = [sys.executable, SCRIPT, "--containers", container, "--files", "50", "--seed", "1"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    counts = result.stdout.split(";")[0].split(maxsplit=1)[1]
    assert sum(int(part.split()[0]) for part in counts.split(", ")) == 50
