"""Synthetic data on disk: the layout, the same bytes every time, whole or not at all, made once."""

import csv
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import soundfile

from collab_asd.core.errors import InputError
from collab_asd.data.synthetic import SyntheticSettings, dataset
from collab_asd.data.synthetic.dataset import ensure_dataset, write_dataset
from collab_asd.data.synthetic.faults import FAULTS
from collab_asd.data.synthetic.sound import FACTORIES

RATE = 16000
SMALL = SyntheticSettings(machines=2, seed=5, train=5, test_normal=4, test_anomaly=4, seconds=0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("synthetic") / "data", SMALL)


@pytest.fixture(scope="module")
def rows(folder):
    with (folder / "metadata.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_files_lie_in_the_dcase_layout(folder):
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.wav"))
    expected = [f"ToyCar/test/anomaly_id_{m}_{n:08d}.wav" for m in ("00", "01") for n in range(4)]
    expected += [f"ToyCar/test/normal_id_{m}_{n:08d}.wav" for m in ("00", "01") for n in range(4)]
    expected += [f"ToyCar/train/normal_id_{m}_{n:08d}.wav" for m in ("00", "01") for n in range(5)]
    assert names == expected


def test_files_are_16_bit_mono_of_the_asked_length(folder):
    for path in folder.rglob("*.wav"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (RATE, 1, 8000, "PCM_16")


def test_metadata_has_one_row_per_file(folder, rows):
    assert {row["path"] for row in rows} == {p.relative_to(folder).as_posix() for p in folder.rglob("*.wav")}
    assert list(rows[0]) == [
        *("path", "machine_type", "machine_id", "split", "label"),
        *("speed", "load", "factory", "snr_db", "fault", "severity"),
    ]
    for row in rows:
        assert row["path"].startswith(f"{row['machine_type']}/{row['split']}/")
        assert ("anomaly" in row["path"]) == (row["label"] == "1") == (row["fault"] in FAULTS["ToyCar"])
        assert (row["fault"] == "none") == (float(row["severity"]) == 0.0)


def test_every_machine_is_recorded_in_every_factory(rows):
    seen = defaultdict(set)
    for row in rows:
        seen[row["machine_id"], row["split"], row["label"]].add(row["factory"])
    assert all(factories == set(FACTORIES) for factories in seen.values())


def test_same_seed_gives_same_bytes(folder, tmp_path):
    again = write_dataset(tmp_path / "again", SMALL)
    for path in folder.rglob("*.*"):
        assert path.read_bytes() == (again / path.relative_to(folder)).read_bytes()


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not an empty folder"):
        write_dataset(tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_filled(tmp_path):
    one = replace(SMALL, machines=1, train=1, test_normal=0, test_anomaly=0)
    assert (write_dataset(tmp_path, one) / "ToyCar/train/normal_id_00_00000000.wav").exists()


@pytest.fixture
def made(on_advance):
    """What was rendered, one entry for each clip."""
    clips = []
    on_advance(lambda what, amount: clips.append(what))
    return clips


def test_an_interrupted_write_leaves_nothing(tmp_path, on_advance):
    def interrupt(what, amount):
        raise KeyboardInterrupt

    on_advance(interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "data", SMALL)
    assert list(tmp_path.iterdir()) == []


def test_ensure_dataset_makes_each_data_set_once(tmp_path, made):
    first = ensure_dataset(SMALL, tmp_path)
    second = ensure_dataset(SMALL, tmp_path)
    assert first == second
    assert first.parent == tmp_path / "synthetic"
    assert len(made) == 2 * 13
    assert ensure_dataset(replace(SMALL, seed=6), tmp_path) != first


def test_ensure_dataset_is_safe_when_asked_twice_at_once(tmp_path, made):
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(lambda _: ensure_dataset(SMALL, tmp_path), range(2)))
    assert folders[0] == folders[1]
    assert len(made) == 2 * 13


def test_ensure_dataset_does_not_trust_another_generators_sounds(tmp_path, monkeypatch):
    first = ensure_dataset(SMALL, tmp_path)
    monkeypatch.setattr(dataset, "GENERATOR", dataset.GENERATOR + 1)
    assert ensure_dataset(SMALL, tmp_path) != first
