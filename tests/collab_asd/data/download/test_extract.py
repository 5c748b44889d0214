import io
import stat
import struct
import zipfile

import pytest

from collab_asd.core.errors import InputError
from collab_asd.data.download import unpack as module
from collab_asd.data.download.unpack import ArchiveError, extract

A, B = "fan/train/normal_id_00_00000000.wav", "fan/test/anomaly_id_00_00000000.wav"


@pytest.fixture
def good(noise):
    return {A: noise(3000, 1), B: noise(2000, 2)}


def unpack(folder, content):
    (folder / "work").mkdir(exist_ok=True)
    archive = folder / "work" / "dev_data_fan.zip"
    archive.write_bytes(content)
    return extract(archive, "fan", folder / "work", folder / "data")


def written(folder):
    """Everything but the zip and folders."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()]
    return sorted(name for name in names if name != "work/dev_data_fan.zip")


def test_recordings_and_nothing_else_are_unpacked(tmp_path, good, zipped):
    others = {"readme.txt": b"r", "__MACOSX/fan/train/._x.wav": b"m", "fan/train/.x.wav": b"h", "fan/c.wav": b"c"}
    more = {"pump/train/normal_id_00_00000000.wav": b"p", "fan/train/deep/d.wav": b"d", "fan/train/": b""}
    assert unpack(tmp_path, zipped(good | others | more)) == {"fan/train": 1, "fan/test": 1}
    assert written(tmp_path) == [f"data/{B}", f"data/{A}"]
    assert (tmp_path / "data" / A).read_bytes() == good[A]


def test_recordings_join_those_that_are_there(tmp_path, good, zipped):
    unpack(tmp_path, zipped(good))
    unpack(tmp_path, zipped({"fan/train/normal_id_01_00000000.wav": b"more"}))
    assert written(tmp_path) == [f"data/{B}", f"data/{A}", "data/fan/train/normal_id_01_00000000.wav"]


@pytest.mark.parametrize(
    "name", ["../evil.wav", "fan/train/../../../evil.wav", "/evil.wav", "C:/evil.wav", "..\\evil.wav", "fan\\x.wav"]
)
def test_member_that_leads_out(tmp_path, good, zipped, name):
    with pytest.raises(ArchiveError) as caught:
        unpack(tmp_path, zipped(good | {name: b"evil"}))
    assert str(caught.value).endswith(f"member {name!r} leads out of the folder; nothing was unpacked")
    assert written(tmp_path) == []


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_link_or_device(tmp_path, good, kind):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        member = zipfile.ZipInfo("fan/train/normal_id_00_00000001.wav")
        member.external_attr = (kind | 0o777) << 16
        archive.writestr(member, "/etc/passwd")
        archive.writestr(A, good[A])
    with pytest.raises(ArchiveError, match=r"member 'fan/train/normal_id_00_00000001\.wav' is a link or a device"):
        unpack(tmp_path, file.getvalue())
    assert written(tmp_path) == []


def test_truncated_zip(tmp_path, good, zipped):
    with pytest.raises(ArchiveError, match=r"dev_data_fan\.zip: no zip, or a damaged one"):
        unpack(tmp_path, zipped(good)[:-30])
    assert written(tmp_path) == []


def test_web_page_instead_of_a_zip(tmp_path):
    with pytest.raises(ArchiveError, match="no zip"):
        unpack(tmp_path, b"<html>Please log in</html>")


def test_wrong_crc(tmp_path, good, zipped):
    content = bytearray(zipped(good, zipfile.ZIP_STORED))
    content[content.index(good[B]) + 1000] ^= 1  # the second member: the first one is whole
    with pytest.raises(ArchiveError, match=r"member 'fan/test/anomaly_id_00_00000000\.wav' is damaged \(Bad CRC"):
        unpack(tmp_path, bytes(content))
    assert written(tmp_path) == []


def test_damaged_compression(tmp_path, zipped):
    content = bytearray(zipped({A: bytes(range(256)) * 40}))
    content[60 : len(content) // 2] = b"\xff" * (len(content) // 2 - 60)
    with pytest.raises(ArchiveError, match=r"is damaged|damaged one"):
        unpack(tmp_path, bytes(content))
    assert written(tmp_path) == []


def with_declared_size(content, size):
    """Change the uncompressed size in the (only) central directory entry: four bytes at offset 24."""
    at = content.index(b"PK\x01\x02") + 24
    return content[:at] + struct.pack("<I", size) + content[at + 4 :]


def test_bomb_that_declares_its_size(tmp_path, zipped):
    with pytest.raises(ArchiveError, match=r"would unpack to 10000000, more than 20 times as many; nothing was unp"):
        unpack(tmp_path, zipped({A: bytes(10_000_000)}))
    assert written(tmp_path) == []


def test_bomb_that_declares_little(tmp_path, zipped, on_advance):
    most = []
    on_advance(lambda what, amount: most.append(amount))
    with pytest.raises(ArchiveError, match=r"member 'fan/train/.*' is damaged \(Bad CRC"):
        unpack(tmp_path, with_declared_size(zipped({A: bytes(10_000_000)}), 1000))
    assert sum(most) <= 1000
    assert written(tmp_path) == []


def test_member_that_declares_too_much(tmp_path, zipped, noise):
    with pytest.raises(ArchiveError, match="declares 5000 bytes and holds 3000"):
        unpack(tmp_path, with_declared_size(zipped({A: noise(3000)}), 5000))
    assert written(tmp_path) == []


def test_unusual_compression(tmp_path, good, zipped):
    with pytest.raises(ArchiveError, match=r"is compressed in an unusual way \(method 14\)"):
        unpack(tmp_path, zipped(good, zipfile.ZIP_LZMA))


def test_encrypted_member(tmp_path, good, zipped):
    content = bytearray(zipped({A: good[A]}))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    content[6] |= 1
    with pytest.raises(ArchiveError, match=r"is damaged .*password"):
        unpack(tmp_path, bytes(content))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_member_that_is_there_twice(tmp_path, good):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(A, good[A])
        archive.writestr(A, good[B])
    with pytest.raises(ArchiveError, match="is there twice"):
        unpack(tmp_path, file.getvalue())


def test_zip_of_another_machine_type(tmp_path, zipped):
    with pytest.raises(ArchiveError, match=r"holds no fan/train/\*\.wav or fan/test/\*\.wav"):
        unpack(tmp_path, zipped({"pump/train/normal_id_00_00000000.wav": b"p"}))


def test_disk_is_too_small_for_what_it_declares(tmp_path, good, zipped, monkeypatch):
    def refuse(folder, needed):
        raise InputError(f"{needed} bytes")

    monkeypatch.setattr(module, "require_space", refuse)
    with pytest.raises(InputError, match="5000 bytes"):
        unpack(tmp_path, zipped(good))
    assert written(tmp_path) == []


def test_rests_of_a_killed_process_are_cleared_away(tmp_path, good, zipped):
    rest = tmp_path / "work" / "dev_data_fan.unpacking" / "fan" / "train"
    rest.mkdir(parents=True)
    (rest / "half.wav").write_bytes(b"ha")
    unpack(tmp_path, zipped(good))
    assert written(tmp_path) == [f"data/{B}", f"data/{A}"]
