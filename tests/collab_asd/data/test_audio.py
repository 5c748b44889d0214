import hashlib
import os
import pickle

import numpy as np
import pytest
import soundfile

from collab_asd.core.types import Clip
from collab_asd.data.audio import (
    Audio,
    ClipError,
    at_rate,
    load_waveform,
    read_audio,
    sample_rate_of,
    seconds_of,
    sha256_of,
    signal_fault,
)

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


def with_bytes(path, offset, content):
    data = bytearray(path.read_bytes())
    data[offset : offset + len(content)] = content
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("rate", [1, 999, 1_000_001, 0x7FFFFFFF])
def test_rate_that_nothing_is_recorded_at(tmp_path, record, rate):
    path = with_bytes(record(tmp_path / "clip.wav"), 24, rate.to_bytes(4, "little"))
    for read in (lambda: read_audio(path, 0), lambda: sample_rate_of(path), lambda: seconds_of(path)):
        with pytest.raises(ClipError, match=f"a sample rate of {rate} Hz"):
            read()


def test_more_channels_than_any_recorder_has(tmp_path, record):
    path = with_bytes(record(tmp_path / "clip.wav"), 22, (1000).to_bytes(2, "little"))
    with pytest.raises(ClipError, match="1000 channels, more than 256"):
        read_audio(path, 0)


def test_length_that_no_memory_holds(tmp_path):
    soundfile.write(tmp_path / "clip.flac", np.zeros(2**26 + 1, np.int16), 48_000)  # a few hundred kilobytes
    with pytest.raises(ClipError, match=r"too long for one clip.*23 minutes.*cut it"):
        read_audio(tmp_path / "clip.flac", 0)


def test_length_that_resampling_makes_too_long(tmp_path):
    audio = Audio(np.zeros(2**23, np.float32), 1000, 1)
    with pytest.raises(ClipError, match="too long for one clip"):
        at_rate(audio, 16_000, tmp_path / "clip.wav")


def test_file_too_large_to_be_a_clip(tmp_path):
    with (tmp_path / "clip.wav").open("wb") as file:
        file.truncate(2**30 + 1)  # takes no room on the disk
    with pytest.raises(ClipError, match="too large for one clip"):
        read_audio(tmp_path / "clip.wav", 0)


def test_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "clip.wav")
    for read in (lambda path: read_audio(path, 0), sha256_of):
        with pytest.raises(ClipError, match="is no file"):
            read(tmp_path / "clip.wav")


@pytest.mark.parametrize(
    "subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW", "IMA_ADPCM", "MS_ADPCM"]
)
def test_codings_of_a_wav_file(tmp_path, subtype):
    soundfile.write(tmp_path / "clip.wav", 0.5 * tone(440, RATE), RATE, subtype=subtype)
    audio = read_audio(tmp_path / "clip.wav", 0)
    assert audio.remarks == ()
    np.testing.assert_allclose(audio.waveform[1000:RATE], 0.5 * tone(440, RATE)[1000:], atol=0.15)


def floats(path, samples):
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    audio = read_audio(path, 0)
    return audio, signal_fault(path, audio, 1.0)


def test_floats_beyond_full_scale_are_named(tmp_path):
    audio, fault = floats(tmp_path / "clip.wav", 3.5 * tone(440, RATE))
    assert fault is None
    (remark,) = audio.remarks
    assert (remark.severity, remark.detail) == ("warning", "peak 3.5")


@pytest.mark.parametrize(("bits", "scale"), [(16, 32768), (24, 8388608)])
def test_integers_stored_as_floats_are_refused(tmp_path, bits, scale):
    _, fault = floats(tmp_path / "clip.wav", np.round(0.9 * scale * tone(440, RATE)))
    assert "integers stored as floats" in fault.what
    assert str(scale) in fault.remedy


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e30])
def test_floats_that_are_no_sound_are_refused(tmp_path, value):
    samples = tone(440, RATE)
    samples[7] = value
    assert floats(tmp_path / "clip.wav", samples)[1] is not None


def test_error_survives_the_way_back_from_another_process():
    error = pickle.loads(pickle.dumps(ClipError("a.wav", "is bad", "mend it")))  # noqa: S301 -- our own bytes
    assert str(error) == "a.wav: is bad; mend it"
    error = pickle.loads(pickle.dumps(ClipError("a.wav", "is bad", "mend it", "7 times")))  # noqa: S301
    assert str(error) == "a.wav: is bad (7 times); mend it"


def test_real_eight_channel_recording(shared, clip_of):
    path = shared / "data/mimii_8ch_samples/fan/id_00/normal/00000000.wav"
    clip = clip_of(path, channel=5)
    assert clip.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    samples, _ = soundfile.read(path, dtype="int16")
    np.testing.assert_array_equal(load_waveform(clip, RATE) * 32768, samples[:, 5])


@pytest.mark.parametrize(
    "error", [MemoryError, AssertionError, RuntimeError, OverflowError, TypeError, ZeroDivisionError]
)
@pytest.mark.parametrize("name", ["a.wav", "a.wav#t=0-0.5"])
def test_whatever_a_decoder_fails_with_is_a_recording_that_cannot_be_used(tmp_path, monkeypatch, error, name):
    soundfile.write(tmp_path / "a.wav", np.full(16_000, 0.1), 16_000, subtype="GSM610")

    def fails(*args, **options):
        raise error("28 GiB")

    monkeypatch.setattr(soundfile.SoundFile, "read", fails)
    with pytest.raises(ClipError, match=r"a\.wav.*cannot be decoded"):
        read_audio(tmp_path / name, 0)
