import hashlib
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.encoders import bundle as bundling
from collab_asd.encoders import remove_offset
from collab_asd.encoders.bundle import START, open_bundle, write_bundle
from collab_asd.encoders.random_conv import RandomConv

SECRET = bytes(range(32))
DIGEST = remove_offset(RandomConv(SECRET)).spec.digest
SIGNER = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
STRANGER = Ed25519PrivateKey.from_private_bytes(b"t" * 32)


@pytest.fixture(autouse=True)
def own_record(tmp_path, monkeypatch):
    """What was opened before is each test's own."""
    monkeypatch.setattr(bundling, "data_dir", lambda: tmp_path / "data")


@pytest.fixture
def bundle(tmp_path):
    key = tmp_path / "f_c.key"
    key.write_bytes(SECRET)
    config = RunConfig(encoder="random-conv", encoder_key_file=str(key))
    path, card = write_bundle(config, key, SIGNER, tmp_path / "out")
    assert card.encoder_digest == DIGEST
    return path


def repacked(bundle, change, content=SECRET, signer=None):
    """Change a bundle's card and content; signed anew where there is a signer."""
    card, signature = card_of(bundle), bundle.read_bytes()[-len(SECRET) - 64 : -len(SECRET)]
    card = change(card)
    if signer:
        signature = signer.sign(START + card)
    bundle.write_bytes(START + len(card).to_bytes(4, "little") + card + signature + content)


def card_of(bundle):
    return bundle.read_bytes()[len(START) + 4 : -len(SECRET) - 64]


def test_what_goes_in_comes_out(bundle, tmp_path):
    file, card = open_bundle(bundle, SIGNER.public_key(), DIGEST, tmp_path / "in")
    assert (file, card.encoder) == (tmp_path / "in" / "f_c.key", "random-conv")
    assert file.read_bytes() == SECRET
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert bundle.name == f"random-conv-{DIGEST[:16]}.bundle"


def refused(bundle, tmp_path, why, signer=SIGNER, digest=DIGEST):
    with pytest.raises(InputError, match=why):
        open_bundle(bundle, signer.public_key(), digest, tmp_path / "in")
    assert not (tmp_path / "in").exists() or not list((tmp_path / "in").iterdir())


def test_another_signer(bundle, tmp_path):
    refused(bundle, tmp_path, "another key has signed", signer=STRANGER)


def test_another_digest(bundle, tmp_path):
    refused(bundle, tmp_path, "0" * 12 + " was agreed on", digest="0" * 64)


def test_each_bit_counts(bundle, tmp_path):
    whole = bundle.read_bytes()
    for at in range(0, 8 * len(whole), 11):
        bundle.write_bytes(whole[: at // 8] + bytes([whole[at // 8] ^ (1 << at % 8)]) + whole[at // 8 + 1 :])
        refused(bundle, tmp_path, "refused|a bundle of version")


def test_each_byte_is_needed(bundle, tmp_path):
    whole = bundle.read_bytes()
    for length in range(0, len(whole), 7):
        bundle.write_bytes(whole[:length])
        refused(bundle, tmp_path, "refused")


@pytest.mark.parametrize("content", [SECRET[::-1], SECRET + b"!", b""])
def test_other_content_under_the_signed_card(bundle, tmp_path, content):
    repacked(bundle, lambda card: card, content)
    refused(bundle, tmp_path, "not what was signed")


def test_another_card_under_the_signature(bundle, tmp_path):
    repacked(bundle, lambda card: card.replace(b"f_c.key", b"f_d.key"))
    refused(bundle, tmp_path, "its card was changed")


@pytest.mark.parametrize("name", [b"../f.key", b"/etc/key", b".ssh", b"a/b", b""])
def test_name_that_leads_elsewhere(bundle, tmp_path, name):
    repacked(bundle, lambda card: card.replace(b"f_c.key", name), signer=SIGNER)
    refused(bundle, tmp_path, "names no plain file")


def test_distributor_who_is_mistaken(bundle, tmp_path):
    """The agreed digest stands on the card, but the file makes another encoder."""
    other = SECRET[::-1]
    own, wrong = (hashlib.sha256(key).hexdigest().encode() for key in (SECRET, other))
    repacked(bundle, lambda card: card.replace(own, wrong), other, SIGNER)
    refused(bundle, tmp_path, "its file makes an encoder of digest")


def test_card_of_another_version(bundle, tmp_path):
    repacked(bundle, lambda card: card.replace(b"frontend", b"backend"), signer=SIGNER)
    refused(bundle, tmp_path, "another version's")


def test_no_bundle(tmp_path):
    refused(tmp_path / "y", tmp_path, "No such file")


def test_card_holds_nothing_secret(bundle):
    assert SECRET not in card_of(bundle)
    assert SECRET.hex().encode() not in card_of(bundle)


def bundles(tmp_path, *numbers, signer=SIGNER, days=1.0):
    """One bundle of each number, all of the same key."""
    key = tmp_path / "f_c.key"
    key.write_bytes(SECRET)
    config = RunConfig(encoder="random-conv", encoder_key_file=str(key))
    return [write_bundle(config, key, signer, tmp_path / f"{n} {days}", days, n)[0] for n in numbers]


def test_older_bundle_is_refused_once_a_newer_was_opened(tmp_path):
    first, second = bundles(tmp_path, 4, 5)
    for bundle in (first, second, second):
        open_bundle(bundle, SIGNER.public_key(), DIGEST, tmp_path / "was in")
    refused(first, tmp_path, "its number is 4, and one of number 5 was opened before")
    (theirs,) = bundles(tmp_path, 1, signer=STRANGER)
    open_bundle(theirs, STRANGER.public_key(), DIGEST, tmp_path / "was in")


def test_refused_bundle_counts_for_nothing(tmp_path):
    first, second = bundles(tmp_path, 4, 5)
    refused(second, tmp_path, "was agreed on", digest="0" * 64)
    open_bundle(first, SIGNER.public_key(), DIGEST, tmp_path / "was in")


def test_expired_bundle_is_refused(tmp_path):
    (bundle,) = bundles(tmp_path, 4, days=-0.1)
    refused(bundle, tmp_path, "it has expired on")


def test_damaged_record_is_not_taken_for_none(tmp_path):
    (bundle,) = bundles(tmp_path, 4)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "bundles.json").write_text("{")
    refused(bundle, tmp_path, "is damaged")


def test_bundle_without_a_number_is_another_version(bundle, tmp_path):
    bundle.write_bytes(bundle.read_bytes().replace(b"bundle 2", b"bundle 1", 1))
    refused(bundle, tmp_path, "version 1")
