from functools import partial

import numpy as np
import pytest

from collab_asd.classifier.sampling import LazyClips, joined, lengths_of

LENGTHS = [3, 1, 2]


@pytest.fixture
def fetched():
    return []


@pytest.fixture
def clips(fetched):
    def fetch(number):
        fetched.append(number)
        return np.full((LENGTHS[number], 2), number, np.float32)

    return LazyClips(LENGTHS, [partial(fetch, number) for number in range(len(LENGTHS))])


def test_a_clip_is_fetched_when_asked_for(clips, fetched):
    assert (len(clips), lengths_of(clips), fetched) == (3, LENGTHS, [])
    np.testing.assert_array_equal(clips[-1], [[2, 2], [2, 2]])
    assert fetched == [2]
    assert [clip[0, 0] for clip in clips] == [0, 1, 2]


def test_a_slice_fetches_nothing(clips, fetched):
    part = clips[1:][::-1]
    assert (list(part.lengths), fetched) == ([2, 1], [])
    assert [clip[0, 0] for clip in part] == [2, 1]


def test_joined_clips_stand_behind_one_another(clips, fetched):
    together = joined([clips, [], [np.zeros((7, 2), np.float32)], clips[:1]])
    assert (list(together.lengths), fetched) == ([3, 1, 2, 7, 3], [])
    assert [len(clip) for clip in together] == [3, 1, 2, 7, 3]
    assert fetched == [0, 1, 2, 0]


def test_there_is_no_clip_behind_the_last(clips):
    for sequence in (clips, joined([clips])):
        with pytest.raises(IndexError):
            sequence[3]
