"""What can be known of an encoder without any recording: where the embeddings of sounds lie that everybody can make.

Noise is added to what is left of a clip within a distance of a centre. Neither may depend on the clients' recordings,
or they would tell of these. So both come from coloured noise of several levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from collab_asd import keyed
from collab_asd.interfaces import Encoder, FloatArray

SLOPES = (0.0, 1.0, 2.0)  # of the power spectrum: white, pink, brown noise
LEVELS = (-50.0, -40.0, -30.0, -20.0)  # dB, of full scale
SECONDS, LOWEST = 4, 20.0  # s; Hz, below which the spectrum is flat
QUANTILE, SHARE = 0.25, 0.5


@dataclass(frozen=True)
class PublicSphere:
    """Where embeddings are expected to lie.

    Parameters
    ----------
    centre : FloatArray
        ``[D]``: mean frame of the public sounds.
    radius : float
        Half the root mean square distance of a clip's frames from the centre, of those sounds that lie at the nearer
        quarter, which is about as far as machines lie: what is shorter needs less noise, and loses little.
    """

    centre: FloatArray
    radius: float

    @classmethod
    def of(cls, encoder: Encoder) -> PublicSphere:
        """Push the public sounds through an encoder."""
        frames = [encoder(sound) for sound in public_sounds(encoder.spec.sample_rate)]
        centre = np.concatenate(frames).mean(axis=0, dtype=np.float64)
        distances = [np.sqrt(np.square(clip - centre).sum(axis=1).mean()) for clip in frames]
        return cls(centre.astype(np.float32), SHARE * float(np.quantile(distances, QUANTILE)))


def public_sounds(rate: int) -> list[FloatArray]:
    """Make noise of each slope and level at a rate in Hz, each ``[samples]``; the same on every machine."""
    return [_coloured(slope, level, rate) for slope, level in product(SLOPES, LEVELS)]


def _coloured(slope: float, level: float, rate: int) -> FloatArray:
    samples = rate * SECONDS
    spectrum = np.fft.rfft(keyed.gaussian(f"collab-asd public sound {slope} {level}".encode(), samples))
    frequencies = np.maximum(np.arange(len(spectrum)) / SECONDS, LOWEST)
    sound = np.fft.irfft(spectrum / frequencies ** (slope / 2), samples)
    sound *= 10 ** (level / 20) / np.sqrt(np.mean(np.square(sound)))
    return sound.astype(np.float32)
