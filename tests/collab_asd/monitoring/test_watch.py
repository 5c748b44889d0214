"""A folder that recordings keep coming into, without waiting for anything."""

import logging
import os
from contextlib import suppress
from types import SimpleNamespace

import pytest

from collab_asd.core.errors import InputError
from collab_asd.monitoring import watch as watching


class WorldEndsError(Exception):
    """Nothing more happens in the test's world."""


@pytest.fixture
def world(monkeypatch):
    """Let something happen each time that the watch sleeps; when nothing is left to happen, the world ends."""

    def world(*happenings):
        left, now = list(happenings), [0.0]

        def sleep(seconds):
            now[0] += seconds
            if not left:
                raise WorldEndsError
            left.pop(0)()

        monkeypatch.setattr(watching, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: now[0]))

    return world


@pytest.fixture
def warnings(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("collab_asd"), "propagate", True)
    caplog.set_level(logging.WARNING, "collab_asd.monitoring.watch")
    return lambda: [record.getMessage() for record in caplog.records]


def nothing():
    pass


def until_the_end(recordings):
    """All that is yielded before the world ends."""
    with suppress(WorldEndsError):
        yield from recordings


def names(recordings):
    return [path.name for path in until_the_end(recordings)]


def write(path, size=100, age=0):
    """Write a file, last changed `age` seconds before a fixed moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (1e9 - age, 1e9 - age))
    return path


def test_what_is_there_comes_oldest_first_each_once(tmp_path, world):
    for name, age in (("a.wav", 10), ("b.flac", 30), ("deep/er/c.WAV", 20), ("notes.txt", 99)):
        write(tmp_path / name, age=age)
    world(nothing, nothing, nothing)
    assert names(watching.watch(tmp_path)) == ["b.flac", "c.WAV", "a.wav"]


def test_files_of_one_age_come_by_name(tmp_path, world):
    for name in ("2.wav", "1.wav", "3.wav"):
        write(tmp_path / name)
    world(nothing, nothing)
    assert names(watching.watch(tmp_path)) == ["1.wav", "2.wav", "3.wav"]


def test_what_comes_later_is_picked_up(tmp_path, world):
    world(
        nothing,
        lambda: write(tmp_path / "late.wav"),
        nothing,
        lambda: write(tmp_path / "new" / "later.wav"),
        nothing,
        nothing,
    )
    assert names(watching.watch(tmp_path)) == ["late.wav", "later.wav"]


def test_a_file_is_taken_when_it_has_stopped_growing(tmp_path, world):
    path = write(tmp_path / "a.wav", 10)
    world(*(lambda size=size: write(path, size) for size in (20, 30, 40)), nothing, nothing)
    assert [recording.stat().st_size for recording in until_the_end(watching.watch(tmp_path))] == [40]


def test_a_file_that_grows_while_others_are_scored_is_not_taken_too_early(tmp_path, world):
    for name in ("a.wav", "b.wav", "c.wav"):
        write(tmp_path / name)
    growing = tmp_path / "growing.wav"
    world(nothing, lambda: write(growing, 1000), nothing, nothing)
    stream = watching.watch(tmp_path)
    next(stream)
    write(growing, 500)  # a recorder that writes once a second has begun; scoring takes a moment
    assert [next(stream).name, next(stream).name] == ["b.wav", "c.wav"]
    assert next(stream).stat().st_size == 1000


def test_a_file_that_vanishes_before_it_is_looked_at_does_no_harm(tmp_path, world, monkeypatch):
    listed = [write(tmp_path / "stays.wav"), tmp_path / "gone.wav"]
    monkeypatch.setattr(watching, "_inside", lambda folder: listed)
    world(nothing, nothing)
    assert names(watching.watch(tmp_path)) == ["stays.wav"]


def test_a_file_that_vanishes_while_it_grows_is_forgotten(tmp_path, world):
    path = write(tmp_path / "a.wav", 10)
    world(path.unlink, nothing, lambda: write(path, 10), nothing, nothing)
    assert names(watching.watch(tmp_path)) == ["a.wav"]


def test_a_folder_that_vanishes_while_it_is_listed_does_no_harm(tmp_path, world, monkeypatch):
    write(tmp_path / "stays.wav")
    write(tmp_path / "shift" / "moved.wav")
    scan = os.scandir

    def vanishing(path="."):
        if os.fspath(path).endswith("shift"):
            raise FileNotFoundError(2, "No such file or directory", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", vanishing)
    world(nothing, nothing)
    assert names(watching.watch(tmp_path)) == ["stays.wav"]


def test_when_many_wait_it_is_said_once_and_none_is_dropped(tmp_path, world, warnings):
    for i in range(30):
        write(tmp_path / f"{i:02d}.wav")
    world(nothing, nothing)
    assert names(watching.watch(tmp_path)) == [f"{i:02d}.wav" for i in range(30)]
    assert warnings() == [f"{tmp_path}: 30 recordings wait; they come faster than they are scored"]


def test_it_is_said_again_when_twice_as_many_wait(tmp_path, world, warnings):
    for i in range(20):
        write(tmp_path / f"{i:03d}.wav")

    def come():
        for i in range(20, 80):
            write(tmp_path / f"{i:03d}.wav")

    world(nothing, nothing, nothing, nothing)
    stream = watching.watch(tmp_path)
    next(stream)
    assert len(warnings()) == 1
    come()
    assert len(names(stream)) == 79
    first, second = (int(line.split(": ")[1].split()[0]) for line in warnings())
    assert first == 20
    assert second >= 40


def test_few_that_wait_are_not_worth_a_word(tmp_path, world, warnings):
    for i in range(19):
        write(tmp_path / f"{i}.wav")
    world(nothing, nothing)
    assert len(names(watching.watch(tmp_path))) == 19
    assert warnings() == []


@pytest.mark.parametrize("where", ["nowhere", "a.wav"])
def test_what_is_no_folder_cannot_be_watched(tmp_path, where):
    write(tmp_path / "a.wav")
    with pytest.raises(InputError, match=f"{tmp_path / where}: no such folder to watch"):
        next(watching.watch(tmp_path / where))


def test_a_folder_that_is_taken_away_ends_the_watch_in_words(tmp_path, world):
    (tmp_path / "shift").mkdir()
    world(nothing, (tmp_path / "shift").rmdir)
    with pytest.raises(InputError, match="shift: no such folder to watch"):
        next(watching.watch(tmp_path / "shift"))


def test_files_and_folders_are_listed_in_the_order_given(tmp_path):
    for name in ("f/b.wav", "f/a.flac", "f/g/c.ogg", "f/notes.txt", "x.wav", "odd.suffix"):
        write(tmp_path / name)
    found = watching.recordings([tmp_path / "x.wav", tmp_path / "f", tmp_path / "odd.suffix"])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "x.wav",
        "f/a.flac",
        "f/b.wav",
        "f/g/c.ogg",
        "odd.suffix",
    ]


def test_what_counts_as_a_recording_is_the_rule_of_the_data_room(tmp_path):
    for name in ("a.mp3", "b.AIFF", "c.m4a", "d.txt", "._a.mp3", ".hidden/e.wav", "__MACOSX/f.wav", "sub/g.flac"):
        write(tmp_path / name)
    found = [path.relative_to(tmp_path).as_posix() for path in watching.recordings([tmp_path])]
    assert found == ["a.mp3", "b.AIFF", "c.m4a", "sub/g.flac"], "c.m4a is there to be refused in words"


def test_a_path_that_is_not_there_or_empty_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: no recordings in it"):
        watching.recordings([tmp_path / "empty"])
    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        watching.recordings([tmp_path / "nowhere"])
