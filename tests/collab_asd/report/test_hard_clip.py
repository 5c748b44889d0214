import json

import numpy as np
import pytest
import soundfile

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.data.audio import sha256_of
from collab_asd.data.manifest import manifest_sha256, read_manifest, write_manifest
from collab_asd.report.reading import read_run
from collab_asd.report.run_report import hardest_fault


@pytest.fixture
def run_on_sounds(make_folder, tmp_path):
    """A run whose recordings are there: each is constant, at its own level."""
    data = tmp_path / "data"
    (data / "fan").mkdir(parents=True)
    folder = make_folder(config=RunConfig(data_dir=str(data)).to_mapping())
    rows = []
    for i, row in enumerate(read_manifest(folder / "manifest.csv")):
        soundfile.write(data / row.clip, np.full(800, i / 32), 8000, subtype="FLOAT")
        rows.append(row._replace(sha256=sha256_of(data / row.clip)))
    write_manifest(folder / "manifest.csv", rows)
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(summary | {"manifest_sha256": manifest_sha256(rows)}))
    return read_run(folder)


def test_hardest_fault_beside_a_usual_normal_clip(run_on_sounds):
    # Scores: normals 0, 1, 2, 4.5 are clips 0 to 3, faults 1.5, 3, 4, 5 are clips 4 to 7; the manifest has a training
    # clip before them.
    clip = hardest_fault(run_on_sounds, "fan/00")
    assert (clip.clip, clip.score, clip.threshold, clip.label) == ("fan/00_4.wav", 1.5, 2.5, 1)
    assert clip.normal_name == "fan/00_2.wav"
    assert (clip.sound.rate, len(clip.sound.waveform)) == (8000, 800)
    assert clip.sound.waveform[0] == 5 / 32
    assert clip.normal.waveform[0] == 3 / 32
    assert clip.heat is None


def test_recordings_that_changed_are_refused(run_on_sounds, tmp_path):
    (tmp_path / "data" / "fan" / "00_4.wav").write_bytes(b"RIFF")
    with pytest.raises(InputError, match=r"fan/00_4\.wav: the clip changed"):
        hardest_fault(run_on_sounds, "fan/00")


def test_machine_without_faults_is_refused(make_folder):
    with pytest.raises(InputError, match="fan/00: has no test clips of both kinds"):
        hardest_fault(read_run(make_folder(labels=("0", ""))), "fan/00")
