import numpy as np
import pytest

from collab_asd.core.errors import InputError
from collab_asd.detection.scorers.gaussian import MahalanobisScorer
from collab_asd.wire.codecs import parse
from collab_asd.wire.defences.linear import Rotation, load_rotation

KEY = bytes(range(32))


def matrix(key, dimension):
    return Rotation.of_key(key, dimension).encode(np.eye(dimension, dtype=np.float32)).astype(np.float64)


@pytest.mark.parametrize("dimension", [1, 2, 3, 7, 512])
def test_is_orthogonal(dimension):
    turn = matrix(KEY, dimension)
    np.testing.assert_allclose(turn @ turn.T, np.eye(dimension), atol=3e-6)


def test_is_uniformly_distributed():
    """Entries of a uniformly distributed rotation of D dimensions have mean 0, variance 1/D; its trace has variance 1.

    Six standard deviations of the mean of 2,000 draws, which are always the same.
    """
    drawn = np.array([matrix(f"key number {i:10d}".encode(), 3) for i in range(2000)])
    assert np.abs(drawn.mean(axis=0)).max() < 6 * np.sqrt(1 / 3 / 2000)
    np.testing.assert_allclose(np.square(drawn).mean(axis=0), 1 / 3, atol=6 * np.sqrt(4 / 45 / 2000))
    assert abs(np.square(np.trace(drawn, axis1=1, axis2=2)).mean() - 1) < 6 * np.sqrt(2 / 2000)
    assert abs(np.sign(np.linalg.det(drawn)).mean()) < 6 / np.sqrt(2000)


def test_follows_from_the_key_alone():
    first, again, other = (matrix(key, 6) for key in (KEY, KEY, KEY[::-1]))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1
    assert Rotation.of_key(KEY, 6).fingerprint == Rotation.of_key(KEY, 9).fingerprint
    assert Rotation.of_key(KEY, 6).fingerprint != Rotation.of_key(KEY[::-1], 6).fingerprint


def test_distances_and_mahalanobis_scores_stay():
    rows = np.random.default_rng(0).normal(size=(60, 24)).astype(np.float32)
    turned = Rotation.of_key(KEY, 24).encode(rows)
    apart, still = (np.linalg.norm(x[:, None] - x[None], axis=2) for x in (rows, turned))
    np.testing.assert_allclose(still, apart, atol=1e-5)
    scores = [MahalanobisScorer().fit(x[:40]).score(x[40:]) for x in (rows, turned)]
    np.testing.assert_allclose(*scores, rtol=1e-4)


@pytest.mark.parametrize("text", ["fp32", "pool:4", "pool:4+pca:6", "every:3+pca:24+fp32"])
def test_codecs_lose_what_they_would_lose_without_it(text):
    """Pooling and principal components commute with a rotation."""
    rng, turn = np.random.default_rng(1), Rotation.of_key(KEY, 24)
    clips = [(rng.normal(size=(12, 24)) * 0.7 ** np.arange(24)).astype(np.float32) for _ in range(20)]
    plain, turning = parse(text), parse(text).with_own([turn])
    codecs = [plan.fit([plan.statistics(clips)] if plan.learns else []) for plan in (plain, turning)]
    for clip in clips[:3]:
        left, turned = (codec.round_trip(clip) for codec in codecs)
        np.testing.assert_allclose(turned, turn.encode(left), atol=4e-3)  # axes travel in half precision


def test_many_dimensions_are_not_decomposed(monkeypatch):
    monkeypatch.setattr(np.linalg, "qr", None)
    rows = np.random.default_rng(2).normal(size=(3, 1500)).astype(np.float32)
    turned = Rotation.of_key(KEY, 1500).encode(rows)
    np.testing.assert_allclose(turned @ turned.T, rows @ rows.T, atol=2e-2)


def test_key_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"rotation-key-file .*nowhere: No such file.*head -c 32"):
        load_rotation(str(tmp_path / "nowhere"), 4)
    (tmp_path / "short").write_bytes(b"short")
    with pytest.raises(InputError, match=r"rotation-key-file .*short has 5 bytes and needs 16"):
        load_rotation(str(tmp_path / "short"), 4)
