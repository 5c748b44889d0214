"""Which synthetic clips there are: spread over types, factories and faults, each independent of the others."""

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal
from sklearn.metrics import roc_auc_score

from collab_asd.core.errors import InputError
from collab_asd.data.synthetic import SyntheticSettings
from collab_asd.data.synthetic.dataset import clips, machines
from collab_asd.data.synthetic.machines import MACHINE_TYPES

RATE = 16000
SMALL = SyntheticSettings(machines=2, seed=5, train=5, test_normal=4, test_anomaly=4, seconds=0.5)


@given(st.integers(1, 600))
def test_machines_are_spread_evenly(count):
    found = machines(count)
    sizes = Counter(kind for kind, _ in found)
    assert len(found) == len(set(found)) == count
    assert max(sizes.values()) - min(sizes.values()) <= 1
    assert min(sizes.values()) >= min(count, 3)
    assert len(sizes) == min(6, max(1, count // 3))
    assert set(sizes) <= set(MACHINE_TYPES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"machines": 0}, "machines is 0, must be 1 or more"),
        ({"machines": 601}, "machines is 601, must be 600 or less"),
        ({"seed": -1}, "seed is -1, must be 0 or more"),
        ({"train": -2}, "train is -2, must be 0 or more"),
        ({"seconds": float("nan")}, "seconds is nan, must be 0.1 or more"),
        ({"sample_rate": 100}, "sample_rate is 100, must be 8000 or more"),
    ],
)
def test_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        SyntheticSettings(**changes)


def test_fault_kinds_meet_all_factories():
    settings = SyntheticSettings(machines=18, train=0, test_normal=0, test_anomaly=16, seconds=0.1)
    pairs = Counter(
        (c.machine.machine_type, c.machine.machine_id, c.fault.kind, c.conditions.factory) for c in clips(settings)
    )
    assert len(pairs) == 18 * 4 * 4
    assert set(pairs.values()) == {1}


def test_more_clips_and_machines_leave_the_others_as_they_were():
    few = {clip.path: clip for clip in clips(SMALL)}
    many = {clip.path: clip for clip in clips(replace(SMALL, machines=5, train=7, test_normal=6, test_anomaly=9))}
    assert few.items() <= many.items()
    path, clip = next(iter(few.items()))
    np.testing.assert_array_equal(clip.sound(0.5, RATE), many[path].sound(0.5, RATE))


def test_all_clips_differ_and_so_do_seeds():
    sounds = [c.sound(0.5, RATE).tobytes() for seed in (5, 6) for c in clips(replace(SMALL, seed=seed))]
    assert len(set(sounds)) == len(sounds) == 2 * 2 * 13


@pytest.mark.slow
def test_the_machines_are_neither_trivial_nor_hopeless():
    settings = SyntheticSettings(machines=6, seed=0, train=40, test_normal=20, test_anomaly=20, seconds=4.0)
    by_machine = defaultdict(list)
    for clip in clips(settings):
        power = np.abs(signal.stft(clip.sound(4.0, RATE), RATE, nperseg=1024)[2][:512]) ** 2
        features = np.log(power.reshape(128, 4, -1).mean(1)).mean(1)
        by_machine[clip.machine].append((clip.split, clip.label, features))
    aucs = []
    for found in by_machine.values():
        train = np.array([features for split, _, features in found if split == "train"])
        test = np.array([features for split, _, features in found if split == "test"])
        distances = np.linalg.norm(test[:, None] - train[None], axis=2)
        labels = [label for split, label, _ in found if split == "test"]
        aucs.append(roc_auc_score(labels, np.sort(distances, axis=1)[:, :2].mean(1)))
    assert 0.65 < np.mean(aucs) < 0.95
    assert max(aucs) < 0.99
