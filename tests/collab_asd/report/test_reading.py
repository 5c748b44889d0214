import json

import pytest

from collab_asd.core.errors import InputError
from collab_asd.federation.results import CLIP_COLUMNS, RUN_COLUMNS
from collab_asd.report.reading import SCORE_COLUMNS, read_run, require_same_clips


def test_columns_are_those_that_a_run_writes():
    assert SCORE_COLUMNS == RUN_COLUMNS + CLIP_COLUMNS


def test_a_folder_is_read_and_evaluated(make_folder):
    run = read_run(make_folder())
    first = run.evaluation.machines[0]
    assert first.machine == "fan/00"
    assert first.auc == 12 / 16
    assert (first.false_alarm_rate, first.recall) == (0.25, 0.75)
    assert first.id_accuracy == 0.75
    assert len(run.table.rows) == 16
    assert sum(row.split == "train" for row in run.manifest) == 2


def test_a_folder_without_summary_is_no_finished_run(make_folder):
    folder = make_folder()
    (folder / "summary.json").unlink()
    with pytest.raises(InputError, match=r"no summary\.json"):
        read_run(folder)


@pytest.mark.parametrize("text", ["{", "[]", '"text"', "\udcff"])
def test_a_summary_that_is_none_is_refused(make_folder, text):
    folder = make_folder()
    (folder / "summary.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=r"summary\.json: not a summary"):
        read_run(folder)


@pytest.mark.parametrize(("key", "value"), [("seconds", None), ("bytes_up", []), ("method", 3), ("peak_rss_mb", "12")])
def test_a_summary_with_a_wrong_key_is_refused_by_name(make_folder, key, value):
    with pytest.raises(InputError, match=f"'{key}' is missing or of a wrong type"):
        read_run(make_folder(**{key: value}))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"4.5"', '"nan"', r"line 5: not a score \(nan is not finite"),
        ('"4.5"', '"loud"', "line 5: not a score .*'loud'"),
        ('"0","4.5"', '"2","4.5"', "line 5: not a score .*'2'"),
        ('"2.5","1"', '"2.5"', "line 5: not a score"),
        ("anomaly_score", "score", "the header is not method,"),
    ],
)
def test_scores_that_are_none_are_refused_by_line(make_folder, old, new, words):
    folder = make_folder()
    text = (folder / "scores.csv").read_text()
    (folder / "scores.csv").write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=words):
        read_run(folder)


def test_no_scores_are_refused(make_folder):
    folder = make_folder()
    (folder / "scores.csv").write_text(",".join(SCORE_COLUMNS) + "\n")
    with pytest.raises(InputError, match="holds no scores"):
        read_run(folder)


def test_a_manifest_of_other_clips_is_refused(make_folder):
    folder = make_folder()
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(summary | {"manifest_sha256": "0" * 64}))
    with pytest.raises(InputError, match=r"manifest\.csv: not the manifest"):
        read_run(folder)


def test_runs_on_other_clips_are_refused_with_their_names(make_folder):
    runs = [read_run(make_folder("one")), read_run(make_folder("two")), read_run(make_folder("other", clips="b"))]
    require_same_clips(runs[:2])
    with pytest.raises(InputError, match=r"one and .*other do not belong on one page.*changed: fan/00_0\.wav"):
        require_same_clips(runs)
