import re

import numpy as np
import pytest

from collab_asd.config import RunConfig
from collab_asd.report.contents import ClipPortrait, Heat, Sound
from collab_asd.report.page import command
from collab_asd.report.reading import read_run
from collab_asd.report.words import (
    comparison_story,
    comparison_verdict,
    facts,
    heat_words,
    of_hundred,
    portrait_words,
    ranking,
    story,
)

SILENCE = Sound(np.zeros(100, np.float32), 16000)


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.926, "93 of 100"),
        (1.0, "100 of 100"),
        (0.9998, "over 99 of 100"),
        (0.0, "0 of 100"),
        (0.001, "under 1 of 100"),
    ],
)
def test_shares_are_never_rounded_to_all_or_nothing(share, words):
    assert of_hundred(share) == words


def test_the_headline_counts(make_folder):
    run = read_run(make_folder())
    assert "in 75 of 100 cases (mean over 2 machines)" in ranking(run)
    assert [fact.figure for fact in facts(run)] == ["6 of 8", "2 of 8", "75 of 100"]
    assert "2 were missed" in facts(run)[0].words
    assert "25\N{NO-BREAK SPACE}%; asked for: 10\N{NO-BREAK SPACE}%" in facts(run)[1].words


def test_the_story_says_what_was_found_wanting(make_folder):
    run = read_run(make_folder(encoder_note="hides nothing", excluded={"3": "silent"}))
    text = " ".join(story(run))
    assert "learned from 2 recordings of 2 machines" in text
    assert "16 other recordings were judged: 8 normal, 8 faulty" in text
    # eight clips and an interval from 0.25 to 1: nothing that guessing could not give
    assert "No better than guessing, as far as these recordings can tell: fan/00, fan/01" in text
    assert "Encoder logmel: hides nothing." in text
    assert "client 3 (silent)" in text


@pytest.mark.parametrize(
    ("asked", "words"),
    [(0.25, "about what was asked for"), (0.1, "cannot tell"), (0.01, "more than was asked for")],
)
def test_false_alarms_are_held_against_what_was_asked_for(make_folder, asked, words):
    # 2 of 8: at 10 % chance alone gives as many in 19 % of all cases, at 1 % in 0.3 %
    config = RunConfig(false_alarm_rate=asked).to_mapping()
    assert words in " ".join(story(read_run(make_folder(config=config))))


def test_without_labels_nothing_is_claimed(make_folder):
    run = read_run(make_folder(labels=("", "")))
    assert "cannot be said" in ranking(run)
    assert [fact.figure for fact in facts(run)] == ["8 of 16"]
    assert not any("guessing" in sentence or "false alarm" in sentence for sentence in story(run))


def test_two_runs_are_compared_machine_by_machine(make_folder):
    better, other = read_run(make_folder("one")), read_run(make_folder("two"))
    words = " ".join([comparison_verdict([better, other], ["A", "B"]), *comparison_story([better, other], ["A", "B"])])
    assert "75 of 100 cases with A and 75 of 100 with B" in words
    assert "A is ahead of B on 0 of 2 machines." in words
    assert re.search(r"A found \d+ of 8 faults and raised 2 false alarms on 8 normal recordings; B found", words), words


def test_a_third_run_is_compared_too(make_folder):
    worst = read_run(make_folder("one", faults=(1.5, 1.6, 1.7, 1.8)))  # 8 of 16 pairs in order
    runs = [worst, read_run(make_folder("two")), read_run(make_folder("three"))]
    words = " ".join([comparison_verdict(runs, ["A", "B", "C"]), *comparison_story(runs, ["A", "B", "C"])])
    assert "75 of 100 cases with B, 75 of 100 with C and 50 of 100 with A" in words
    assert "B is ahead of C on 0 of 2 machines and of A on 2 of 2 machines." in words
    assert re.search(r"; A found 0 of 8 faults", words), words
    assert "different shares" not in words  # the same thresholds on the same normal scores


def test_runs_that_alarm_at_other_rates_are_said_to(make_folder):
    runs = [read_run(make_folder("one")), read_run(make_folder("two", threshold=0.0))]
    (rates,) = [words for words in comparison_story(runs, ["A", "B"]) if "different shares" in words]
    assert "(25\N{NO-BREAK SPACE}% to 75\N{NO-BREAK SPACE}%)" in rates


def test_a_run_without_an_auc_is_named_beside_those_that_have_one(make_folder):
    runs = [read_run(make_folder(name)) for name in ("one", "two")] + [read_run(make_folder("three", labels=("", "")))]
    assert "want of scores or labels: C." in comparison_verdict(runs, ["A", "B", "C"])


@pytest.mark.parametrize(
    ("label", "score", "words"),
    [
        (0, 3.0, "False alarm on a normal recording: score 3, which is 1 above the threshold of 2."),
        (1, 0.5, "Fault missed: score 0.5, which is 1.5 below the threshold of 2."),
        (1, 3.0, "Fault found: score 3, which is 1 above the threshold of 2."),
        (None, 3.0, "Alarm: score 3, which is 1 above the threshold of 2."),
    ],
)
def test_what_happened_to_a_clip(label, score, words):
    assert portrait_words(ClipPortrait("c.wav", "fan/00", label, score, 2.0, SILENCE, "n.wav", SILENCE)) == words


def test_what_the_heat_map_says():
    def words(values):
        heat = Heat(np.array([values]), np.array([0.0, 8000.0]), np.array([0.0, 1.0, 2.0]))
        return heat_words(ClipPortrait("c.wav", "fan/00", 1, 3.0, 2.0, SILENCE, "n.wav", SILENCE, heat))

    assert "score would be 1.5 lower: 1.5 in place of 3." in words([1.5, -2.0])
    assert "no single place" not in words([1.5, -2.0])  # it is more than all that lies above the threshold
    assert words([0.1, 0.05]).endswith(
        "That is 10 % of what lies above the threshold: no single place explains this alarm.".replace(
            "0 %", "0\N{NO-BREAK SPACE}%"
        )
    )
    assert "heat map is empty" in words([0.0, -2.0])


def test_the_command_names_what_differs_from_the_defaults(make_folder):
    config = RunConfig(
        method="local-knn",
        data_dir="/my sounds",
        seed=3,
        scorer="knn",
        results_dir="/somewhere",
        cache_dir="/cache",
    )
    run = read_run(make_folder(config=config.to_mapping(), engine="ray"))
    assert command(run) == (
        "collab-asd run --data '/my sounds' --method local-knn --seed 3 --engine ray --set scorer=knn"
    )


def test_the_command_makes_as_many_synthetic_machines(make_folder):
    assert command(read_run(make_folder())) == "collab-asd run --supernodes 2"
