"""Each layout from a small made folder to result files: what is detected, what each clip is, and what a run writes."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from collab_asd.cli.main import app
from collab_asd.core.errors import InputError
from collab_asd.data.layouts import find_clips, layout_of, list_clips

RATE = 8000
TRAIN, TEST = 4, 3  # clips of a machine


class Folder:
    """A data folder that is filled with one second of hum each; what is faulty whistles."""

    def __init__(self, root: Path) -> None:
        self.root, self.rng = root, np.random.default_rng(1)

    def add(self, name: str, faulty: bool = False, seconds: float = 1.2, channels: int = 1) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        time = np.arange(int(seconds * RATE)) / RATE
        sound = 0.1 * np.sin(2 * np.pi * 210 * (1 + 0.02 * self.rng.normal()) * time)
        sound = sound + (0.1 * np.sin(2 * np.pi * 2500 * time) if faulty else 0)
        noisy = sound[:, None] + 0.02 * self.rng.normal(size=(len(time), channels))
        soundfile.write(path, noisy, RATE, subtype="PCM_16")

    def text(self, name: str, text: str) -> None:
        (self.root / name).write_text(text, encoding="utf-8")

    def dcase2020(self) -> None:
        for machine in ("00", "02"):  # development machines
            for i in range(TRAIN):
                self.add(f"dev_data/fan/train/normal_id_{machine}_{i:08}.wav")
            for i in range(TEST):
                self.add(f"dev_data/fan/test/normal_id_{machine}_{i:08}.wav")
                self.add(f"dev_data/fan/test/anomaly_id_{machine}_{i:08}.wav", faulty=True)
        for i in range(TRAIN):  # additional training and evaluation clips
            self.add(f"eval_data/fan/train/normal_id_01_{i:08}.wav")
        for i in range(TEST):
            self.add(f"eval_data/fan/test/id_01_{i:08}.wav")

    def dcase2021(self) -> None:
        for i in range(TRAIN):
            self.add(f"fan/train/section_00_source_train_normal_{i:04}_strength_1_ambient.wav")
        self.add("fan/train/section_00_target_train_normal_0000_strength_2_ambient.wav")
        for domain in ("source", "target"):
            for i in range(TEST):
                self.add(f"fan/{domain}_test/section_00_{domain}_test_normal_{i:04}.wav")
                self.add(f"fan/{domain}_test/section_00_{domain}_test_anomaly_{i:04}.wav", faulty=True)
        for i in range(TRAIN):  # a section of the evaluation set, whose test clips have no label
            self.add(f"fan/train/section_03_source_train_normal_{i:04}_strength_1_ambient.wav")
        self.add("fan/source_test/section_03_source_test_0000.wav")

    def dcase2022(self) -> None:
        rows = []
        for section in ("00", "01"):
            for i in range(TRAIN):
                rows.append(f"bearing/train/section_{section}_source_train_normal_{i:04}_vel_6.wav,vel,6,loc,A")
                self.add(rows[-1].split(",")[0])
            for domain in ("source", "target"):
                for i in range(TEST):
                    self.add(f"bearing/test/section_{section}_{domain}_test_normal_{i:04}_vel_9.wav")
                    self.add(f"bearing/test/section_{section}_{domain}_test_anomaly_{i:04}_vel_9.wav", faulty=True)
        self.text("bearing/attributes_00.csv", "file_name,d1p,d1v,d2p,d2v\n" + "\n".join(rows) + "\n")

    def dcase2025(self) -> None:
        for i in range(TRAIN):
            self.add(
                f"dev_data/raw/ToyCar/train/section_00_source_train_normal_{i:04}_car_A1_spd_28V_mic_1_noise_1.wav"
            )
            self.add(f"eval_data/raw/ToyPet/train/section_00_source_train_normal_{i:04}_noAttribute.wav")
        for domain in ("source", "target"):
            for i in range(TEST):
                self.add(f"dev_data/raw/ToyCar/test/section_00_{domain}_test_normal_{i:04}_car_A2_spd_28V.wav")
                self.add(f"dev_data/raw/ToyCar/test/section_00_{domain}_test_anomaly_{i:04}_car_A2_spd_28V.wav", True)
        for i in range(TEST):
            self.add(f"eval_data/raw/ToyPet/test/section_00_{i:04}.wav")
        self.add("eval_data/raw/ToyPet/supplemental/section_00_machine_0001_.wav")

    def mimii(self) -> None:
        for ratio in ("6", "-6"):
            for i in range(TRAIN + TEST):
                self.add(f"{ratio}_dB_fan/fan/id_00/normal/{i:08}.wav", channels=8)
            for i in range(TEST):
                self.add(f"{ratio}_dB_fan/fan/id_00/abnormal/{i:08}.wav", faulty=True, channels=8)

    def toyadmos(self) -> None:
        for mic in (1, 2):
            for i in range(TRAIN + TEST):
                self.add(f"ToyCar/case1/NormalSound_IND/1100010001_ToyCar_case1_normal_IND_ch{mic}_{i:04}.wav")
            for i in range(TEST):
                self.add(f"ToyCar/case1/AnomalousSound_IND/1101010001_ToyCar_case1_ab01_IND_ch{mic}_{i:04}.wav", True)
        self.add("ToyCar/case1/NormalSound_CNT/1100110001_ToyCar_case1_normal_CNT_ch1_0001.wav")

    def toyadmos2(self) -> None:
        for i in range(TRAIN + TEST):
            self.add(f"ToyADMOS2/ToyCar/normal/CN004-carA2-speed1_mic1_{i:05}.wav")
        for i in range(TEST):
            self.add(f"ToyADMOS2/ToyCar/anomaly/CA001-carA2-speed1-a-damageL_mic1_{i:05}.wav", faulty=True)
        self.add("ToyADMOS2/ToyCar/env_noise/N1_mic1_00001.wav")

    def mvtec(self) -> None:
        for i in range(TRAIN):
            self.add(f"press/train/good/{i:03}.wav")
        for i in range(TEST):
            self.add(f"press/test/good/{i:03}.wav")
            self.add(f"press/test/loose_belt/{i:03}.wav", faulty=True)

    def huggingface(self) -> None:
        rows = []
        for i in range(TRAIN):
            rows.append(f"data/n{i}.wav,normal,train,3")
        for i in range(TEST):
            rows += [f"data/t{i}.wav,normal,test,3", f"data/a{i}.wav,anomaly,test,3"]
        for row in rows:
            self.add(row.split(",")[0], faulty="anomaly" in row)
        self.text("metadata.csv", "file_name,label,split,load\n" + "\n".join(rows) + "\n")

    def audiofolder(self) -> None:
        for i in range(TRAIN):
            self.add(f"train/normal/{i}.wav")
        for i in range(TEST):
            self.add(f"test/normal/{i}.wav")
            self.add(f"test/anomaly/{i}.wav", faulty=True)

    def folders(self) -> None:
        for i in range(TRAIN):
            self.add(f"pump1/normal/{i}.wav")
            self.add(f"pump2/normal/monday {i}.wav")
            self.add(f"press/{i}.wav")
        for i in range(TEST):
            self.add(f"pump1/test/normal/{i}.wav")
            self.add(f"pump1/test/anomaly/{i}.wav", faulty=True)
            self.add(f"pump2/test/{i}.wav")

    def folders_without_split(self) -> None:
        for i in range(TRAIN + TEST):
            self.add(f"pumps/north/normal/{i}.wav")
        for i in range(TEST):
            self.add(f"pumps/north/abnormal/{i}.wav", faulty=True)


FULL = (TRAIN, TEST, TEST, 0)
CASES = {  # name of the layout; of each machine the training, normal, faulty and unlabelled test clips
    "dcase2020": ("DCASE", {"fan/00": FULL, "fan/02": FULL, "fan/01": (TRAIN, 0, 0, TEST)}),
    "dcase2021": (
        "DCASE-sections",
        {"fan/section_00": (TRAIN + 1, 2 * TEST, 2 * TEST, 0), "fan/section_03": (TRAIN, 0, 0, 1)},
    ),
    "dcase2022": (
        "DCASE-sections",
        {f"bearing/section_{section}": (TRAIN, 2 * TEST, 2 * TEST, 0) for section in ("00", "01")},
    ),
    "dcase2025": (
        "DCASE-sections",
        {"ToyCar/section_00": (TRAIN, 2 * TEST, 2 * TEST, 0), "ToyPet/section_00": (TRAIN, 0, 0, TEST)},
    ),
    "mimii": ("MIMII", {"fan_6_dB/00": FULL, "fan_-6_dB/00": FULL}),
    "toyadmos": ("ToyADMOS", {"ToyCar/case1": FULL}),
    "toyadmos2": ("ToyADMOS2", {"ToyCar/A2": FULL}),
    "mvtec": ("MVTec", {"press/00": FULL}),
    "huggingface": ("HuggingFace", {"drill/7": FULL}),
    "audiofolder": ("folders", {"drill/7": FULL}),
    "folders": ("folders", {"pump/1": FULL, "pump/2": (TRAIN, 0, 0, TEST), "press/00": (TRAIN, 0, 0, 0)}),
    "folders_without_split": ("folders", {"pumps/north": FULL}),
}
FILES = {  # some of the official files, and how many lines each has
    "dcase2020": {"fan_id_00": 2 * TEST, "fan_id_01": TEST},
    "dcase2021": {"fan_section_00_source_test": 2 * TEST, "fan_section_00_target_test": 2 * TEST},
    "dcase2022": {"bearing_section_00_test": 4 * TEST, "bearing_section_01_test": 4 * TEST},
    "dcase2025": {"ToyCar_section_00_test": 4 * TEST, "ToyPet_section_00_test": TEST},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Make each layout once, in a folder called ``drill_7``."""
    folders = {}

    def make(name: str) -> Path:
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name) / "drill_7"
            getattr(Folder(folders[name]), name)()
        return folders[name]

    return make


@pytest.mark.parametrize("name", CASES)
def test_layout_is_detected_and_each_clip_read(name, made):
    layout, machines = CASES[name]
    detected, clips = layout_of(made(name)), find_clips(made(name))
    assert detected.name == layout
    assert detected.why
    assert {clip.path for clip in clips} == {clip.path for clip in find_clips(made(name), layout=layout.upper())}
    found = {}
    for machine in {clip.machine for clip in clips}:
        count = Counter((clip.split, clip.label) for clip in clips if clip.machine == machine)
        found[machine] = tuple(count.pop(key, 0) for key in (("train", 0), ("test", 0), ("test", 1), ("test", None)))
        assert not count
    assert found == machines
    faulty = [clip for clip in clips if clip.label == 1]
    assert all(_whistles(clip.path) for clip in faulty)
    assert not any(_whistles(clip.path) for clip in clips if clip.label == 0)


def _whistles(path: Path) -> bool:
    sound, rate = soundfile.read(path, always_2d=True)
    spectrum = np.abs(np.fft.rfft(sound[:, 0]))
    return bool(spectrum[round(2500 * len(sound) / rate)] > 100)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("fresh_process")
def test_check_then_run_then_files(name, made, cache, tmp_path):
    layout, machines = CASES[name]
    check = CliRunner().invoke(app, ["data", "check", str(made(name)), "--json"])
    assert json.loads(check.stdout)["layout"]["name"] == layout
    assert json.loads(check.stdout)["fit_without_sharing"], check.stdout
    out = tmp_path / "out"
    run = ["run", "--data", str(made(name)), "--method", "local-mahalanobis", "--encoder", "logmel", "--out", str(out)]
    result = CliRunner().invoke(app, [*run, "--set", f"cache-dir={cache}"])
    assert result.exit_code == 0, result.output
    summary = json.loads((out / "summary.json").read_text())
    tested = {machine for machine, (_, normal, faulty, _) in machines.items() if normal and faulty}
    assert {machine for machine, auc in summary["auc"]["by_id"].items() if auc is not None} == tested
    assert summary["auc"]["total"] > 0.9
    assert ("sections" in summary) == (layout == "DCASE-sections")
    for file, lines in FILES.get(name, {}).items():
        for kind in ("anomaly_score", "decision_result"):
            assert len((out / "dcase" / f"{kind}_{file}.csv").read_text().splitlines()) == lines
    assert (out / "report.html").is_file()
    if layout == "DCASE-sections":
        assert summary["official_score"]["total"] > 0.9
        assert "official score" in result.output
        assert "official score" in (out / "report.html").read_text()
        assert (out / "scores.csv").read_text().splitlines()[0].endswith(",domain")


def test_domain_and_attributes_come_from_name_and_table(made):
    clips = {clip.path.name: dict(clip.attributes) for clip in find_clips(made("dcase2022"))}
    assert clips["section_00_source_train_normal_0000_vel_6.wav"] == {"domain": "source", "vel": "6", "loc": "A"}
    assert clips["section_01_target_test_anomaly_0002_vel_9.wav"] == {"domain": "target", "vel": "9"}
    of_2021 = {clip.path.name: dict(clip.attributes) for clip in find_clips(made("dcase2021"))}
    assert of_2021["section_00_source_train_normal_0000_strength_1_ambient.wav"] == {
        "domain": "source",
        "attributes": "strength_1_ambient",
    }
    of_2025 = {clip.path.name: dict(clip.attributes) for clip in find_clips(made("dcase2025"))}
    assert of_2025["section_00_source_train_normal_0000_noAttribute.wav"] == {"domain": "source"}
    assert of_2025["section_00_0001.wav"] == {}


LEFT_OUT = {
    "dcase2025": "supplemental: neither a training nor a test clip",
    "toyadmos": "of another microphone than 1",
    "toyadmos2": "env_noise: noise alone",
}


@pytest.mark.parametrize(("name", "what"), LEFT_OUT.items())
def test_recordings_that_are_no_clips_are_noted(name, what, made):
    listing = list_clips(made(name))
    assert not listing.refused
    assert not listing.unread
    assert any(what in fault.what for fault in listing.left_out)
    check = CliRunner().invoke(app, ["data", "check", str(made(name))])
    assert re.search(rf"note .*{what}", check.stdout)
    assert " 0 warnings" in check.stdout


def test_renamed_test_clips_take_the_place_of_unlabelled_ones(tmp_path):
    folder = Folder(tmp_path)
    for i in range(TRAIN):
        folder.add(f"fan/train/section_00_source_train_normal_{i:04}.wav")
    folder.add("fan/test/section_00_0000.wav")
    folder.add("fan/test_rename/section_00_target_test_anomaly_0000_vel_1.wav", faulty=True)
    (test,) = (clip for clip in find_clips(tmp_path) if clip.split == "test")
    assert (test.label, test.attribute("domain")) == (1, "target")


def test_channel_chooses_the_microphone_of_toyadmos(made):
    assert all("_ch2_" in clip.path.name and clip.channel == 0 for clip in find_clips(made("toyadmos"), channel=1))
    with pytest.raises(InputError, match="no recording of microphone 5"):
        find_clips(made("toyadmos"), channel=4)


AMBIGUOUS = {
    "fan/train/normal_0.wav": "speaks of a label",
    "fan/monday/0.wav": "monday/0.wav: the name of its folder says neither",
    "fan/test/tuesday/0.wav": "tuesday/0.wav: the name of its folder says neither",
    "fan/0.wav": "lies beside folders",
    "0.wav": "neither|lies beside|wrong place",
    "fan1/normal/0.wav": "would be one machine",
}


@pytest.mark.parametrize(("name", "words"), AMBIGUOUS.items())
def test_plain_folder_that_can_be_read_in_two_ways_is_refused(name, words, tmp_path):
    folder = Folder(tmp_path)
    folder.add("fan/normal/0.wav")
    folder.add("fan-1/normal/0.wav")
    folder.add(name)
    with pytest.raises(InputError, match=words):
        find_clips(tmp_path)


def test_folders_that_cannot_be_understood_are_all_left_out_at_once(tmp_path):
    folder = Folder(tmp_path)
    good = ("fan/normal/0.wav", "fan/test/normal/1.wav")
    bad = ("fan/monday/0.wav", "fan/test/tuesday/0.wav", "fan/2.wav")
    for name in (*good, *bad):
        folder.add(name)
    found = list_clips(tmp_path)
    assert [str(clip.path.relative_to(tmp_path)) for clip in found.clips] == list(good)
    assert sorted(str(fault.path.relative_to(tmp_path)) for fault in found.refused) == sorted(bad)


def test_two_layouts_in_one_folder_are_named_with_what_shows_them(made, tmp_path):
    folder = Folder(tmp_path)
    folder.mimii()
    folder.dcase2022()
    with pytest.raises(InputError, match=r"DCASE-sections \(bearing/.*and MIMII \(fan/id_00/normal/\).*--layout"):
        find_clips(tmp_path)
    with pytest.raises(InputError, match="layout 'MIMI' does not exist: did you mean 'MIMII'"):
        find_clips(tmp_path, layout="MIMI")


def test_hugging_face_table_that_is_not_understood_is_refused_by_line(made, tmp_path):
    folder = Folder(tmp_path)
    folder.add("a.wav")
    for text, words in (
        ("file_name,label\na.wav,perhaps\n", r"a\.wav \(metadata\.csv, line 2: 'perhaps'\): column label"),
        ("file_name,label\nb.wav,0\n", r"b\.wav \(metadata\.csv, line 2\): no recording"),
        ("file_name,split\na.wav,holdout\n", r"line 2: 'holdout'\): column split"),
        ("file_name,label\na.wav,0\na.wav,0\n", r"a\.wav \(.*line 3: it is in line 2\): listed twice"),
    ):
        folder.text("metadata.csv", text)
        with pytest.raises(InputError, match=words):
            find_clips(tmp_path)
    folder.text("metadata.csv", "file_name,label,split\nb.wav,0,\na.wav,perhaps,\n")
    with pytest.raises(InputError, match=r"(?s)line 2\): no recording.*line 3: 'perhaps'"):
        find_clips(tmp_path)
    folder.add("c.wav")
    folder.text("metadata.csv", "file_name,label\na.wav,0\n")
    with pytest.raises(InputError, match=r"c\.wav: no row of metadata\.csv lists it"):
        find_clips(tmp_path)
