import hashlib
import pickle

import numpy as np
import pytest
import soundfile

from collab_asd.core.types import Clip
from collab_asd.data.audio import ClipError, load_waveform, sha256_of

RATE = 16000


def tone(frequency, rate, seconds=1.0):
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate).astype(np.float32)


def test_hash_of_known_bytes(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    # FIPS 180-4, the standard's own example
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".WAV"])
def test_samples_of_a_file_at_the_right_rate_are_untouched(tmp_path, clip_of, suffix):
    path = tmp_path / f"clip{suffix}"
    soundfile.write(path, np.array([0, 16384, -32768, 8192], dtype=np.int16), RATE, format=suffix[1:].upper())
    waveform = load_waveform(clip_of(path), RATE)
    assert waveform.dtype == np.float32
    np.testing.assert_array_equal(waveform, [0, 0.5, -1, 0.25])


def test_ogg_is_decoded(tmp_path, clip_of):
    soundfile.write(tmp_path / "clip.ogg", 0.5 * tone(440, RATE), RATE)
    waveform = load_waveform(clip_of(tmp_path / "clip.ogg"), RATE)
    assert waveform.shape == (RATE,)
    np.testing.assert_allclose(waveform, 0.5 * tone(440, RATE), atol=0.05)  # a lossy format


@pytest.mark.parametrize("channel", [0, 3, 7])
def test_channel_of_an_eight_channel_extensible_wav(tmp_path, clip_of, channel):
    levels = np.tile(np.arange(8) / 16, (100, 1))
    soundfile.write(tmp_path / "clip.wav", levels, RATE, format="WAVEX", subtype="PCM_16")
    waveform = load_waveform(clip_of(tmp_path / "clip.wav", channel), RATE)
    np.testing.assert_array_equal(waveform, np.full(100, channel / 16))


def test_channel_that_is_not_there(tmp_path, record, clip_of):
    clip = clip_of(record(tmp_path / "clip.wav", channels=2), channel=2)
    with pytest.raises(ClipError, match=r"clip\.wav: channel 2 was asked for, but it has 2"):
        load_waveform(clip, RATE)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 51200])
def test_resampled_tone_is_the_tone_at_the_new_rate(tmp_path, clip_of, rate):
    soundfile.write(tmp_path / "clip.wav", tone(1000, rate), rate, subtype="FLOAT")
    waveform = load_waveform(clip_of(tmp_path / "clip.wav"), RATE)
    assert waveform.shape == (RATE,)
    inner = slice(400, -400)  # the filter sees silence beyond the ends
    np.testing.assert_allclose(waveform[inner], tone(1000, RATE)[inner], atol=1e-4)


def test_rates_whose_filter_would_fill_the_memory(tmp_path, clip_of):
    soundfile.write(tmp_path / "clip.wav", tone(1000, 44_099), 44_099)
    with pytest.raises(ClipError, match=r"44099 Hz cannot be resampled to 16000 Hz.*convert it"):
        load_waveform(clip_of(tmp_path / "clip.wav"), RATE)


def test_clip_that_changed_since_it_was_listed(tmp_path, record, clip_of):
    clip = clip_of(record(tmp_path / "clip.wav"))
    record(tmp_path / "clip.wav")
    with pytest.raises(ClipError, match=r"clip\.wav: the clip changed since"):
        load_waveform(clip, RATE)


def test_missing_file(tmp_path):
    clip = Clip(tmp_path / "gone.wav", "fan", "00", "train", 0, "0" * 64)
    with pytest.raises(ClipError, match=r"gone\.wav: cannot be read \(No such file"):
        load_waveform(clip, RATE)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "the file is empty"), (b"no sound at all", "cannot be decoded"), (b"RIFF\0\0\0\0WAVE", "cannot be decoded")],
)
def test_file_that_is_no_recording(tmp_path, clip_of, content, message):
    (tmp_path / "clip.wav").write_bytes(content)
    with pytest.raises(ClipError, match=message):
        load_waveform(clip_of(tmp_path / "clip.wav"), RATE)


def test_recording_without_samples(tmp_path, clip_of):
    soundfile.write(tmp_path / "clip.wav", np.zeros(0), RATE)
    with pytest.raises(ClipError, match="no audio: it has no samples"):
        load_waveform(clip_of(tmp_path / "clip.wav"), RATE)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_truncated_file(tmp_path, record, clip_of, suffix, share):
    path = record(tmp_path / f"clip{suffix}")
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ClipError, match=r"truncated|cannot be decoded"):
        load_waveform(clip_of(path), RATE)


def test_flac_stream_of_unstated_length(tmp_path, record, clip_of):
    path = record(tmp_path / "clip.flac")
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # the 36 bits of STREAMINFO that count the samples
    data[22:26] = bytes(4)
    path.write_bytes(data)
    with pytest.raises(ClipError, match="does not say how long it is"):
        load_waveform(clip_of(path), RATE)


def test_error_survives_the_way_back_from_another_process():
    error = pickle.loads(pickle.dumps(ClipError("a.wav", "is bad", "mend it")))  # noqa: S301 -- our own bytes
    assert str(error) == "a.wav: is bad; mend it"


def test_real_eight_channel_recording(shared, clip_of):
    path = shared / "data/mimii_8ch_samples/fan/id_00/normal/00000000.wav"
    clip = clip_of(path, channel=5)
    assert clip.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    samples, _ = soundfile.read(path, dtype="int16")
    np.testing.assert_array_equal(load_waveform(clip, RATE) * 32768, samples[:, 5])
