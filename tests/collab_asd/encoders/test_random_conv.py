import hashlib
import math
import struct

import numpy as np
import pytest

from collab_asd.core.errors import InputError
from collab_asd.encoders.random_conv import RandomConv, demo_key, draw_network, gaussian, load_key


def noise(samples: int = 32_000) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(samples).astype(np.float32)


def tone(hertz: float) -> np.ndarray:
    rustle = 1e-3 * noise(16_000)
    return (np.sin(2 * np.pi * hertz * np.arange(16_000) / 16_000) + rustle).astype(np.float32)


def test_weights_are_drawn_from_the_key_as_documented():
    """The first layer has 16 filters of 1 x 3 x 3: 144 numbers, from 72 radii and 72 angles."""
    stream = hashlib.shake_256(b"collab-asd random-conv/0/" + b"a key of 16 byte").digest(4 * 144)
    words = struct.unpack("<144I", stream)
    uniform = [(word + 0.5) / 2**32 for word in words]
    pairs = list(zip(uniform[:72], uniform[72:], strict=True))
    expected = [math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v) for u, v in pairs]
    expected += [math.sqrt(-2 * math.log(u)) * math.sin(2 * math.pi * v) for u, v in pairs]
    weights = draw_network(b"a key of 16 byte")[0].weight.numpy().ravel()
    np.testing.assert_allclose(weights, np.array(expected) * math.sqrt(2 / 9), rtol=1e-5)


def test_numbers_are_standard_normal():
    numbers = gaussian(b"k" * 16, 3, 100_001)
    assert len(numbers) == 100_001
    assert abs(numbers.mean()) < 4 / math.sqrt(100_000)
    assert numbers.std() == pytest.approx(1, abs=0.01)
    assert (np.abs(numbers) < 1).mean() == pytest.approx(0.6827, abs=0.006)


def test_same_key_same_frames_other_key_other_frames():
    first, again, other = (RandomConv(key) for key in (demo_key(1), demo_key(1), demo_key(2)))
    np.testing.assert_array_equal(first(noise()), again(noise()))
    assert np.abs(first(noise()) - other(noise())).max() > 0.1
    assert first.spec == again.spec
    assert first.spec.digest != other.spec.digest


def test_92_frames_of_10_seconds():
    encoder = RandomConv(demo_key(0))
    assert [encoder.frames(n) for n in (13_423, 13_424, 15_023, 15_024, 160_000)] == [0, 1, 1, 2, 92]
    assert encoder(noise(160_000)).shape == (92, encoder.spec.dimension)
    assert encoder.spec.dimension <= 512


def test_a_frame_sees_its_window_and_no_more():
    encoder = RandomConv(demo_key(0))
    start, whole = 4 * encoder.spec.hop, noise()
    np.testing.assert_allclose(encoder(whole[start : start + encoder.spec.window]), encoder(whole)[4:5], atol=1e-4)


def test_frequency_position_is_kept():
    """Each of 16 bands is a 16th of the mel scale wide and sees 3 bands to either side: a tone moves those near it."""
    encoder = RandomConv(demo_key(0))

    def changed_bands(low: float, high: float) -> np.ndarray:
        difference = np.abs(encoder(tone(low)) - encoder(tone(high))).mean(axis=0).reshape(16, 32).mean(axis=1)
        return np.argsort(difference)[-4:]

    def band(hertz: float) -> float:
        return 16 * math.log(1 + hertz / 700) / math.log(1 + 8000 / 700)

    bands = changed_bands(500, 4000)
    distances = np.abs(bands[:, None] - [band(500), band(4000)])
    assert distances.min(axis=1).max() <= 3  # every moved band is near one of the tones
    assert distances.min(axis=0).max() <= 3  # and both tones moved one


def test_the_note_says_which_key():
    assert RandomConv(demo_key(7)).spec.note.startswith("public demo key 7")
    secret = RandomConv(b"s" * 32).spec
    assert secret.note == "secret key"
    assert "ssss" not in repr(secret)


def test_a_key_file(tmp_path):
    path = tmp_path / "key"
    path.write_bytes(bytes(range(16)))
    assert load_key(path) == bytes(range(16))


@pytest.mark.parametrize(("content", "message"), [(b"short", "5 bytes and needs 16"), (demo_key(3), "public demo key")])
def test_refuses_keys_that_hide_nothing(tmp_path, content, message):
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_key(path)


def test_refuses_a_missing_or_unreadable_key(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        load_key(tmp_path / "absent")
    with pytest.raises(InputError, match="directory"):
        load_key(tmp_path)
