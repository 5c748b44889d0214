"""What a client keeps of a run, and what it does not."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from flwr.app import ConfigRecord, RecordDict

from collab_asd.classifier.model import ClassifierSettings, IdClassifier, to_arrays
from collab_asd.config import RunConfig
from collab_asd.core.types import Clip, Partition
from collab_asd.data.audio import Audio
from collab_asd.detection import storage
from collab_asd.detection.detector import ClipPoints
from collab_asd.detection.origin import BandLevels
from collab_asd.detection.scorers import ScorerSettings
from collab_asd.detection.second_order import ClipSpectrum
from collab_asd.encoders.random_conv import RandomConv
from collab_asd.federation import artifacts
from collab_asd.federation.artifacts import save_client_artifacts
from collab_asd.federation.client_data import ClientData
from collab_asd.federation.messages import from_record, to_record
from collab_asd.federation.scoring import score_with
from collab_asd.methods.embedding_sharing import client as embedding_sharing
from collab_asd.methods.embedding_sharing.algorithm import fit_local_detector

KEY = bytes(range(100, 132))
NAMES = ("fan_id_00", "L%C3%BCfter_id_A%2F7")
TRAIN, TEST, DIMENSION, FRAMES = 12, 3, 512, 40


class Frames:
    """Stands for the cache: random frames of each clip, the same whenever they are asked for."""

    def size(self, encoder, clip):
        return FRAMES * DIMENSION * 4

    def encode(self, encoder, clip):
        if isinstance(encoder, BandLevels):
            return np.full((1, encoder.spec.dimension), int(clip.sha256, 16), np.float32)
        frames = np.random.default_rng(int(clip.sha256, 16)).normal(size=(FRAMES, DIMENSION))
        return (frames + 3 * (clip.label or 0)).astype(np.float32)


def clips_of(machine_type, machine_id, number):
    parts = [("train", "normal", 0)] * TRAIN + [("test", "normal", 0), ("test", "anomaly", 1), ("test", "anomaly", 1)]
    return [
        Clip(
            Path(f"/data/{machine_type}/{split}/{kind}_{number}_{i}.wav"),
            machine_type,
            machine_id,
            split,
            label,
            f"{64 * number + i:x}",
        )
        for i, (split, kind, label) in enumerate(parts)
    ]


@pytest.fixture(scope="module")
def client():
    """A client with two machines, ten clips of each kept for calibration, and an encoder with a secret key."""
    clips = (*clips_of("fan", "00", 0), *clips_of("Lüfter", "A/7", 1))
    owner = (0,) * (TRAIN + TEST) + (1,) * (TRAIN + TEST)
    partition = Partition(0, clips, groups=(0,) * len(clips), classes=owner)
    return ClientData(partition, RandomConv(KEY), Frames(), Path("/data"), calibration=0.9)


@pytest.fixture(autouse=True)
def recorded_at_48_khz(monkeypatch):
    """The clips of these tests have no files."""
    noise = np.random.default_rng(0).normal(0, 0.1, 48000).astype(np.float32)
    monkeypatch.setattr(artifacts, "sample_rate_of", lambda path: 48000)
    monkeypatch.setattr(artifacts, "load_audio", lambda clip: Audio(noise, 48000, 1))


@pytest.fixture
def config(tmp_path):
    (tmp_path / "secret.key").write_bytes(KEY)
    return RunConfig(
        encoder_key_file=str(tmp_path / "secret.key"), seed=5, channel=0, false_alarm_rate=0.2, threshold="quantile"
    )


@pytest.fixture(scope="module")
def f_s():
    """What a server sends down under Algorithm 1."""
    torch.manual_seed(0)
    settings = ClassifierSettings("light", DIMENSION, stack=32, stack_hop=4, classes=2)
    content = RecordDict({"settings/0": ConfigRecord(settings.to_plain())})
    content["f_s/0"] = to_record(to_arrays(IdClassifier(settings)))
    return content


def unseen_clips(client, machine):
    return [client.partition.clips[i] for i in client.machines()[machine].test]


def test_each_machine_has_a_folder_of_its_own(client, config, f_s, tmp_path):
    save_client_artifacts(client, embedding_sharing.score(client, config, f_s), config, tmp_path / "kept")
    assert sorted(path.name for path in (tmp_path / "kept" / "detectors").iterdir()) == sorted(NAMES)
    embeddings = sorted(path.name for path in (tmp_path / "kept" / "embeddings").iterdir())
    assert embeddings == sorted(f"{name}.safetensors" for name in NAMES)


def test_a_kept_detector_scores_its_machines_clips_as_the_client_did(client, config, f_s, tmp_path):
    machines = embedding_sharing.score(client, config, f_s)
    save_client_artifacts(client, machines, config, tmp_path)
    for k, name in enumerate(NAMES):
        detector, card = storage.load(tmp_path / "detectors" / name)
        frames = [Frames().encode(None, clip) for clip in unseen_clips(client, k)]
        spectra = [Frames().encode(ClipSpectrum(), clip) for clip in unseen_clips(client, k)]
        embedded = [detector.embed(f, s) for f, s in zip(frames, spectra, strict=True)]
        assert [detector.score(clip) for clip in embedded] == machines[k].scores.test.tolist()
        assert card.threshold == machines[k].threshold(config)
        # Of twelve normal clips, at a rate of 0.2, the eleventh: ceil(13 * 0.8).
        assert card.threshold == np.sort(detector.normal_scores)[10]


def test_a_card_says_where_it_is_from(client, config, f_s, tmp_path):
    save_client_artifacts(client, embedding_sharing.score(client, config, f_s), config, tmp_path)
    _, card = storage.load(tmp_path / "detectors" / NAMES[1])
    assert (card.machine_type, card.machine_id, card.machine) == ("Lüfter", "A/7", "Lüfter/A/7")
    assert (card.encoder, card.encoder_digest) == ("random-conv", client.encoder.spec.digest)
    assert (card.seed, card.channel, card.false_alarm_rate, card.thresholding) == (5, 0, 0.2, "quantile")
    assert (card.data_dir, card.sample_rate) == ("/data", 48000)


def test_normals_are_named_in_the_detectors_order(client, config, f_s, tmp_path):
    """A normal clip is its own nearest normal, under its own name; those for calibration come last."""
    save_client_artifacts(client, embedding_sharing.score(client, config, f_s), config, tmp_path)
    detector, card = storage.load(tmp_path / "detectors" / NAMES[1])
    order = [10, 11, *range(10)]
    assert list(card.normals) == [f"Lüfter/train/normal_1_{i}.wav" for i in order]
    for i, name in zip(order, card.normals, strict=True):
        clip = client.partition.clips[TRAIN + TEST + i]
        embedded = detector.embed(Frames().encode(None, clip), Frames().encode(ClipSpectrum(), clip))
        assert card.normals[detector.nearest(embedded)] == name


def test_levels_of_the_normal_clips_are_kept_in_their_order(client, config, f_s, tmp_path):
    save_client_artifacts(client, embedding_sharing.score(client, config, f_s), config, tmp_path)
    detector, _ = storage.load(tmp_path / "detectors" / NAMES[1])
    assert detector.levels.shape == (TRAIN, 17)
    assert detector.levels[:, 0].tolist() == [64 + i for i in (10, 11, *range(10))]


def test_a_detector_holds_no_key_no_label_and_no_test_clip(client, config, f_s, tmp_path):
    save_client_artifacts(client, embedding_sharing.score(client, config, f_s), config, tmp_path / "kept")
    kept = b"".join(path.read_bytes() for path in (tmp_path / "kept").rglob("*") if path.is_file())
    assert len(kept) > 1_000_000
    for secret in (KEY, KEY.hex().encode(), base64.b64encode(KEY), b"secret.key", str(list(KEY)).encode()):
        assert secret not in kept
    card = (tmp_path / "kept" / "detectors" / NAMES[0] / "detector.json").read_text()
    assert not [word for word in ("label", "anomaly", "/test/") if word in card]
    assert json.loads(card)["card"]["normals"]


def test_points_lie_before_and_after_f_s(client, config, f_s, tmp_path):
    save_client_artifacts(client, embedding_sharing.score(client, config, f_s), config, tmp_path)
    points = ClipPoints.load(tmp_path / "embeddings" / f"{NAMES[0]}.safetensors")
    assert (points.normal_before.shape, points.test_before.shape) == ((TRAIN, DIMENSION), (TEST, DIMENSION))
    assert (points.normal_after.shape, points.test_after.shape) == ((TRAIN, 128), (TEST, 128))
    expected = [Frames().encode(None, clip).mean(axis=0, dtype=np.float64) for clip in unseen_clips(client, 0)]
    np.testing.assert_allclose(points.test_before, expected, rtol=1e-6)


def test_under_algorithm_2_there_are_embeddings_alone(client, config, tmp_path):
    content = RecordDict()
    for k, machine in enumerate(client.machines()):
        shared = {
            "normal-clips": np.array(machine.normal, np.int32),
            "test-clips": np.array(machine.test, np.int32),
            "normal": np.arange(1.0, 13.0),
            "test": np.array([1.0, 20.0, 30.0]),
            "predicted": np.zeros(TEST, np.int32),
        }
        content[f"shared/0/{k}"] = to_record(shared)
    save_client_artifacts(client, embedding_sharing.score(client, config, content), config, tmp_path / "kept")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["embeddings"]
    points = ClipPoints.load(tmp_path / "kept" / "embeddings" / f"{NAMES[1]}.safetensors")
    assert points.normal_before.shape == (TRAIN, DIMENSION)
    assert (points.normal_after, points.test_after) == (None, None)


def test_a_client_on_its_own_keeps_its_own_space(client, config, tmp_path):
    machines = []
    for machine in client.machines():
        frames = client.machine_frames(machine)
        detector = fit_local_detector(frames, ScorerSettings("knn"))
        machines.append(score_with(detector, frames, normal=machine.normal, test=machine.test))
    save_client_artifacts(client, machines, config, tmp_path)
    detector, card = storage.load(tmp_path / "detectors" / NAMES[0])
    assert [space.name for space in detector.spaces] == ["f_c"]
    assert len(detector.normal_scores) == len(card.normals) == TRAIN  # no f_s has seen any: all set the threshold
    assert ClipPoints.load(tmp_path / "embeddings" / f"{NAMES[0]}.safetensors").normal_after is None


@pytest.mark.parametrize(
    ("part", "clips"), [("train", [10, 11, 25, 26]), ("calibration", [*range(10), *range(15, 25)])]
)
def test_pages_that_f_s_is_trained_on_hold_no_calibration_clip(client, part, clips):
    number = ConfigRecord({"part": part, "start": 0, "stop": len(clips)})
    content = RecordDict({"request": number, "codec": to_record({})})
    page = embedding_sharing.embeddings(client, RunConfig(codec="fp32"), RecordDict(), content).array_records["page"]
    assert from_record(page)["clips"].tolist() == clips


def test_how_clips_were_recorded_is_found_out_once(client, config, f_s, tmp_path, monkeypatch):
    """Recordings take long to decode: a second run on the same clips reads what the first has kept."""
    config = replace(config, cache_dir=str(tmp_path / "cache"))
    machines = embedding_sharing.score(client, config, f_s)
    save_client_artifacts(client, machines, config, tmp_path / "first")

    def decode(clip):
        raise AssertionError(f"{clip.path} was decoded again")

    monkeypatch.setattr(artifacts, "load_audio", decode)
    save_client_artifacts(client, machines, config, tmp_path / "second")
    first, second = (storage.load(tmp_path / run / "detectors" / NAMES[0]) for run in ("first", "second"))
    assert second[1].recorder == first[1].recorder
    assert second[1].recorder["channels"] == [1.0]
    assert np.array_equal(second[0].levels, first[0].levels)
