from dataclasses import dataclass

from matplotlib.colors import to_hex

from collab_asd.data.manifest import ManifestRow
from collab_asd.report.comparison import Estimate, Line
from collab_asd.report.heterogeneity import against_heterogeneity, holding_panels, holdings
from collab_asd.report.theme import SERIES


def manifest(*held):
    """Two training clips for each (client, machine ID), and a test clip that does not count."""
    splits = ("train", "train", "test")
    return [ManifestRow(str(c), "fan", machine, split, "0", "", "") for c, machine in held for split in splits]


MACHINE = manifest((0, "00"), (1, "01"), (2, "02"))
MIXED = manifest((0, "00"), (0, "01"), (2, "01"), (2, "01"), (1, "02"))


def test_training_clips_are_counted_by_machine_and_client():
    assert holdings(MACHINE) == {"fan/00": [2, 0, 0], "fan/01": [0, 2, 0], "fan/02": [0, 0, 2]}
    assert holdings(MIXED) == {"fan/00": [2, 0, 0], "fan/01": [2, 0, 4], "fan/02": [0, 2, 0]}


def test_bars_are_stacked_from_heterogeneous_to_even():
    figure = holding_panels({"dirichlet-0.5": MIXED, "machine": MACHINE})
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["one machine\neach", "Dirichlet\n0.5"]
    bars = [bar for bar in figure.axes[1].patches if bar.get_height()]
    assert [(bar.get_y(), bar.get_height()) for bar in bars] == [(0, 2), (2, 2), (0, 4), (0, 2)]
    assert [to_hex(bar.get_facecolor()) for bar in bars] == [SERIES[i] for i in (0, 1, 1, 2)]


def test_machines_beyond_the_colours_are_hatched():
    many = manifest(*((0, f"{i:02d}") for i in range(8)))
    bars = holding_panels({"machine": many, "iid": many}).axes[0].patches
    looks = {(to_hex(bar.get_facecolor()), bar.get_hatch()) for bar in bars}
    assert len(looks) == 8


@dataclass(frozen=True)
class Measured(Line):
    id_accuracy: Estimate | None


def test_methods_without_an_id_classifier_have_no_line():
    def line(method, partition, mean):
        return Measured(method, "logmel", "knn", partition, Estimate(mean, None, None, 1) if mean else None)

    lines = [line("fedavg", "machine", 0.25), line("fedavg", "iid", 0.75)]
    lines += [line("local-knn", "machine", None), line("local-knn", "iid", None)]
    (axes,) = against_heterogeneity(lines, "id_accuracy").axes
    assert axes.get_ylabel() == "mean ID accuracy"
    assert [container.lines[0].get_ydata().tolist() for container in axes.containers] == [[0.25, 0.75]]
    assert [text.get_text() for text in axes.texts] == ["fedavg"]
