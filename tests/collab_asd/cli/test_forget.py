"""A client that leaves: what of it is deleted, and what is left of the others."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from collab_asd.cli import deploy as forget
from collab_asd.cli.errors import FriendlyGroup
from collab_asd.config import RunConfig
from collab_asd.federation.engines import run_inprocess
from collab_asd.methods.embedding_sharing.state import KEPT, STORE, ServerState

LEAVER, NEWCOMER = 1, 3


@pytest.fixture(scope="module")
def run(listing, many_machines, tmp_path_factory):
    """Three clients, and all that a server can keep of them."""
    folder = tmp_path_factory.mktemp("forget")
    clips = listing(many_machines, folder / "clips.csv", lambda machine: "" if machine == NEWCOMER else "fan")
    config = RunConfig(
        data_dir=str(clips), cache_dir=str(folder / "cache"), results_dir=str(folder / "run"), encoder="logmel",
        epochs=1, report=False, retain_embeddings=True, record_view=True,
    )  # fmt: skip
    run_inprocess(config, 3)
    return config


@pytest.fixture
def config(run, tmp_path):
    """The same run, copied."""
    shutil.copytree(Path(run.cache_dir) / "classifiers", tmp_path / "cache" / "classifiers")
    shutil.copytree(run.results_dir, tmp_path / "run")
    config = replace(run, cache_dir=str(tmp_path / "cache"), results_dir=str(tmp_path / "run"))
    (tmp_path / "run" / "config.json").write_text(json.dumps(config.to_mapping()))
    return config


@pytest.fixture
def finished(config):
    return Path(config.results_dir)


def call(*arguments):
    app = typer.Typer(cls=FriendlyGroup)
    app.command("forget")(forget.forget_command)
    app.callback()(lambda: None)
    return CliRunner().invoke(app, ["forget", *map(str, arguments)])


def files_of(folder, client):
    return [file for file in folder.rglob("*") if f"client-{client}" in str(file.relative_to(folder))]


def test_nothing_of_the_client_is_left_and_all_of_the_others(finished, config, tmp_path):
    before = {client: len(files_of(finished, client)) for client in range(3)}
    assert all(before.values())
    result = call(finished, "--client", LEAVER, "--yes")
    assert result.exit_code == 0, result.output
    assert "deleted 2 files of embeddings" in result.stdout
    assert "1 cached copies of" in result.stdout
    assert "What this cannot undo" in result.stdout
    after = {client: len(files_of(finished, client)) for client in range(3)}
    assert after == before | {LEAVER: 0}
    assert list(ServerState.load(finished / KEPT).descriptions) == [0, 2]
    assert list(json.loads((finished / KEPT / STORE / "store.json").read_bytes())["clients"]) == ["0", "2"]
    assert not list((tmp_path / "cache" / "classifiers").glob("*"))


def test_others_can_still_be_joined_and_the_leaver_is_a_stranger(finished, config, many_machines, tmp_path, caplog):
    call(finished, "--client", LEAVER, "--yes")
    all_four = replace(config, data_dir=str(many_machines), results_dir=str(tmp_path / "joined"), join=str(finished))
    joined = run_inprocess(all_four, 4)
    assert f"clients {LEAVER}, {NEWCOMER} join 2 others" in caplog.messages
    assert all(files_of(joined / KEPT / STORE, client) for client in range(4))
    assert "2 of the files also lie" in call(finished, "--client", 0, "--yes").stdout


def test_who_is_not_there_is_said(finished):
    result = call(finished, "--client", 7, "--yes")
    assert (result.exit_code, "holds nothing of client 7; it has clients 0, 1, 2" in result.stderr) == (2, True)


def test_who_is_not_there_is_said_before_it_asks(finished):
    result = call(finished, "--client", 7)
    assert (result.exit_code, "[y/N]" in result.output) == (2, False)


def test_no_result_folder(tmp_path):
    result = call(tmp_path, "--client", 0, "--yes")
    assert (result.exit_code, "not the result folder" in result.stderr) == (2, True)


def test_the_store_of_a_newer_release_is_left_as_it_is(finished):
    card = finished / KEPT / STORE / "store.json"
    card.write_text(json.dumps(json.loads(card.read_bytes()) | {"version": 9}))
    before = files_of(finished, LEAVER)
    result = call(finished, "--client", LEAVER, "--yes")
    assert (result.exit_code, "of version 9" in result.stderr) == (2, True)
    assert files_of(finished, LEAVER) == before


def test_asks_first(finished):
    assert call(finished, "--client", LEAVER).exit_code == 1
    assert files_of(finished, LEAVER)


def test_all_results_of_a_server(finished, tmp_path):
    server = tmp_path / "server"
    (server / "results").mkdir(parents=True)
    (server / "server.toml").touch()
    for name in ("one", "two"):
        shutil.copytree(finished, server / "results" / name)
    result = call(server, "--client", LEAVER, "--yes")
    assert (result.exit_code, result.stdout.count("deleted 2 files of embeddings")) == (0, 2)
    assert not files_of(server, LEAVER)
