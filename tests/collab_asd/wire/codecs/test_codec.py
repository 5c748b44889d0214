import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from collab_asd.core.errors import InputError
from collab_asd.wire.codecs import FrameStatistics, parse
from collab_asd.wire.codecs.statistics import MOST_ROWS

DIMENSION = 24
TEXTS = (
    *("fp32", "fp16", "int8", "pool:3", "every:4", "pca:5", "pool:4+fp16", "every:2+int8"),
    *("pca:5+int8", "pool:8+pca:6+int8", "pool:2+every:2+pca:99+fp16", "pq:5", "pool:2+pca:6+pq:3"),
)


def draw(count, seed, mean=0.0):
    """Clips whose frames vary along few directions, each with another spread."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).normal(size=(DIMENSION, DIMENSION)) * 0.6 ** np.arange(DIMENSION)[:, np.newaxis]
    lengths = rng.integers(3, 12, count)
    return [(mean + rng.normal(size=(n, DIMENSION)) @ mixing).astype(np.float32) for n in lengths]


def fitted(text, *clients):
    plan = parse(text)
    return plan.fit([plan.statistics(clips) for clips in clients] if plan.learns else [])


@pytest.mark.parametrize(("text", "told"), [("pq:5", 0), ("pool:3+pq:2", 0), ("pca:5", 5), ("pool:8+pca:6+int8", 6)])
def test_no_more_directions_are_told_than_a_codec_needs(text, told):
    assert parse(text).statistics(draw(60, 1)).directions.shape == (told, DIMENSION)


@pytest.mark.parametrize("text", TEXTS)
def test_sizes_are_known_before_anything_is_encoded(text):
    clips = draw(6, 1)
    codec = fitted(text, clips)
    for clip in clips:
        rows = codec.encode(clip)
        assert rows.nbytes == codec.clip_bytes(*clip.shape)
        assert rows.shape == (codec.rows(len(clip)), codec.dimension(DIMENSION))
        assert rows.dtype == codec.storing.kind
        decoded = codec.decode(rows, len(clip))
        assert (decoded.shape, decoded.dtype) == (clip.shape, np.float32)
        np.testing.assert_array_equal(codec.round_trip(clip), decoded)


@pytest.mark.parametrize("text", TEXTS)
def test_what_travels_is_all_that_the_other_side_needs(text):
    clips = draw(6, 1)
    codec = fitted(text, clips)
    other = parse(text).with_arrays({name: array.copy() for name, array in codec.to_arrays().items()})
    np.testing.assert_array_equal(other.decode(codec.encode(clips[0]), len(clips[0])), codec.round_trip(clips[0]))


def test_arrays_of_another_codec_are_refused():
    with pytest.raises(ValueError, match="axes"):
        parse("pca:5").with_arrays(fitted("int8", draw(2, 0)).to_arrays())


def test_literal_numbers():
    frames = np.array([[1, 10], [3, 30], [5, 50], [7, 70], [9, 90]], np.float32)
    assert fitted("pool:2").encode(frames).tolist() == [[2, 20], [6, 60], [9, 90]]
    assert fitted("every:3").round_trip(frames).tolist() == [[1, 10]] * 3 + [[7, 70]] * 2
    codec = fitted("int8", [frames])  # deviations are 2.83 and 28.3, steps a sixteenth of these
    assert codec.encode(frames).tolist() == [[-23, -23], [-11, -11], [0, 0], [11, 11], [23, 23]]
    assert codec.encode(frames + 1000).max() == 127
    assert fitted("fp16").round_trip(np.array([[1e9, -1e9]], np.float32)).tolist() == [[65504, -65504]]


def test_product_quantization_errs_less_the_more_bytes_it_has():
    clips = draw(12, 2)
    frames = np.concatenate(clips)
    errors = [
        np.square(np.concatenate([codec.round_trip(clip) for clip in clips]) - frames).mean()
        for codec in (fitted(f"pca:{DIMENSION}+pq:{count}", clips) for count in (1, 4, 12))
    ]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert errors[2] < 0.01 * frames.var(axis=0).mean()


def test_int8_errs_by_half_a_step_at_most():
    clips = draw(8, 2)
    step = np.concatenate(clips).std(axis=0) / 16
    codec = fitted("int8", clips)
    for clip in clips:
        assert (np.abs(codec.round_trip(clip) - clip) <= 0.5001 * np.maximum(step, step.max() / 100) + 1e-6).all()


def test_shared_basis_is_that_of_all_frames_together():
    clients = [draw(5, seed, mean=seed) for seed in range(3)]
    frames = np.concatenate([clip for clips in clients for clip in clips])
    expected = PCA(DIMENSION // 4).fit(frames)
    axes = fitted(f"pca:{DIMENSION // 4}", *clients).shaping[0].learnt["axes"]
    whole = fitted(f"pca:{DIMENSION}", *clients).shaping[0].learnt["axes"][: DIMENSION // 4]
    np.testing.assert_allclose(np.abs((whole * expected.components_).sum(axis=1)), 1, atol=2e-3)
    overlap = np.linalg.norm(axes.astype(np.float64) @ expected.components_.T)
    assert overlap**2 > 0.97 * len(axes)  # each client told of its leading directions alone


def test_pooled_statistics_are_those_of_all_frames():
    clients = [draw(5, seed, mean=seed) for seed in range(3)]
    frames = np.concatenate([clip for clips in clients for clip in clips])
    pooled = FrameStatistics.pooled([FrameStatistics.of(clips, DIMENSION) for clips in clients])
    assert pooled.count == len(frames)
    np.testing.assert_allclose(pooled.mean, frames.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(pooled.deviation, frames.std(axis=0), rtol=1e-4)
    covariance = np.cov(frames.T, bias=True)
    np.testing.assert_allclose(pooled.directions.T @ pooled.directions, covariance, atol=1e-3 * covariance.max())


@given(st.integers(0, 20))
def test_one_clients_statistics_do_not_depend_on_how_clips_are_cut(cut):
    frames = np.concatenate(draw(4, 3))
    one, two = FrameStatistics.of([frames], 5), FrameStatistics.of([frames[:cut], frames[cut:]], 5)
    np.testing.assert_allclose(one.directions, two.directions, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mean": np.full(DIMENSION, np.nan, np.float32)}, "not finite"),
        ({"deviation": np.zeros(3, np.float32)}, "its deviation are"),
        ({"directions": np.zeros((2, 3), np.float16)}, "its directions are"),
        ({"count": np.array(0)}, "its count lie outside"),
        ({"count": np.array(1)}, "more directions than its frames"),
        ({"deviation": np.full(DIMENSION, -1, np.float32)}, "its deviation lie outside"),
        ({"deviation": np.full(DIMENSION, 1e-3, np.float32)}, "more than its deviations say"),
        ({"directions": np.eye(2, DIMENSION, dtype=np.float16) * 60_000}, "more than its deviations say"),
        ({"directions": np.diag([0.1, 0.2]).astype(np.float16) @ np.eye(2, DIMENSION)}, "its directions are"),
        ({"directions": np.outer([0.2, 0.1], np.eye(DIMENSION)[0]).astype(np.float16)}, "not orthogonal"),
        ({"directions": np.outer([0.1, 0.2], np.eye(DIMENSION)[0]).astype(np.float16)}, "in the order"),
    ],
)
def test_statistics_that_cannot_be_are_refused(change, words):
    arrays = FrameStatistics.of(draw(2, 0), 2).to_arrays()
    with pytest.raises(ValueError, match=words):
        FrameStatistics.from_arrays(arrays | change, DIMENSION, 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mp3", "'mp3' is no stage"),
        ("", "'' is no stage"),
        ("pool:0", "'pool:0' is no stage"),
        ("pca:-3+int8", "'pca:-3' is no stage"),
        ("int8+fp32", "'int8' is no stage"),
        ("pca:99999", "from 1 to 4096"),
        ("pool:2+pool:2", "each stage may stand there once"),
        ("pq:4+int8", "'pq:4' is no stage"),
        ("pq", "'pq' is no stage"),
        ("pca:4+pool:2", "pca comes after pool and every"),
    ],
)
def test_a_codec_that_is_none_says_what_there_is(text, words):
    with pytest.raises(InputError, match=words):
        parse(text)


def test_statistics_of_very_many_clients_are_those_of_all_frames():
    rng = np.random.default_rng(0)
    clips = [rng.normal(i % 3, 1 + i % 5, (20, 6)).astype(np.float32) for i in range(50)]
    pooled = FrameStatistics.pooled([FrameStatistics.of([clip], 6) for clip in clips])
    together = FrameStatistics.of(clips, 6)
    assert len(clips) * 7 > MOST_ROWS * 6  # so that rows are condensed on the way
    for name in ("mean", "deviation", "directions"):
        np.testing.assert_allclose(getattr(pooled, name), getattr(together, name), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("0/axes", lambda a: np.eye(DIMENSION, dtype=np.float16), "its 0/axes are|its axes are"),
        ("0/axes", lambda a: np.repeat(a[:1], len(a), axis=0), "not orthogonal"),
        ("0/axes", lambda a: a * 100, "lie outside"),
        ("0/axes", lambda a: a / 2, "not of length 1"),
        ("0/axes", lambda a: a * np.nan, "not finite"),
        ("0/mean", lambda a: a * np.inf, "not finite"),
        ("0/mean", lambda a: a[:-1], "its mean are"),
        ("1/step", lambda a: -a, "lie outside"),
        ("1/step", lambda a: a * np.array([1, 1e-6, 1]), "its step are|differ more"),
        ("1/step", lambda a: np.append(a[:-1], a[-1:] * 1e-4).astype(np.float32), "differ more"),
        ("more", lambda a: np.zeros(3), "its arrays are not"),
    ],
)
def test_a_codec_that_nobody_can_have_fitted_is_refused(name, change, words):
    """A server that sends more axes than were agreed on, or others than orthogonal ones, reads more than was agreed."""
    arrays = fitted("pca:3+int8", draw(6, 1)).to_arrays()
    with np.errstate(all="ignore"):
        changed = arrays | {name: change(arrays.get(name))}
    with pytest.raises(ValueError, match=words):
        parse("pca:3+int8").with_arrays(changed, DIMENSION)
    parse("pca:3+int8").with_arrays(arrays, DIMENSION)
