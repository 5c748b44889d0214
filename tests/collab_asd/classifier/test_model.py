import numpy as np
import pytest
import torch

from collab_asd.classifier.model import ClassifierSettings, IdClassifier, from_arrays, to_arrays
from collab_asd.core.errors import InputError

SETTINGS = ClassifierSettings("light", dimension=6, stack=4, stack_hop=2, classes=3)


def clip(length: int = 11, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((length, 6)).astype(np.float32)


@pytest.fixture
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return IdClassifier(SETTINGS).eval()


def test_embeds_each_window_on_the_unit_sphere(model):
    embedding = model.embed(clip())
    assert embedding.shape == (4, 128)
    assert embedding.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1.0, rtol=1e-5)


def test_more_windows_than_one_batch(model):
    frames = clip(length=300)
    embedding = model.embed(frames)
    assert len(embedding) == 149
    np.testing.assert_allclose(embedding[100], model.embed(frames[200:204])[0], atol=1e-6)


def test_standardisation_undoes_the_units_of_the_input(model):
    expected = model.embed(clip())
    model.mean.fill_(5.0)
    model.scale.fill_(1 / 3)
    np.testing.assert_allclose(model.embed(3 * clip() + 5), expected, atol=1e-5)


def test_predicts_the_largest_sum_of_cosines(model):
    model.directions.zero_()
    model.directions[0, 0], model.directions[1, 1], model.directions[2, 2] = 9.0, 1.0, 0.1  # lengths do not matter
    embedding = np.zeros((3, 128), np.float32)
    embedding[0, 0], embedding[1, 1], embedding[2, 1] = 1.0, 0.6, 0.6  # sums 1.0, 1.2, 0
    assert model.predict(embedding) == 1


@pytest.mark.parametrize("backbone", ["light", "mobilefacenet"])
def test_travels_as_arrays(backbone):
    settings = ClassifierSettings(backbone, dimension=6, stack=4, stack_hop=2, classes=3)
    original = IdClassifier(settings)
    arrays = to_arrays(original)
    copy = from_arrays(settings, {name: arrays[name].copy() for name in reversed(arrays)})
    np.testing.assert_array_equal(copy.embed(clip()), original.embed(clip()))


def test_refuses_the_arrays_of_another_model(model):
    other = ClassifierSettings("light", dimension=7, stack=4, stack_hop=2, classes=3)
    with pytest.raises(InputError, match="do not fit"):
        from_arrays(other, to_arrays(model))


def test_refuses_an_unknown_backbone():
    with pytest.raises(InputError, match="'resnet' is unknown"):
        IdClassifier(ClassifierSettings("resnet", 6, 4, 2, 3))
