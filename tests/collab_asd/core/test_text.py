import logging

import pytest

from collab_asd.core.errors import InputError
from collab_asd.core.files import read_text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "cp1252"])
def test_text_of_any_editor(tmp_path, encoding):
    (tmp_path / "text").write_bytes('place = "Köln"\r\n'.encode(encoding))
    assert read_text(tmp_path / "text") == 'place = "Köln"\n'


def test_a_guess_is_told(tmp_path, caplog):
    (tmp_path / "text").write_bytes("Köln".encode("cp1252"))
    with caplog.at_level(logging.WARNING):
        read_text(tmp_path / "text")
    assert "Windows-1252" in caplog.text


@pytest.mark.parametrize("content", [b"\x00\x01\x02\x03" * 9, b"abc\x81\x8d", b"PK\x03\x04 zip", b"\xff\xfea"])
def test_what_is_no_text(tmp_path, content):
    (tmp_path / "text").write_bytes(content)
    with pytest.raises(InputError, match="is no text file"):
        read_text(tmp_path / "text")


def test_too_much_to_be_text(tmp_path):
    with (tmp_path / "text").open("wb") as file:
        file.truncate(2**40)  # takes no room on the disk
    with pytest.raises(InputError, match="too large"):
        read_text(tmp_path / "text")
