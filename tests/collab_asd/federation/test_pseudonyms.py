import hmac
from hashlib import sha256
from pathlib import Path

import pytest

from collab_asd.core.errors import InputError
from collab_asd.core.seeding import keyed_hash
from collab_asd.core.types import Clip
from collab_asd.federation.pseudonyms import load_pseudonym_key, number_machines

KEY = b"sixteen bytes ok"


def clip(machine_type, machine_id, sha256, split="train"):
    return Clip(Path("x.wav"), machine_type, machine_id, split, None, sha256)


def test_machines_are_numbered_by_a_secret_and_groups_by_a_keyed_hash():
    clips = [clip("fan", "00", "ff"), clip("fan", "01", "1c"), clip("fan", "00", "0a"), clip("pump", "00", "55")]
    numbers = number_machines(clips, 3, "machine-type", KEY, secret=b"own")
    fan, pump = (
        int(hmac.new(KEY, b"collab-asd machine type/" + n, sha256).hexdigest()[:8], 16) >> 1 for n in (b"fan", b"pump")
    )
    first = {machine: min(keyed_hash(b"own", "machine", c.sha256.encode()) for c in clips if c.machine == machine)
             for machine in ("fan/00", "fan/01", "pump/00")}  # fmt: skip
    expected = {machine: 12288 + rank for rank, machine in enumerate(sorted(first, key=first.__getitem__))}
    groups = {"fan": fan, "pump": pump}
    assert numbers == {(kind, number): (groups[kind], expected[f"{kind}/{number}"]) for kind, number in numbers}
    orders = {tuple(number_machines(clips, 3, "all", None, secret=bytes([s]))) for s in range(20)}
    assert len(orders) > 3


def test_test_clips_that_are_added_change_no_number():
    clips = [clip("fan", "00", "aa"), clip("fan", "01", "bb")]
    added = [clip("fan", number, f"{i:02x}", "test") for number in ("00", "01") for i in range(20)]
    assert number_machines(clips + added, 0, "all", None, b"own") == number_machines(clips, 0, "all", None, b"own")


def test_factories_may_write_a_type_differently():
    one, other = (
        number_machines([clip(name, "00", "aa")], 0, "machine-type", KEY, b"own") for name in ("ToyCar", " toycar")
    )
    assert list(one.values()) == list(other.values())


def test_without_a_key_types_are_not_told():
    with pytest.raises(InputError, match="pseudonym-key-file: none is named"):
        number_machines([clip("fan", "00", "aa")], 0, "machine-type", None, b"own")


def test_numbers_end_somewhere():
    with pytest.raises(InputError, match="524288 clients of 4096 machines"):
        number_machines([clip("fan", "00", "aa")], 2**19, "all", None, b"own")


def test_a_key_must_be_long_enough(tmp_path):
    (tmp_path / "key").write_bytes(b"short")
    with pytest.raises(InputError, match="5 bytes are too short"):
        load_pseudonym_key(str(tmp_path / "key"))
    with pytest.raises(InputError, match="ask whoever set up the consortium"):
        load_pseudonym_key(str(tmp_path / "none"))
