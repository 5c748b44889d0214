import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from collab_asd.data.truncation import is_truncated


def encoded(container, seconds=0.5):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, round(8000 * seconds))
    file = io.BytesIO()
    soundfile.write(file, noise, 8000, format=container)
    return file.getvalue()


WHOLE = {container: encoded(container) for container in ("WAV", "WAVEX", "OGG")}


def chunk(name, content, size=None):
    return name + struct.pack("<I", len(content) if size is None else size) + content


def wav(*chunks):
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


FORMAT = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16))


@pytest.mark.parametrize("container", WHOLE)
def test_whole_file(container):
    assert not is_truncated(WHOLE[container])


@settings(max_examples=50)
@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_any_missing_end_is_noticed(container, data):
    whole = WHOLE[container]
    kept = data.draw(st.integers(min_value=12, max_value=len(whole) - 1))
    assert is_truncated(whole[:kept])


def test_ogg_that_ends_between_two_pages_is_noticed():
    whole = WHOLE["OGG"]
    assert is_truncated(whole[: whole.rindex(b"OggS")])


def test_chunks_of_odd_length_before_the_samples():
    padded = chunk(b"LIST", b"abc") + b"\0"
    assert not is_truncated(wav(FORMAT, padded, chunk(b"data", bytes(8))))
    assert is_truncated(wav(FORMAT, padded, chunk(b"data", bytes(8), size=10)))


def test_anything_may_follow_the_samples():
    assert not is_truncated(wav(FORMAT, chunk(b"data", bytes(8)), b"LIST"))


def test_stream_of_unknown_length_is_taken_as_it_is():
    assert not is_truncated(wav(FORMAT, chunk(b"data", bytes(8), size=0xFFFFFFFF)))


def test_wav_that_ends_before_its_samples():
    assert is_truncated(wav(FORMAT))


def test_other_formats_are_left_to_their_decoder():
    assert not is_truncated(encoded("FLAC")[:100])
