"""What batch statistics tell, in closed form."""

import numpy as np

from baselines.fedavg.audit import BATCHES, RUNNING, WEIGHT, Update, batch_means
from collab_asd.classifier.model import ClassifierSettings


def test_running_means_are_undone_to_the_mean_frame():
    rng = np.random.default_rng(0)
    weight, mean_frame = rng.standard_normal((512, 6)), rng.standard_normal(6)
    start, scale, before = rng.standard_normal(6), np.array([1, 2, 3, 4, 5, 6.0]), rng.standard_normal(512)
    after = 0.9**3 * before + (1 - 0.9**3) * (weight @ ((mean_frame - start) * scale))
    sent = {RUNNING: before, BATCHES: np.array(7), WEIGHT: weight, "buffers/mean": start, "buffers/scale": scale}
    returned = {RUNNING: after, BATCHES: np.array(10), WEIGHT: weight}
    update = Update(2, 0, ClassifierSettings("light", 6, 8, 1, 3), sent, returned)
    np.testing.assert_allclose(batch_means([update, update])[2], mean_frame, atol=1e-5)


def test_a_model_without_batch_statistics_tells_nothing():
    update = Update(0, 0, ClassifierSettings("light", 6, 8, 1, 3, "group"), {}, {})
    assert batch_means([update]) == {}
