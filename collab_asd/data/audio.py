"""Bytes of a recording -> one channel -> the sample rate that an encoder wants.

Whatever reads a recording reads it here, so that training, checking and scoring refuse the same files with the same
words. A file is read once: the bytes that are hashed are the bytes that are decoded.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Literal, NamedTuple

import numpy as np
import soundfile

from collab_asd.core.errors import InputError
from collab_asd.core.terminal import printable
from collab_asd.core.types import Clip, FloatArray
from collab_asd.data.containers import ContainerError, Extent, ForeignError, measure
from collab_asd.data.excerpts import Excerpt, excerpt_of, excerpt_sha256, recording_of

# What libsndfile decodes: RIFF and its relatives, AIFF, FLAC, Ogg (Vorbis and Opus), MP3, CAF, AU.
SUFFIXES = (
    ".wav", ".wave", ".bwf", ".rf64", ".w64", ".aif", ".aiff", ".aifc", ".flac", ".ogg", ".oga", ".opus", ".mp3",
    ".caf", ".au", ".snd",
)  # fmt: skip
UNREADABLE_SUFFIXES = (
    ".m4a", ".mp4", ".aac", ".wma", ".amr", ".3gp", ".mka", ".wv", ".ape", ".ac3", ".dsf", ".dff", ".tta", ".spx",
)  # fmt: skip
CONVERT = "convert it to WAV or FLAC, for example with ffmpeg"
COPY_AGAIN = "copy or download it again"
TRUNCATED = "the file is truncated"
CUT = "cut it into clips of some seconds"
REWRITE = "rewrite its header, for example with ffmpeg -ignore_length 1 -i OLD NEW, or record it again"

# What no recording of a machine has; a damaged header may claim anything, and one file must not fill the memory.
LOWEST_RATE, HIGHEST_RATE = 1_000, 1_000_000  # Hz
MOST_CHANNELS = 256
LONGEST = 2**26  # samples of one channel: 70 minutes at 16 kHz; also of what they are resampled to
LARGEST_FILE = 2**30  # bytes
BLOCK = 2**20  # samples over all channels that are decoded at once

SHORTEST_BEHIND = 0.1  # s of audio behind what the header states; less is what some programs leave there
LARGEST_VALUE = 1e6  # of a float: far beyond pascals or volts, and squared it still fits

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
    detail : str
        Figures that are this file's own, so that files with the same fault can be named in one line.
    """

    def __init__(self, path: Path, what: str, remedy: str, detail: str = "") -> None:
        super().__init__(path, what, remedy, detail)
        self.path, self.what, self.remedy, self.detail = path, what, remedy, detail

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{printable(self.path)}: {self.what}{detail}; {self.remedy}"


class Remark(NamedTuple):
    """Something odd about a file that can be used; the fields are those of a `ClipError`."""

    severity: Literal["warning", "note"]
    what: str
    remedy: str
    detail: str


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
    remarks : tuple of Remark
        What is odd about the file and does not keep it from being used.
    """

    waveform: FloatArray
    rate: int
    channels: int
    powers: tuple[float, ...] = ()
    remarks: tuple[Remark, ...] = ()


def is_recording(path: Path) -> bool:
    """Whether a file counts as a recording, by its name alone: the one rule of all commands.

    It ends in one of `SUFFIXES`, in either case, and does not begin with a dot: hidden files (``._clip.wav``) are what
    other systems keep beside a recording.
    """
    return recording_of(path).suffix.lower() in SUFFIXES and not path.name.startswith(".")


def is_unreadable_sound(path: Path) -> bool:
    """Whether a file holds sound, by its name, that nothing here can decode; wherever it lies, it is to be named."""
    return path.suffix.lower() in UNREADABLE_SUFFIXES and not path.name.startswith(".")


def is_sound(path: Path) -> bool:
    """Whether a file is a recording, or sound that cannot be decoded: what nobody may pass over without a word."""
    return is_recording(path) or is_unreadable_sound(path)


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, or what stands for it for part of a recording.

    Raises
    ------
    ClipError
        If the file cannot be read.
    """
    if excerpt := excerpt_of(path):
        return excerpt_sha256(_unchanged_sha256(excerpt.recording), excerpt)
    with _opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sample_rate_of(path: Path) -> int:
    """Sample rate of a recording in Hz, from its header.

    Raises
    ------
    ClipError
        If the file cannot be read or is no recording.
    """
    with _header(path) as file:
        return int(file.samplerate)


def seconds_of(path: Path) -> float:
    """Length of a recording in s, from its header.

    Raises
    ------
    ClipError
        If the file cannot be read or is no recording.
    """
    if excerpt := excerpt_of(path):
        return excerpt.end - excerpt.start
    with _header(path) as file:
        return float(file.frames / file.samplerate)


@contextmanager
def _header(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open a recording for what its header states, which is compared with what is there unless it is very long."""
    recording = recording_of(path)
    with _opened(recording) as file:
        is_long = os.fstat(file.fileno()).st_size > LARGEST_FILE
    if not is_long:
        data = _bytes_of(recording)
        with _refused(recording):
            extent = measure(data)
        with _decoder(extent, recording) as decoder:
            yield decoder
        return
    with _refused(recording), soundfile.SoundFile(recording) as decoder:
        _refuse_absurd(recording, decoder)
        yield decoder


@contextmanager
def _refused(path: Path, what: str = "") -> Iterator[None]:
    """Turn whatever a decoder fails with into a `ClipError`: damaged files make it fail in any way.

    Parameters
    ----------
    path : Path
    what : str
        What is said in place of the decoder's words.
    """
    try:
        yield
    except ClipError:
        raise
    except ContainerError as error:
        remedy = CONVERT if isinstance(error, ForeignError) or is_unreadable_sound(path) else COPY_AGAIN
        raise ClipError(path, f"cannot be decoded: {error}", remedy) from error
    except soundfile.LibsndfileError as error:
        raise ClipError(path, what or _why(error), COPY_AGAIN) from error
    except Exception as error:
        raise ClipError(path, what or f"cannot be decoded ({type(error).__name__})", COPY_AGAIN) from error


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

    Where the clip has `conditions`, its recording is changed by them.

    Raises
    ------
    ClipError
        As `load_waveform`.
    """
    audio = read_audio(clip.path, clip.channel, sha256=clip.sha256)
    if clip.conditions is None:
        return audio
    from collab_asd.data.conditions import record  # here: it takes the synthetic machines, which few runs need

    return replace(audio, waveform=record(audio.waveform, audio.rate, clip.conditions, clip.sha256))


def _changed(path: Path) -> ClipError:
    return ClipError(
        path,
        "the clip changed since the data folder was listed (its SHA-256 is another)",
        "bring the old file back, or start a new run with an empty results folder",
    )


def read_audio(path: Path, channel: int, *, sha256: str | None = None) -> Audio:
    """Decode one channel of a file at the file's own rate.

    Parameters
    ----------
    path : Path
    channel : int
    sha256 : str, optional
        What `sha256_of` must return for it; None for a file that no data folder lists.

    Raises
    ------
    ClipError
        As `load_waveform`.
    """
    if excerpt := excerpt_of(path):
        if sha256 is not None and excerpt_sha256(_unchanged_sha256(excerpt.recording), excerpt) != sha256:
            raise _changed(path)
        return _audio_of_excerpt(excerpt, channel)
    data = _bytes_of(path, sha256)
    with _refused(path):
        extent = measure(data)
    with _decoder(extent, path) as file:
        channels, rate = int(file.channels), int(file.samplerate)
        if not 0 <= channel < channels:
            what = f"channel {channel} was asked for, but it has {channels} (counted from 0)"
            raise ClipError(path, what, "choose another channel")
        waveform, powers = _read(file, channel, path)
        is_float = file.subtype in ("FLOAT", "DOUBLE")
    if not len(waveform):
        raise ClipError(path, "no audio: it has no samples", "record it again or remove it")
    return Audio(waveform, rate, channels, powers, tuple(_remarks(waveform, rate, is_float, extent.unfinished)))


def _audio_of_excerpt(excerpt: Excerpt, channel: int) -> Audio:
    """Decode one channel of part of a recording, of which no more is read where its header is right."""
    with suppress(Exception), soundfile.SoundFile(excerpt.recording) as file:  # else it is read as a whole, or refused
        _refuse_absurd(excerpt.path, file)
        first, end = round(excerpt.start * file.samplerate), round(excerpt.end * file.samplerate)
        is_small = (end - first) * file.channels <= LONGEST  # it is read at once
        if is_small and 0 <= first < end <= file.frames and 0 <= channel < file.channels:
            file.seek(first)
            samples = file.read(end - first, dtype="float32", always_2d=True)
            if len(samples) == end - first:
                return _part(samples, channel, file)
    whole = read_audio(excerpt.recording, channel)
    first, end = round(excerpt.start * whole.rate), round(excerpt.end * whole.rate)
    if end > len(whole.waveform):
        raise ClipError(excerpt.path, f"the recording ends at {len(whole.waveform) / whole.rate:.3f} s", COPY_AGAIN)
    return Audio(whole.waveform[first:end], whole.rate, whole.channels, whole.powers, whole.remarks)


def _part(samples: FloatArray, channel: int, file: soundfile.SoundFile) -> Audio:
    waveform = np.ascontiguousarray(samples[:, channel])
    powers = tuple(map(float, samples.var(axis=0))) if file.channels > 1 else ()
    remarks = tuple(_remarks(waveform, file.samplerate, file.subtype in ("FLOAT", "DOUBLE"), False))
    return Audio(waveform, file.samplerate, file.channels, powers, remarks)


_hashing = Lock()


def _unchanged_sha256(recording: Path) -> str:
    """Hex SHA-256 of a long recording, read once as long as its size and time of change stay the same."""
    try:
        status = recording.stat()
        with _hashing:  # one thread reads it, and the others wait
            return _sha256_at(recording, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise ClipError(
            recording, f"cannot be read ({error.strerror})", "check that it is there and readable"
        ) from error


@lru_cache(maxsize=4096)
def _sha256_at(recording: Path, changed: int, size: int) -> str:
    with recording.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def at_rate(audio: Audio, sample_rate: int, path: Path) -> FloatArray:
    """Waveform ``[samples]`` at a sample rate in Hz: the file's own samples, untouched, where it has this rate already.

    Raises
    ------
    ClipError
        If the rates are such that no filter leads from one to the other, or the result would be too long.
    """
    if audio.rate == sample_rate:
        return audio.waveform
    require_rate(audio, sample_rate, path)
    from collab_asd.data.resampling import resample  # here: torch takes seconds, and most recordings need none of it

    return resample(audio.waveform, audio.rate, sample_rate)


def require_rate(audio: Audio, sample_rate: int, path: Path) -> None:
    """Refuse what cannot be brought to a sample rate; raises as `at_rate`."""
    if audio.rate != sample_rate:
        _refuse_odd_ratio(path, audio.rate, sample_rate)
        if len(audio.waveform) / audio.rate * sample_rate > LONGEST:
            raise _too_long(path, len(audio.waveform), audio.rate)


def signal_fault(path: Path, audio: Audio, min_seconds: float) -> ClipError | None:
    """Find what makes a decoded recording useless: numbers that are none, silence of a dead sensor, shortness."""
    seconds = len(audio.waveform) / audio.rate
    lowest, highest = float(audio.waveform.min()), float(audio.waveform.max())
    peak = max(-lowest, highest)
    if not math.isfinite(lowest) or not math.isfinite(highest):
        return ClipError(path, "NaN or infinity among its samples", "export it again")
    if lowest == highest:
        return ClipError(path, "a constant signal, as from a dead sensor", "remove it or choose another channel")
    if 1 < peak <= 2**31 and np.array_equal(audio.waveform, np.rint(audio.waveform)):
        scale = next(2**bits for bits in (7, 15, 23, 31) if peak <= 2**bits)
        what = "integers stored as floats, whose full scale is 1"
        return ClipError(path, what, f"divide them by {scale}, or export it again", f"peak {peak:.0f}")
    if peak > LARGEST_VALUE:
        return ClipError(path, "floats far beyond their full scale, which is 1", "export it again", f"peak {peak:.3g}")
    if seconds < min_seconds:
        what = f"shorter than one embedding window of {min_seconds:g} s"
        return ClipError(path, what, "record longer or remove it")
    return None


def _remarks(waveform: FloatArray, rate: int, is_float: bool, is_unfinished: bool) -> Iterator[Remark]:
    if is_unfinished:
        what = "its header was never finished and states no length; it was read to the end of the file"
        yield Remark("note", what, "check that this is its length", f"{len(waveform) / rate:.2f} s")
    peak = float(np.abs(waveform).max()) if is_float else 0.0
    if peak > 1:
        remedy = "export it again with less gain, unless all recordings are in another unit, such as pascals"
        yield Remark("warning", "floats beyond their full scale, which is 1", remedy, f"peak {peak:.3g}")


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file of a recording; what is none, as a pipe that nobody writes to, would be waited for."""
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ClipError(path, "is no file that holds a recording", "remove it")
            yield file
    except OSError as error:
        raise ClipError(path, f"cannot be read ({error.strerror})", "check that it is there and readable") from error


def _bytes_of(path: Path, sha256: str | None = None) -> bytes:
    """Read a file that is not empty, and has this SHA-256 where one is given."""
    with _opened(path) as file:
        if (size := os.fstat(file.fileno()).st_size) > LARGEST_FILE:
            raise ClipError(path, "too large for one clip", CUT, f"{size / 1e9:.1f} GB")
        data = file.read()
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise _changed(path)
    if not data:
        raise ClipError(path, "the file is empty", COPY_AGAIN)
    return data


@contextmanager
def _decoder(extent: Extent, path: Path) -> Iterator[soundfile.SoundFile]:
    """Open a recording that was measured.

    Raises
    ------
    ClipError
        If it is no recording, or its header states what cannot be or what is not there; also within the block.
    """
    truncated = TRUNCATED if extent.is_truncated else ""
    with _refused(path, truncated), soundfile.SoundFile(io.BytesIO(extent.data)) as file:
        _refuse_absurd(path, file)
        _refuse_wrong_length(path, extent, file.frames / file.samplerate)
        yield file


def _why(error: soundfile.LibsndfileError) -> str:
    text = error.error_string.rstrip(".")
    known = {"Internal error : SF_INFO struct incomplete": "its header states no sample rate that can be"}
    return f"cannot be decoded ({known.get(text, text)})"


def _refuse_absurd(path: Path, file: soundfile.SoundFile) -> None:
    """Refuse what no recording of a machine has, before anything is allocated for it."""
    if not LOWEST_RATE <= file.samplerate <= HIGHEST_RATE:
        what = f"a sample rate of {file.samplerate} Hz, which is outside {LOWEST_RATE} to {HIGHEST_RATE} Hz"
        raise ClipError(path, what, "its header is damaged: write the true rate into it")
    if file.channels > MOST_CHANNELS:
        raise ClipError(path, f"{file.channels} channels, more than {MOST_CHANNELS}", "its header is damaged")


def _refuse_wrong_length(path: Path, extent: Extent, seconds: float) -> None:
    """Refuse a file that lost its end, or whose header states less than there is.

    Parameters
    ----------
    seconds : float
        How much audio the decoder expects, s.
    """
    if extent.is_truncated:
        detail = f"{seconds:.2f} s present" if extent.stated is None and seconds < LONGEST / LOWEST_RATE else ""
        if extent.stated is not None:
            share = extent.present / extent.stated
            stated = seconds if extent.counts_stated else seconds / share if share else 0.0
            detail = f"{stated:.2f} s stated, {stated * share:.2f} s present"
        raise ClipError(path, TRUNCATED, COPY_AGAIN, detail)
    behind = seconds * extent.behind / max(1, extent.present)
    if behind >= SHORTEST_BEHIND:
        what = "its header states less audio than seems to lie behind it"
        raise ClipError(path, what, REWRITE, f"{seconds:.2f} s stated, {behind:.2f} s more")


def _read(file: soundfile.SoundFile, channel: int, path: Path) -> tuple[FloatArray, tuple[float, ...]]:
    """Decode one channel ``[samples]``, block by block: a header may promise more than there is or memory holds.

    Where there are several channels, the variance of each comes with it.
    """
    if file.seekable() and file.frames > LONGEST:
        raise _too_long(path, file.frames, file.samplerate)
    blocks: list[FloatArray] = []
    samples, size, more = 0, max(1, BLOCK // file.channels), True
    sums = np.zeros((2, file.channels))
    while more:
        block = file.read(frames=size, dtype="float32", always_2d=True)
        blocks.append(np.ascontiguousarray(block[:, channel]))
        samples, more = samples + len(block), len(block) == size
        if file.channels > 1:
            with np.errstate(invalid="ignore", over="ignore"):
                sums += block.sum(axis=0), np.einsum("ij,ij->j", block, block)
        if samples > LONGEST:
            raise _too_long(path, samples, file.samplerate)
    if samples < file.frames:
        rate = file.samplerate
        detail = f"{file.frames / rate:.2f} s stated, {samples / rate:.2f} s can be decoded"
        raise ClipError(path, f"{TRUNCATED} or damaged", COPY_AGAIN, detail)
    mean, square = sums / max(1, samples)
    powers = tuple(map(float, square - mean**2)) if file.channels > 1 else ()
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks), powers


def _too_long(path: Path, samples: int, rate: int) -> ClipError:
    return ClipError(path, "too long for one clip", CUT, f"{samples / rate / 60:.0f} minutes at {rate} Hz")


def _refuse_odd_ratio(path: Path, rate: int, new_rate: int) -> None:
    """Refuse rates whose ratio has no small terms: their filter would not fit into memory."""
    divisor = math.gcd(rate, new_rate)
    if (rate // divisor) * (new_rate // divisor) > LARGEST_RESAMPLING_FILTER:
        what = f"{rate} Hz cannot be resampled to {new_rate} Hz, whose ratio has too large terms"
        raise ClipError(path, what, f"convert it to {new_rate} Hz beforehand")
