import io
import struct
from itertools import product

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from collab_asd.data.audio import ClipError, read_audio
from collab_asd.data.containers import ContainerError, measure

RATE = 8000
NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 2 * RATE).astype(np.float32)
SIZE = len(NOISE) * 2  # bytes of 16-bit audio


def encoded(container, samples=NOISE, **options):
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=container, **options)
    return file.getvalue()


CONTAINERS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "FLAC", "OGG", "MP3", "CAF", "AU")
WHOLE = {container: encoded(container) for container in CONTAINERS}
WHOLE["RIFX"] = encoded("WAV", endian="BIG")
WHOLE["BW64"] = b"BW64" + WHOLE["RF64"][4:]
WHOLE["opus"] = encoded("OGG", subtype="OPUS")


def chunk(name, content, size=None):
    return name + struct.pack("<I", len(content) if size is None else size) + content


def wav(*chunks):
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


FORMAT = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16))
PCM = (NOISE * 32767).astype("<i2").tobytes()

# Where each header states the size of the audio, how, and what to add to it.
SIZES = {
    "WAV": (b"data", 4, "<I", 0),
    "WAVEX": (b"data", 4, "<I", 0),
    "RIFX": (b"data", 4, ">I", 0),
    "RF64": (b"ds64", 16, "<Q", 0),
    "BW64": (b"ds64", 16, "<Q", 0),
    "W64": (b"data\xf3\xac", 16, "<Q", 24),
    "AIFF": (b"SSND", 4, ">I", 8),
    "CAF": (b"data", 4, ">Q", 4),
    "AU": (b".snd", 8, ">I", 0),
}


def stating(container, size):
    """A file whose header states another size of its audio, in bytes; of a FLAC file, in samples."""
    data = bytearray(WHOLE[container])
    if container == "FLAC":
        samples = size // 2 & (1 << 36) - 1
        data[21:26] = (data[21] >> 4 << 36 | samples).to_bytes(5, "big")
        return bytes(data)
    mark, offset, form, more = SIZES[container]
    at, width = data.index(mark) + offset, struct.calcsize(form)
    data[at : at + width] = struct.pack(form, size + more if size >= 0 else (1 << 8 * width) + size)
    return bytes(data)


@pytest.fixture
def read(tmp_path):
    def reading(data):
        (tmp_path / "clip").write_bytes(data)
        return read_audio(tmp_path / "clip", 0)

    return reading


@pytest.mark.parametrize("container", WHOLE)
def test_whole_file(container, read):
    extent = measure(WHOLE[container])
    assert (extent.is_truncated, extent.behind, extent.unfinished) == (False, 0, False)
    audio = read(WHOLE[container])
    assert (len(audio.waveform), audio.rate, audio.remarks) == (len(NOISE), RATE, ())


@settings(max_examples=200)
@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_any_missing_end_is_noticed(container, data):
    whole = WHOLE[container]
    kept = data.draw(st.integers(min_value=12, max_value=len(whole) - 1))
    try:
        extent = measure(whole[:kept])
    except ContainerError:
        return
    if container == "FLAC" and not extent.is_truncated:  # no frame is left: its decoder notices
        with pytest.raises(soundfile.LibsndfileError):
            soundfile.read(io.BytesIO(whole[:kept]))
    else:
        assert extent.is_truncated


@pytest.mark.parametrize(("container", "share"), [*product(SIZES, (0.3, 0.9)), ("FLAC", 0.3), ("FLAC", 0.6)])
def test_truncated_file_is_named_with_both_lengths(container, share, read):
    whole = WHOLE[container]
    with pytest.raises(ClipError, match=r"truncated.*\(2\.00 s stated") as error:
        read(whole[: int(share * len(whole))])
    present = float(str(error.value).split(" s present")[0].split()[-1])
    assert present == pytest.approx(2 * share, abs=0.6 if container == "FLAC" else 0.25)


@pytest.mark.parametrize("missing", [1, 2, 300])
def test_flac_file_that_is_cut_within_its_last_frame_names_both_lengths(missing, read):
    with pytest.raises(ClipError, match=r"truncated \(2\.00 s stated, 1\.54 s present\)"):
        read(WHOLE["FLAC"][:-missing])


def counting(samples, subtype):
    """An AIFF file whose count of samples contradicts the size of its audio."""
    data = bytearray(encoded("AIFF", NOISE, subtype=subtype))
    at = data.index(b"COMM") + 10
    data[at : at + 4] = struct.pack(">I", samples)
    return bytes(data)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW"])
def test_aiff_file_whose_count_of_samples_contradicts_the_size_of_its_audio(subtype, read):
    with pytest.raises(ClipError, match=r"states less audio .*\(0\.50 s stated, 1\.50 s more\)"):
        read(counting(len(NOISE) // 4, subtype))
    with pytest.raises(ClipError, match=r"truncated \(4\.00 s stated, 2\.00 s present\)"):
        read(counting(2 * len(NOISE), subtype))
    for unfinished in (0, 0xFFFFFFFF):
        audio = read(counting(unfinished, subtype))
        assert (len(audio.waveform), len(audio.remarks)) == (len(NOISE), 1)


@pytest.mark.parametrize("container", [*SIZES, "FLAC"])
def test_header_that_states_too_much(container, read):
    with pytest.raises(ClipError, match=r"truncated \(4\.00 s stated, 2\.00 s present\)"):
        read(stating(container, 2 * SIZE))


@pytest.mark.parametrize("container", [*SIZES, "FLAC"])
def test_header_that_states_too_little(container, read):
    with pytest.raises(ClipError, match=r"states less audio .*\(0\.50 s stated, 1\.50 s more\).*ffmpeg"):
        read(stating(container, SIZE // 4))


UNFINISHED = [(container, 0) for container in [*SIZES, "FLAC"]]
UNFINISHED += [(container, size) for container in ("WAV", "RIFX") for size in (-1, 0x7FFFFFDB, 0x80000000, 0x7FFFF000)]
UNFINISHED += [(container, -1 - SIZES[container][3]) for container in ("RF64", "W64", "AIFF", "CAF", "AU")]


@pytest.mark.parametrize(("container", "size"), UNFINISHED)
def test_header_that_was_never_finished_is_read_to_the_end_with_a_note(container, size, read):
    audio = read(stating(container, size))
    np.testing.assert_allclose(audio.waveform, NOISE, atol=1e-4)
    (remark,) = audio.remarks
    assert remark.severity == "note"
    assert remark.detail == "2.00 s"


def test_rf64_whose_size_was_never_written(read):
    audio = read(WHOLE["RF64"].replace(b"ds64", b"JUNK"))
    assert (len(audio.waveform), len(audio.remarks)) == (len(NOISE), 1)


@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG", "opus", "MP3", "AIFF"])
def test_two_files_joined(container, read):
    with pytest.raises(ClipError, match="less audio than seems to lie behind"):
        read(2 * WHOLE[container])


@pytest.mark.parametrize("container", WHOLE)
@pytest.mark.parametrize("rest", [b"abcd", bytes(9999)])
def test_remains_behind_the_audio_are_none(container, rest, read):
    assert len(read(WHOLE[container] + rest).waveform) == len(NOISE)


@pytest.mark.parametrize("content", [b"abcd", b"abc\0", b"abc"])
def test_chunks_behind_the_samples_are_none_of_them(content, read):
    audio = read(wav(FORMAT, chunk(b"data", PCM), chunk(b"LIST", content), chunk(b"iXML", b"<x/>" * 5000)))
    assert len(audio.waveform) == len(NOISE)


def test_chunk_behind_the_samples_of_a_w64_file_is_no_audio(read):
    behind = b"list" + bytes.fromhex("2f91cf11a5d628db04c10000") + struct.pack("<Q", 4024) + b"abcd" * 1000
    assert len(read(WHOLE["W64"] + behind).waveform) == len(NOISE)


def test_chunks_of_odd_length_before_the_samples():
    padded = chunk(b"LIST", b"abc") + b"\0"
    assert not measure(wav(FORMAT, padded, chunk(b"data", bytes(8)))).is_truncated
    assert measure(wav(FORMAT, padded, chunk(b"data", bytes(8), size=10))).is_truncated


def test_wav_without_samples_is_empty_and_not_unfinished(read):
    for rest in (b"", chunk(b"LIST", b"abcd")):
        with pytest.raises(ClipError, match="it has no samples"):
            read(wav(FORMAT, chunk(b"data", b""), rest))


def test_damaged_page_of_an_ogg_file(read):
    data = bytearray(WHOLE["OGG"])
    data[-100] ^= 1
    with pytest.raises(ClipError, match=r"cannot be decoded: 1 of its pages"):
        read(bytes(data))


def test_all_of_an_mp3_file_without_a_count_of_frames_is_read(read):
    samples = np.tile(NOISE, 5) * np.cos(np.arange(5 * len(NOISE)) / 30000) ** 8  # silence takes few bits
    data = encoded("MP3", samples, bitrate_mode="VARIABLE", compression_level=0.5)
    second = data.index(data[:2], 4)  # the first frame is no audio, but says how many follow
    alone, _ = soundfile.read(io.BytesIO(data[second:]))
    assert len(alone) < len(samples) - RATE, "the decoder alone takes all frames to be as long as the first"
    assert 0 <= len(read(data[second:]).waveform) - len(samples) < 3 * 576  # a frame has 576 samples


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\0\0\0\x20ftypM4A " + bytes(50), "it is MPEG-4.*convert"),
        (b"<html>404</html>", "it is no WAV.* file; copy or download"),
        (b"RIFF\0\0\0\0WAVE", "it ends before its audio begins"),
        (b"fLaC", "it ends before its audio begins"),
        (b"ID3\4\0\0\0\0\0\0", "it ends before its audio begins"),
    ],
)
def test_what_is_no_recording(data, message, read):
    with pytest.raises(ClipError, match=message):
        read(data)
