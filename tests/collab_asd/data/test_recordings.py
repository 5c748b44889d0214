from pathlib import Path

import pytest

from collab_asd.data.audio import is_recording, is_unreadable_sound


@pytest.mark.parametrize("name", ["a.wav", "a.WAV", "a.flac", "a.mp3", "a.aif", "a.AIFF", "a.w64", "a.opus", "a.b.caf"])
def test_what_can_be_decoded_is_a_recording(name):
    assert is_recording(Path("folder") / name)
    assert not is_unreadable_sound(Path("folder") / name)


@pytest.mark.parametrize("name", ["a.m4a", "a.WMA"])
def test_sound_that_cannot_be_decoded_is_told_from_other_files(name):
    assert is_unreadable_sound(Path(name))
    assert not is_recording(Path(name))


@pytest.mark.parametrize("name", ["._a.wav", ".a.m4a", "a.txt", "wav", ".wav", "a.wav.part"])
def test_other_files_are_neither(name):
    assert not is_recording(Path(name))
    assert not is_unreadable_sound(Path(name))
