"""What a recorder does to a clip, in figures: level, offset, clipping, padding, bandwidth. No encoder is needed.

They are computed while a clip is checked, in a few passes over its samples, and compared between the clips of a machine
(`collab_asd.data.recorder`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from collab_asd.core.types import FloatArray
from collab_asd.data.audio import Audio

BLOCKS_PER_SECOND, PARTS = 100, 10
QUIET = 0.1
"""The noise floor is the level that this share of blocks does not reach."""
LOUD_ENOUGH_TO_CLIP = 1e-3  # of full scale: below, many samples have the largest value by chance
FAINT = 1e-6  # of the power of the loudest channel
SILENCE = 1e-15  # power; keeps logarithms finite

FFT, SPECTRA, BANDS = 1024, 24, 64
CLIFF_DB, FILTER_DB, CLIFF_BANDS = 18.0, 38.0, 5
"""A band limit: so much less power within so many bands, and in all above. Recordings of machines fall by 13 dB, and by
32 dB where the recorder's filter begins."""
LOWEST_LIMIT, FILTER, HIGHEST_LIMIT = 12, 53, 58  # bands; below the first, spectra are steep by nature
BENEATH = 12  # bands beneath a limit, which tell how loud a clip is there
MUCH_MORE_DB = 15.0
ALMOST_STILL, ALMOST_STILL_SHARE = 4 / 2**15, 0.01  # difference within a block: of full scale; of that of most blocks


@dataclass(frozen=True)
class ClipStatistics:
    """How a clip was recorded, as far as its samples tell.

    Parameters
    ----------
    rate : int
        Hz.
    channels : int
    seconds : float
    level, noise_floor : float
        Root mean square of the whole clip and of its quiet parts, without the offset, dB of full scale.
    offset, offset_error : float
        Mean of the samples, full scale is 1, and its standard error by the means of ten parts.
    peak : float
        Largest magnitude, full scale is 1.
    clipped : float
        Share of the samples that have the largest or the smallest value.
    padding : float
        Constant stretches at beginning and end, s, or such of nothing but dither.
    constant : float
        Share of the clip in such stretches of 10 ms and more.
    limit : float
        Frequency in Hz above which there is much less, as after resampling or compression; 0 where no limit shows.
    spectrum : tuple of float
        Median power of the lines in each of 64 bands up to half the sample rate, dB; empty for a very short clip.
    imbalance : float
        Level of this channel beneath the loudest of the file, dB.
    faint_channels : int
        Channels of the file that lie 60 dB or more beneath the loudest.
    """

    rate: int
    channels: int
    seconds: float
    level: float
    noise_floor: float
    offset: float
    offset_error: float
    peak: float
    clipped: float
    padding: float
    constant: float
    limit: float
    spectrum: tuple[float, ...]
    imbalance: float
    faint_channels: int


@np.errstate(invalid="ignore", over="ignore")
def measure(audio: Audio) -> ClipStatistics:
    """Measure one channel of a clip of at least one sample. Where some are not finite, the figures mean nothing."""
    samples, rate = audio.waveform, audio.rate
    blocks = _blocks(samples, max(1, rate // BLOCKS_PER_SECOND))
    starts = np.arange(0, blocks.size, blocks.shape[1])
    high, low = (of.reduceat(blocks.ravel(), starts) for of in (np.maximum, np.minimum))  # faster than along an axis
    means = blocks.mean(axis=1).astype(np.float64)
    offset = float(means.mean())
    powers = np.einsum("ij,ij->i", blocks, blocks) / blocks.shape[1] - 2 * offset * means + offset**2
    peak = float(max(high.max(), -low.min()))
    moved = high - low
    still = moved <= min(ALMOST_STILL * max(1.0, peak), ALMOST_STILL_SHARE * float(np.median(moved)))
    bands = _spectrum(samples, offset, peak)
    power = float(powers.mean())
    loudest = float(max(audio.powers, default=0.0))
    return ClipStatistics(
        rate=rate,
        channels=audio.channels,
        seconds=len(samples) / rate,
        level=_decibels(power),
        noise_floor=_decibels(float(np.quantile(powers, QUIET))),
        offset=offset,
        offset_error=float(np.std([part.mean() for part in np.array_split(means, PARTS)])) / PARTS**0.5,
        peak=peak,
        clipped=_clipped(samples, float(high.max()), float(low.min())) if peak > LOUD_ENOUGH_TO_CLIP else 0.0,
        padding=_padding(still) * blocks.shape[1] / rate,
        constant=float(still.mean()),
        limit=_limit(bands, rate),
        spectrum=tuple(bands.tolist()),
        imbalance=_decibels(loudest) - _decibels(power) if loudest else 0.0,
        faint_channels=sum(channel < FAINT * loudest for channel in audio.powers),
    )


def _blocks(samples: FloatArray, size: int) -> FloatArray:
    """Cut into blocks ``[n, size]``, n at least 1; what is left over at the end is not looked at."""
    count = len(samples) // size
    return samples[: count * size].reshape(count, size) if count else samples[np.newaxis]


def _decibels(power: float) -> float:
    return float(10 * np.log10(max(power, SILENCE)))


def _clipped(samples: FloatArray, high: float, low: float) -> float:
    at_limits = int(np.count_nonzero(samples == high) + np.count_nonzero(samples == low))
    return max(0, at_limits - 2) / len(samples)


def _padding(still: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> int:
    """Count the constant blocks at both ends."""
    moving = np.flatnonzero(~still)
    return len(still) - (int(moving[-1]) - int(moving[0]) + 1) if len(moving) else len(still)


def _spectrum(samples: FloatArray, offset: float, peak: float) -> FloatArray:
    if len(samples) < FFT:
        return np.empty(0, np.float32)
    starts = np.linspace(0, len(samples) - FFT, SPECTRA).astype(int)
    frames = np.lib.stride_tricks.sliding_window_view(samples, FFT)[starts]
    spectra = np.fft.rfft((frames - np.float32(offset)) * WINDOW, axis=1)[:, 1:].view(np.float32)
    power = np.einsum("ij,ij->j", spectra, spectra).reshape(-1, 2).sum(axis=1) / SPECTRA
    lines = 10 * np.log10(power / max(1.0, peak**2) + SILENCE)
    ordered = np.sort(lines.reshape(BANDS, -1), axis=1)
    middle = ordered.shape[1] // 2
    return np.asarray(ordered[:, middle - 1 : middle + 1].mean(axis=1), np.float32)  # their medians


def _limit(bands: FloatArray, rate: int) -> float:
    if not len(bands):
        return 0.0
    above = np.maximum.accumulate(bands[::-1])[::-1]  # the most from each band on
    edges = np.arange(LOWEST_LIMIT, HIGHEST_LIMIT)
    least = np.minimum(np.minimum(bands[edges - 2], bands[edges - 1]), bands[edges])
    fall = least - above[edges + CLIFF_BANDS]
    cliffs = edges[fall > np.where(edges < FILTER, CLIFF_DB, FILTER_DB)]
    return float(cliffs[-1] + 1) * rate / 2 / BANDS if len(cliffs) else 0.0


class Above(NamedTuple):
    """Mean power of the bands above a frequency, dB: in itself, and against the bands beneath that frequency."""

    power: float
    relative: float

    def is_much_more_than(self, other: Above) -> bool:
        """Whether both exceed another clip's: neither its gain nor a noise floor that gain leaves alone is enough."""
        return min(self.power - other.power, self.relative - other.relative) > MUCH_MORE_DB


def above(spectrum: Sequence[float], rate: float, limit: float) -> Above | None:
    """Look at what lies above a band limit in Hz; None where there is no limit, or the spectrum ends before."""
    band = round(limit / (rate / 2 / BANDS))
    if not band or not (rest := spectrum[band + CLIFF_BANDS - 1 :]):
        return None
    power = float(np.mean(rest))
    return Above(power, power - float(np.mean(spectrum[max(0, band - BENEATH) : band])))


_HANN = np.hanning(FFT + 1)[:-1]
WINDOW = (_HANN / np.sqrt((_HANN**2).sum())).astype(np.float32)
