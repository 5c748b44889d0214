"""Comparisons over partitions of the same clips, and the figure of AUC against heterogeneity."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from collab_asd.cli.main import app
from collab_asd.core.errors import InputError
from collab_asd.data.partitions import evenness, partition_settings
from collab_asd.experiments.experiment import Experiment
from collab_asd.experiments.tables import CellResult, summarize_rows
from collab_asd.report.heterogeneity import against_heterogeneity, limits, spread

SWEEP = """
name = "sweep"
methods = ["embedding-sharing", "local-knn"]
encoders = ["logmel"]
scorers = ["knn"]
seeds = [0, 1]
partitions = ["machine", "dirichlet-5", "iid"]
[settings]
epochs = 1
"""


@pytest.fixture
def call(larger_machines, cache, tmp_path):
    def call(lines, *more):
        (tmp_path / "sweep.toml").write_text(lines)
        fixed = ["--data", larger_machines, "--out", tmp_path / "out", "--set", f"cache-dir={cache}"]
        arguments = [str(a) for a in ("compare", tmp_path / "sweep.toml", *fixed, *more)]
        return CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})

    return call


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_sweep_over_partitions_of_the_same_clips(call, tmp_path):
    """IID over three clients is impossible here: 24 training clips make 8 each. Over two it is not."""
    refused = call(SWEEP)
    assert refused.exit_code == 2
    assert "24 training clips, and 3 clients need 10" in refused.output
    assert not list(tmp_path.glob("out/cells/*"))

    mixed = SWEEP.replace('"machine", ', "")
    result = call(mixed, "--set", "clients=2")
    assert result.exit_code == 0, result.output
    out = tmp_path / "out"
    names = {
        f"{m}-logmel-knn-{p}-{s}"
        for m in ("embedding-sharing", "local-knn")
        for p in ("dirichlet-5", "iid")
        for s in (0, 1)
    }
    assert {path.name for path in (out / "cells").iterdir() if not path.name.startswith(".")} == names
    table = rows(out / "table.csv")
    assert len({row["manifest_sha256"] for row in table}) == 1
    lines = rows(out / "comparison.csv")
    assert [(row["partition"], row["method"]) for row in lines] == [
        (partition, method) for partition in ("dirichlet-5", "iid") for method in ("embedding-sharing", "local-knn")
    ]
    auc = {(row["partition"], row["method"], row["seed"]): float(row["auc"]) for row in table}
    for row in lines[1::2]:  # differences are taken within a partition, seed by seed
        key = row["partition"]
        by_hand = [auc[key, "local-knn", seed] - auc[key, "embedding-sharing", seed] for seed in "01"]
        assert float(row["auc_minus_embedding_sharing_mean"]) == pytest.approx(sum(by_hand) / 2)
    assert "partition" in result.output.partition("AUC")[0]
    page = (out / "report.html").read_text()
    assert "Between one machine each and the same for all" in page
    assert (out / "figures" / "heterogeneity.png").stat().st_size > 1000

    before = {path: path.stat().st_mtime_ns for path in out.glob("cells/*/scores.csv")}
    (out / "cells" / "local-knn-logmel-knn-iid-1" / "summary.json").unlink()
    again = call(mixed, "--set", "clients=2")
    assert again.exit_code == 0, again.output
    after = {path: path.stat().st_mtime_ns for path in before}
    assert {path.parent.name for path in before if before[path] != after[path]} == {"local-knn-logmel-knn-iid-1"}


def test_cells_without_partitions_keep_their_names(tmp_path):
    experiment = Experiment("x", ("local-knn",), scorers=("knn",), data_dir="/data")
    assert [cell.name for cell in experiment.cells(tmp_path)] == ["local-knn-random-conv-knn-0"]


def test_cells_of_a_sweep_say_how_they_deal(tmp_path):
    cells = Experiment("x", ("local-knn",), data_dir="/data", partitions=("machine", "dirichlet-0.1", "iid")).cells(
        tmp_path
    )
    assert [cell.name.removeprefix("local-knn-random-conv-knn-") for cell in cells] == [
        "machine-0",
        "dirichlet-0.1-0",
        "iid-0",
    ]
    dealt = [(cell.config.partition, cell.config.dirichlet_alpha) for cell in cells]
    assert dealt == [("machine", 0.5), ("dirichlet", 0.1), ("iid", 0.5)]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('partitions = ["even"]', "'even' does not exist; write machine, iid or dirichlet-ALPHA"),
        ('partitions = ["dirichlet-0"]', "'dirichlet-0' does not exist"),
        ('partitions = ["dirichlet-few"]', "'dirichlet-few' does not exist"),
        ('partitions = ["iid", "iid"]', "none twice"),
        ('partitions = ["response-loud"]', "recording-conditions = 'response-loud': write response-DB"),
        ('[settings]\npartition = "iid"', "'partition' is not set there; use partitions"),
    ],
)
def test_what_is_no_partition_is_refused(call, tmp_path, lines, words):
    result = call(f'name = "x"\nmethods = ["local-knn"]\n{lines}')
    assert result.exit_code == 2
    assert words in result.output
    assert not (tmp_path / "out").exists()


def test_names_in_the_order_of_evenness():
    names = ["iid", "dirichlet-10", "machine", "dirichlet-0.5"]
    assert sorted(names, key=evenness) == ["machine", "dirichlet-0.5", "dirichlet-10", "iid"]
    assert [partition_settings(name) for name in ("", "machine", "iid")] == [
        {},
        {"partition": "machine"},
        {"partition": "iid"},
    ]
    with pytest.raises(InputError):
        evenness("uneven")


def cells(method, scorer, partition, aucs):
    return [
        CellResult(method, "logmel", scorer, seed, auc, auc, None, 0.1, 1e6, 1.0, {}, partition)
        for seed, auc in enumerate(aucs)
    ]


@pytest.fixture
def sweep():
    """Two partitions, named the wrong way round; t(0.975, 1) = 12.706 times 0.01 is the half width of each interval."""
    return summarize_rows(
        [
            *cells("embedding-sharing", "knn", "iid", [0.8, 0.82]),
            *cells("local-knn", "knn", "iid", [0.7, 0.72]),
            *cells("embedding-sharing", "knn", "machine", [0.9, 0.92]),
            *cells("local-knn", "knn", "machine", [0.94, 0.96]),
        ],
        "knn",
    )


def test_figure_has_a_line_per_method_from_heterogeneous_to_iid(sweep):
    (axes,) = against_heterogeneity(sweep).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["one machine\neach", "same for all\n(IID)"]
    heights = {container.lines[0].get_color(): container.lines[0].get_ydata().tolist() for container in axes.containers}
    assert list(heights.values()) == [pytest.approx([0.91, 0.81]), pytest.approx([0.95, 0.71])]
    labels = {text.get_text(): text.get_color() for text in axes.texts}
    assert labels == dict(zip(["embedding-sharing", "local-knn"], heights, strict=True))
    ends = [container.lines[2][0].get_segments() for container in axes.containers]
    assert ends[0][0][:, 1].tolist() == pytest.approx([0.91 - 0.127062, 1.0], abs=1e-6)  # no AUC is higher


def test_an_interval_wider_than_all_differences_does_not_flatten_them(sweep):
    """0.6 times the range of the means is left for intervals, and AUC ends at 1."""
    wide = summarize_rows([*cells("local-knn", "knn", "iid", [0.3, 0.9]), *cells("m", "knn", "iid", [0.8, 0.8])], "knn")
    room = 0.6 * 0.2  # means 0.6 and 0.8, an interval of 0.6 +- 3.8
    assert limits(wide) == pytest.approx((0.6 - room - 0.05 * room, 0.8 + room + 0.05 * room))
    low, high = limits(sweep)
    assert low < 0.71 - 0.127
    assert 0.95 < high < 1.01


def test_no_figure_of_one_partition_or_of_none(sweep):
    assert against_heterogeneity([row for row in sweep if row.partition == "iid"]) is None
    assert against_heterogeneity(summarize_rows(cells("local-knn", "knn", "", [0.5]), "knn")) is None


def test_rows_are_measured_against_sharing_on_the_same_partition(sweep):
    assert [row.gain and row.gain.mean for row in sweep] == [None, pytest.approx(-0.1), None, pytest.approx(0.04)]
    assert [row.place for row in sweep] == ["logmel, iid"] * 2 + ["logmel, machine"] * 2


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9).map(sorted), st.floats(0.01, 0.2))
def test_labels_are_spread_as_little_as_it_takes(heights, gap):
    apart = spread(np.array(heights), gap)
    assert np.all(np.diff(apart) >= gap - 1e-9)
    assert apart.mean() == pytest.approx(np.mean(heights))
    if np.all(np.diff(heights) >= gap):
        assert apart == pytest.approx(heights)
