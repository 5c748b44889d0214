"""What the number of a clip tells who holds recordings and sees numbers alone."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from collab_asd.core.errors import InputError
from collab_asd.core.seeding import kept_key
from collab_asd.core.types import Clip
from collab_asd.data.partitions import by_machine, numbered, simulated_secret
from collab_asd.federation.client_data import ClientData, local_machines

CLIPS = 2000
HELD = [
    Clip(Path(f"{i}.wav"), "fan", "00", "train" if i % 2 else "test", None, hashlib.sha256(b"%d" % i).hexdigest())
    for i in range(CLIPS)
]
(ORDERED,) = by_machine(HELD, "all")


def guessed_numbers(partition):
    """Guess each clip's number from its hash alone: hashes are spread evenly -> mean error as a share of all clips."""
    guesses = [int(clip.sha256[:8], 16) / 2**32 * CLIPS for clip in partition.clips]
    return float(np.mean(np.abs(np.array(guesses) - np.arange(CLIPS)))) / CLIPS


def guessed_members(partition):
    """Guess which recordings were sent by the numbers that were, with all recordings at hand -> share of right ones."""
    sent = set(partition.indices("train"))
    known = sorted(HELD, key=lambda clip: clip.sha256)
    return float(np.mean([(rank in sent) == (clip.split == "train") for rank, clip in enumerate(known)]))


def test_numbers_tell_neither_which_clip_it_is_nor_whether_it_was_sent():
    assert guessed_numbers(ORDERED) < 0.015  # the attacks work on content hashes
    assert guessed_members(ORDERED) == 1.0
    secret = numbered(ORDERED, simulated_secret(0))
    assert guessed_numbers(secret) == pytest.approx(1 / 3, abs=0.02)  # of two positions drawn at random
    assert guessed_members(secret) == pytest.approx(0.5, abs=0.05)


def test_which_clips_set_a_threshold_does_not_depend_on_the_secret():
    def parts(secret):
        held = numbered(ORDERED, secret)
        (machine,) = local_machines(held, calibration=0.2, train_clips=400, seed=3)
        return [[held.clips[i] for i in part] for part in machine.parts]

    assert parts(b"one") == parts(b"other")
    assert len(parts(b"one")[1]) == 80


def test_copies_of_a_recording_stand_together_in_their_order():
    copy = replace(ORDERED.clips[7], path=Path("copy.wav"))
    (held,) = by_machine([*HELD, copy], "all")
    clips = numbered(held, b"own").clips
    first = next(i for i, clip in enumerate(clips) if clip.sha256 == copy.sha256)
    twins = [clip for clip in held.clips if clip.sha256 == copy.sha256]
    assert list(clips[first : first + 2]) == twins


def test_the_digest_of_what_is_shared_confirms_nothing_without_the_secret():
    def digest(secret, held=ORDERED):
        return ClientData(numbered(held, secret), None, None, Path(), secret=secret).clips_digest(range(CLIPS))

    assert digest(b"own") == digest(b"own")
    assert digest(b"own") != digest(b"other")
    assert digest(b"own") != digest(b"own", replace(ORDERED, clips=(ORDERED.clips[1], *ORDERED.clips[1:])))
    plain = "".join(sorted(clip.sha256 for clip in HELD)).encode()
    assert digest(b"own") != hashlib.sha256(plain).hexdigest()


def test_a_node_draws_its_secret_once_and_for_itself(tmp_path):
    first, again, other = (kept_key(tmp_path / name / "numbers.key") for name in ("a", "a", "b"))
    assert first == again != other
    assert len(first) == 32
    assert (tmp_path / "a" / "numbers.key").stat().st_mode & 0o077 == 0
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["numbers.key"]
    (tmp_path / "b" / "numbers.key").write_bytes(b"short")
    with pytest.raises(InputError, match="has 5 bytes and needs 16"):
        kept_key(tmp_path / "b" / "numbers.key")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be read or written"):
        kept_key(tmp_path / "file" / "numbers.key")
