"""The public API, and the script in the README, run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import collab_asd as asd

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.fixture(scope="module")
def embedded(machines, tmp_path_factory):
    encoder = asd.build_encoder("logmel")
    cache = str(tmp_path_factory.mktemp("cache"))
    return encoder, asd.embed(encoder, asd.load_recordings(machines), cache=cache)


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, collab_asd; print([m for m in ('torch', 'flwr', 'sklearn', 'scipy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_public_name_exists_and_no_other():
    for name in asd.__all__:
        assert getattr(asd, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = asd.nonsense


def test_embedded_machines_keep_names_labels_and_clips_together(embedded):
    _, found = embedded
    assert list(found) == ["fan/00", "fan/01", "fan/02"]
    machine = found["fan/01"]
    assert (len(machine.train), len(machine.test), sorted(machine.labels)) == (12, 12, [0] * 6 + [1] * 6)
    assert [clip.label for clip in machine.test_clips] == machine.labels


def test_a_detector_follows_scikit_learn(embedded):
    _, found = embedded
    detector = asd.AnomalyDetector("knn", false_alarm_rate=0.2).fit(found["fan/00"].train)
    scores = detector.anomaly_scores(found["fan/00"].test)
    np.testing.assert_array_equal(detector.score_samples(found["fan/00"].test), -scores)
    np.testing.assert_array_equal(detector.decision_function(found["fan/00"].test), detector.threshold_ - scores)
    np.testing.assert_array_equal(
        detector.predict(found["fan/00"].test) == -1, detector.decision_function(found["fan/00"].test) < 0
    )


def test_an_unfitted_detector_says_so(embedded):
    with pytest.raises(asd.InputError, match="fit"):
        asd.AnomalyDetector().predict(embedded[1]["fan/00"].test)


@pytest.mark.parametrize("covariances", [True, False])
def test_the_model_gives_the_scores_of_a_run(covariances, embedded, machines, tmp_path):
    """With frames as they are (fp32), a run through messages and the model on arrays are the same computation."""
    from collab_asd.config import RunConfig
    from collab_asd.federation.engines import run_inprocess
    from collab_asd.report.reading import read_run

    encoder, found = embedded
    values = {"data-dir": str(machines), "encoder": "logmel", "codec": "fp32", "epochs": 1, "report": False}
    values |= {"share-covariances": covariances}
    places = {"results-dir": str(tmp_path / "run"), "cache-dir": str(tmp_path / "cache")}
    run = read_run(run_inprocess(RunConfig.from_mapping(values | places), 3))
    model = asd.CollaborativeModel(epochs=1, seed=0, share_covariances=covariances).fit(found, encoder)
    by_clip = {row.clip: row.anomaly_score for row in run.table.rows}
    for name, machine in found.items():
        expected = [by_clip[clip.path.relative_to(machines).as_posix()] for clip in machine.test_clips]
        np.testing.assert_allclose(model.detectors_[name].anomaly_scores(machine.test), expected, rtol=1e-6)


def test_evaluation_of_a_perfect_score():
    result = asd.evaluate([0, 0, 1, 1, None], [0.1, 0.2, 0.8, 0.9, 5.0], threshold=0.5)
    assert (result.auc, result.false_alarm_rate, result.recall, result.f1) == (1.0, 0.0, 1.0, 1.0)


def test_a_saved_detector_is_loaded_with_its_encoder(machines, tmp_path):
    from collab_asd.config import RunConfig
    from collab_asd.federation.engines import run_inprocess

    values = {"data-dir": str(machines), "encoder": "logmel", "method": "local-mahalanobis", "report": False}
    places = {"results-dir": str(tmp_path / "run"), "cache-dir": str(tmp_path / "cache")}
    folder = run_inprocess(RunConfig.from_mapping(values | places), 3)
    verdict = asd.load_detector(folder / "detectors" / "fan_id_00").judge(
        next((machines / "fan" / "test").glob("anomaly_id_00*"))
    )
    assert verdict.decision == 1


def test_the_script_in_the_readme(machines, tmp_path):
    (script,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "recordings").symlink_to(machines)
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [name for name, _ in lines] == ["fan/00", "fan/01", "fan/02"]
    assert all(0.5 < float(auc) <= 1 for _, auc in lines)
