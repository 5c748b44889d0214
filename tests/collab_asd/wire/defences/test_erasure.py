import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from collab_asd.wire.codecs import parse
from collab_asd.wire.defences.linear import Erasure

DIMENSION = 12


def tagged(values, seed=0, clips=40):
    """Clips whose rows tell the value of each along a direction or two, and have a covariance of their own."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(7).normal(size=(DIMENSION, DIMENSION))
    offsets = {value: 3 * np.random.default_rng(11 + i).normal(size=DIMENSION) for i, value in enumerate(values)}
    names = [values[i % len(values)] for i in range(clips)]
    rows = [5 + rng.normal(size=(rng.integers(3, 9), DIMENSION)) @ mixing + offsets[name] for name in names]
    return [clip.astype(np.float32) for clip in rows], names


def accuracy(clips, names):
    """Of a linear probe of single rows that is tested on the very rows that it learnt from."""
    rows, told = np.concatenate(clips), np.repeat(names, list(map(len, clips)))
    return LogisticRegression(C=1e4, class_weight="balanced", max_iter=5000).fit(rows, told).score(rows, told)


@pytest.mark.parametrize("values", [("high", "low"), ("A", "B", "C")])
def test_what_is_left_does_not_tell_the_attribute(values):
    clips, names = tagged(values)
    erasure = Erasure.fitted(clips, names)
    left = [erasure.encode(clip) for clip in clips]
    rows, told = np.concatenate(left), np.repeat(names, list(map(len, left)))
    means = np.array([rows[told == value].mean(axis=0) for value in values])
    np.testing.assert_allclose(means, np.broadcast_to(means[0], means.shape), atol=1e-4)
    assert accuracy(clips, names) > 0.95
    assert accuracy(left, names) < 1 / len(values) + 0.1


def test_it_holds_for_new_clips_about():
    clips, names = tagged(("high", "low"), clips=200)
    erasure = Erasure.fitted(clips[:100], names[:100])
    new, told = clips[100:], names[100:]
    before, after = (
        cross_val_score(LogisticRegression(max_iter=5000), [clip.mean(axis=0) for clip in side], told, cv=5).mean()
        for side in (new, list(map(erasure.encode, new)))
    )
    assert before > 0.95
    assert after < 0.65


@pytest.mark.parametrize("values", [("high", "low"), ("A", "B", "C")])
def test_one_direction_less_than_values_is_lost(values):
    clips, names = tagged(values)
    rows = np.concatenate(clips)
    changed = Erasure.fitted(clips, names).encode(rows) - rows
    assert np.linalg.matrix_rank(changed, tol=1e-2) == len(values) - 1


def test_closed_form_of_two_classes_on_an_axis():
    """Isotropic rows whose classes differ along the first axis alone: it becomes the mean, the others stay."""
    rng = np.random.default_rng(3)
    noise = np.linalg.qr(rng.normal(size=(4000, 4)))[0] * np.sqrt(4000)
    classes = np.repeat([0, 1], 2000)
    noise -= np.array([noise[classes == c].mean(axis=0) for c in (0, 1)])[classes]
    rows = noise + np.outer(classes, [4.0, 0, 0, 0])
    left = Erasure.fitted([rows[:2000].astype(np.float32), rows[2000:].astype(np.float32)], ["a", "b"]).encode(rows)
    np.testing.assert_allclose(left[:, 0], 2.0, atol=0.15)
    np.testing.assert_allclose(left[:, 1:], rows[:, 1:], atol=0.15)


@pytest.mark.parametrize("text", ["pool:2", "every:2+fp32", "pool:2+pca:5", "pool:3+pca:5+int8"])
def test_what_was_erased_stays_so_behind_a_codec(text):
    """What the server decodes is a linear function of erased rows, up to steps of a sixteenth of a deviation."""
    clips, names = tagged(("high", "low"), clips=100)
    plan = parse(text)
    plan = plan.with_own([Erasure.fitted(map(plan.shaped, clips), names)])
    codec = plan.fit([plan.statistics(clips)] if plan.learns else [])
    sent = [codec.encode(clip) for clip in clips]
    decoded = [
        codec.decode(rows, len(clip))[:: codec.shaping[0].number] for rows, clip in zip(sent, clips, strict=True)
    ]
    assert accuracy(clips, names) > 0.95
    assert accuracy(decoded, names) < 0.62


def test_arrays_are_all_that_it_is():
    clips, names = tagged(("high", "low"))
    erasure = Erasure.fitted(clips, names)
    np.testing.assert_array_equal(Erasure().with_learnt(erasure.learnt).encode(clips[0]), erasure.encode(clips[0]))
