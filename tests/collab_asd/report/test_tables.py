import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from rich.console import Console

from collab_asd.config import RunConfig
from collab_asd.detection.evaluation import Evaluation, MachineResult
from collab_asd.report.contents import KeptDetector
from collab_asd.report.plots import plot_auc_bars
from collab_asd.report.reading import read_run
from collab_asd.report.tables import (
    Sheet,
    configuration,
    decisions,
    detector_table,
    machine_table,
    phases,
    quality,
    traffic,
    with_marks,
)

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


def test_machines_with_too_few_clips_are_marked_and_the_marks_explained():
    few = replace(GOOD, few_test_clips=True)
    both = replace(GOOD, machine_id="02", few_test_clips=True, few_threshold_clips=True)
    screen = io.StringIO()
    Console(file=screen, width=80).print(machine_table(Evaluation((few, UNLABELLED, both)), "run"))
    text = screen.getvalue()
    rows = {line.split()[0]: line.split()[8:] for line in text.splitlines() if line.split()}
    assert (rows["ToyConveyor/00"], rows["ToyConveyor/01"], rows["ToyConveyor/02"]) == (["*"], [], ["*+"])
    assert rows["mean"] == ["*+"]
    assert "few test clips" in text
    assert "few normal clips" in text
    assert "…" not in text


def test_detectors_whose_thresholds_come_from_too_few_clips_are_marked():
    kept = [KeptDetector(f"ToyConveyor/{number}", 12, 2.5, Path(), number) for number in ("00", "01")]
    few = replace(UNLABELLED, few_threshold_clips=True)
    screen = io.StringIO()
    Console(file=screen, width=80).print(detector_table(kept, Evaluation((GOOD, few)), "run"))
    rows = {line.split()[0]: line.split()[1:] for line in screen.getvalue().splitlines() if line.split()}
    assert rows["ToyConveyor/00"] == ["00", "12", "2.5"]
    assert rows["ToyConveyor/01"] == ["01", "12", "2.5", "+"]
    assert "too few normal clips" in screen.getvalue()


def test_a_table_without_marks_has_no_column_for_them(make_folder):
    plain = Sheet("t", "title", ("machine", "AUC"), (("00", "0.9"), ("mean", "0.9")), True)
    assert with_marks(plain, [[]]) == plain
    marked = with_marks(plain, [["*"]])
    assert marked.rows == (("00", "0.9", "*"), ("mean", "0.9", "*"))
    assert marked.headings == ("machine", "AUC", "note")
    assert marked.latex().splitlines()[-1].startswith("% * ")
    # of four normal and four faulty clips
    sheet = quality(read_run(make_folder()))
    assert [row[-1] for row in sheet.rows] == ["*"] * len(sheet.rows)


def test_decisions_are_counted_per_machine(make_folder):
    sheet = decisions(read_run(make_folder()))
    assert sheet.headings == (
        *("machine", "normal", "false alarms", "FAR"),
        *("faulty", "missed", "recall", "F1", "threshold"),
    )
    # F1 = 2 * 3 found / (4 faulty + 3 found + 1 false alarm)
    assert sheet.rows[0] == ("fan/00", "4", "1", "0.250", "4", "1", "0.750", "0.750", "2.5")
    assert sheet.rows[-1] == ("all / mean", "8", "2", "0.250", "8", "2", "0.750", "0.750", "–")


def test_without_labels_there_are_only_alarms(make_folder):
    sheet = decisions(read_run(make_folder(labels=("", ""))))
    assert sheet.headings == ("machine", "not labelled", "alarms", "threshold")
    assert sheet.rows[0] == ("fan/00", "8", "4", "2.5")


def test_files_of_a_table(make_folder, tmp_path):
    folder = make_folder(machines=(("fan_&_co", "50%"),), encoder_note="")
    traffic(read_run(folder), "run1_").write(tmp_path / "new")
    assert (tmp_path / "new" / "run1_traffic.csv").read_text() == (
        "client,machines,MB sent,MB received\n0,fan_&_co/50%,2.50,2.50\nall,,2.50,2.50\n"
    )
    assert (tmp_path / "new" / "run1_traffic.tex").read_text() == (
        "\\begin{tabular}{llrr}\n\\toprule\n"
        "client & machines & MB sent & MB received \\\\\n\\midrule\n"
        "0 & fan\\_\\&\\_co/50\\% & 2.50 & 2.50 \\\\\n\\midrule\n"
        "all &  & 2.50 & 2.50 \\\\\n\\bottomrule\n\\end{tabular}\n"
    )


def test_all_that_latex_would_interpret_is_escaped():
    sheet = Sheet("t", "title", (r"a\b", "#{}$~^"), (("1–2", "<x>"),))
    assert r"a\textbackslash{}b & \#\{\}\$\textasciitilde{}\textasciicircum{} \\" in sheet.latex()
    assert r"1--2 & \textless{}x\textgreater{} \\" in sheet.latex()


def test_configuration_stands_beside_its_defaults(make_folder):
    config = RunConfig(seed=7, scorer="knn").to_mapping() | {"gone-key": 1}
    rows = {row[0]: row[1:] for row in configuration(read_run(make_folder(config=config))).rows}
    assert rows["seed"] == ("7", "0", "")
    assert rows["scorer"] == ("knn", "fusion", "")
    assert rows["rounds"] == ("0", "0", "21, with preset paper 20")
    assert rows["learning-rate"] == ("0.0", "0.0", "as the preset says, or 0.1 for sgd")
    assert rows["erase"] == ("", "", "none")
    assert rows["gone-key"] == ("1", "–", "")


def test_bars_are_drawn_for_machines_that_have_an_auc(tmp_path):
    plot_auc_bars(Evaluation((GOOD, UNLABELLED)), "run", tmp_path / "new" / "bars.png")
    assert (tmp_path / "new" / "bars.png").read_bytes().startswith(b"\x89PNG")


def test_no_machine_with_an_auc_still_gives_a_figure(tmp_path):
    plot_auc_bars(Evaluation((UNLABELLED,)), "run", tmp_path / "bars.png")
    assert (tmp_path / "bars.png").stat().st_size > 0


def test_bytes_are_summed_by_what_they_are_for():
    by_phase = {"0": {"train.embeddings": [2_000_000, 10_000]}, "3": {"train.embeddings": [500_000, 0], "new": [0, 1]}}
    run = SimpleNamespace(summary={"bytes_by_phase": by_phase})
    assert phases(run).rows == (("embeddings", "2.50", "0.01"), ("new", "0.00", "0.00"))
    assert phases(SimpleNamespace(summary={})).rows == ()
