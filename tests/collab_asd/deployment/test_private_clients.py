"""Clients with folders of their own, in process: their scores are a simulation's, and stay with them."""

import csv
import json
from dataclasses import replace

import pytest

from collab_asd.audit.view import View
from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.data.layouts import find_clips
from collab_asd.data.partitions import by_machine
from collab_asd.data.run_data import write_listing
from collab_asd.deployment.consortium import agreement_text
from collab_asd.federation.engines import run_inprocess
from collab_asd.federation.grid import InProcessGrid
from collab_asd.federation.messages import EMBEDDINGS, SCORE
from collab_asd.federation.recording import VIEW
from collab_asd.report.reading import read_run
from simulations import client_app, server_app


def private_grid(config, folders):
    """SuperNodes that are told what is their own, as by ``--node-config``."""
    together = folders[0].parent
    nodes = [
        {
            "client": client, "clients": len(folders),
            "data-dir": str(folder / "recordings.csv"), "cache-dir": str(folder / "cache-dir"),
            "results-dir": str(folder / "results-dir"), "agreement": str(together / "agreement.toml"),
            "pseudonym-key-file": str(together / "shared.key"),
        }
        for client, folder in enumerate(folders)
    ]  # fmt: skip
    return InProcessGrid(client_app.app, len(folders), config.to_mapping(), nodes)


@pytest.fixture(scope="module")
def two_types(many_machines, listing, tmp_path_factory):
    """Four machines of two types; the type of the first two comes second in the alphabet."""
    return listing(many_machines, tmp_path_factory.mktemp("types") / "all.csv", ("b", "b", "a", "a").__getitem__)


@pytest.fixture
def folders(two_types, tmp_path):
    """One machine for each of four clients, in the order of a simulation."""
    (tmp_path / "shared.key").write_bytes(b"a key of the clients alone")
    made = []
    for held in by_machine(find_clips(two_types), "machine-type"):
        made.append(tmp_path / f"client-{held.client}")
        made[-1].mkdir()
        write_listing(made[-1] / "recordings.csv", held.clips)
    return made


@pytest.fixture
def config(cache, tmp_path):
    return RunConfig(
        results_dir=str(tmp_path / "server"), cache_dir=str(cache), encoder="logmel", epochs=1, report=False,
        page_megabytes=1000.0,
    )  # fmt: skip


def agree(config, folders, **changes):
    agreed = replace(config, **changes)
    agreed = replace(agreed, record_view=True)
    (folders[0].parent / "agreement.toml").write_text(agreement_text(agreed, ""))
    return agreed


def scores(folders):
    found = {}
    for run in map(read_run, folders):
        content = {row.clip: row.sha256 for row in run.manifest}
        found |= {content[row.clip]: (row.anomaly_score, row.threshold, row.decision) for row in run.table.rows}
    return found


def test_covariances_of_a_deployment_give_the_scores_of_a_simulation(config, folders, two_types, tmp_path):
    config = agree(config, folders, method="covariance-sharing")
    server_app.run(private_grid(config, folders), config, "inprocess")
    simulated = run_inprocess(
        replace(config, data_dir=str(two_types), results_dir=str(tmp_path / "simulated"), record_view=False), 4
    )
    assert scores(folder / "results-dir" / "run-1" for folder in folders) == scores([simulated])


def test_no_covariance_is_shared_that_no_agreement_names(config, folders):
    agree(config, folders)
    asked = replace(config, method="covariance-sharing", record_view=True)
    with pytest.raises(InputError, match=r"client 0: .*its log says more"):
        server_app.run(private_grid(asked, folders), asked, "inprocess")
    (folders[0].parent / "agreement.toml").unlink()
    with pytest.raises(InputError, match="client 0: "):
        server_app.run(private_grid(asked, folders), asked, "inprocess")


@pytest.mark.slow
@pytest.mark.parametrize("inference", ["client", "server"])
def test_scores_of_a_simulation_stay_with_the_clients(config, folders, two_types, tmp_path, inference):
    config = agree(config, folders, inference=inference)
    server = server_app.run(private_grid(config, folders), config, "inprocess")
    simulated = run_inprocess(
        replace(config, data_dir=str(two_types), results_dir=str(tmp_path / "simulated"), record_view=False), 4
    )
    assert scores(folder / "results-dir" / "run-1" for folder in folders) == scores([simulated])
    assert {file.name for file in server.iterdir()} == {"config.json", "summary.json", "server", VIEW, ".lock"}
    summary = json.loads((server / "summary.json").read_text())
    assert (summary["scores"], summary["engine"]) == ("kept by the clients", "deployment")
    with pytest.raises(InputError, match="the clients keep them"):
        read_run(server)
    said = [m for m in View.read(server / VIEW).messages if m.way == "up" and m.kind == SCORE]
    assert [(len(m.arrays), m.records) for m in said] == [(0, {"kept": {"scored": True}})] * 4


def test_a_simulation_may_leave_the_scores_with_its_clients(config, two_types):
    folder = run_inprocess(replace(config, data_dir=str(two_types), method="local-knn", report_scores=False), 4)
    assert not (folder / "scores.csv").exists()
    with (folder / "client-2" / "scores.csv").open() as file:
        assert {(row["client"], row["machine_type"]) for row in csv.DictReader(file)} == {("2", "b")}


@pytest.mark.slow
def test_a_factory_joins_and_the_others_are_not_asked_again(config, folders, tmp_path):
    """Its number is the next; theirs stay, and so do those of their machines."""
    config = agree(config, folders, group_by="all", retain_embeddings=True)
    first = server_app.run(private_grid(config, folders[:3]), config, "inprocess")
    later = replace(config, join=str(first), results_dir=str(tmp_path / "later"))
    server_app.run(private_grid(later, folders), later, "inprocess")
    pages = [m.client for m in View.read(tmp_path / "later" / VIEW).messages if (m.way, m.kind) == ("up", EMBEDDINGS)]
    assert pages == [3]
    assert all((folder / "results-dir" / "run-1" / "scores.csv").exists() for folder in folders)
