"""Synthetic machines with known conditions, for audits."""

import pytest

from collab_asd.data.synthetic import SyntheticSettings
from collab_asd.data.synthetic.dataset import write_dataset


@pytest.fixture(scope="session")
def sounds(tmp_path_factory):
    """Machines of the victims, and others of the same type for the adversary: 4 s a clip, 24 clips each."""
    folder = tmp_path_factory.mktemp("sounds")
    small = {"machines": 3, "train": 24, "test_normal": 2, "test_anomaly": 2, "seconds": 4.0}
    return [write_dataset(folder / str(seed), SyntheticSettings(seed=seed, **small)) for seed in (1, 2)]
