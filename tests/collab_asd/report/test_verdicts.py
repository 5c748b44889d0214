import csv
import itertools
import json

import pytest

from collab_asd.config import RunConfig
from collab_asd.data.manifest import manifest_sha256, read_manifest
from collab_asd.report.reading import SCORE_COLUMNS, read_run
from collab_asd.report.verdicts import headline, machine_verdicts, rates, recommendations

CONFIG = RunConfig(scorer="knn").to_mapping()


@pytest.fixture
def make_run(make_folder):
    """Make a run of one machine with so many normal and faulty test clips, some of which raised an alarm."""
    number = itertools.count()

    def make(
        normals=0, false_alarms=0, faults=0, found=0, train=40, p_value=None, auc_like=True, train_clips=0, **of_machine
    ):
        folder = make_folder(f"run{next(number)}", machines=(("fan", "00"),))
        rows, manifest = [], ["client,machine_type,machine_id,split,label,clip,sha256"]
        manifest += [f"0,fan,00,train,0,t{i}.wav,t{i}" for i in range(train)]
        for label, count, alarms in ((0, normals, false_alarms), (1, faults, found)):
            for i in range(count):
                alarm = i < alarms
                manifest.append(f"0,fan,00,test,{label},{label}-{i}.wav,{label}-{i}")
                score = (2.0 if alarm else 0.5) + (0.1 * label if auc_like else 0.0)
                p = "" if p_value is None else p_value(label, i)
                machine = ("embedding-sharing", "logmel", "knn", 7, 0, "fan", "00")
                rows.append([*machine, f"{label}-{i}.wav", label, score, 1.0, int(alarm), p])
        (folder / "manifest.csv").write_text("\n".join(manifest) + "\n")
        with (folder / "scores.csv").open("w", newline="") as file:
            csv.writer(file).writerows([SCORE_COLUMNS, *rows])
        summary = json.loads((folder / "summary.json").read_text())
        summary["manifest_sha256"] = manifest_sha256(read_manifest(folder / "manifest.csv"))
        summary["machines"] = [{"machine_type": "fan", "machine_id": "00", **of_machine}]
        summary["config"]["train-clips"] = train_clips
        (folder / "summary.json").write_text(json.dumps(summary))
        return read_run(folder)

    return make


def test_a_machine_that_was_tested_well_is_ready(make_run):
    run = make_run(normals=100, false_alarms=10, faults=100, found=96)
    (verdict,) = machine_verdicts(run, per_day=24)
    assert verdict.state == "ready"
    assert verdict.faults == "Nearly every fault would be noticed: 96 of 100 in the test raised an alarm."
    # 10 % of 24 recordings on 7 days are 16.8
    assert verdict.alarms.startswith("False alarms: about 17 a week (10 of 100")
    assert verdict.certainty.startswith("Well tested: other recordings might give 90 to 98")  # Wilson's interval
    assert headline(run, [verdict], 24).startswith("The machine is ready for use. 96 of 100 faulty")
    assert headline(run, [verdict], 24).endswith(
        "False alarms: about 17 a week for each machine, at 24 recordings a day; 10\N{NO-BREAK SPACE}% of normal "
        "recordings, about 17 a week, were asked for. That rate is a choice: change it with --set "
        "false-alarm-rate=RATE."
    )


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (100, "Nearly every"),
        (85, "Most faults would be noticed"),
        (60, "More than half"),
        (30, "Most faults would be missed"),
    ],
)
def test_how_well_faults_are_noticed_in_words(make_run, found, words):
    (verdict,) = machine_verdicts(make_run(normals=100, false_alarms=5, faults=100, found=found))
    assert verdict.faults.startswith(words)
    assert (verdict.state == "ready") == (found >= 80)


def test_false_alarms_are_counted_at_the_recordings_per_day(make_run):
    run = make_run(normals=100, false_alarms=10, faults=20, found=20)
    assert "about 67 a week (" in machine_verdicts(run, per_day=96)[0].alarms
    assert "less than one a week (" in machine_verdicts(run, per_day=1)[0].alarms
    assert "none on 100" in machine_verdicts(make_run(normals=100, faults=20, found=20), per_day=1)[0].alarms


def titles(run, per_day=1.0):
    return " | ".join(step.title for step in recommendations(run, per_day))


def test_few_clips_cost_certainty(make_run):
    run = make_run(normals=5, false_alarms=1, faults=5, found=4, few_threshold_clips=True, train=12)
    (verdict,) = machine_verdicts(run)
    assert verdict.state == "with care"
    assert verdict.certainty.startswith("Hardly tested")
    assert "4 of 5 faulty test recordings raised an alarm: too few to tell" in verdict.faults
    assert "1 of 5 normal test recordings are too few to tell" in verdict.alarms
    assert "a week" not in headline(run, [verdict])
    assert "Add test recordings of fan/00" in titles(run)


@pytest.mark.parametrize(
    ("normals", "faults", "words"),
    [
        (6, 6, "Hardly tested"),
        (100, 6, "Hardly tested"),  # 61 to 100 % of the faults
        (6, 100, "Hardly tested"),  # 0 to 39 % of normal recordings
        (12, 12, "Fairly well tested"),
        (100, 20, "Well tested"),  # 84 to 100 %
        (20, 100, "Well tested"),
    ],
)
def test_how_well_a_machine_is_tested_takes_clips_of_both_kinds(make_run, normals, faults, words):
    run = make_run(normals=normals, faults=faults, found=faults)
    assert machine_verdicts(run)[0].certainty.startswith(words)


def test_how_many_more_normal_recordings_a_threshold_needs(make_run):
    # the default rate of 10 % takes 30 (`is_uncertain`), which fusion takes from all normal clips
    run = make_run(normals=20, faults=20, found=20, few_threshold_clips=True, train=12)
    (step,) = (step for step in recommendations(run) if step.title == "Record more normal sound of fan/00")
    assert "18 more normal recordings" in step.words


def test_recordings_that_are_there_are_not_to_be_made(make_run):
    """Of 40 normal recordings 12 were taken; a threshold needs 30."""
    steps = {"normals": 20, "faults": 20, "found": 20, "few_threshold_clips": True, "train_clips": 12}
    (step,) = (step for step in recommendations(make_run(train=40, **steps)) if "normal recordings" in step.title)
    assert step.title.startswith("Train on more")
    assert "train-clips=12 left out recordings that are there" in step.words
    assert "take 30 or more" in step.words
    assert "Record more" not in titles(make_run(train=40, **steps))
    (step,) = (step for step in recommendations(make_run(train=20, **steps)) if "normal sound" in step.title)
    assert "10 more normal recordings" in step.words
    assert "left out 8 normal recordings that are there" in step.words


@pytest.mark.parametrize("false_alarms", [20, 0])  # more than asked for, and less than half of it
def test_other_advice_names_recordings_that_were_left_out(make_run, false_alarms):
    asked = {"normals": 100, "false_alarms": false_alarms, "faults": 50, "found": 50}
    for train_clips, left_out in ((35, True), (0, False)):
        words = " ".join(step.words for step in recommendations(make_run(train_clips=train_clips, **asked)))
        assert ("left out 5 normal recordings" in words) is left_out


def test_a_machine_whose_threshold_rests_on_few_clips_is_not_ready(make_run):
    tested = {"normals": 100, "false_alarms": 10, "faults": 100, "found": 96}
    (verdict,) = machine_verdicts(make_run(few_threshold_clips=True, train=12, **tested))
    assert verdict.state == "with care"
    assert "The threshold rests on 12 normal recordings" in verdict.certainty


def test_a_machine_at_chance_is_not_to_be_relied_on(make_run):
    run = make_run(normals=20, false_alarms=10, faults=20, found=10, auc_like=False)
    assert machine_verdicts(run)[0].state == "not to be relied on"
    assert titles(run).startswith("Do not rely on alarms of fan/00")


def test_a_misfit_is_to_be_checked(make_run):
    run = make_run(normals=50, false_alarms=2, faults=50, found=50, misfit=True)
    (verdict,) = machine_verdicts(run)
    assert verdict.state == "with care"
    assert "may not suit it" in verdict.certainty
    assert "Check fan/00" in titles(run)


def test_more_false_alarms_than_chance_explains_ask_for_more_states(make_run):
    assert "in all its normal states" in titles(make_run(normals=100, false_alarms=20, faults=50, found=50))


def test_as_many_false_alarms_as_asked_are_no_reason_to_act(make_run):
    assert titles(make_run(normals=100, false_alarms=11, faults=50, found=50)) == ""


def test_without_test_recordings_the_verdict_says_what_is_known(make_run):
    run = make_run(train=12, few_threshold_clips=True)
    (verdict,) = machine_verdicts(run, per_day=24)
    assert verdict.state == "not tested"
    assert "not known" in verdict.faults
    # at most 26 % with 12 clips (`highest_rate`), 44 of 168 recordings
    assert "about 17 a week were asked for, about 44 at most" in verdict.alarms
    words = headline(run, [verdict], 24)
    assert "no test recordings yet" in words
    assert "about 17 a week" in words
    assert "change it with --set false-alarm-rate=RATE" in words


def test_a_lower_rate_and_its_price_are_read_off_p_values(make_run):
    def p_value(label, i):
        return (0.015 if i < 30 else 0.06) if label else 0.05 + i / 100

    run = make_run(normals=50, false_alarms=5, faults=50, found=50, p_value=p_value)
    sheet = rates(run, per_day=24)
    assert [row[0].split("\N{NO-BREAK SPACE}")[0] for row in sheet.rows] == ["10", "5", "2", "1"]
    assert [row[2:] for row in sheet.rows] == [
        ("5 of 50", "about 17", "50 of 50"), ("0 of 50", "none", "30 of 50"), ("0 of 50", "none", "30 of 50"),
        ("0 of 50", "none", "0 of 50"),
    ]  # fmt: skip
    step = list(recommendations(run, per_day=24))[-1]
    assert "false-alarm-rate=0.02" in step.words  # 5 % of 24 a day is more than one a day
    assert "0 false alarms on 50 normal recordings (none a week)" in step.words
    assert "30 of 50 faults in place of 50" in step.words


def test_the_price_of_a_lower_rate_is_that_of_the_table(make_run):
    """With 2 % asked for, 4 of 50 normal recordings are 8 % of 168 a week."""
    run = make_run(normals=50, false_alarms=5, faults=50, found=50, p_value=lambda label, i: 0.01 if i < 4 else 0.5)
    step = list(recommendations(run, per_day=24))[-1]
    assert "asks for about 3 a week; in the test it gives 4 false alarms on 50" in step.words
    assert "(about 13 a week)" in step.words
    assert [row[1:4] for row in rates(run, per_day=24).rows if row[0].startswith("2")] == [
        ("about 3", "4 of 50", "about 13")
    ]


def test_without_p_values_there_is_no_table_of_rates(make_folder):
    assert not rates(read_run(make_folder()), 24).rows


def test_a_method_that_is_not_installed_here_is_no_obstacle(make_folder):
    run = read_run(make_folder(config=CONFIG | {"method": "somebody-elses"}))
    assert len(machine_verdicts(run)) == 2
    assert list(recommendations(run))


@pytest.mark.parametrize(("found", "state"), [(49, "not to be relied on"), (50, "with care"), (80, "ready")])
def test_a_detector_that_misses_most_faults_is_not_to_be_relied_on(make_run, found, state):
    (verdict,) = machine_verdicts(make_run(normals=100, false_alarms=10, faults=100, found=found))
    assert verdict.state == state


@pytest.mark.parametrize(("false_alarms", "more"), [(0, True), (2, True), (6, False), (10, False)])
def test_with_thresholds_that_lie_too_high_nobody_is_advised_to_raise_them(make_run, false_alarms, more):
    """Of 100 normal recordings ten were asked for; two or fewer are less than half of it, and not by chance."""
    found = recommendations(make_run(normals=100, false_alarms=false_alarms, faults=100, found=60), per_day=24)
    titles = [one.title for one in found]
    assert any("more false alarms" in title for title in titles) is more
    assert any("fewer false alarms" in title for title in titles) is not more
