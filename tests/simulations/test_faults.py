"""Whole runs in which one client fails, in every way that there is a rule for."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Error, Message, RecordDict

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.federation.engines import run_inprocess
from collab_asd.federation.grid import InProcessGrid
from collab_asd.federation.messages import DESCRIBE, EMBEDDINGS, SCORE, from_record, to_record
from simulations import client_app, server_app

SICK = 1  # client, and machine
NODE = 1000 + SICK


@pytest.fixture
def config(many_machines, cache, tmp_path):
    return RunConfig(
        data_dir=str(many_machines), cache_dir=str(cache), results_dir=str(tmp_path / "run"), encoder="logmel",
        epochs=1, report=False, codec="fp32",
    )  # fmt: skip


@pytest.fixture(scope="session")
def without_the_sick_one(many_machines, cache, listing, scores_of, tmp_path_factory):
    """Scores of a run in which there is no such machine, by codec."""
    file = tmp_path_factory.mktemp("listed") / "clips.csv"
    listed = listing(many_machines, file, lambda machine: "" if machine == SICK else "fan")
    found = {}

    def scores(codec):
        if codec not in found:
            config = RunConfig(
                data_dir=str(listed), cache_dir=str(cache), encoder="logmel", epochs=1, report=False, codec=codec,
                results_dir=str(tmp_path_factory.mktemp("runs") / "run"),
            )  # fmt: skip
            found[codec] = scores_of(run_inprocess(config, 3))
        return found[codec]

    return scores


@pytest.fixture(scope="session")
def unbroken(many_machines, cache, scores_of, tmp_path_factory):
    """Scores of a run in which nothing fails."""
    config = RunConfig(
        data_dir=str(many_machines), cache_dir=str(cache), encoder="logmel", epochs=1, report=False, codec="fp32",
        results_dir=str(tmp_path_factory.mktemp("runs") / "unbroken"),
    )  # fmt: skip
    return scores_of(run_inprocess(config, 4))


class Hospital(InProcessGrid):
    """Lets one client's answers to one kind of message go wrong, so many times."""

    def __init__(self, clients, config, kind, fault, times):
        super().__init__(client_app.app, clients, config.to_mapping())
        self.kind, self.fault, self.left, self.asked = kind, fault, times, []

    def send_and_receive(self, messages, *, timeout=None):
        replies = []
        for message in messages:
            node, kind = message.metadata.dst_node_id, message.metadata.message_type
            self.asked.append((node, kind))
            answers = super().send_and_receive([message], timeout=timeout)
            if node == NODE and kind == self.kind and self.left:
                self.left -= 1
                answers = self.fault(message, answers[0])
            replies += answers
        return replies


@pytest.fixture
def run(scores_of):
    """Runs with a fault; returns summary, scores, and the grid."""

    def start(config, kind, fault, times=9, clients=4):
        grid = Hospital(clients, config, kind, fault, times)
        folder = server_app.run(grid, config, engine="inprocess")
        return json.loads((folder / "summary.json").read_text()), scores_of(folder), grid

    return start


def changed(record, **changes):
    """A fault that changes arrays of a reply; a callable is given the array that was there."""

    def fault(message, reply):
        arrays = from_record(reply.content.array_records[record])
        arrays |= {name: change(arrays[name]) if callable(change) else change for name, change in changes.items()}
        reply.content.array_records[record] = to_record(arrays)
        return [reply]

    return fault


def raises(message, reply):
    return [Message(Error(2, "RuntimeError: its log says more"), reply_to=message)]


def hangs(message, reply):
    return []


def answers_twice(message, reply):
    return [reply, reply]


def empty(message, reply):
    return [Message(RecordDict(), reply_to=message)]


def other_dimension(message, reply):
    reply.content.config_records["client"]["dimension"] = 64
    return [reply]


def spoilt(value):
    def change(rows):
        rows = rows.copy()
        rows[0, 0] = value
        return rows

    return change


PAGES = {
    "raises": (raises, "RuntimeError"),
    "hangs past its deadline, or leaves": (hangs, "no answer within timeout"),
    "sends NaN": (changed("page", rows=spoilt(np.nan)), "not finite"),
    "sends infinity": (changed("page", rows=spoilt(np.inf)), "not finite"),
    "sends another dimension": (changed("page", rows=lambda rows: rows[:, 1:]), "its rows are"),
    "sends another type, or by a codec that nobody asked for": (
        changed("page", rows=lambda rows: rows.astype(np.float16)), "its rows are",
    ),
    "sends too few clips": (changed("page", lengths=lambda lengths: lengths[1:]), "its lengths are"),
    "sends absurdly large embeddings": (changed("page", rows=lambda rows: 1000 * rows), "times as large"),
    "labels clips as another's": (changed("page", classes=lambda classes: classes * 0), "not its own"),
    "sends one page twice, or out of order": (changed("page", page=np.array([0, 5, 9], np.int32)), "another page"),
    "sends nothing": (empty, "holds no page"),
}  # fmt: skip


@pytest.mark.parametrize("name", PAGES)
def test_healthy_clients_score_as_if_the_sick_one_had_never_been(config, without_the_sick_one, name, run):
    fault, words = PAGES[name]
    summary, scores, _ = run(config, EMBEDDINGS, fault)
    assert set(summary["excluded"]) == {str(SICK)}
    assert words in summary["excluded"][str(SICK)]
    assert scores == without_the_sick_one("fp32")


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        *((EMBEDDINGS, fault) for fault in (hangs, raises, empty)),
        *(
            (DESCRIBE, changed("statistics", mean=spoilt_mean))
            for spoilt_mean in (lambda m: 1000 * m, lambda m: m * np.nan)
        ),
    ],
)
def test_a_codec_that_the_sick_one_had_a_part_in_is_fitted_anew(config, without_the_sick_one, kind, fault, run):
    codec = "pool:4+pca:16+int8"
    summary, scores, _ = run(replace(config, codec=codec), kind, fault)
    assert set(summary["excluded"]) == {str(SICK)}
    assert scores == without_the_sick_one(codec)


DESCRIPTIONS = {
    "raises": (raises, "RuntimeError"),
    "hangs": (hangs, "no answer"),
    "describes nothing": (empty, "holds no client"),
    "gives its encoder another dimension": (other_dimension, "most say (128, 64, 8)"),
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_client_that_fails_at_once_is_excluded(config, without_the_sick_one, name, run):
    fault, words = DESCRIPTIONS[name]
    summary, scores, _ = run(config, DESCRIBE, fault)
    assert words in summary["excluded"][str(SICK)]
    assert scores == without_the_sick_one("fp32")


@pytest.mark.parametrize(
    ("kind", "fault"),
    [(EMBEDDINGS, hangs), (EMBEDDINGS, PAGES["sends NaN"][0]), (EMBEDDINGS, raises), (DESCRIBE, hangs), (SCORE, hangs)],
)
def test_a_client_that_comes_back_when_it_is_asked_again_is_as_well_as_all(config, kind, fault, run, unbroken):
    summary, scores, _ = run(config, kind, fault, times=1)
    assert summary["excluded"] == {}
    assert scores == unbroken


def test_the_client_with_most_pages_is_lost_when_all_others_are_done(config, many_machines, tmp_path, run, listing):
    file = listing(many_machines, tmp_path / "clips.csv", lambda machine: "fan")
    more = re.compile(rf"id_(?!{SICK:02d})\d\d_000000(0[6-9]|1\d).wav,fan,\d\d,train")
    file.write_text("\n".join(line for line in file.read_text().splitlines() if not more.search(line)))
    config = replace(config, data_dir=str(file), page_megabytes=0.07)  # one clip each

    def fails_late(message, reply):
        return raises(message, reply) if message.content.config_records["request"]["start"] > 6 else [reply]

    summary, scores, _ = run(config, EMBEDDINGS, fails_late, times=99)
    assert (set(summary["excluded"]), len(scores)) == ({str(SICK)}, 3 * 12)


def test_an_answer_that_comes_twice_counts_once(config, run, unbroken):
    summary, scores, _ = run(config, EMBEDDINGS, answers_twice)
    assert (summary["excluded"], scores) == ({}, unbroken)


@pytest.mark.parametrize("fault", [raises, hangs, changed("scores", anomaly_score=lambda scores: scores * np.nan)])
def test_a_client_lost_at_the_end_has_no_scores_and_changes_no_others(config, fault, run, unbroken):
    summary, scores, _ = run(config, SCORE, fault)
    assert set(summary["excluded"]) == {str(SICK)}
    assert scores == {clip: found for clip, found in unbroken.items() if f"_id_{SICK:02d}_" not in clip}


def test_it_is_asked_as_often_as_retries_say_and_then_no_more(config, run):
    _, _, grid = run(replace(config, retries=2), EMBEDDINGS, hangs)
    assert grid.asked.count((NODE, EMBEDDINGS)) == 3
    assert (NODE, SCORE) not in grid.asked


def test_a_run_that_is_to_stop_stops(config, run):
    with pytest.raises(InputError, match=rf"^client {SICK}: no answer within timeout"):
        run(replace(config, on_failure="stop"), EMBEDDINGS, hangs)


def test_too_few_clients_left_end_the_run(config, run):
    with pytest.raises(InputError, match="3 clients are left of min-clients = 4"):
        run(replace(config, min_clients=4), EMBEDDINGS, hangs)


def test_a_machine_that_is_left_alone_goes_too(config, many_machines, tmp_path, run, listing):
    """Clients 0 and 1 hold the only two fans; 2 and 3 hold pumps, and can go on."""
    listed = listing(many_machines, tmp_path / "clips.csv", lambda machine: "fan" if machine < 2 else "pump")
    summary, scores, _ = run(replace(config, data_dir=str(listed)), EMBEDDINGS, hangs)
    assert "no other is left" in summary["excluded"]["0"]
    assert set(summary["excluded"]) == {"0", "1"}
    assert {clip.split("_")[2] for clip in scores} == {"02", "03"}


def test_algorithm_2_without_the_sick_one(config, without_the_sick_one, run):
    summary, scores, _ = run(replace(config, inference="server"), EMBEDDINGS, hangs)
    assert set(summary["excluded"]) == {str(SICK)}
    expected = without_the_sick_one("fp32")
    assert scores.keys() == expected.keys()
    for clip, (score, _) in scores.items():
        assert float(score) == pytest.approx(float(expected[clip][0]), abs=1e-6)
