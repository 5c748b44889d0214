"""Bytes of a recording -> one channel -> the sample rate that an encoder wants.

Whatever reads a recording reads it here, so that training, checking and scoring refuse the same files with the same
words. A file is read once: the bytes that are hashed are the bytes that are decoded.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from collab_asd.core.errors import InputError
from collab_asd.core.terminal import printable
from collab_asd.core.types import Clip, FloatArray
from collab_asd.data.truncation import is_truncated

# What libsndfile decodes: RIFF and its relatives, AIFF, FLAC, Ogg (Vorbis and Opus), MP3, CAF, AU.
SUFFIXES = (
    ".wav", ".wave", ".bwf", ".rf64", ".w64", ".aif", ".aiff", ".aifc", ".flac", ".ogg", ".oga", ".opus", ".mp3",
    ".caf", ".au", ".snd",
)  # fmt: skip
UNREADABLE_SUFFIXES = (
    ".m4a", ".mp4", ".aac", ".wma", ".amr", ".3gp", ".webm", ".mka", ".mkv", ".mov", ".avi", ".wv", ".ape", ".ac3",
    ".dsf", ".dff", ".tta", ".spx", ".ra",
)  # fmt: skip
CONVERT = "convert it to WAV or FLAC, for example with ffmpeg"
COPY_AGAIN = "copy or download it again"
UNKNOWN_FRAMES = 2**63 - 1  # libsndfile's word for a FLAC stream of unstated length

# Resampling holds a filter for each pair of input and output phases. Rates that people record at need far less than
# this; 44099 Hz -> 16000 Hz would need 700 million.
LARGEST_RESAMPLING_FILTER = 16_000_000


class ClipError(InputError):
    """A recording cannot be used.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        What is wrong with it.
    remedy : str
        What to do.
    """

    def __init__(self, path: Path, what: str, remedy: str) -> None:
        super().__init__(path, what, remedy)
        self.path, self.what, self.remedy = path, what, remedy

    def __str__(self) -> str:
        return f"{printable(self.path)}: {self.what}; {self.remedy}"


@dataclass(frozen=True)
class Audio:
    """One channel of a decoded recording.

    Parameters
    ----------
    waveform : FloatArray
        ``[samples]``, full scale is -1 to 1.
    rate : int
        Sample rate of the file, Hz.
    channels : int
        How many channels the file has.
    powers : tuple of float
        Variance of each channel, where there are several.
    """

    waveform: FloatArray
    rate: int
    channels: int
    powers: tuple[float, ...] = ()


def is_recording(path: Path) -> bool:
    """Whether a file counts as a recording, by its name alone: the one rule of all commands.

    It ends in one of `SUFFIXES`, in either case, and does not begin with a dot: hidden files (``._clip.wav``) are what
    other systems keep beside a recording.
    """
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def is_unreadable_sound(path: Path) -> bool:
    """Whether a file holds sound, by its name, that nothing here can decode; wherever it lies, it is to be named."""
    return path.suffix.lower() in UNREADABLE_SUFFIXES and not path.name.startswith(".")


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes.

    Raises
    ------
    ClipError
        If the file cannot be read.
    """
    return hashlib.sha256(_bytes_of(path)).hexdigest()


def sample_rate_of(path: Path) -> int:
    """Sample rate of a recording in Hz, from its header.

    Raises
    ------
    ClipError
        If the file cannot be read or is no recording.
    """
    return int(_header(path).samplerate)


def seconds_of(path: Path) -> float:
    """Length of a recording in s, from its header.

    Raises
    ------
    ClipError
        If the file cannot be read or is no recording.
    """
    header = _header(path)
    return float(header.frames / header.samplerate)


def _header(path: Path) -> Any:
    try:
        return soundfile.info(path)
    except (OSError, soundfile.LibsndfileError) as error:
        raise ClipError(path, f"cannot be read ({error})", "check that it is there and readable") from error


def load_waveform(clip: Clip, sample_rate: int) -> FloatArray:
    """Decode one clip and bring it to a sample rate.

    Parameters
    ----------
    clip : Clip
        Its ``channel`` is the one that is returned.
    sample_rate : int
        Hz.

    Returns
    -------
    FloatArray
        ``[samples]``; the file's own samples, untouched, where it has this rate already.

    Raises
    ------
    ClipError
        If the file is missing, changed since it was listed, unreadable, truncated, empty or lacks the channel.
    """
    return at_rate(load_audio(clip), sample_rate, clip.path)


def load_audio(clip: Clip) -> Audio:
    """Decode one channel of a clip at the file's own rate, after verifying that the file is the one that was listed.

    Raises
    ------
    ClipError
        As `load_waveform`.
    """
    data = _bytes_of(clip.path)
    if hashlib.sha256(data).hexdigest() != clip.sha256:
        raise ClipError(
            clip.path,
            "the clip changed since the data folder was listed (its SHA-256 is another)",
            "bring the old file back, or start a new run with an empty results folder",
        )
    return _audio(data, clip.path, clip.channel)


def read_audio(path: Path, channel: int) -> Audio:
    """Decode one channel of a file that no data folder lists, at the file's own rate.

    Raises
    ------
    ClipError
        As `load_waveform`.
    """
    return _audio(_bytes_of(path), path, channel)


def at_rate(audio: Audio, sample_rate: int, path: Path) -> FloatArray:
    """Waveform ``[samples]`` at a sample rate in Hz: the file's own samples, untouched, where it has this rate already.

    Raises
    ------
    ClipError
        If the rates are such that no filter leads from one to the other.
    """
    if audio.rate == sample_rate:
        return audio.waveform
    _refuse_odd_ratio(path, audio.rate, sample_rate)
    from collab_asd.data.resampling import resample  # here: torch takes seconds, and most recordings need none of it

    return resample(audio.waveform, audio.rate, sample_rate)


def signal_fault(path: Path, audio: Audio, min_seconds: float) -> ClipError | None:
    """Find what makes a decoded recording useless: numbers that are none, silence of a dead sensor, shortness."""
    seconds = len(audio.waveform) / audio.rate
    if not np.isfinite(audio.waveform).all():
        return ClipError(path, "NaN or infinity among its samples", "export it again")
    if np.ptp(audio.waveform) == 0:
        return ClipError(path, "a constant signal, as from a dead sensor", "remove it or choose another channel")
    if seconds < min_seconds:
        what = f"shorter than one embedding window of {min_seconds:g} s"
        return ClipError(path, what, "record longer or remove it")
    return None


def _audio(data: bytes, path: Path, channel: int) -> Audio:
    samples, rate = _decode(data, path)
    channels = samples.shape[1]
    if not 0 <= channel < channels:
        what = f"channel {channel} was asked for, but it has {channels} (counted from 0)"
        raise ClipError(path, what, "choose another channel")
    powers: tuple[float, ...] = ()
    if channels > 1:
        with np.errstate(invalid="ignore", over="ignore"):
            powers = tuple(np.einsum("ij,ij->j", samples, samples) / len(samples) - samples.mean(axis=0) ** 2)
    return Audio(np.ascontiguousarray(samples[:, channel]), rate, channels, powers)


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ClipError(path, f"cannot be read ({error.strerror})", "check that it is there and readable") from error


def _decode(data: bytes, path: Path) -> tuple[FloatArray, int]:
    """Return samples ``[samples, channels]`` and rate in Hz."""
    if not data:
        raise ClipError(path, "the file is empty", COPY_AGAIN)
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if file.frames == UNKNOWN_FRAMES:
                raise ClipError(path, "its header does not say how long it is", "encode it again to a file, not a pipe")
            rate: int = file.samplerate
            samples: FloatArray = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ClipError(path, f"cannot be decoded ({error.error_string})", COPY_AGAIN) from error
    if is_truncated(data):
        raise ClipError(path, "the file is truncated: its end is missing", COPY_AGAIN)
    if not len(samples):
        raise ClipError(path, "no audio: it has no samples", "record it again or remove it")
    return samples, rate


def _refuse_odd_ratio(path: Path, rate: int, new_rate: int) -> None:
    """Refuse rates whose ratio has no small terms: their filter would not fit into memory."""
    divisor = gcd(rate, new_rate)
    if (rate // divisor) * (new_rate // divisor) > LARGEST_RESAMPLING_FILTER:
        what = f"{rate} Hz cannot be resampled to {new_rate} Hz, whose ratio has too large terms"
        raise ClipError(path, what, f"convert it to {new_rate} Hz beforehand")
