"""A consortium one of whose clients runs another release: both sides say so, and no embedding is sent."""

import re
import shutil
from pathlib import Path

import pytest

import collab_asd
from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.deployment import local
from collab_asd.deployment.consortium import Consortium
from collab_asd.deployment.local import client_folders, consortium_running, give_recordings
from collab_asd.deployment.processes import environment
from collab_asd.deployment.run import run
from collab_asd.deployment.settings import NODE

pytestmark = pytest.mark.slow
REPOSITORY = Path(collab_asd.__file__).parents[1]
OTHER = "0.0.9"


@pytest.fixture(scope="module")
def other_release(tmp_path_factory):
    """An installation of the package that has another version."""
    folder = tmp_path_factory.mktemp("other")
    for package in ("collab_asd", "baselines", "simulations"):
        shutil.copytree(REPOSITORY / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / "collab_asd" / "__init__.py"
    text = file.read_text()
    assert f'__version__ = "{collab_asd.__version__}"' in text
    file.write_text(text.replace(f'__version__ = "{collab_asd.__version__}"', f'__version__ = "{OTHER}"'))
    return folder


def test_another_release_is_refused_at_both_sides(other_release, free_ports, machines, listing, tmp_path, monkeypatch):
    folder = tmp_path / "consortium"
    port, *own = free_ports(3)
    Consortium(2, ["127.0.0.1"], RunConfig(encoder="logmel"), port).write(folder)
    for path, own_port in zip(client_folders(folder), own, strict=True):
        (path / NODE).write_text(re.sub(r"(?m)^port = .*$", f"port = {own_port}", (path / NODE).read_text()))
    give_recordings(folder, str(listing(machines, tmp_path / "two.csv", ("fan", "fan", "").__getitem__)))

    def of_party(party):
        code = other_release if party.name == "client-1" else REPOSITORY
        return environment(party) | {"PYTHONPATH": str(code)}

    monkeypatch.setattr(local, "environment", of_party)
    with consortium_running(folder) as server, pytest.raises(InputError) as refused:
        run(server, None, {"epochs": 1}, lambda line: None)
    sentence = (
        rf"the server runs collab-asd {collab_asd.__version__} \(protocol \d+\), client 1 runs {OTHER} "
        r"\(protocol \d+\): install the same version at both"
    )
    assert re.search(sentence, str(refused.value))
    logs = {party: (folder / party / "state" / "log.txt").read_text() for party in ("client-0", "client-1")}
    assert re.search(f"refused: {sentence}", logs["client-1"])
    for log in logs.values():
        assert set(re.findall(r"Receiving: (\S+) message", log)) == {"query.hello"}
    assert not list((folder / "server").rglob("store"))
