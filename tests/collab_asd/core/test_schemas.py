"""What another release wrote is read, or refused with its version, those that are read, and what to do."""

import json
import re

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from collab_asd import __version__
from collab_asd.audit.view import View
from collab_asd.core.errors import InputError
from collab_asd.core.schemas import Schema
from collab_asd.detection import storage
from collab_asd.detection.choice import SavedDetector
from collab_asd.encoders.bundle import open_bundle
from collab_asd.federation.agreement import Agreement
from collab_asd.federation.results import read_config, read_summary
from collab_asd.methods.embedding_sharing.state import ServerState
from collab_asd.methods.embedding_sharing.store import EmbeddingStore
from collab_asd.report.privacy import read_audit
from collab_asd.wire.codecs import parse


def as_json(key):
    return lambda version: json.dumps({key: version}).encode()


def agreement(version):
    return f"agreement-version = {json.dumps(version)}\nseed = 1\n".encode()


def bundle(version):
    return f"collab-asd encoder bundle {version}\n".encode()


def adopt(folder):
    EmbeddingStore(folder / "new", parse("fp32")).adopt(folder, {0: 0})


READERS = {
    "result folder": ("summary.json", as_json("version"), read_summary),
    "configuration": ("summary.json", as_json("version"), read_config),
    "detector": ("detector.json", as_json("format"), storage.load),
    "detectors": ("detector.json", as_json("format"), storage.read_cards),
    "chosen detector": ("detector.json", as_json("format"), SavedDetector.at),
    "server state": ("server.json", as_json("format"), ServerState.load),
    "store": ("store.json", as_json("version"), lambda folder: EmbeddingStore(folder, parse("fp32")).open({})),
    "adopted store": ("store.json", as_json("version"), adopt),
    "recorded message": ("client-0/0-up-x.json", as_json("version"), View.read),
    "audit": ("audit/audit.json", as_json("version"), read_audit),
    "agreement": ("agreement.toml", agreement, lambda folder: Agreement.load(str(folder / "agreement.toml"))),
    "bundle": (
        "x.bundle", bundle,
        lambda folder: open_bundle(folder / "x.bundle", Ed25519PrivateKey.generate().public_key(), "", folder / "in"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("version", [9, 0])
@pytest.mark.parametrize("reader", READERS)
def test_what_cannot_be_read_is_refused_in_one_sentence(reader, version, tmp_path):
    name, write, read = READERS[reader]
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(write(version))
    (file.parent / "server.safetensors").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError) as refused:
        read(tmp_path)
    said = str(refused.value)
    assert said.startswith(f"{file}: ")
    assert re.search(rf"of version {version}, collab-asd {re.escape(__version__)} reads version [12]; ", said)
    assert ("install the collab-asd that wrote it" in said) == (version == 9)
    assert "\n" not in said
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("version", [True, "1", 1.5, [1]])
def test_versions_are_whole_numbers(version, tmp_path):
    with pytest.raises(InputError, match="of version "):
        Schema("a file", "delete it").require_readable({"version": version}, tmp_path)


def test_files_that_name_no_version_have_the_one_that_was_written_before(tmp_path):
    assert Schema("a file", "delete it", (1, 2), unnamed=1).require_readable({}, tmp_path) == 1
    with pytest.raises(InputError, match="not a file, or damaged; delete it"):
        Schema("a file", "delete it").require_readable({}, tmp_path)


def test_all_readable_versions_are_named(tmp_path):
    schema = Schema("a file", "delete it", (1, 2))
    assert [schema.require_readable({"version": version}, tmp_path) for version in (1, 2)] == [1, 2]
    assert schema.stamp == {"version": 2}
    with pytest.raises(InputError, match=r"of version 3, .* reads version 1 and 2; install"):
        schema.require_readable({"version": 3}, tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_no_such_file(content, tmp_path):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.json: not a file, or damaged; delete it"):
        Schema("a file", "delete it").read(tmp_path / "x.json")
