"""Sounds that a page carries within itself."""

from __future__ import annotations

import base64
import io
from math import gcd

import numpy as np
import soundfile
from scipy.signal import resample_poly

from collab_asd.report.contents import Sound

HIGHEST_RATE = 16000
LONGEST_S = 10.0
PEAK = 0.5  # of the louder clip; every halving saves FLAC one bit per sample of noise


def players(sound: Sound, normal: Sound) -> tuple[str, str]:
    """Return ``data:`` URIs of two clips as 16-bit FLAC, scaled by one factor so that they can be compared.

    A page must stay small enough to be sent by mail: what lies above 8 kHz or after 10 s is left out.
    """
    clips = [_shortened(sound), _shortened(normal)]
    peak = max(float(np.abs(clip.waveform).max(initial=0.0)) for clip in clips)
    first, second = (_flac(clip, gain=PEAK / peak if peak > 0 else 1.0) for clip in clips)
    return first, second


def player(sound: Sound) -> str:
    """Return the ``data:`` URI of one clip, made as loud as all others."""
    clip = _shortened(sound)
    peak = float(np.abs(clip.waveform).max(initial=0.0))
    return _flac(clip, gain=PEAK / peak if peak > 0 else 1.0)


def _shortened(sound: Sound) -> Sound:
    waveform = sound.waveform[: round(LONGEST_S * sound.rate)]
    if sound.rate <= HIGHEST_RATE:
        return Sound(waveform, sound.rate)
    common = gcd(HIGHEST_RATE, sound.rate)
    return Sound(resample_poly(waveform, HIGHEST_RATE // common, sound.rate // common), HIGHEST_RATE)


def _flac(sound: Sound, gain: float) -> str:
    buffer = io.BytesIO()
    soundfile.write(buffer, gain * sound.waveform, sound.rate, format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
