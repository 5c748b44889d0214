import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collab_asd.methods.embedding_sharing.pages import (
    ClientDescription,
    PageNumber,
    SharedClip,
    encode_page,
    plan_pages,
    require_valid_page,
)
from collab_asd.wire.codecs import parse

NUMBER = PageNumber("train", 0, 2)
FACTS = {
    "train-pages": [2], "calibration-pages": [], "test-pages": [1], "groups": [0, 1], "classes": [1, 0],
    "dimension": 3, "stack": 2, "stack-hop": 1, "digest": "d", "note": "", "clips-digest": "c",
}  # fmt: skip


def frames(length, value=0.0):
    return np.full((length, 3), value, np.float32)


CLIPS = [SharedClip(4, 0, 1, frames(2, 1.0)), SharedClip(9, 1, 0, frames(5, 2.0))]


def page(codec="fp32", clips=CLIPS):
    return encode_page(NUMBER, clips, parse(codec).fit([]))


def check(arrays, codec="fp32"):
    require_valid_page(NUMBER, arrays, ClientDescription.of(FACTS), parse(codec))


@pytest.mark.parametrize("codec", ["fp32", "fp16", "pool:2", "every:3+fp16"])
def test_page_as_it_was_asked_for_is_sound(codec):
    check(page(codec), codec)


def test_page_holds_numbers_only():
    assert {name: array.dtype.kind for name, array in page().items()} == {
        "page": "i", "rows": "f", "lengths": "i", "clips": "i", "groups": "i", "classes": "i"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rows": np.full((7, 3), np.nan, np.float32)}, "not finite"),
        ({"rows": np.full((7, 3), np.inf, np.float32)}, "not finite"),
        ({"rows": np.zeros((7, 4), np.float32)}, "its rows are"),
        ({"rows": np.zeros((6, 3), np.float32)}, "its rows are"),
        ({"rows": np.zeros((7, 3))}, "its rows are"),
        ({"rows": np.zeros((7, 3), np.int8)}, "its rows are"),
        ({"rows": np.zeros(7, np.float32)}, "its rows are"),
        ({"page": np.array([0, 2, 4], np.int32)}, "another page"),
        ({"lengths": np.array([2], np.int32)}, "its lengths are"),
        ({"lengths": np.array([7, 0], np.int32)}, "empty, or not in order"),
        ({"lengths": np.array([2.0, 5.0])}, "its lengths are"),
        ({"clips": np.array([4, 4], np.int32)}, "empty, or not in order"),
        ({"clips": np.array([-1, 4], np.int32)}, "its clips lie outside"),
        ({"classes": np.array([0, 0], np.int32)}, "not its own"),
        ({"groups": np.array([0, 7], np.int32)}, "not its own"),
        ({"extra": np.zeros(1)}, "holds extra, which nobody asked for"),
    ],
)
def test_a_page_that_cannot_be_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        check(page() | change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dimension": 0}, "its dimension is 0"),
        ({"train-pages": []}, "nothing to share"),
        ({"new": 1}, "another version"),
    ],
)
def test_a_description_that_cannot_be_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        ClientDescription.of(FACTS | change)


@given(st.lists(st.integers(1, 20), max_size=30), st.integers(20, 40))
def test_pages_hold_every_clip_once_in_order_and_are_full_but_not_over(sizes, limit):
    ends = plan_pages(sizes, limit)
    pages = [range(start, end) for start, end in zip([0, *ends], ends, strict=False)]
    assert [i for page in pages for i in page] == list(range(len(sizes)))
    for page, following in itertools.zip_longest(pages, pages[1:]):
        filled = sum(sizes[i] for i in page)
        assert filled <= limit
        if following is not None:
            assert filled + sizes[following.start] > limit


def test_a_clip_larger_than_a_page_is_refused():
    with pytest.raises(ValueError, match="one clip is 9 bytes, and a page holds 8"):
        plan_pages([4, 9], 8)
