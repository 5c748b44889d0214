from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kstest, norm

from collab_asd.core.errors import InputError
from collab_asd.wire.codecs import parse
from collab_asd.wire.defences import noise
from collab_asd.wire.defences.noise import Noise, PublicSphere, deviation, load_noise_key

KEY = bytes(range(32))
DIMENSION = 24
CENTRE = np.arange(DIMENSION, dtype=np.float32)
KNOWN = [(1.0, 1e-5, 3.730632), (0.1, 1e-5, 30.749566), (8.0, 1e-5, 0.600229)]
SPHERE = PublicSphere(CENTRE, radius=2.0)


def make(epsilon=8.0, key=KEY, clip="a"):
    return Noise(epsilon=epsilon, delta=1e-5, sphere=SPHERE, key=key, clip=clip)


def rows_of(seed, length=6, size=1.0):
    drawn = np.random.default_rng(seed).normal(size=(length, DIMENSION))
    return (CENTRE + size * drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(
    ("epsilon", "delta", "known"), [(1.0, 1e-5, 3.730632), (0.1, 1e-5, 30.749566), (8.0, 1e-5, 0.600229)]
)
def test_deviation_is_that_of_the_analytic_gaussian_mechanism(epsilon, delta, known):
    assert deviation(epsilon, delta) == pytest.approx(known, rel=1e-6)


@pytest.mark.parametrize("epsilon", [0.2, 1.0, 10.0, 200.0])
@pytest.mark.parametrize("delta", [1e-3, 1e-7])
def test_delta_comes_out_by_balle_and_wang(epsilon, delta):
    """Theorem 8, with sensitivity D and deviation s: Phi(D/2s - eps s/D) - exp(eps) Phi(-D/2s - eps s/D) = delta."""
    s = deviation(epsilon, delta)
    upper = norm.cdf(0.5 / s - epsilon * s)
    lower = np.exp(epsilon + norm.logcdf(-0.5 / s - epsilon * s))
    assert upper - lower == pytest.approx(delta, rel=1e-4)


def test_two_clips_in_place_of_each_other_differ_by_twice_the_norm_at_most(monkeypatch):
    """What noise is added to is the sphere's centre and at most C = radius sqrt(rows) beside it."""
    monkeypatch.setattr(noise, "deviation", lambda epsilon, delta: 0.0)
    far = [make().encode(rows_of(seed, size=1000.0)) for seed in range(5)]
    assert [np.linalg.norm(clip - CENTRE) for clip in far] == pytest.approx([2.0 * np.sqrt(6)] * 5, rel=1e-4)
    near = rows_of(9, size=1.9)
    np.testing.assert_allclose(make().encode(near), near, atol=1e-5)
    opposite = [make().encode(CENTRE + sign * np.full((6, DIMENSION), 99.0, np.float32)) for sign in (1, -1)]
    assert np.linalg.norm(opposite[0] - opposite[1]) == pytest.approx(2 * 2.0 * np.sqrt(6), rel=1e-4)


def test_noise_is_normal_with_the_stated_deviation():
    """Of a clip of 6 rows: 2 C s = 2 * 2 * sqrt(6) * 0.600229 = 5.881."""
    rows = rows_of(1)
    drawn = np.array([make(clip=str(i)).encode(rows) - rows for i in range(200)]).ravel()
    assert drawn.std() == pytest.approx(5.881, rel=0.02)
    assert kstest(drawn / 5.881, "norm").pvalue > 1e-3
    correlation = np.corrcoef(drawn.reshape(200, -1)[:, :20].T)
    assert np.abs(correlation - np.eye(20)).max() < 6 / np.sqrt(200)


def test_same_clip_and_key_give_the_same_noise_and_others_do_not():
    rows = rows_of(1)
    sent = make().encode(rows)
    np.testing.assert_array_equal(make().encode(rows.copy()), sent)
    drawn = sent - rows
    moved = rows.copy()
    moved[0, 0] += 1e-3
    others = {
        "key": make(key=KEY[::-1]).encode(rows) - rows,
        "clip": make(clip="b").encode(rows) - rows,
        "rows": make().encode(moved) - moved,
        "epsilon": (make(epsilon=7.9).encode(rows) - rows),
    }
    for what, other in others.items():
        assert abs(np.corrcoef(other.ravel(), drawn.ravel())[0, 1]) < 0.4, what


@pytest.mark.parametrize("text", ["fp32", "pool:2+fp16", "pool:2+pca:5+int8", "pool:2+pq:4"])
def test_all_that_is_told_comes_of_noisy_rows(text):
    """Statistics are those of what noise was added to: with the frames taken back they would be others."""
    clips = [rows_of(seed) for seed in range(8)]
    plan = parse(text)
    noisy = [plan.with_own([make(clip=str(i))]).shaped(clip) for i, clip in enumerate(clips)]
    if plan.learns:
        told = plan.statistics_of(noisy)
        np.testing.assert_allclose(told.mean, np.concatenate(noisy).mean(axis=0), atol=1e-5)
        assert told.deviation.min() > 2.0  # of the rows themselves it is below 0.5
    codec = plan.fit([plan.statistics_of(noisy)] if plan.learns else [])
    tail = replace(codec, shaping=tuple(stage for stage in codec.shaping if stage.learns))
    for i, clip in enumerate(clips):
        np.testing.assert_array_equal(codec.with_own([make(clip=str(i))]).encode(clip), tail.encode(noisy[i]))


def test_note_says_unit_guarantee_norm_and_deviation():
    note = make().note
    assert "unit one clip" in note
    assert "(8, 1e-05)" in note
    assert "norm 2 " in note
    assert "sigma 2.401" in note
    assert "no guarantee" not in note
    assert "no guarantee" not in make(epsilon=10.0).note
    assert "no guarantee, epsilon is above 10" in make(epsilon=10.1).note
    assert "none on scores" in note


def test_key_stays_out_of_sight():
    assert str(KEY) not in repr(make())
    assert KEY.hex() not in repr(make())


def test_key_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"noise-epsilon: .*head -c 32.*noise-key-file"):
        load_noise_key("")
    with pytest.raises(InputError, match=r"noise-key-file .*No such file"):
        load_noise_key(str(tmp_path / "nowhere"))


def test_noise_without_its_accountant_is_refused(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "dp_accounting.gaussian_mechanism", None)
    with pytest.raises(InputError, match=r"pip install 'collab-asd\[noise\]'"):
        deviation(3.21, 1e-5)
