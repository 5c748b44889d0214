import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collab_asd.embedding_sharing.codec import SharedClip, decode_page, encode_page, plan_pages
from collab_asd.embedding_sharing.store import EmbeddingStore


def frames(length, value=0.0):
    return np.full((length, 3), value, np.float32)


CLIPS = [SharedClip(4, 0, 1, frames(2, 1.0)), SharedClip(9, 1, 0, frames(5, 2.0))]


def test_page_comes_back_as_it_was():
    for sent, received in zip(CLIPS, decode_page(encode_page(CLIPS)), strict=True):
        assert (received.clip, received.group, received.machine_class) == (sent.clip, sent.group, sent.machine_class)
        np.testing.assert_array_equal(received.frames, sent.frames)


def test_decoded_frames_are_views_of_the_page():
    page = encode_page(CLIPS)
    assert all(np.shares_memory(clip.frames, page["frames"]) for clip in decode_page(page))


def test_page_holds_numbers_only():
    assert {name: array.dtype.kind for name, array in encode_page(CLIPS).items()} == {
        "frames": "f", "lengths": "i", "clips": "i", "groups": "i", "classes": "i"
    }  # fmt: skip


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(poison):
    page = encode_page([SharedClip(0, 0, 0, frames(2, poison))])
    with pytest.raises(ValueError, match="not finite"):
        list(decode_page(page))


@pytest.mark.parametrize(
    "change",
    [
        {"lengths": np.array([2, 4], np.int32)},
        {"frames": np.zeros((7, 3))},
        {"frames": np.zeros(7, np.float32)},
    ],
)
def test_parts_that_do_not_fit_are_refused(change):
    with pytest.raises(ValueError, match="does not fit"):
        list(decode_page(encode_page(CLIPS) | change))


@given(st.lists(st.integers(1, 20), max_size=30), st.integers(1, 40))
def test_pages_hold_every_clip_once_in_order_and_are_full_but_not_over(sizes, limit):
    ends = plan_pages(sizes, limit)
    pages = [range(start, end) for start, end in zip([0, *ends], ends, strict=False)]
    assert [i for page in pages for i in page] == list(range(len(sizes)))
    for page, following in itertools.zip_longest(pages, pages[1:]):
        filled = sum(sizes[i] for i in page)
        assert filled <= limit or len(page) == 1
        if following is not None:
            assert filled + sizes[following.start] > limit


def test_store_lays_out_clips_by_machine():
    store = EmbeddingStore()
    store.add(3, "train", CLIPS)
    store.add(3, "test", [SharedClip(7, 0, 1, frames(1))])
    first, second = store.machines(3)
    assert (first.frames.group, first.frames.machine_class, first.normal_clips, first.test_clips) == (0, 1, (4,), (7,))
    assert (second.frames.group, second.normal_clips, second.test_clips) == (1, (9,), ())
    assert (store.groups(3), len(store)) == ([0, 1], 3)


def test_released_store_keeps_groups_only():
    store = EmbeddingStore()
    store.add(0, "train", CLIPS)
    store.release()
    assert (len(store), store.groups(0)) == (0, [0, 1])
