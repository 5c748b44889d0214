import numpy as np
import pytest
import torch

from collab_asd.classifier.backbones import Stgram, TgramNet
from collab_asd.classifier.model import ClassifierSettings, IdClassifier, from_arrays, to_arrays
from collab_asd.classifier.training import new_classifier
from collab_asd.encoders.logmel import LogMel
from collab_asd.encoders.waveform import Waveform

NOISE = np.random.default_rng(0).normal(0, 0.1, 65 * 512).astype(np.float32)


@pytest.fixture
def windows():
    return torch.tensor(Waveform()(NOISE))[None, None]


def test_the_spectrum_inside_is_that_of_the_log_mel_encoder(windows):
    stgram = Stgram().eval()
    stgram.standardize.eps = 1e-12  # and its statistics are still 0 and 1
    with torch.inference_mode():
        image = stgram(windows)
    assert image.shape == (1, 2, 64, 128)
    np.testing.assert_allclose(image[0, 0], LogMel()(NOISE), atol=1e-4)


def test_learned_frames_see_what_spectra_see():
    """The filters' frame t covers the samples from 512 t to 512 t + 1023, as a spectrum's."""
    net = TgramNet()
    impulse = torch.zeros(1, 1, 65 * 512)
    impulse[0, 0, 5 * 512 + 3] = 1.0
    with torch.inference_mode():
        heard = net.filters(impulse)[0]
    assert heard.shape == (128, 64)
    assert torch.unique(heard.nonzero()[:, 1]).tolist() == [4, 5]
    torch.testing.assert_close(heard[:, 5], net.filters.weight[:, 0, 3])


@pytest.mark.parametrize("backbone", ["stgram-light", "stgram-mfn"])
def test_the_front_end_is_trained(backbone, windows):
    model = IdClassifier(ClassifierSettings(backbone, 512, stack=65, stack_hop=8, classes=2))
    model(model.standardize(torch.cat([windows[0], 2 * windows[0].flip(1)]))).square().mean(dim=0)[0].backward()
    gradients = [p.grad for name, p in model.named_parameters() if "filters" in name]
    assert len(gradients) == 1
    assert gradients[0] is not None
    assert gradients[0].abs().max() > 0


def test_all_samples_of_a_frame_get_one_gain():
    settings = ClassifierSettings("stgram-light", 512, stack=65, stack_hop=8, classes=2)
    mean, deviation = np.repeat([1.0, 3.0], 256).astype(np.float32), np.repeat([1.0, 2.0], 256).astype(np.float32)
    model = new_classifier(settings, mean, deviation, seed=0)
    # Two halves with variances 1 and 4 about 1 and 3: the whole has mean 2 and variance 2.5 + 1.
    np.testing.assert_allclose(model.mean, np.full(512, 2.0))
    np.testing.assert_allclose(model.scale, np.full(512, 3.5**-0.5), rtol=1e-6)


@pytest.mark.parametrize("backbone", ["stgram-light", "stgram-mfn"])
def test_travels_as_arrays(backbone):
    settings = ClassifierSettings(backbone, 512, stack=65, stack_hop=8, classes=2)
    original = IdClassifier(settings)
    copy = from_arrays(settings, to_arrays(original))
    np.testing.assert_array_equal(copy.embed(Waveform()(NOISE)), original.embed(Waveform()(NOISE)))
