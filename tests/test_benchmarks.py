"""The measurements that docs quote still run: each command, on a few small machines, prints a table of numbers."""

import re
import runpy
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
FEW = ("--seeds", "1", "--encoders", "logmel")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "options"),
    [
        ("auc_table", FEW),
        ("codec_curve", (*FEW, "--codecs", "fp32,pool:4")),
        ("late_joiner", (*FEW, "--epochs", "1")),
        ("poisoning", FEW),
        ("stronger_classifiers", FEW),
    ],
)
def test_a_benchmark_prints_its_table(machines, cache, tmp_path, monkeypatch, capsys, script, options):
    monkeypatch.setattr(sys, "argv", [script, str(machines), *options])
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(BENCHMARKS / f"{script}.py"), run_name="__main__")
    assert re.search(r"[01]\.\d{3}", capsys.readouterr().out)
