import hashlib
import json
import zipfile

import pytest
from typer.testing import CliRunner

from collab_asd.cli.data import data_app
from collab_asd.core.transfer import RemoteFile
from collab_asd.data.download import plan as record
from collab_asd.data.download.plan import RecordError

NAME = "dev_data_fan.zip"
pytestmark = pytest.mark.usefixtures("fresh_process")


@pytest.fixture
def zips(tmp_path):
    """A folder with one zip of the benchmark."""
    folder = tmp_path / "zips"
    folder.mkdir()
    with zipfile.ZipFile(folder / NAME, "w") as archive:
        archive.writestr("fan/train/normal_id_00_00000000.wav", b"sound")
        archive.writestr("fan/test/anomaly_id_00_00000000.wav", b"noise")
    return folder


@pytest.fixture
def listing(zips, monkeypatch):
    """The record's API knows the zip."""
    content = (zips / NAME).read_bytes()
    file = RemoteFile(NAME, "https://zenodo.org/x/content", len(content), hashlib.md5(content).hexdigest())
    monkeypatch.setattr(record, "list_files", lambda session, number, api: {NAME: file})
    return file


@pytest.fixture
def down(monkeypatch):
    """Nobody answers."""

    def refuse(session, number, api):
        raise RecordError(f"{api}/records/{number}: the list of files cannot be had (no connection, or it broke)")

    monkeypatch.setattr(record, "list_files", refuse)


def run(*arguments):
    return CliRunner().invoke(data_app, ["download", "dcase2020", *map(str, arguments), "--types", "fan"])


@pytest.mark.usefixtures("listing")
def test_last_line_says_what_is_where_and_what_to_type_next(zips, tmp_path):
    folder = tmp_path / "my data"
    result = run(folder, "--from", zips)
    assert result.exit_code == 0
    assert result.stdout == (
        f"{folder}: 2 recordings; zips unpacked now: 1, before: 0; next: collab-asd data check '{folder}'\n"
    )
    assert "licence: CC BY-NC-SA 4.0" in result.stderr
    assert "cite: Koizumi et al." in result.stderr
    assert (folder / "fan/test/anomaly_id_00_00000000.wav").read_bytes() == b"noise"


@pytest.mark.usefixtures("listing")
def test_quiet(zips, tmp_path):
    result = run(tmp_path / "data", "--from", zips, "--quiet")
    assert result.stderr == ""
    assert "2 recordings" in result.stdout


def test_json(zips, listing, tmp_path):
    result = run(tmp_path / "data", "--from", zips, "--json")
    told = json.loads(result.stdout)
    assert told["recordings"] == 2
    assert told["not_verified"] == []
    assert told["next"] == f"collab-asd data check {tmp_path / 'data'}"
    assert told["complete_before"] == []
    (step,) = told["zips"]
    assert step == {
        "name": NAME,
        "part": "dev",
        "machine_type": "fan",
        "source": str(zips / NAME),
        "bytes": listing.size,
        "md5": listing.md5,
    }
    again = json.loads(run(tmp_path / "data", "--from", zips, "--json").stdout)
    assert (again["recordings"], again["zips"], again["complete_before"]) == (2, [], [NAME])


@pytest.mark.usefixtures("down")
def test_user_is_told_of_what_is_not_verified_even_when_quiet(zips, tmp_path):
    result = run(tmp_path / "data", "--from", zips, "-q")
    assert result.exit_code == 0
    assert "not verified by MD5: dev_data_fan.zip" in result.stdout
    assert "not verified against the published MD5s, only by the zips' own CRCs: https://zenodo" in result.stderr


@pytest.mark.usefixtures("down")
def test_record_is_down(tmp_path):
    result = run(tmp_path / "data")
    assert result.exit_code == 2
    assert "cannot be had" in result.stderr
    assert "try again later, or name a folder of the zips with --from or a mirror with --mirror" in result.stderr


@pytest.mark.usefixtures("listing")
def test_dry_run_changes_nothing(tmp_path):
    result = run(tmp_path / "data", "--dry-run")
    assert result.exit_code == 0
    assert result.stdout.startswith("dev_data_fan.zip: 0.0 GB from https://zenodo.org/x/content\n")
    assert "needs 0.0 GB, has" in result.stdout
    assert not (tmp_path / "data").exists()


def test_dry_run_as_json(listing, tmp_path):
    told = json.loads(run(tmp_path / "data", "--dry-run", "--json").stdout)
    assert told["needed_bytes"] == int(1.5 * listing.size) + listing.size
    assert told["free_bytes"] > 0
    assert told["licence"].startswith("CC BY-NC-SA 4.0")


@pytest.mark.usefixtures("down")
def test_dry_run_with_a_mirror_while_the_record_is_down(tmp_path):
    result = run(tmp_path / "data", "--dry-run", "--mirror", "http://mirror.example/dcase/")
    assert "dev_data_fan.zip: size unknown from http://mirror.example/dcase/dev_data_fan.zip\n" in result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--parts", "dev,test"), "--parts: 'test' does not exist; choose from dev, additional, eval"),
        (("--mirror", "example.org"), "--mirror 'example.org': expected an address that begins with https://"),
        (("--from", "/does/not/exist"), "--from /does/not/exist: no such folder"),
    ],
)
def test_bad_options(tmp_path, options, message):
    result = run(tmp_path / "data", *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "data").exists()
