from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from collab_asd.config import KEY_FILES, RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.types import Clip, Partition
from collab_asd.encoders.random_conv import RandomConv
from collab_asd.methods import require_possible
from collab_asd.wire.defences.chain import Defences, clip_label, open_defences, require_keys
from collab_asd.wire.defences.linear import Erasure, Rotation
from collab_asd.wire.defences.noise import PublicSphere, public_sounds

NEVER = "a file that is not there"


@pytest.fixture(scope="module")
def encoder():
    return RandomConv(bytes(range(40, 72)))


@pytest.fixture
def keys(tmp_path):
    """Names of key files, and of what is in them."""
    named = {"rotation_key_file": "rotation", "noise_key_file": "noise"}
    for file in named.values():
        (tmp_path / file).write_bytes(file.encode() * 4)
    return {key: str(tmp_path / file) for key, file in named.items()}


def test_nothing_is_done_by_default(encoder):
    defences = open_defences(RunConfig(), encoder)
    assert defences == Defences()
    assert (defences.detector_stages, defences.sender_stages("a")) == ((), ())
    assert (defences.digest("abc"), defences.note("secret key")) == ("abc", "secret key")


def test_noise_comes_first_and_is_for_others_alone(encoder, keys):
    config = RunConfig(noise_epsilon=8.0, **keys)
    defences = replace(open_defences(config, encoder), erasure=Erasure())
    assert [type(stage).__name__ for stage in defences.sender_stages("a")] == ["Noise", "Rotation", "Erasure"]
    assert [type(stage).__name__ for stage in defences.detector_stages] == ["Clipping", "Rotation", "Erasure"]


def test_digest_of_a_turned_space_names_neither_encoder_nor_key(encoder, keys):
    turned = open_defences(RunConfig(rotation_key_file=keys["rotation_key_file"]), encoder)
    other = Defences(rotation=Rotation.of_key(bytes(32), 512))
    digests = {d.digest(encoder.spec.digest) for d in (turned, other, Defences())}
    assert len(digests) == 3
    again = open_defences(RunConfig(rotation_key_file=keys["rotation_key_file"]), encoder)
    assert turned.digest("abc") == again.digest("abc") != "abc"
    assert "abc" not in turned.digest("abc")


def test_norm_is_that_of_public_sounds_or_the_configured_one(encoder, keys):
    by_itself, given = (
        open_defences(RunConfig(noise_epsilon=8.0, noise_norm=norm, noise_key_file=keys["noise_key_file"]), encoder)
        for norm in (0.0, 5.0)
    )
    assert by_itself.noise.sphere.radius == PublicSphere.of(encoder).radius
    assert given.noise.sphere.radius == 5.0
    np.testing.assert_array_equal(given.noise.sphere.centre, by_itself.noise.sphere.centre)


def test_public_sounds_have_their_levels_and_slopes():
    sounds = public_sounds(16_000)
    levels = [20 * np.log10(np.sqrt(np.mean(np.square(sound, dtype=np.float64)))) for sound in sounds]
    np.testing.assert_allclose(levels, [-50, -40, -30, -20] * 3, atol=1e-3)
    for sound, slope in zip(sounds[::4], (0, 1, 2), strict=True):
        power = np.square(np.abs(np.fft.rfft(sound)))
        octaves = [power[4 * low : 8 * low].mean() for low in (200, 400, 800, 1600)]  # 4 bins a Hz
        np.testing.assert_allclose(np.log2(octaves[0] / np.array(octaves)), slope * np.arange(4), atol=0.25)


def test_copies_of_a_clip_have_labels_of_their_own():
    clips = tuple(Clip(Path(f"{i}"), "fan", "00", "train", 0, sha, 0) for i, sha in enumerate(("aa", "aa", "bb", "bb")))
    partition = Partition(0, clips, (0,) * 4, (0,) * 4)
    assert [clip_label(partition, i) for i in range(4)] == ["aa/0/0", "aa/0/1", "bb/0/0", "bb/0/1"]


@pytest.mark.parametrize("method", ["centralized", "local-mahalanobis", "fedavg", "split-learning", "local-vae"])
@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"rotation_key_file": NEVER}, "rotation-key-file"),
        ({"noise_epsilon": 1.0}, "noise-epsilon"),
        ({"erase": "x"}, "erase"),
    ],
)
def test_methods_that_share_no_embeddings_are_told_so(method, changes, key):
    with pytest.raises(InputError, match=rf"^{key}: method {method} shares no embeddings.*embedding-sharing"):
        require_possible(RunConfig(method=method, **changes))
    require_possible(RunConfig(**changes))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"noise-epsilon": -1.0}, "noise-epsilon = -1.0: must be a positive number, or 0"),
        ({"noise-epsilon": "inf"}, "noise-epsilon = inf: must be a positive number"),
        ({"noise-epsilon": "much"}, "noise-epsilon = 'much': must be a number"),
        ({"noise-norm": -2.0}, "noise-norm = -2.0: must be a positive number"),
        ({"noise-delta": 0.0}, "noise-delta = 0.0: must be between 0 and 1"),
        ({"noise-delta": 1.0}, "noise-delta = 1.0: must be between 0 and 1"),
    ],
)
def test_values_are_refused(values, words):
    with pytest.raises(InputError, match=words):
        RunConfig.from_mapping(values)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rotation_key_file": NEVER}, "rotation-key-file .*No such file"),
        ({"noise_epsilon": 1.0}, "noise-epsilon: .*noise-key-file"),
        ({"noise_epsilon": 1.0, "noise_key_file": NEVER}, "noise-key-file .*No such file"),
    ],
)
def test_keys_are_missed_before_anything_starts(changes, words):
    with pytest.raises(InputError, match=words):
        require_keys(RunConfig(**changes))


def test_a_noise_key_without_noise_is_refused():
    with pytest.raises(InputError, match=r"noise-key-file: .*noise-epsilon above 0"):
        require_possible(RunConfig(noise_key_file=NEVER))


def test_where_keys_lie_is_no_part_of_a_summary():
    config = RunConfig(**{key.replace("-", "_"): f"/secret/{key}" for key in KEY_FILES})
    shown = config.without_secrets()
    assert {key: shown[key] for key in KEY_FILES} == dict.fromkeys(KEY_FILES, "(secret)")
    assert RunConfig().without_secrets() == RunConfig().to_mapping()
