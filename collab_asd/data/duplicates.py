"""Clips that hold the same sound without being the same: trimmed, louder, resampled, overlapping cuts of one recording.

A clip is marked where its waveform, between 300 Hz and 1 kHz, is largest within 25 ms to either side. The distances of
neighbouring marks do not depend on gain, offset, sample rate or on where the clip was cut, and those of two recordings
of one noise differ: sounds with several equal sequences of distances at one shift are compared by their coherence. That
costs little: marks take a twentieth of the time of decoding.

References
----------
The idea of landmarks is that of A. Wang, "An industrial-strength audio search algorithm", ISMIR 2003.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import gcd
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from collab_asd.core.types import Clip, FloatArray, ScoreArray
from collab_asd.data.audio import Audio, ClipError, load_audio

GRID, WIDTH, REACH = 4000.0, 0.35e-3, 0.025  # Hz; s: of the filter's bell, and from a mark to either side
DISTANCE, SHIFT = 0.5e-3, 5e-3  # s: resolution of distances and shifts
FEWEST_SEQUENCES, LEAST_SEQUENCES = 3, 0.08  # equal ones at one shift; and of those of the clip that has fewer
COMMON = 64  # a sequence that occurs more often tells nothing
LEAST_COHERENCE = 0.5
BAND, HIGHEST_RATE = (200.0, 2000.0), 16_000  # Hz, in which coherence is measured
SEGMENT, FEWEST_SEGMENTS, LONGEST = 0.128, 8, 4.0  # s
MOST_SHIFTED = 0.2  # of the length of a clip that is a copy of another
MOST_VAIN = 30
"""Comparisons that find nothing, beyond as many as found something, after which no more are made."""


def landmarks(audio: Audio) -> ScoreArray:
    """Return the times in s at which a clip is marked, in order."""
    samples, hop = audio.waveform, max(1, round(audio.rate / GRID))
    grid, count = audio.rate / hop, len(audio.waveform) // hop
    reach = int(REACH * grid)
    taps = _bell(grid)
    if count < 4 * reach + 2 * len(taps):
        return np.empty(0)
    parts = samples[: count * hop].reshape(count, hop) @ _spline(hop)
    smooth = parts[:-2, 0] + parts[1:-1, 1] + parts[2:, 2]
    edge = len(taps) - 1
    inside = len(smooth) - 2 * edge
    filtered = taps[0] * smooth[edge : edge + inside]
    for i in range(1, len(taps)):
        filtered += taps[i] * (smooth[edge - i : edge - i + inside] + smooth[edge + i : edge + i + inside])
    size = np.abs(filtered)
    blocks = len(size) // reach
    peaks = size[: blocks * reach].reshape(blocks, reach).argmax(axis=1) + np.arange(blocks) * reach
    peaks = peaks[(peaks >= reach) & (peaks < len(size) - reach)]
    around = np.lib.stride_tricks.sliding_window_view(size, 2 * reach + 1)[peaks - reach]
    peaks = peaks[(around.max(axis=1) <= size[peaks]) & (size[peaks] > 0)]
    before, at, after = size[peaks - 1], size[peaks], size[peaks + 1]
    bend = np.minimum(before - 2 * at + after, -np.finfo(np.float32).tiny)
    return np.asarray((peaks + np.clip((before - after) / (2 * bend), -0.5, 0.5)) / grid, np.float64)


@lru_cache(maxsize=16)
def _spline(hop: int) -> FloatArray:
    """Weights ``[hop, 3]`` of three blocks of samples, which keep what the grid cannot hold from it."""
    box = np.ones(hop) / hop
    weights = np.pad(np.convolve(np.convolve(box, box), box), 1)
    return np.ascontiguousarray(weights.reshape(3, hop).T, np.float32)


@lru_cache(maxsize=16)
def _bell(grid: float) -> FloatArray:
    """Right half of a filter around 600 Hz: the second derivative of a Gaussian, without its mean."""
    width = WIDTH * grid
    at = np.arange(int(np.ceil(4 * width)) + 1) / width
    taps = (1 - at**2) * np.exp(-(at**2) / 2)
    return np.asarray(taps - (taps[0] + 2 * taps[1:].sum()) / (2 * len(taps) - 1), np.float32)


Shared: TypeAlias = tuple[Clip, Clip, float]
"""Two clips, and the share of the shorter one, in (0, 1], that is in the other, too."""


def shared_sound(clips: Sequence[Clip], marks: Sequence[ScoreArray]) -> list[Shared]:
    """Find pairs of clips that share sound and should not: of train and test, of two machines, of two labels.

    Of the training clips of one machine, only those that are nearly the same from beginning to end are compared, and
    none that follows from others.

    Parameters
    ----------
    clips : sequence of Clip
        All of different content.
    marks : sequence of ScoreArray
        Of each clip, by `landmarks`.
    """
    found: list[Shared] = []
    copies = list(range(len(clips)))  # of each clip, the first that it is a copy of
    vain = 0
    for a, b, shift in _candidates(marks):
        one, other = clips[a], clips[b]
        if (one.machine, one.split, one.label) == (other.machine, other.split, other.label):
            length = min(marks[a][-1], marks[b][-1])
            if one.split == "test" or copies[a] == copies[b] or abs(shift) > MOST_SHIFTED * length:
                continue
        if vain > MOST_VAIN + len(found):
            break
        share = _shared(one, other, shift)
        vain += not share
        if share:
            found.append((one, other, share))
            copies = [copies[a] if copy == copies[b] else copy for copy in copies]
    return found


def _candidates(marks: Sequence[ScoreArray]) -> list[tuple[int, int, float]]:
    """Return pairs of clips by number, and by how many s the first is later: those with most equal sequences first."""
    sequences = [np.rint(np.diff(times) / DISTANCE).astype(np.int64) for times in marks]
    keys = np.concatenate([(d[:-2] << 40) + (d[1:-1] << 20) + d[2:] for d in sequences] or [np.empty(0, np.int64)])
    times = np.concatenate([t[: max(0, len(t) - 3)] for t in marks] or [np.empty(0)])
    owners = np.repeat(np.arange(len(marks)), [max(0, len(t) - 3) for t in marks])
    order = np.argsort(keys, kind="stable")
    keys, times, owners = keys[order], times[order], owners[order]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    sizes = np.diff(starts, append=len(keys))
    pairs: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for size in range(2, COMMON + 1):
        (i, j), first = np.triu_indices(size, 1), starts[sizes == size, np.newaxis]
        pairs.append(((first + i).ravel(), (first + j).ravel()))
    one, other = (np.concatenate([pair[k] for pair in pairs]) for k in (0, 1))
    swapped = owners[one] > owners[other]
    one, other = np.where(swapped, other, one), np.where(swapped, one, other)
    one, other = (index[owners[one] != owners[other]] for index in (one, other))
    shifts = np.rint((times[one] - times[other]) / SHIFT).astype(np.int64)
    found, votes = np.unique(np.stack([owners[one], owners[other], shifts], axis=1), axis=0, return_counts=True)
    lengths = np.maximum(0, np.array([len(t) for t in marks]) - 3)
    needed = np.maximum(FEWEST_SEQUENCES, LEAST_SEQUENCES * np.minimum(lengths[found[:, 0]], lengths[found[:, 1]]))
    best: dict[tuple[int, int], tuple[int, float]] = {}
    for (a, b, shift), count in zip(found[votes >= needed].tolist(), votes[votes >= needed], strict=True):
        best[a, b] = max(best.get((a, b), (0, 0.0)), (int(count), shift * SHIFT))
    return [(*pair, shift) for pair, (_, shift) in sorted(best.items(), key=lambda item: (-item[1][0], item[0]))]


def _shared(a: Clip, b: Clip, shift: float) -> float:
    """Return the share of the shorter clip that both have, where `a` is later by `shift` s; 0 if they have none."""
    try:
        audio = load_audio(a), load_audio(b)
    except ClipError:
        return 0.0
    from scipy.signal import coherence  # here: it takes a second, and most data need none of it

    rate = min(HIGHEST_RATE, audio[0].rate, audio[1].rate)
    one, other = (_at_rate(sound, rate) for sound in audio)
    late = round(shift * rate)
    one, other = one[max(0, late) :], other[max(0, -late) :]
    length, shorter = min(len(one), len(other)), min(len(sound.waveform) / sound.rate for sound in audio)
    segment = min(round(SEGMENT * rate), 2 * length // FEWEST_SEGMENTS)
    first = max(0, length - round(LONGEST * rate)) // 2  # the middle of what they share is enough
    if segment < 2 * rate / BAND[0]:
        return 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        frequencies, shared = coherence(
            one[first : length - first], other[first : length - first], rate, nperseg=segment
        )
    inside = (frequencies > BAND[0]) & (frequencies < BAND[1])
    return min(1.0, length / rate / shorter) if np.median(shared[inside]) > LEAST_COHERENCE else 0.0


def _at_rate(audio: Audio, rate: int) -> FloatArray:
    from scipy.signal import resample_poly

    divisor = gcd(audio.rate, rate)
    return np.asarray(resample_poly(audio.waveform, rate // divisor, audio.rate // divisor), np.float32)
