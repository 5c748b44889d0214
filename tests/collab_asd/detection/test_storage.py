"""What is loaded scores as what was saved; whatever is not whole is refused in words."""

import hashlib
import json
import pickle
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from collab_asd.config import Pooling
from collab_asd.core import files as atomic
from collab_asd.core.errors import InputError
from collab_asd.detection.scorers import SCORERS
from collab_asd.detection.storage import DetectorCard, load, save

FILES = ("detector.json", "detector.safetensors")
SPACES = [(None, False), ("light", False), ("light", True), ("mobilefacenet", True)]


def answers(detector, clips):
    """Everything that a detector says of clips."""
    embedded = [detector.embed(clip) for clip in clips]
    return [
        detector.normal_scores.tolist(),
        detector.scores(embedded).test.tolist(),
        [detector.score(clip) for clip in embedded],
        [detector.nearest(clip) for clip in embedded],
        [detector.predicted_class(clip) for clip in embedded],
        [points.tolist() for clip in embedded for points in clip],
    ]


def sealed(content):
    """Seal a description as whoever wanted to deceive would."""
    seal = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return json.dumps({**content, "sha256": seal}).encode()


def edit(folder, change):
    """Change a detector's description and seal it again."""
    path = folder / "detector.json"
    content = json.loads(path.read_bytes())
    del content["sha256"]
    path.write_bytes(sealed(change(content)))


@pytest.fixture
def saved(make_detector, card, tmp_path):
    save(tmp_path / "machine", make_detector(), card)
    return tmp_path / "machine"


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory, make_detector):
    """Write a small detector with a byte changed; the same folder each time."""
    whole, broken = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("broken")
    detector = make_detector()
    names = tuple(f"{i}.wav" for i in range(len(detector.spaces[0].normals)))
    card = DetectorCard("fan", "Nº 1", "logmel", "0" * 64, "", 0, 0, 16000, 1.25, 0.1, "gamma", "/data", names)
    save(whole, detector, card)

    def spoil(name, position, mask):
        for file in FILES:
            shutil.copy(whole / file, broken)
        content = bytearray((whole / name).read_bytes())
        content[int(position * len(content))] ^= mask
        (broken / name).write_bytes(content)
        return broken, load(whole)

    return spoil


@pytest.mark.parametrize(("backbone", "fused"), SPACES)
@pytest.mark.parametrize("pooling", get_args(Pooling))
@pytest.mark.parametrize("name", SCORERS)
def test_what_is_loaded_answers_alike_to_the_last_bit(
    make_detector, clips, card, tmp_path, name, pooling, backbone, fused
):
    detector = make_detector(name, pooling, backbone, fused)
    save(tmp_path, detector, card)
    loaded, loaded_card = load(tmp_path)
    assert answers(loaded, clips) == answers(detector, clips)
    assert loaded_card == card


@pytest.mark.parametrize("name", SCORERS)
def test_the_metric_is_kept(make_detector, clips, card, tmp_path, name):
    euclidean, cosine = (make_detector(name, metric=metric) for metric in ("euclidean", "cosine"))
    save(tmp_path, cosine, card)
    assert answers(load(tmp_path)[0], clips) == answers(cosine, clips) != answers(euclidean, clips)


def test_levels_are_kept_and_no_score_depends_on_them(make_detector, clips, card, tmp_path):
    """A detector without them, as of an earlier version, is as good."""
    plain = make_detector()
    levels = np.arange(17.0 * len(card.normals), dtype=np.float32).reshape(-1, 17)
    save(tmp_path / "new", replace(plain, levels=levels), card)
    save(tmp_path / "old", plain, card)
    new, old = load(tmp_path / "new")[0], load(tmp_path / "old")[0]
    assert new.levels.tolist() == levels.tolist()
    assert old.levels is None
    assert answers(new, clips) == answers(old, clips)


@pytest.mark.parametrize("shape", [(3, 17), (17,)])
def test_levels_of_other_clips_are_refused(make_detector, card, tmp_path, shape):
    save(tmp_path, replace(make_detector(), levels=np.zeros(shape, np.float32)), card)
    with pytest.raises(InputError, match="levels of other clips"):
        load(tmp_path)


def test_a_detector_takes_the_place_of_an_older_one(make_detector, clips, card, saved):
    newer = make_detector("gmm", backbone="light", seed=8)
    save(saved, newer, replace(card, threshold=9.5))
    loaded, loaded_card = load(saved)
    assert answers(loaded, clips) == answers(newer, clips)
    assert loaded_card.threshold == 9.5
    assert sorted(path.name for path in saved.iterdir()) == sorted(FILES)


def test_no_array_needs_a_pickle(saved):
    assert all(array.dtype in (np.float32, np.float64, np.int64) for array in load_file(saved / FILES[1]).values())


@settings(max_examples=60, deadline=None)
@given(position=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255))
def test_a_changed_byte_among_the_arrays_is_found(spoilt, position, mask):
    folder, _ = spoilt("detector.safetensors", position, mask)
    with pytest.raises(InputError, match=r"detector\.safetensors: damaged"):
        load(folder)


@settings(max_examples=200, deadline=None)
@given(position=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255))
def test_a_changed_byte_in_the_description_is_found_or_changes_nothing(spoilt, position, mask):
    """Another space between two numbers, or an escape in capitals, is no damage."""
    folder, (detector, card) = spoilt("detector.json", position, mask)
    try:
        loaded, loaded_card = load(folder)
    except InputError as error:
        words = str(error)
    else:
        words = str(folder)
        assert loaded_card == card
        assert loaded.normal_scores.tolist() == detector.normal_scores.tolist()
    assert str(folder) in words


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_named(saved, name, share):
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[: int(share * (len(content) - 1))])
    with pytest.raises(InputError, match=name):
        load(saved)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(InputError, match=name):
        load(saved)


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_place_of_a_file_is_named(saved, name):
    (saved / name).unlink()
    (saved / name).mkdir()
    with pytest.raises(InputError, match=name):
        load(saved)


@pytest.mark.parametrize("where", ["nowhere", "machine/detector.json", "."])
def test_something_else_than_a_detector_says_what_to_name(saved, where):
    with pytest.raises(InputError, match=r"no detector there.*results/RUN/detectors/TYPE_id_ID"):
        load(saved.parent / where)


@pytest.mark.parametrize(
    "text", [b"", b"null", b"3", b'"x"', b"[]", b"{}", b'["sha256"]', b'{"sha256": 1}', b"\xff\xfe", b"[" * 100_000]
)
def test_a_description_that_is_none_is_refused(saved, text):
    (saved / "detector.json").write_bytes(text)
    with pytest.raises(InputError, match=r"detector\.json: not a detector's description, or damaged"):
        load(saved)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: {k: v for k, v in content.items() if k != "arrays_sha256"},
        lambda content: {k: v for k, v in content.items() if k != "spaces"},
        lambda content: content | {"card": {}},
        lambda content: content | {"card": content["card"] | {"colour": "red"}},
        lambda content: content | {"spaces": [{"scorer": {"name": "svm"}, "classifier": None}]},
        lambda content: content | {"spaces": content["spaces"] * 2},
        lambda content: content | {"spaces": [content["spaces"][0] | {"classifier": {"backbone": "light"}}]},
    ],
)
def test_a_sealed_description_that_does_not_fit_is_refused(saved, change):
    edit(saved, change)
    with pytest.raises(InputError, match=str(saved)):
        load(saved)


def test_a_description_without_a_seal_of_its_own_is_refused(saved):
    path = saved / "detector.json"
    path.write_text(path.read_text().replace("0.05", "0.06"))
    with pytest.raises(InputError, match=r"detector\.json: damaged or edited"):
        load(saved)


class Trap:
    """Opens a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("name", FILES)
def test_a_pickle_is_refused_and_not_run(saved, name, tmp_path):
    content = pickle.dumps(Trap(tmp_path / "trapped"))
    (saved / name).write_bytes(content)
    if name == "detector.safetensors":
        edit(saved, lambda known: known | {"arrays_sha256": hashlib.sha256(content).hexdigest()})
    with pytest.raises(InputError, match=str(saved)):
        load(saved)
    assert not (tmp_path / "trapped").exists()


@pytest.fixture
def break_off(monkeypatch):
    """Let the power fail when the n-th file would take its place."""

    def break_off(n):
        replace_file, done = atomic.os.replace, []

        def failing(source, target):
            done.append(target)
            if len(done) == n:
                raise OSError(28, "No space left on device")
            replace_file(source, target)

        monkeypatch.setattr(atomic.os, "replace", failing)

    return break_off


def test_a_save_broken_off_at_the_first_file_leaves_the_old_detector(make_detector, clips, card, saved, break_off):
    before = answers(load(saved)[0], clips)
    break_off(1)
    with pytest.raises(OSError, match="No space left"):
        save(saved, make_detector("gmm"), card)
    assert answers(load(saved)[0], clips) == before
    assert sorted(path.name for path in saved.iterdir()) == sorted(FILES)


def test_a_save_broken_off_between_two_files_is_no_detector(make_detector, card, saved, break_off):
    break_off(2)
    with pytest.raises(OSError, match="No space left"):
        save(saved, make_detector(seed=8), card)
    with pytest.raises(InputError, match=r"detector\.safetensors: damaged"):
        load(saved)


def test_a_first_save_broken_off_is_no_detector(make_detector, card, tmp_path, break_off):
    break_off(2)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, make_detector(), card)
    with pytest.raises(InputError, match=r"no detector there \(no detector\.json"):
        load(tmp_path)


def test_a_detector_that_was_saved_long_ago_scores_as_it_did_then(clips, tmp_path):
    """Fused, with f_s and a codec; its description has none of the keys that came later. The archive says what it gave.

    Commit eba9e84 wrote it, for the clips of `random_clips`, which gave the scores beside it for those of `clips`.
    """
    with zipfile.ZipFile(Path(__file__).with_name("old_detector.zip")) as archive:
        archive.extractall(tmp_path)
    detector, card = load(tmp_path)
    then = json.loads((tmp_path / "scores.json").read_text())
    embedded = [detector.embed(clip) for clip in clips]
    np.testing.assert_allclose([detector.score(clip) for clip in embedded], then["scores"], atol=1e-5)
    assert [detector.nearest(clip) for clip in embedded] == then["nearest"]
    assert (card.machine, card.threshold, card.rotation, len(card.normals)) == ("fan/01", 0.3, "", 11)


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": float("nan")},
        {"threshold": float("inf")},
        {"threshold": "0.3"},
        {"threshold": None},
        {"false_alarm_rate": 7.0},
        {"encoder_digest": "fan\n12:00 ERROR forged\x1b[2J"},
        {"machine_id": "0" * 100_000},
        {"machine_type": ["fan"]},
        {"normals": [1, 2, 3]},
        {"sample_rate": -16_000},
        {"channel": 2**40},
    ],
    ids=lambda change: f"{next(iter(change))} {str(next(iter(change.values())))[:12]!r}",
)
def test_who_seals_a_detector_again_cannot_make_it_decide_by_what_no_detector_has(saved, change):
    """A NaN for a threshold calls every clip normal."""
    edit(saved, lambda content: content | {"card": content["card"] | change})
    with pytest.raises(InputError, match=r"not a detector of this version") as refused:
        load(saved)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1000
