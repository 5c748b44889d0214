"""`collab-asd encoders bundle` and `unbundle`, from the distributor's key to the node's configuration."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from typer.testing import CliRunner

from collab_asd.cli.main import app
from collab_asd.encoders import MEAN_REMOVED
from collab_asd.encoders.random_conv import ARCHITECTURE

SECRET = bytes(range(32))
ENCODER = hashlib.sha256(ARCHITECTURE.encode() + b"/" + SECRET).hexdigest()
DIGEST = hashlib.sha256(MEAN_REMOVED + ENCODER.encode()).hexdigest()


@pytest.fixture
def call(tmp_path):
    for name in ("distributor", "stranger"):
        key = Ed25519PrivateKey.generate()
        (tmp_path / name).write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        (tmp_path / f"{name}.pub").write_bytes(public + b" someone@example")
    (tmp_path / "f_c.key").write_bytes(SECRET)

    environment = {"COLUMNS": "200", "XDG_DATA_HOME": str(tmp_path / "data")}

    def call(*arguments):
        return CliRunner().invoke(app, ["encoders", *map(str, arguments)], env=environment)

    return call


@pytest.fixture
def bundle(call, tmp_path):
    result = call("bundle", "random-conv", tmp_path / "f_c.key", "--key", tmp_path / "distributor", "--to", tmp_path)
    assert result.exit_code == 0, result.output
    assert f'encoder-digest = "{DIGEST}"' in result.stdout
    return tmp_path / f"random-conv-{DIGEST[:16]}.bundle"


def unbundle(call, bundle, *arguments, signer="distributor"):
    folder = bundle.parent
    return call("unbundle", bundle, "--signer", folder / f"{signer}.pub", "--to", folder / "in", *arguments)


def test_agreement_decides(call, bundle, tmp_path):
    agreement = tmp_path / "agreement.toml"
    agreement.write_text(f'encoder-digest = "{DIGEST}"\n')
    result = unbundle(call, bundle, "--agreement", agreement)
    assert f'for node.toml: encoder-key-file = "{tmp_path / "in" / "f_c.key"}"' in result.stdout
    assert (tmp_path / "in" / "f_c.key").read_bytes() == SECRET


@pytest.mark.parametrize(
    ("arguments", "signer", "why"),
    [
        (("--digest", DIGEST), "stranger", "another key has signed it"),
        (("--digest", DIGEST[::-1]), "distributor", "was agreed on"),
        (("--digest", DIGEST[:12]), "distributor", "expected all 64 hexadecimal digits"),
        ((), "distributor", "--digest or as --agreement"),
    ],
)
def test_refused_in_words(call, bundle, tmp_path, arguments, signer, why):
    result = unbundle(call, bundle, *arguments, signer=signer)
    assert (result.exit_code, why in result.stderr) == (2, True)
    assert not (tmp_path / "in" / "f_c.key").exists()


@pytest.mark.parametrize(
    ("name", "file", "key", "why"),
    [
        ("logmel", "f_c.key", "distributor", "neither weights nor a key"),
        ("random-conv", "absent", "distributor", "no such file"),
        ("random-conv", "f_c.key", "f_c.key", "ssh-keygen -t ed25519"),
        ("yamnet", "f_c.key", "distributor", "f_c.key"),
    ],
)
def test_what_cannot_be_bundled(call, tmp_path, name, file, key, why):
    result = call("bundle", name, tmp_path / file, "--key", tmp_path / key, "--to", tmp_path)
    assert (result.exit_code, why in result.stderr) == (2, True)
    assert not list(tmp_path.glob("*.bundle"))
