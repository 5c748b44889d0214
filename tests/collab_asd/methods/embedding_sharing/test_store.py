import errno
from dataclasses import replace

import numpy as np
import psutil
import pytest

from collab_asd.core.errors import InputError
from collab_asd.methods.embedding_sharing import store as module
from collab_asd.methods.embedding_sharing.pages import ClientDescription, PageNumber, SharedClip, encode_page, sha256_of
from collab_asd.methods.embedding_sharing.store import EmbeddingStore, StoredPage
from collab_asd.wire.codecs import parse

PLAN = parse("pool:2+fp16")
FACTS = ClientDescription([2, 3], [], [1], [0, 1], [1, 0], 3, 2, 1, "d", "", "c")
FIRST, SECOND = FACTS.pages("train")
TEST = FACTS.pages("test")[0]


def clip(number, place, length):
    rng = np.random.default_rng(number)
    return SharedClip(number, *place, rng.normal(size=(length, 3)).astype(np.float32))


CLIPS = {
    FIRST: [clip(0, (0, 1), 4), clip(5, (1, 0), 5)],
    SECOND: [clip(9, (0, 1), 2)],
    TEST: [clip(7, (0, 1), 3)],
}


def page(number):
    return encode_page(number, CLIPS[number], PLAN.fit([]))


def opened(folder, facts=FACTS):
    store = EmbeddingStore(folder / "store", PLAN)
    store.open({3: facts})
    if store.codec is None:
        store.keep_codec(PLAN.fit([]))
    return store


@pytest.fixture
def store(tmp_path):
    store = opened(tmp_path)
    for number in CLIPS:
        store.add(3, number, page(number))
    return store


def test_clips_come_back_by_machine_as_the_codec_left_them(store):
    first, second = store.machines(3)
    codec = PLAN.fit([])
    sent = [CLIPS[FIRST][0], CLIPS[SECOND][0]]
    sent.sort(key=lambda clip: sha256_of(codec.encode(clip.frames)))  # the client's numbers decide nothing
    assert (first.frames.group, first.frames.machine_class) == (0, 1)
    assert (first.normal_clips, first.test_clips) == (tuple(clip.clip for clip in sent), (7,))
    assert (second.frames.group, second.normal_clips, second.test_clips) == (1, (5,), ())
    assert store.clip_count() == 4
    for frames, clip in zip(first.frames.normal, sent, strict=True):
        np.testing.assert_array_equal(frames, codec.round_trip(clip.frames))
    assert len(first.frames.normal[:1]) == 1


def test_a_clip_is_read_once_unless_memory_is_short(store, monkeypatch):
    clips, read = store.machines(3)[0].frames.normal, []
    monkeypatch.setattr(StoredPage, "read", lambda page, a, b, digest: read.append((a, b)) or np.ones((b - a, 3)))
    for index in (0, 1, 0):
        clips[index]
    assert len(read) == 2
    store.release()
    monkeypatch.setattr("collab_asd.methods.embedding_sharing.store.RECENT_BYTES", 0)
    for index in (0, 0):
        clips[index]
    assert len(read) == 4


def test_no_file_stays_open_however_many_pages_there_are(store):
    held = [clip for machine in store.machines(3) for clip in machine.frames.normal]
    process = psutil.Process()
    in_use = [file.path for file in (*process.open_files(), *process.memory_maps())]
    assert len(held) == 3
    assert not [path for path in in_use if str(store.folder) in path]


def test_a_run_that_broke_off_finds_whole_pages_alone(store, tmp_path):
    _, about = store._paths(3, SECOND)
    about.unlink()  # as if killed between the two
    again = opened(tmp_path)
    assert [again.holds(3, number) for number in CLIPS] == [True, False, True]
    assert again.machines(3)[0].normal_clips == (0,)


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY nonsense"])
def test_a_damaged_page_is_asked_for_again(store, tmp_path, damage, caplog):
    store._paths(3, SECOND)[0].write_bytes(damage)
    assert not opened(tmp_path).holds(3, SECOND)
    assert "is damaged" in caplog.text


def flip(file, bit):
    """Flip one bit of a file."""
    content = bytearray(file.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)


@pytest.mark.parametrize("kind", [0, 1])  # rows, and what they are
@pytest.mark.parametrize("share", [0.3, 0.95])
def test_a_page_with_one_bit_flipped_is_asked_for_again(store, tmp_path, kind, share):
    file = store._paths(3, SECOND)[kind]
    flip(file, int(8 * share * file.stat().st_size))
    again = opened(tmp_path)
    assert not again.holds(3, SECOND)
    assert again.holds(3, FIRST)


def test_rows_that_were_damaged_since_are_not_trained_on(store, tmp_path):
    rows = store._paths(3, FIRST)[0]
    flip(rows, 8 * rows.stat().st_size - 3)
    clips = store.machines(3)[1].frames.normal
    with pytest.raises(InputError, match=r"SHA-256 mismatch.*repeat the command"):
        clips[0]


def test_a_codec_with_one_bit_flipped_is_fitted_again(tmp_path):
    plan = parse("pca:2+int8")
    rng = np.random.default_rng(0)
    codec = plan.fit([plan.statistics([rng.normal(size=(40, 3)).astype(np.float32)])])
    store = EmbeddingStore(tmp_path / "store", plan)
    store.open({3: FACTS})
    store.keep_codec(codec)
    again = EmbeddingStore(tmp_path / "store", plan)
    again.open({3: FACTS})
    assert again.codec is not None
    basis = tmp_path / "store" / "codec.safetensors"
    flip(basis, 8 * basis.stat().st_size - 3)
    again.open({3: FACTS})
    assert again.codec is None


def test_other_clips_of_a_client_begin_anew(store, tmp_path, caplog):
    again = opened(tmp_path, replace(FACTS, clips_digest="other"))
    assert not any(again.holds(3, number) for number in CLIPS)
    assert "or other clips of theirs" in caplog.text


def test_what_another_codec_left_is_refused(store, tmp_path):
    with pytest.raises(InputError, match=r"store: was left with codec = pool:2\+fp16, this run has fp32"):
        EmbeddingStore(tmp_path / "store", parse("fp32")).open({3: FACTS})


def test_a_full_disk_drops_the_page_and_says_so(store, tmp_path, monkeypatch):
    def full(file, array):
        file.write(b"half a page")
        raise OSError(errno.ENOSPC, "No space left on device")

    store.drop(3)
    monkeypatch.setattr(module.np, "save", full)
    with pytest.raises(InputError, match=r"a page of 0\.0 MB cannot be kept \(No space left on device\)"):
        store.add(3, FIRST, page(FIRST))
    assert not store.holds(3, FIRST)
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == [
        "codec.safetensors",
        "codec.sha256",
        "store.json",
    ]


def test_dropped_clients_leave_nothing(store, tmp_path):
    store.drop(3)
    assert (store.machines(3), store.clip_count()) == ([], 0)
    assert not list((tmp_path / "store").glob("client-3-*"))
    store.clear()
    assert not (tmp_path / "store").exists()


def test_page_numbers_are_those_of_the_facts():
    assert (PageNumber("train", 0, 2), PageNumber("train", 2, 3), PageNumber("test", 0, 1)) == (FIRST, SECOND, TEST)
