"""What a run's summary says of its machines."""

from pathlib import Path

import pytest

from collab_asd.config import RunConfig
from collab_asd.core.types import Clip, Partition
from collab_asd.detection.evaluation import Evaluation, MachineResult
from collab_asd.federation.results import mark_thresholds, summarize


def holding(client, machine_id, normals):
    clips = tuple(Clip(Path(f"{i}.wav"), "fan", machine_id, "train", None, f"{client}{i}") for i in range(normals))
    return Partition(client, clips, (0,) * normals, (client,) * normals)


def marked(config, *partitions):
    machines = {partition.clips[0].machine_id for partition in partitions}
    results = [MachineResult("fan", i, 0.9, 0.8, (0.8, 1.0), 0.1, 0.7, 0.8, None) for i in sorted(machines)]
    return [m.few_threshold_clips for m in mark_thresholds(Evaluation(tuple(results)), config, partitions).machines]


@pytest.mark.parametrize(
    ("method", "normals", "uncertain"),
    [
        ("embedding-sharing", 175, False),  # 35 held back
        ("embedding-sharing", 45, False),  # each clip is scored without itself in the client's own space
        ("embedding-sharing", 12, True),
        ("local-mahalanobis", 45, False),  # each clip is scored without itself
        ("local-mahalanobis", 12, True),
    ],
)
def test_a_threshold_from_few_unseen_clips_is_marked(method, normals, uncertain):
    assert marked(RunConfig(method=method), holding(0, "00", normals)) == [uncertain]


def test_a_machine_is_marked_if_one_of_its_clients_has_few_clips():
    shared_alone = RunConfig(scorer="knn")  # 35 and 0 clips held back
    assert marked(shared_alone, holding(0, "00", 175), holding(1, "00", 40), holding(2, "01", 175)) == [True, False]


def test_the_summary_holds_the_marks():
    few = MachineResult("fan", "00", 1.0, 1.0, (0.6, 1.0), 0.1, 0.7, 0.8, None, few_test_clips=True)
    (machine,) = summarize(RunConfig(), Evaluation((few,)), [])["machines"]
    assert (machine["few_test_clips"], machine["few_threshold_clips"]) == (True, False)
