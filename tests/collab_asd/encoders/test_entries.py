"""Each entry says of its encoder what the built encoder says."""

from dataclasses import replace

import pytest

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.encoders import ENCODERS, build

entry = ENCODERS.find
NEED_NO_WEIGHTS = [name for name in ENCODERS if not entry(name).weights]


@pytest.mark.parametrize("name", ENCODERS)
def test_each_entry_is_filled_in(name):
    found = entry(name)
    assert found.spec.name == name
    assert found.about.endswith(".")
    assert found.privacy.endswith(".")
    if found.weights:
        source = found.weights(RunConfig(encoder=name))
        assert source.licence
        assert source.citation
    else:
        assert found.licence


def bare(spec):
    return replace(spec, digest="", note="")


@pytest.mark.parametrize("name", NEED_NO_WEIGHTS)
def test_facts_are_those_of_the_encoder(name):
    built, found = build(RunConfig(encoder=name)), entry(name)
    assert bare(found.spec) == bare(built.spec)
    assert [found.frames(n) for n in (100, 20_000, 160_000)] == [built.frames(n) for n in (100, 20_000, 160_000)]


@pytest.mark.parametrize("name", ["efficientat", "efficientat-pooled"])
def test_facts_of_efficientat_are_those_of_the_network_with_weights(shared, name):
    built = build(RunConfig(encoder=name, encoder_weights=str(shared / "weights" / "efficientat")))
    assert bare(built.spec) == bare(entry(name).spec)


def test_facts_of_yamnet_are_those_of_the_network_with_weights(shared):
    weights = shared / "weights" / "yamnet" / "yamnet_folded.h5"
    assert bare(build(RunConfig(encoder="yamnet", encoder_weights=str(weights))).spec) == bare(entry("yamnet").spec)


@pytest.mark.parametrize(
    ("name", "frames", "dimension", "stack", "hop"),
    [
        ("random-conv", 92, 512, 32, 4),
        ("logmel", 311, 128, 64, 8),
        ("waveform", 312, 512, 65, 8),
        ("yamnet", 20, 1024, 8, 1),
        ("openl3-512", 96, 512, 32, 4),
        ("openl3-6144", 96, 6144, 32, 4),
        ("panns", 90, 2048, 32, 4),
        ("efficientat", 32, 1536, 1, 1),
        ("efficientat-pooled", 32, 384, 1, 1),
    ],
)
def test_ten_seconds(name, frames, dimension, stack, hop):
    spec = entry(name).spec
    assert (entry(name).clip_frames, spec.dimension, spec.stack, spec.stack_hop) == (frames, dimension, stack, hop)


def test_unknown_name():
    with pytest.raises(InputError, match=r"encoder 'wav2vec' does not exist.*logmel.*random-conv"):
        entry("wav2vec")
