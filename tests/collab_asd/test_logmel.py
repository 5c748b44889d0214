import numpy as np
import torch

from collab_asd.core.torch_audio import log_mel
from collab_asd.encoders.logmel import LogMel


def test_a_batch_gives_what_each_waveform_gives():
    waves = np.random.default_rng(0).normal(0, 0.1, (3, 16_000)).astype(np.float32)
    spectra = log_mel(torch.tensor(waves))
    assert spectra.shape == (3, 30, 128)
    for wave, spectrum in zip(waves, spectra, strict=True):
        np.testing.assert_allclose(spectrum, LogMel()(wave), atol=1e-4)


def test_works_for_training_after_inference():
    with torch.inference_mode():
        log_mel(torch.zeros(2048))
    weight = torch.ones(128, requires_grad=True)
    (log_mel(torch.zeros(2048)) * weight).sum().backward()
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, torch.full((128,), 3 * -100.0))  # three silent frames
