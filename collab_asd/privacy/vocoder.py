"""From estimated spectra back to something to listen to.

Log-mel spectra hold no phase and few bands. The power of each frequency is the least-squares one, and phases are those
that fit best to it (D. Griffin and J. Lim, "Signal estimation from modified short-time Fourier transform", IEEE Trans.
ASSP 32(2), 1984), both by torchaudio: a listener hears what a simple adversary would.
"""

from __future__ import annotations

import torch

from collab_asd.interfaces import FloatArray
from collab_asd.privacy.spectra import FFT, MEL_BANDS, SAMPLE_RATE
from collab_asd.torch_audio import torchaudio

ITERATIONS = 32


def sound_of(spectra: FloatArray, hop: int) -> FloatArray:
    """Make a sound of log-mel spectra in dB ``[n, bands]``, so many samples apart -> ``[samples]`` at `SAMPLE_RATE`."""
    power = torch.pow(10.0, torch.tensor(spectra.T.copy()) / 10)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # of the phases to begin with
        linear = torchaudio.transforms.InverseMelScale(FFT // 2 + 1, MEL_BANDS, SAMPLE_RATE)(power)
        waveform = torchaudio.transforms.GriffinLim(FFT, ITERATIONS, hop_length=hop, power=2.0)(linear)
    found: FloatArray = waveform.numpy()
    return found
