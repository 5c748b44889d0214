from pathlib import Path

import pytest

from collab_asd import encoders
from collab_asd.audit.findings import parties
from collab_asd.audit.run import AuditedRun
from collab_asd.audit.view import Recorded, View
from collab_asd.config import RunConfig
from collab_asd.wire.codecs import parse
from collab_asd.wire.defences.chain import Defences


@pytest.fixture
def run_of(tmp_path):
    """Makes a run as far as its clients describe their encoder; nobody was sent f_s."""

    def make(key: bytes | None):
        file = tmp_path / "key"
        if key is not None:
            file.write_bytes(key)
        config = RunConfig(encoder_key_file=str(file) if key is not None else "")
        encoder = encoders.build(config)
        said = {"client": {"digest": encoder.spec.digest}}
        view = View(tuple(Recorded("up", client, "query.describe", said, {}) for client in range(2)))
        return AuditedRun(Path(), config, view, parse("fp32").fit([]), encoder, Defences(), (), Path())

    return make


def held(run):
    return {party.name: (party.f_c, party.f_s, party.complete) for party in parties(run)}


def test_a_demo_key_is_known_from_its_digest(run_of):
    assert held(run_of(None)) == {
        "a client": (True, False, False),
        "the server": (True, True, True),
        "a reader of all messages": (True, False, False),
    }


def test_a_secret_key_leaves_nobody_with_both_models_under_algorithm_2(run_of):
    assert held(run_of(bytes(range(32)))) == {
        "a client": (True, False, False),
        "the server": (False, True, False),
        "a reader of all messages": (False, False, False),
    }
