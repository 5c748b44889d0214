"""How the training clips of a detector were recorded, and in what a new recording differs from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from collab_asd.data.consistency import (
    LEAST_CONSTANT,
    LEAST_DB_OF_FAULTS,
    LEAST_OFFSET,
    LEAST_PADDING,
    MUCH_CLIPPED,
    SPREADS,
    STANDARD_ERRORS,
    deviation,
)
from collab_asd.data.statistics import ClipStatistics, above

RecorderProfile: TypeAlias = Mapping[str, Sequence[float]]
"""Numbers of channels; band limit in Hz; sample rate in Hz and medians of the bands' power; of all else the tenth,
fiftieth and ninetieth of 100 clips, and the least difference that counts. What a detector of an earlier version lacks
is not compared."""

LEAST_LENGTH = 0.6  # of the usual one; the last piece of a long recording is up to half a clip longer or shorter

AMOUNTS: dict[str, tuple[str, Callable[[ClipStatistics], float], float]] = {
    "offset": ("offset (DC), standard deviations", lambda clip: clip.offset / deviation(clip), LEAST_OFFSET),
    "padding": ("constant stretches at its ends, s", lambda clip: clip.padding, LEAST_PADDING),
    "level": ("level, dB", lambda clip: clip.level, LEAST_DB_OF_FAULTS),
    "noise-floor": ("noise floor, dB", lambda clip: clip.noise_floor, LEAST_DB_OF_FAULTS),
    "clipped": ("share of clipped samples", lambda clip: clip.clipped, MUCH_CLIPPED),
    "constant": ("share of constant stretches", lambda clip: clip.constant, LEAST_CONSTANT),
    "length": ("length, s", lambda clip: clip.seconds, 0.0),
}


def profile(clips: Sequence[ClipStatistics]) -> dict[str, list[float]]:
    """Describe how clips were recorded, at least one."""
    found = {
        "channels": sorted({float(clip.channels) for clip in clips}),
        "limit": [min(clip.limit for clip in clips)],
    }
    rate = max(clip.rate for clip in clips)
    if spectra := [clip.spectrum for clip in clips if clip.rate == rate and clip.spectrum]:
        found["spectrum"] = [float(rate), *np.median(spectra, axis=0).tolist()]
    for name, (_, of, least) in AMOUNTS.items():
        quantiles = np.quantile([of(clip) for clip in clips], [0.1, 0.5, 0.9]).tolist()
        found[name] = [*quantiles, LEAST_LENGTH * quantiles[1] if name == "length" else least]
    errors = [clip.offset_error / deviation(clip) for clip in clips]
    found["offset"][3] = max(LEAST_OFFSET, STANDARD_ERRORS * float(np.median(errors)))
    return found


def differences(usual: RecorderProfile, clip: ClipStatistics) -> Iterator[tuple[str, str]]:
    """Find in what a recording differs from those of a profile: the kind, and both values in words."""
    if "channels" in usual and clip.channels not in usual["channels"]:
        yield "channels", f"{clip.channels} channels, not {', '.join(f'{count:.0f}' for count in usual['channels'])}"
    if "spectrum" in usual:
        (limit,), (rate, *spectrum) = usual["limit"], usual["spectrum"]
        theirs, its = (spectrum, rate), (clip.spectrum, clip.rate)
        if _has_more(theirs, its, clip.limit):
            yield "bandwidth", f"little above {clip.limit / 1000:.1f} kHz, where they have more"
        elif _has_more(its, theirs, limit):
            yield "bandwidth", f"more above {limit / 1000:.1f} kHz, where they have little"
    for name, (words, of, _) in AMOUNTS.items():
        if name in usual:
            low, centre, high, least = usual[name]
            if abs(of(clip) - centre) > max(least, SPREADS * (high - low)):
                yield name, f"{words}: {of(clip):.2g}, usually {centre:.2g}"


def _has_more(one: tuple[Sequence[float], float], other: tuple[Sequence[float], float], limit: float) -> bool:
    more, less = above(*one, limit), above(*other, limit)
    return bool(more and less and more.is_much_more_than(less))
