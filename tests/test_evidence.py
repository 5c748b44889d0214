"""What README and docs state is what was measured: their tables are those that ``docs/evidence.json`` gives."""

import importlib.util
import json
from pathlib import Path

import pytest

from baselines.client_training.rounds import settings_of
from baselines.local_networks.glow import Glow
from baselines.local_networks.variational import Vae, Vidnn
from collab_asd.classifier.settings import PRESETS
from collab_asd.config import RunConfig

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("evidence_script", ROOT / "benchmarks/evidence.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def evidence(script):
    return json.loads(script.FILE.read_text(encoding="utf-8"))


def test_tables_in_the_pages_are_those_that_were_measured(script, evidence):
    blocks = 0
    for page in script.PAGES:
        text = page.read_text(encoding="utf-8")
        blocks += len(script.BLOCK.findall(text))
        assert script.written_into(text, evidence) == text, f"{page}: write it anew with make evidence"
    assert blocks


def test_another_figure_in_a_page_is_noticed(script, evidence):
    text = next(text for page in script.PAGES if script.BLOCK.search(text := page.read_text(encoding="utf-8")))
    for digit in "0123456789":
        inside = script.BLOCK.search(text)[0]
        changed = text.replace(inside, inside.replace("| 0.", f"| 0.{digit}", 1))
        assert changed == text or script.written_into(changed, evidence) == text


def test_machine_and_versions_are_recorded(evidence):
    assert {"processor", "cores", "threads"} <= evidence["machine"].keys()
    assert {"python", "torch", "numpy"} <= evidence["versions"].keys()
    for experiment in evidence["experiments"].values():
        assert experiment["command"].startswith("collab-asd compare ")


def test_no_difference_that_chance_may_have_made_is_bold(evidence):
    for experiment in evidence["experiments"].values():
        for row in experiment["rows"]:
            if row["bold"] and (gain := row["minus sharing"]) is not None:
                assert gain["low"] > 0


def test_the_windows_that_a_method_sees_are_those_of_its_preset():
    text = " ".join((ROOT / "docs/evidence.md").read_text(encoding="utf-8").split())
    shared, rounds = PRESETS["fast"], settings_of(RunConfig())
    stated = {shared.epochs * shared.windows_per_class: "2,100 (`embedding-sharing`"}
    assert rounds.rounds * rounds.training.windows_per_class == shared.epochs * shared.windows_per_class
    for name, detector in (("vae", Vae), ("vidnn", Vidnn), ("glow", Glow)):
        budget = detector.presets["fast"].budget
        stated[budget.epochs * budget.windows] = f"{budget.epochs * budget.windows:,} (`local-{name}`)"
    assert len(stated) == 4
    assert all(words in text for words in stated.values())
