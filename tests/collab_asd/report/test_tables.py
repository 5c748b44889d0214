import io

from rich.console import Console

from collab_asd.evaluation import Evaluation, MachineResult
from collab_asd.report.plots import plot_auc_bars
from collab_asd.report.tables import machine_table

GOOD = MachineResult("ToyConveyor", "00", 0.9, 0.8, (0.85, 0.95), 0.1, 0.7, 0.75, 1.0)
UNLABELLED = MachineResult("ToyConveyor", "01", None, None, None, 0.2, None, None, None)


def test_table_fits_a_narrow_terminal_whole():
    screen = io.StringIO()
    Console(file=screen, width=80).print(machine_table(Evaluation((GOOD, UNLABELLED)), "run"))
    text = screen.getvalue()
    assert "…" not in text
    good, unlabelled, mean = (
        next(line.split() for line in text.splitlines() if line.strip().startswith(word))
        for word in ("ToyConveyor/00", "ToyConveyor/01", "mean")
    )
    assert good[1:] == ["0.900", "0.850–0.950", "0.800", "1.000", "0.100", "0.700", "0.750"]
    assert unlabelled[1:] == ["–", "–", "–", "–", "0.200", "–", "–"]
    assert (mean[1], mean[5]) == ("0.900", "0.150")


def test_bars_are_drawn_for_machines_that_have_an_auc(tmp_path):
    plot_auc_bars(Evaluation((GOOD, UNLABELLED)), "run", tmp_path / "new" / "bars.png")
    assert (tmp_path / "new" / "bars.png").read_bytes().startswith(b"\x89PNG")


def test_no_machine_with_an_auc_still_gives_a_figure(tmp_path):
    plot_auc_bars(Evaluation((UNLABELLED,)), "run", tmp_path / "bars.png")
    assert (tmp_path / "bars.png").stat().st_size > 0
