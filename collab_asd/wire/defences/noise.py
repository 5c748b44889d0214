"""Gaussian noise on clipped embeddings, with (epsilon, delta)-differential privacy of one clip.

The unit is one clip: all rows of it together, as a client pools them, before anything is learnt from them. Two clips of
the same length in place of each other change them by twice the clipping norm C at most, so noise of standard deviation

    sigma = 2 C s(epsilon, delta)

on each number makes them (epsilon, delta)-indistinguishable, s being that of the analytic Gaussian mechanism of
sensitivity 1. All that is made of the rows later (statistics, bytes, the ID classifier) keeps the guarantee.

It holds against who sees the embeddings and their statistics. It does not cover scores, thresholds and decisions, how
many clips there are, how long and in which order (that of their hashes), nor the tags that `linear.Erasure` uses. Each
further release of a clip, with another encoder, pooling or epsilon, composes with the first. The noise is drawn from
the client's own key and from the rows themselves: asked again, a client sends the same, and nothing averages out. So it
holds against adversaries who cannot break HMAC-SHA-256 and SHAKE-256, and not against the last bits of floating-point
numbers (I. Mironov, CCS 2012).

Noise is added to what is left of a clip within a distance of a centre. Neither may depend on the clients' recordings,
or they would tell of these. So both come from the embeddings of sounds that everybody can make, coloured noise of
several levels (`PublicSphere`).

References
----------
B. Balle and Y.-X. Wang, "Improving the Gaussian mechanism for differential privacy", ICML 2018. What an epsilon is
worth: N. Ponomareva et al., "How to DP-fy ML", Journal of Artificial Intelligence Research 77, 2023 (the third of their
tiers, above 10: weak to no formal guarantee).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np

from collab_asd.core import seeding
from collab_asd.core.errors import InputError
from collab_asd.core.types import Encoder, FloatArray
from collab_asd.wire.codecs.stages import Rows, Stage

SLOPES = (0.0, 1.0, 2.0)  # of the power spectrum: white, pink, brown noise
LEVELS = (-50.0, -40.0, -30.0, -20.0)  # dB, of full scale
SECONDS, LOWEST = 4, 20.0  # s; Hz, below which the spectrum is flat
QUANTILE, SHARE = 0.25, 0.5
PURPOSE = "collab-asd noise"
NO_GUARANTEE_ABOVE = 10.0
"""Epsilon above which noise is called no guarantee (Ponomareva et al., 2023)."""


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
    spectrum = np.fft.rfft(seeding.gaussian(f"collab-asd public sound {slope} {level}".encode(), samples))
    frequencies = np.maximum(np.arange(len(spectrum)) / SECONDS, LOWEST)
    sound = np.fft.irfft(spectrum / frequencies ** (slope / 2), samples)
    sound *= 10 ** (level / 20) / np.sqrt(np.mean(np.square(sound)))
    return sound.astype(np.float32)


@cache
def deviation(epsilon: float, delta: float) -> float:
    """Return s, the noise's deviation for sensitivity 1, by Google's ``dp-accounting``.

    Raises
    ------
    InputError
        It is not installed.
    """
    try:
        from dp_accounting.gaussian_mechanism import get_sigma_gaussian
    except ImportError as error:
        raise InputError("noise-epsilon: needs dp-accounting; install it by pip install 'collab-asd[noise]'") from error
    return float(get_sigma_gaussian(epsilon, delta))


class Clipping(Stage):
    """Bring the rows of a clip, together, within a distance of a public centre."""

    learns = ("centre", "radius")

    @classmethod
    def to(cls, sphere: PublicSphere) -> Clipping:
        """Clip to a sphere: n rows to sqrt(n) times its radius."""
        return cls(learnt={"centre": sphere.centre, "radius": np.array(sphere.radius)})

    def encode(self, rows: Rows) -> Rows:
        """Shorten what lies further out."""
        apart = rows.astype(np.float64) - self.learnt["centre"]
        limit = float(self.learnt["radius"]) * np.sqrt(len(rows))
        apart *= min(1.0, limit / max(float(np.linalg.norm(apart)), 1e-12))
        return np.asarray(self.learnt["centre"] + apart, np.float32)

    def decode(self, rows: Rows, count: int) -> Rows:
        """Nothing makes it longer again."""
        return rows


@dataclass(frozen=True)
class Noise(Stage):
    """Clip, and add noise.

    Parameters
    ----------
    epsilon, delta : float
    sphere : PublicSphere
        Its radius is the clipping norm by row: C is sqrt(rows) times that.
    key : bytes
        The client's own.
    clip : str
        Which clip it is. One that is there twice gets noise of its own each time.
    """

    epsilon: float = 0.0
    delta: float = 0.0
    sphere: PublicSphere = field(default_factory=lambda: PublicSphere(np.zeros(1, np.float32), 0.0))
    key: bytes = field(default=b"", repr=False)
    clip: str = field(default="", repr=False)

    @property
    def clipping(self) -> Clipping:
        """What it does before it adds noise."""
        return Clipping.to(self.sphere)

    def of(self, clip: str) -> Noise:
        """Return the noise of one clip."""
        return replace(self, clip=clip)

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise on clips of one row; it grows as the square root of their number."""
        return 2 * self.sphere.radius * deviation(self.epsilon, self.delta)

    def encode(self, rows: Rows) -> Rows:
        """Clip the rows ``[n, D]`` of a clip together, and add noise to each number."""
        asked = self._mechanism, self.clip.encode(), np.ascontiguousarray(rows).tobytes()
        drawn = seeding.gaussian(seeding.keyed_hash(self.key, PURPOSE, *asked), rows.size).reshape(rows.shape)
        return np.asarray(self.clipping.encode(rows) + self.sigma * np.sqrt(len(rows)) * drawn, np.float32)

    def decode(self, rows: Rows, count: int) -> Rows:
        """Nothing takes it off again."""
        return rows

    @property
    def note(self) -> str:
        """What a reader of the results must know."""
        worth = "" if self.epsilon <= NO_GUARANTEE_ABOVE else f"; no guarantee, epsilon is above {NO_GUARANTEE_ABOVE:g}"
        return (
            f"noise on embeddings and their statistics, none on scores: unit one clip, (epsilon, delta) = "
            f"({self.epsilon:g}, {self.delta:g}){worth}; clipping norm {self.sphere.radius:.4g} and sigma "
            f"{self.sigma:.4g}, each times the square root of a clip's rows"
        )

    @property
    def _mechanism(self) -> bytes:
        return repr((self.epsilon, self.delta, self.sphere.radius)).encode() + self.sphere.centre.tobytes()


def load_noise_key(path: str) -> bytes:
    """Read a client's own key.

    Raises
    ------
    InputError
        None is named, or the file cannot be used.
    """
    if not path:
        raise InputError(
            "noise-epsilon: noise is drawn from a key that only this client has, so that nobody can take it off: make "
            "one with `head -c 32 /dev/urandom`, keep it, and name its file as noise-key-file"
        )
    return seeding.read_key(Path(path).expanduser(), "noise-key-file")
