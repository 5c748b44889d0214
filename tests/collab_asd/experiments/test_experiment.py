"""Experiment files: what they mean, and what is wrong with them."""

from dataclasses import replace
from pathlib import Path

import pytest

from collab_asd.core.errors import InputError
from collab_asd.experiments.experiment import SHIPPED, Experiment, find_experiment

WHOLE = """
name = "all"
data-dir = "recordings"
methods = ["local-knn", "embedding-sharing"]
encoders = ["logmel", "yamnet"]
scorers = ["fusion", "lof"]
seeds = [3, 5]
[settings]
epochs = 2
metric = "cosine"
[method-settings.embedding-sharing]
epochs = 7
[encoder-settings.yamnet]
encoder-weights = "weights/yamnet.h5"
epochs = 5
"""


@pytest.fixture
def read(tmp_path):
    def read(text):
        (tmp_path / "x.toml").write_text(text)
        return Experiment.read(tmp_path / "x.toml")

    return read


def test_cells_are_the_product_without_scorers_that_a_method_does_not_have(read, tmp_path):
    cells = read(WHOLE).cells(tmp_path / "out")
    assert [cell.name for cell in cells] == [
        f"{method}-{encoder}-{scorer}-{seed}"
        for seed in (3, 5)
        for encoder in ("logmel", "yamnet")
        for method, scorer in (("local-knn", "knn"), ("embedding-sharing", "fusion"), ("embedding-sharing", "lof"))
    ]
    assert [cell.folder for cell in cells] == [tmp_path / "out" / "cells" / cell.name for cell in cells]


def test_settings_method_over_encoder_over_all_and_the_command_line_over_every_one(read, tmp_path):
    experiment = read(WHOLE)
    configs = {cell.name: cell.config for cell in experiment.cells(tmp_path)}
    assert configs["local-knn-logmel-knn-3"].epochs == 2
    assert configs["local-knn-yamnet-knn-3"].epochs == 5
    assert configs["embedding-sharing-yamnet-lof-3"].epochs == 7
    assert {config.metric for config in configs.values()} == {"cosine"}
    assert {config.report for config in configs.values()} == {False}
    assert {cell.config.epochs for cell in experiment.cells(tmp_path, {"epochs": "1"})} == {1}


def test_a_method_can_be_compared_with_itself_under_another_name(read, tmp_path):
    experiment = read(
        'name = "x"\nmachines = 2\nmethods = ["embedding-sharing", "at-server"]\n'
        '[method-settings.at-server]\nmethod = "embedding-sharing"\ninference = "server"'
    )
    cells = experiment.cells(tmp_path)
    assert [cell.name for cell in cells] == ["embedding-sharing-random-conv-fusion-0", "at-server-random-conv-fusion-0"]
    assert [cell.method for cell in cells] == ["embedding-sharing", "at-server"]
    assert [cell.config.method for cell in cells] == ["embedding-sharing"] * 2
    assert [cell.config.inference for cell in cells] == ["client", "server"]


def test_a_method_can_have_encoders_of_its_own(read, tmp_path):
    experiment = read(
        'name = "x"\nmachines = 2\nmethods = ["embedding-sharing", "centralized"]\n'
        'encoders = ["logmel", "random-conv"]\n'
        '[method-encoders]\ncentralized = ["waveform"]\n[encoder-settings.waveform]\nepochs = 2'
    )
    assert [(cell.method, cell.config.encoder, cell.config.epochs) for cell in experiment.cells(tmp_path)] == [
        ("embedding-sharing", "logmel", 0),
        ("embedding-sharing", "random-conv", 0),
        ("centralized", "waveform", 2),
    ]


def test_paths_in_a_file_are_relative_to_it(read, tmp_path):
    for cell in read(WHOLE).cells(tmp_path / "out"):
        weights = tmp_path / "weights" / "yamnet.h5" if cell.config.encoder == "yamnet" else ""
        assert cell.config.encoder_weights == str(weights)
        assert cell.config.data_dir == str(tmp_path / "recordings")


@pytest.mark.parametrize(("scorers", "reference"), [('["lof", "fusion"]', "fusion"), ('["lof", "knn"]', "lof")])
def test_reference_is_the_default_scorer_where_it_is_compared(read, scorers, reference):
    assert read(f'name = "x"\nmethods = ["m"]\nscorers = {scorers}').reference_scorer == reference


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = ", ["x.toml", "not an experiment file"]),
        ('methods = ["local-knn"]', ["name is missing"]),
        ('name = "x"', ["methods is missing"]),
        ('name = "x"\nmethods = []', ["methods = []", "at least one"]),
        ('name = "x"\nmethods = "local-knn"', ["methods must be a list, not 'local-knn'"]),
        ('name = "x"\nmethods = ["a", "a"]', ["none twice"]),
        ('name = "x"\nmethods = ["a"]\nseeds = [1.5]', ["seeds = [1.5]", "whole number"]),
        ('name = "x"\nmethods = ["a"]\nseeds = [true]', ["seeds = [True]", "whole number"]),
        ('name = "x"\nmethods = ["a"]\nmachines = "six"', ["machines must be a whole number, not 'six'"]),
        ('name = "x"\nmethods = ["a"]\nsead = [1]', ["key 'sead' does not exist", "seeds"]),
        ('name = "x"\nmethods = ["a"]\n[settings]\nseed = 3', ["[settings]", "'seed'", "use seeds"]),
        ('name = "x"\nmethods = ["a"]\n[settings]\ndata-dir = "/d"', ["'data-dir'", "--data"]),
        ('name = "x"\nmethods = ["a"]\n[method-settings.a]\nseed = 1', ["[method-settings.a]", "use seeds"]),
        ('name = "x"\nmethods = ["a"]\n[encoder-settings.random-conv]\nmethod = "b"', ["'method'", "use methods"]),
        ('name = "x"\nmethods = ["a"]\n[method-settings.b]\nepochs = 1', ["[method-settings.b]", "choose one of a"]),
        ('name = "x"\nmethods = ["a"]\n[encoder-settings.yamnet]\nepochs = 1', ["choose one of random-conv"]),
        ('name = "x"\nmethods = ["a"]\n[method-encoders]\nb = ["logmel"]', ["[method-encoders.b]", "choose one of a"]),
        ('name = "x"\nmethods = ["a"]\n[method-encoders]\na = "logmel"', ["method-encoders.a must be a list"]),
    ],
)
def test_what_is_wrong_with_a_file_is_said(read, text, words):
    with pytest.raises(InputError) as caught:
        read(text)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("[settings]\nepochz = 1", "'epochz' does not exist"),
        ("[settings]\nepochs = -1", "epochs = -1"),
        ('[method-settings.local-knn]\nmetric = "manhattan"', "cosine, euclidean"),
    ],
)
def test_a_wrong_setting_is_found_before_any_cell(read, tmp_path, settings, words):
    experiment = read(f'name = "x"\nmachines = 2\nmethods = ["local-knn"]\n{settings}')
    with pytest.raises(InputError, match=words):
        experiment.cells(tmp_path)


def test_an_experiment_without_recordings_asks_for_them(read):
    with pytest.raises(InputError, match="--data"):
        read('name = "x"\nmethods = ["local-knn"]').require_recordings()


def test_what_the_comparison_sets_itself_cannot_be_set(read, tmp_path):
    with pytest.raises(InputError, match="'scorer' is not set there; use scorers"):
        read(WHOLE).cells(tmp_path, {"scorer": "knn"})


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.toml"):
        Experiment.read(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_experiments_are_good_and_found_by_name(path, tmp_path):
    assert find_experiment(path.stem) == find_experiment(path.name) == path
    experiment = Experiment.read(path)
    assert experiment.name == path.stem
    assert replace(experiment, machines=2).cells(tmp_path)


def test_a_file_of_ones_own_goes_before_a_shipped_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="experiment 'toycarr' does not exist: did you mean 'toycar'"):
        find_experiment("toycarr")
    (tmp_path / "synthetic.toml").touch()
    (tmp_path / "toycar.toml").touch()
    assert find_experiment("synthetic.toml").absolute() == tmp_path / "synthetic.toml"
    assert find_experiment(str(tmp_path / "toycar.toml")) == tmp_path / "toycar.toml"


def test_a_folder_of_the_name_hides_no_experiment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "few-shot").mkdir()
    assert find_experiment("few-shot").name == "few-shot.toml"
    (tmp_path / "few-shot").rmdir()
    (tmp_path / "few-shot").write_text('name = "mine"')
    assert find_experiment("few-shot") == Path("few-shot")
