"""Each method by its specification: all that it names exists, and listing them imports nothing that takes long."""

import subprocess
import sys

import pytest

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.registry import load
from collab_asd.methods import METHODS, MethodSpec, build_method, require_possible

HEAVY = ("torch", "flwr", "scipy", "sklearn", "collab_asd.encoders", "collab_asd.federation")


def test_listing_the_methods_imports_nothing_heavy():
    code = (
        "import sys; from collab_asd.methods import METHODS; list(METHODS); found = dict(METHODS.loadable());"
        f"print(len(found), [m for m in {HEAVY} if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown == f"{len(METHODS)} []\n"


@pytest.mark.parametrize("method", METHODS)
def test_all_that_a_method_names_exists(method):
    spec = METHODS.find(method)
    assert spec.summary.endswith(".")
    for named in (spec.build_strategy, spec.score, spec.describe_costs, *spec.handlers.values()):
        assert callable(load(named)), named


@pytest.mark.parametrize("method", METHODS)
def test_the_server_builds_its_half(method):
    spec = METHODS.find(method)
    encoder = spec.encoders[0] if spec.encoders else RunConfig.encoder
    built = build_method(RunConfig(method=method, encoder=encoder))
    assert callable(built.run)


def test_no_method_of_that_name():
    with pytest.raises(InputError, match=r"'fedavgg'.*fedavg"):
        build_method(RunConfig(method="fedavgg"))


@pytest.mark.parametrize("method", METHODS)
def test_recordings_as_they_are_go_to_a_method_that_shares_recordings(method):
    if METHODS.find(method).shares == "recordings":
        assert require_possible(RunConfig(method=method, encoder="waveform")).sends_frames
    else:
        with pytest.raises(InputError, match=f"'{method}'.*'waveform'"):
            require_possible(RunConfig(method=method, encoder="waveform"))


@pytest.mark.parametrize("kind", ["files", "ask.files", "query.two words", "query.a.b", ""])
def test_a_message_type_that_flower_does_not_know_is_refused(kind):
    with pytest.raises(InputError, match="handlers"):
        MethodSpec("It asks.", "nothing", "a:b", "a:c", handlers={kind: "a:d"})


@pytest.mark.parametrize("method", METHODS)
def test_keys_that_a_method_has_no_use_for_are_keys(method):
    assert set(METHODS.find(method).no_use_for) <= set(RunConfig().to_mapping())


def test_a_key_that_changes_nothing_is_warned_of(caplog):
    require_possible(RunConfig(method="fedavg", rounds=5, learning_rate=0.02))
    require_possible(RunConfig(method="embedding-sharing", epochs=7))
    assert not caplog.messages
    require_possible(RunConfig(method="fedavg", epochs=49))
    require_possible(RunConfig(method="local-knn", optimizer="sgd"))
    assert [message.split(":")[0] for message in caplog.messages] == [
        "epochs = 49 changes nothing",
        "optimizer = sgd changes nothing",
    ]
