"""`collab-asd encoders` with a server on loopback in place of the official one."""

import hashlib
import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from collab_asd.cli.main import app
from collab_asd.encoders import ENCODERS, yamnet

CONTENT = b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 8
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = "yamnet.h5"


@pytest.fixture
def call(tmp_path):
    def call(*arguments):
        words = ["encoders", *map(str, arguments), "--set", f"cache-dir={tmp_path}"]
        return CliRunner().invoke(app, words, env={"COLUMNS": "160", "COLLAB_ASD_WEIGHTS": ""})

    return call


@pytest.fixture(autouse=True)
def official(site, monkeypatch):
    """YAMNet's weights are 2056 bytes on the site, and their hash is pinned."""
    site.files[NAME] = CONTENT
    source = replace(yamnet.WEIGHTS, url=f"{site.url}/files/{NAME}", sha256=SHA256, size=2056)
    monkeypatch.setattr(yamnet, "WEIGHTS", source)
    return source


@pytest.fixture
def unpinned(official, monkeypatch):
    """The same, but nobody knows their hash."""
    monkeypatch.setattr(yamnet, "WEIGHTS", replace(official, sha256=None, size=None))


def rows(output):
    return {line.split()[0]: line for line in output.splitlines()}


def test_list(call):
    before = rows(call("list").stdout)
    assert set(before) == {"encoder", *ENCODERS}
    assert "92 x 512" in before["random-conv"]
    assert "none needed" in before["random-conv"]
    assert " ".join(before["yamnet"].split()) == "yamnet 20 x 1024 16000 to download (0.0 MB) Apache-2.0"
    assert call("fetch", "yamnet", "-q").exit_code == 0
    assert "present (0.0 MB)" in rows(call("list").stdout)["yamnet"]


def test_list_as_json(call):
    found = {row["name"]: row for row in json.loads(call("list", "--json").stdout)}
    assert found["logmel"]["weights"] is None
    assert (found["logmel"]["frames_of_10_s"], found["logmel"]["dimension"]) == (311, 128)
    assert found["yamnet"]["weights"]["present"] is False
    assert found["yamnet"]["weights"]["sha256"] == SHA256


def test_info(call, official):
    said = call("info", "yamnet").stdout
    for words in (
        "20 x 1024 for a clip of 10 s",
        "8 frames, hop 1",
        "16000 Hz; a frame sees 0.975 s and comes every 0.48 s",
        "licence:   Apache-2.0",
        "cite:      M. Plakal, D. Ellis",
        "to download (0.0 MB)",
        f"from:      {official.url}",
        f"SHA-256 {SHA256} (pinned)",
    ):
        assert words in said


@pytest.mark.usefixtures("unpinned")
def test_info_says_that_the_first_download_is_recorded(call):
    assert "the SHA-256 of the first download is recorded, and later ones must match" in call("info", "yamnet").stdout
    call("fetch", "yamnet")
    assert f"SHA-256 {SHA256} (recorded on 20" in call("info", "yamnet").stdout


def test_info_as_json(call):
    found = json.loads(call("info", "random-conv", "--json").stdout)
    assert (found["stack"], found["stack_hop"], found["sample_rate"]) == (32, 4, 16_000)


def test_fetch_says_terms_and_where(call, site, tmp_path):
    result = call("fetch", "yamnet")
    assert result.exit_code == 0
    assert result.stdout == f"{tmp_path}/weights/yamnet.h5: 0.0 MB, right (pinned)\n"
    assert "YAMNet: licence Apache-2.0; cite M. Plakal" in result.stderr
    assert call("fetch", "yamnet").exit_code == 0
    assert len(site.asked) == 1


def test_quiet_fetch(call):
    assert call("fetch", "yamnet", "-q").stderr == ""


def test_fetch_as_json(call, tmp_path):
    (found,) = json.loads(call("fetch", "yamnet", "--json").stdout)
    assert found == {
        "file": f"{tmp_path}/weights/yamnet.h5",
        "bytes": 2056,
        "right": True,
        "by": "pinned",
        "problem": "",
    }


@pytest.mark.usefixtures("unpinned")
def test_stick_for_a_machine_without_a_network(call, site, tmp_path):
    stick = tmp_path / "stick"
    result = call("fetch", "yamnet", "--to", stick)
    assert f"collab-asd run --encoder yamnet --weights {stick}" in result.stdout
    assert sorted(p.name for p in stick.iterdir() if not p.name.startswith(".")) == ["yamnet.h5", "yamnet.h5.json"]
    assert not (tmp_path / "weights").exists()
    site.always = None
    assert call("verify", "yamnet", "--weights", stick).exit_code == 0
    assert "present" in rows(call("list", "--weights", stick).stdout)["yamnet"]


def test_mirror(call, site, monkeypatch):
    monkeypatch.setattr(yamnet, "WEIGHTS", replace(yamnet.WEIGHTS, url="http://127.0.0.1:1/x"))
    assert call("fetch", "yamnet", "--mirror", f"{site.url}/files/").exit_code == 0


def test_interrupted_fetch_goes_on(call, site, Fault, small_chunks):
    site.faults = [Fault(breaks_at=400), *(Fault(breaks_at=0) for _ in range(4))]
    broken = call("fetch", "yamnet")
    assert broken.exit_code == 2
    assert "the connection broke 4 times at 400 of 2056 bytes" in broken.stderr
    assert "the same command resumes" in broken.stderr
    assert call("fetch", "yamnet").exit_code == 0
    assert site.asked[-1] == (NAME, "bytes=400-")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><title>Log in</title>", "expected a file of weights, found a web page"),
        (CONTENT[:-1] + b"!", f"expected SHA-256 {SHA256}, found "),
        (CONTENT * 2, "expected 2056 bytes, found 4112"),
    ],
)
def test_server_gives_something_else(call, site, Fault, content, message, tmp_path):
    site.always = Fault(content=content)
    result = call("fetch", "yamnet")
    assert result.exit_code == 2
    assert message in result.stderr
    assert "by hand and name the file with --weights" in result.stderr
    assert not (tmp_path / "weights" / NAME).exists()


def test_verify_reads_again(call, tmp_path):
    file = tmp_path / "weights" / NAME
    call("fetch", "yamnet")
    assert call("verify").stdout == f"{file}: 0.0 MB, right (pinned)\n"
    file.write_bytes(CONTENT[:-5])
    result = call("verify")
    assert result.exit_code == 2
    assert f"{file}: expected 2056 bytes, found 2051 (pinned); delete it and fetch it again" in result.stdout
    assert call("fetch", "yamnet").exit_code == 0
    assert call("verify").exit_code == 0


@pytest.mark.usefixtures("unpinned")
def test_verify_against_the_recorded_hash(call, tmp_path):
    call("fetch", "yamnet")
    file = tmp_path / "weights" / NAME
    file.write_bytes(CONTENT[:-1] + b"!")
    result = call("verify", "yamnet", "--json")
    assert result.exit_code == 2
    (found,) = json.loads(result.stdout)
    assert found["right"] is False
    assert f"expected SHA-256 {SHA256}, found " in found["problem"]
    assert f"to accept another file, delete {file}.json" in found["problem"]


def test_verify_what_is_not_there(call):
    nothing = call("verify")
    assert (nothing.exit_code, nothing.stdout.split(";")[0]) == (0, "no weights are here yet")
    asked = call("verify", "yamnet")
    assert asked.exit_code == 2
    assert "yamnet.h5: not there; `collab-asd encoders fetch NAME` brings it" in asked.stdout


def test_verify_a_file_of_the_user(call, tmp_path):
    own = tmp_path / "own.h5"
    own.write_bytes(CONTENT)
    assert call("verify", "yamnet", "--weights", own).exit_code == 0
    refused = call("verify", "--weights", own)
    assert refused.exit_code == 2
    assert "name the one encoder that this file is for" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("info", "wav2vec"), "encoder 'wav2vec' does not exist: choose one of "),
        (("fetch", "logmel"), "encoder 'logmel' needs no weights"),
        (("verify", "wav2vec"), "encoder 'wav2vec' does not exist"),
    ],
)
def test_bad_names(call, arguments, message):
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_run_from_a_folder_without_the_file(tmp_path):
    result = CliRunner().invoke(app, ["run", "--encoder", "yamnet", "--weights", str(tmp_path)])
    assert result.exit_code == 2
    assert "holds no yamnet.h5" in result.stderr
