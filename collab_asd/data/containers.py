"""What a sound file says of its own length, against what is there.

libsndfile believes headers. A WAV file that lost its end, or whose header was written before the recording and never
finished, decodes to fewer samples without complaint: a folder that was copied halfway would pass for one of shorter
clips. Here the length that a header states is compared with the bytes behind it.

References
----------
RIFF: Microsoft and IBM, *Multimedia Programming Interface and Data Specifications 1.0*. RF64: EBU Tech 3306. BW64:
ITU-R BS.2088. W64: Sony, *Wave64*. AIFF: Apple, *Audio Interchange File Format 1.3*. CAF: Apple, *Core Audio Format
Specification 1.0*. FLAC: RFC 9639. Ogg: RFC 3533, section 6. MP3: ISO/IEC 11172-3, and the header by Xing.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from typing import Literal, NamedTuple

FORMATS = "WAV, RF64, W64, AIFF, FLAC, Ogg, MP3, CAF or AU"
FOREIGN = {b"ftyp": (4, "MPEG-4"), b"\x30\x26\xb2\x75": (0, "Windows Media"), b"#!AMR": (0, "AMR")}
Order = Literal["little", "big"]


class ContainerError(ValueError):
    """The bytes are no sound file that can be read, or a damaged one; the message says what they are."""


class ForeignError(ContainerError):
    """They are sound of a format that nothing here decodes."""


@dataclass(frozen=True)
class Extent:
    """How much audio a file holds, in units of its format (bytes, or samples): only ratios matter.

    Parameters
    ----------
    present : int
        What is there, of that which the header states.
    stated : int or None
        What the header states; None where its end is known to be missing, but not how much.
    behind : int
        What lies behind that and belongs to nothing, as audio does behind a header that states too little.
    unfinished : bool
        Whether the header was written before the recording and never corrected; what follows it is all audio.
    data : bytes
        The file, to be decoded: with its true length in the header where that states none or too much.
    counts_stated : bool
        Whether the decoder's own count of samples is what the header states, rather than what is there.
    """

    present: int
    stated: int | None
    data: bytes
    behind: int = 0
    unfinished: bool = False
    counts_stated: bool = False

    @property
    def is_truncated(self) -> bool:
        """Whether the end of the audio is missing."""
        return self.stated is None or self.stated > self.present


def measure(data: bytes) -> Extent:
    """Compare the length that a file's header states with what is there.

    Parameters
    ----------
    data : bytes
        The whole file.

    Raises
    ------
    ContainerError
        It is of no format that can be read, or ends within its header.
    """
    for magic, layout in _CHUNKED.items():
        if data.startswith(magic) and data.startswith(layout.kinds, layout.kind_at):
            return _chunked(data, layout)
    body = _behind_id3(data)
    if data.startswith((b".snd", b"dns.")):
        return _au(data)
    if data[body : body + 4] == b"fLaC":
        return _flac(data, body)
    if data.startswith(b"OggS"):
        return _ogg(data)
    if body or _mp3_frame(data, 0):
        return _mp3(data, body)
    for magic, (at, kind) in FOREIGN.items():
        if data.startswith(magic, at):
            raise ForeignError(f"it is {kind}")
    raise ContainerError(f"it is no {FORMATS} file")


# Files of chunks: RIFF and its relatives, AIFF, CAF ------------------------------------------------------------------


class _Layout(NamedTuple):
    """How a format writes chunks: an identifier, a size, the content, and padding."""

    kind_at: int  # where the file says of what kind it is, after its first identifier and size
    kinds: tuple[bytes, ...]
    first: int  # offset of the first chunk
    header: int  # bytes of identifier and size
    size: int  # bytes
    order: Order
    alignment: int  # of a chunk's beginning, bytes
    audio: bytes  # identifier of the chunk with the audio


class _Chunk(NamedTuple):
    name: bytes
    start: int  # of the content
    size: int  # that the header states, of the content


_W64_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")
_WAVE = _Layout(8, (b"WAVE",), 12, 8, 4, "little", 2, b"data")
_W64 = _Layout(24, (b"wave" + _W64_TAIL,), 40, 24, 8, "little", 8, b"data" + _W64_TAIL)
_AIFF = _Layout(8, (b"AIFF", b"AIFC"), 12, 8, 4, "big", 2, b"SSND")
_CAF = _Layout(4, (b"\0\1",), 8, 12, 8, "big", 1, b"data")
_AIFF_PLAIN = (b"NONE", b"twos", b"sowt", b"raw ", b"in24", b"in32", b"fl32", b"FL32", b"fl64", b"FL64")
_CHUNK_NAME = re.compile(rb"[ -~]{4}", re.DOTALL)
_NEXT_FILE = (b"RIFF", b"RIFX", b"RF64", b"FORM")  # as where two files were joined


def _chunks(data: bytes, layout: _Layout, start: int) -> Iterator[_Chunk]:
    """Walk the chunks from an offset on, as far as their headers are whole; the last may promise more than is there."""
    while start + layout.header <= len(data):
        content = start + layout.header
        name = data[start : content - layout.size]
        size = int.from_bytes(data[content - layout.size : content], layout.order)
        if layout is _W64:
            size = max(0, size - layout.header)
        yield _Chunk(name, content, size)
        start = content + size + -(content + size) % layout.alignment


def _chunked(data: bytes, layout: _Layout) -> Extent:
    wide = 0  # the size that RF64 keeps apart, for want of bits
    for chunk in _chunks(data, layout, layout.first):
        if chunk.name == b"ds64":
            wide = int.from_bytes(data[chunk.start + 8 : chunk.start + 16], "little")
        if chunk.name == layout.audio:
            break
    else:
        raise ContainerError("it ends before its audio begins")
    start, stated = chunk.start, chunk.size
    if wide and stated == 0xFFFFFFFF:
        stated = wide
    if layout in (_AIFF, _CAF):  # an offset and a block size, or a count of edits, lie before the audio
        skipped = 4 if layout is _CAF else 8 + int.from_bytes(data[start : start + 4], "big")
        start, stated = start + skipped, max(0, stated - skipped)
    there = max(0, len(data) - start)
    left = _unexplained(data, layout, start + stated)
    unfinished = (_is_placeholder(stated) and stated > there) or (not stated and 0 < left == there)
    present = there if unfinished else min(stated, there)
    decodable = data
    if unfinished or stated > there or data.startswith((b"RF64", b"BW64")):
        decodable = _with_size(data, layout, chunk.start, start + present - chunk.start)
    if layout is _W64 or left:  # libsndfile reads a W64 file to its end, and stumbles over what is no chunk
        decodable = decodable[: start + present]
    extent = Extent(present, present if unfinished else stated, decodable, 0 if unfinished else left, unfinished)
    return _as_counted(extent, data, chunk) if layout is _AIFF else extent


def _as_counted(extent: Extent, data: bytes, audio: _Chunk) -> Extent:
    """Compare the audio of an AIFF file with the count of samples, which stands in a chunk of its own."""
    common = next((chunk for chunk in _chunks(data, _AIFF, _AIFF.first) if chunk.name == b"COMM"), None)
    if extent.unfinished or extent.behind or common is None or not (size := _aiff_sample(data, common)):
        return extent
    channels, samples = (int.from_bytes(data[common.start + a : common.start + b], "big") for a, b in ((0, 2), (2, 6)))
    counted, there = samples * channels * size, extent.present
    if not counted or (_is_placeholder(samples) and counted > there):
        return replace(extent, unfinished=not extent.is_truncated)
    if counted < there:
        before = int.from_bytes(data[audio.start : audio.start + 4], "big") + 8
        shorter = _with_size(extent.data, _AIFF, audio.start, before + counted)[: audio.start + before + counted]
        return replace(extent, present=counted, stated=counted, data=shorter, behind=there - counted)
    return replace(extent, stated=max(counted, extent.stated or 0))


def _aiff_sample(data: bytes, common: _Chunk) -> int:
    """Bytes of a sample of one channel; 0 where they are compressed."""
    coding = data[common.start + 18 : common.start + 22] if data[8:12] == b"AIFC" else b"NONE"
    bits = int.from_bytes(data[common.start + 6 : common.start + 8], "big")
    return 1 if coding.lower() in (b"ulaw", b"alaw") else (bits + 7) // 8 if coding in _AIFF_PLAIN else 0


def _with_size(data: bytes, layout: _Layout, content: int, size: int) -> bytes:
    """Write the size of a chunk into its header; an RF64 file becomes a RIFF file, which states it there alone."""
    if layout is _W64:
        size += layout.header
    magic = b"RIFF" if data.startswith((b"RF64", b"BW64")) else data[:4]
    return magic + data[4 : content - layout.size] + size.to_bytes(layout.size, layout.order) + data[content:]


def _is_placeholder(size: int) -> bool:
    """Whether a size is what recorders write that do not know it: about 2 GiB or 4 GiB, or more than any disk holds.

    arecord writes 2^31, SoX 2^31 - 4096, others these less the size of the header, FFmpeg 2^32 - 1.
    """
    return 0x7FFF0000 <= size <= 0x80000100 or 0xFFFF0000 <= size <= 0x100000000 or size >= 1 << 60


def _unexplained(data: bytes, layout: _Layout, end: int) -> int:
    """Count the bytes behind the audio that are no chunks, as audio behind too small a size; zeros are none."""
    start = end
    while len(data) - start >= layout.header + layout.alignment:
        for at in (start + -start % layout.alignment, start):  # some writers forget to pad
            chunk = next(_chunks(data, layout, at))
            is_another_file = chunk.name in (*_NEXT_FILE, layout.audio)
            if _CHUNK_NAME.match(chunk.name) and not is_another_file and chunk.start + chunk.size <= len(data):
                start = chunk.start + chunk.size
                break
        else:
            return len(data) - end if data[end:].strip(b"\0") else 0
    return 0


def _au(data: bytes) -> Extent:
    """AU: the size stands in the header, or is unknown; nothing may follow the audio."""
    order: Order = "big" if data.startswith(b".snd") else "little"
    start, stated = (int.from_bytes(data[at : at + 4], order) for at in (4, 8))
    there = max(0, len(data) - start)
    unfinished = (_is_placeholder(stated) and stated > there) or (not stated and there > 0)
    if unfinished:
        return Extent(there, there, data[:8] + there.to_bytes(4, order) + data[12:], unfinished=True)
    rest = data[start + stated :]
    return Extent(min(stated, there), stated, data, len(rest) if rest.strip(b"\0") else 0)


_CHUNKED = {
    b"RIFF": _WAVE,
    b"RF64": _WAVE,
    b"BW64": _WAVE,
    b"RIFX": _WAVE._replace(order="big"),
    b"riff": _W64,
    b"FORM": _AIFF,
    b"caff": _CAF,
}


# FLAC ----------------------------------------------------------------------------------------------------------------

_FLAC_SYNC = re.compile(rb"\xff[\xf8\xf9]")
_STREAMINFO, _TOTAL = 8, 21  # offsets: of the first block's content, and of its count of samples
_FLAC_TRIES = 4  # what looks like the last frame's header may be a part of its content


def _flac(data: bytes, body: int) -> Extent:
    """FLAC: the header counts the samples, and so does each frame; the last one must end where the file does."""
    at = body + _TOTAL
    if len(data) < at + 5 or data[body + 4] & 0x7F:
        raise ContainerError("it ends before its audio begins")
    stated = int.from_bytes(data[at : at + 5], "big") & (1 << 36) - 1
    end = len(data) - (128 if data[-128:-125] == b"TAG" else 0)
    samples, is_whole = _last_flac_frame(data[body:end])
    if (joined := data.find(b"fLaC\0\0\0\x22", at)) > 0:
        return Extent(joined, joined, data, len(data) - joined)
    if not stated and is_whole:
        total = (data[at] >> 4 << 36 | samples).to_bytes(5, "big")
        return Extent(samples, samples, data[:at] + total + data[at + 5 :], unfinished=True)
    if is_whole:
        return Extent(min(stated, samples), stated, data, max(0, samples - stated), counts_stated=True)
    if samples < stated or not stated:
        return Extent(samples, stated or None, data, counts_stated=True)
    return Extent(stated, stated, data)  # what follows the last frame may be anything: the decoder will tell


def _last_flac_frame(data: bytes) -> tuple[int, bool]:
    """Return how many samples there are in whole frames, and whether the last of these ends where the data do.

    Something else may follow a whole frame. Where there is no frame, there are more samples than any header states.
    """
    fixed = int.from_bytes(data[_STREAMINFO : _STREAMINFO + 2], "big")
    largest = int.from_bytes(data[_STREAMINFO + 7 : _STREAMINFO + 10], "big") or 1 << 18
    syncs = reversed(list(_FLAC_SYNC.finditer(data, max(0, len(data) - largest))))
    frames = ((sync.start(), frame) for sync in syncs if (frame := _flac_frame(data, sync.start(), fixed)))
    counts = []
    for start, (first, count) in islice(frames, _FLAC_TRIES):
        checks = _crcs(data[start:], 0x8005, 16)
        if not checks[-1]:
            return first + count, True
        behind = (data[end:] for end, check in enumerate(checks, start + 1) if not check)
        is_whole = any(not rest.strip(b"\0") or rest[:3].isalpha() for rest in behind)  # padding, or a tag
        counts.append(first + count * is_whole)
    return (counts or [1 << 36])[0], False


def _flac_frame(data: bytes, start: int, fixed: int) -> tuple[int, int] | None:
    """First sample of a frame and how many it has, or None where its header's checksum is wrong."""
    at = start + 4
    ones = 8 - (data[at] ^ 0xFF).bit_length() if at < len(data) else 1
    if ones == 1 or ones == 8:
        return None
    number, at = (data[at] & 0x7F >> ones), at + 1
    for byte in data[at : at + max(0, ones - 1)]:  # as UTF-8 codes characters
        number, at = number << 6 | byte & 0x3F, at + 1
    code = data[start + 2] >> 4
    extra = {6: 1, 7: 2}.get(code, 0)
    explicit = int.from_bytes(data[at : at + extra], "big") + 1
    at += extra + {12: 1, 13: 2, 14: 2}.get(data[start + 2] & 15, 0)
    if at >= len(data) or _crcs(data[start : at + 1], 0x07, 8)[-1]:
        return None
    count = explicit if extra else 192 if code == 1 else 576 << code - 2 if code < 6 else 256 << code - 8
    return number if data[start + 1] & 1 else number * fixed, count


def _crcs(data: bytes, polynomial: int, bits: int) -> list[int]:
    """Cyclic redundancy check without reflection up to each byte; 0 behind data that end with their own."""
    table, mask, value, found = _crc_table(polynomial, bits), (1 << bits) - 1, 0, []
    for byte in data:
        value = (value << 8 & mask) ^ table[value >> bits - 8 ^ byte]
        found.append(value)
    return found


@cache
def _crc_table(polynomial: int, bits: int) -> tuple[int, ...]:
    top, mask, table = 1 << bits - 1, (1 << bits) - 1, []
    for byte in range(256):
        value = byte << bits - 8
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value & top else 0)) & mask
        table.append(value)
    return tuple(table)


# Ogg and MP3 ---------------------------------------------------------------------------------------------------------

_OGG_HEADER, _OGG_FIRST, _OGG_LAST = 27, 0x02, 0x04  # bytes of a page's header before its lengths; flags in it
_MP3_TAGS = (b"TAG", b"APETAGEX", b"ID3", b"LYRICSBEGIN")
_MP3_LOW = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MP3_KBITS = {  # by whether this is MPEG-1, and layer
    (True, 1): tuple(range(32, 449, 32)),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): _MP3_LOW,
    (False, 3): _MP3_LOW,
}
_MP3_RATES = (44100, 48000, 32000)  # Hz, of MPEG-1; MPEG-2 halves them, and MPEG-2.5 once more


def _ogg(data: bytes) -> Extent:
    """Ogg: a chain of pages, each with a checksum, the last of them marked; a further stream behind it is not decoded.

    The decoder drops damaged pages without a word.
    """
    start, flags, damaged = 0, 0, 0
    while data.startswith(b"OggS", start):
        count = data[start + 26] if start + 26 < len(data) else 0
        segments = data[start + _OGG_HEADER : start + _OGG_HEADER + count]
        end = start + _OGG_HEADER + count + sum(segments)
        if end > len(data) or len(segments) < count:
            return Extent(start, None, data)
        if flags & _OGG_LAST and data[start + 5] & _OGG_FIRST:
            return Extent(start, start, data, behind=len(data) - start)
        page = data[start : start + 22] + bytes(4) + data[start + 26 : end]
        damaged += _ogg_checksum(page) != int.from_bytes(data[start + 22 : start + 26], "little")
        start, flags = end, data[start + 5]
    if damaged:
        raise ContainerError(f"{damaged} of its pages are damaged")
    return Extent(start, start if flags & _OGG_LAST else None, data)


_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _ogg_checksum(page: bytes) -> int:
    """CRC-32 of zlib, but without its reflections and inversions."""
    return int(f"{zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF:032b}"[::-1], 2)


def _behind_id3(data: bytes) -> int:
    """Offset behind an ID3v2 tag, whose size has seven bits a byte; 0 where there is none."""
    if not data.startswith(b"ID3") or len(data) < 10:
        return 0
    return 10 + sum((byte & 0x7F) << 7 * (3 - i) for i, byte in enumerate(data[6:10]))


def _mp3_frame(data: bytes, start: int) -> int:
    """Size in bytes of the MPEG audio frame that begins at an offset; 0 where none does."""
    if start + 4 > len(data) or data[start] != 0xFF or data[start + 1] & 0xE0 != 0xE0:
        return 0
    version, layer = data[start + 1] >> 3 & 3, 4 - (data[start + 1] >> 1 & 3)
    bits, rate, padding = data[start + 2] >> 4, data[start + 2] >> 2 & 3, data[start + 2] >> 1 & 1
    if version == 1 or layer == 4 or bits in (0, 15) or rate == 3:
        return 0
    hertz = _MP3_RATES[rate] >> (2, 0, 1, 0)[version]
    bits_per_second = 1000 * _MP3_KBITS[version == 3, layer][bits - 1]
    if layer == 1:
        return (12 * bits_per_second // hertz + padding) * 4
    return (72 if layer == 3 and version != 3 else 144) * bits_per_second // hertz + padding


def _mp3(data: bytes, body: int) -> Extent:
    """MP3: frame follows frame; a first one may hold a header (Xing's, or ``Info``) that counts the others.

    Without one the decoder takes all frames to be as long as the first, and may stop too early: it is given one.
    """
    first = next((at for at in range(body, min(body + 4096, len(data))) if _mp3_frame(data, at)), len(data))
    counted, is_cut = _count_mp3_frames(data, first)
    if not counted:
        raise ContainerError("it ends before its audio begins")
    head = data[first : first + 60]
    at = max(head.find(b"Xing"), head.find(b"Info"))
    if at >= 0 and len(head) >= at + 12 and head[at + 7] & 1:
        counted, stated = counted - 1, int.from_bytes(head[at + 8 : at + 12], "big")
        if abs(stated - counted) <= 1 and not is_cut:  # some count the header's own frame
            return Extent(stated, stated, data)
        stated = max(stated, 1)
        return Extent(min(stated, counted), stated + is_cut, data, max(0, counted - stated), counts_stated=True)
    is_layer_3 = data[first + 1] & 6 == 2
    decodable = _xing_frame(data[first : first + 4], counted) + data[first:] if is_layer_3 else data
    return Extent(counted, None if is_cut else counted, decodable)


def _count_mp3_frames(data: bytes, first: int) -> tuple[int, bool]:
    """Count the whole frames of the kind of the first, past what lies between them; say whether the last is cut off."""
    counted, start = 0, first
    while start >= 0 and not data.startswith(_MP3_TAGS, start):
        alike = data[start + 1 : start + 2] == data[first + 1 : first + 2]
        size = _mp3_frame(data, start) if alike else 0
        if size > len(data) - start:
            return counted, True
        counted, start = counted + (size > 0), start + size if size else data.find(b"\xff", start + 1)
    return counted, False


def _xing_frame(header: bytes, frames: int) -> bytes:
    """Make a frame that states how many others follow, as large as at 80 or 128 kbit/s."""
    header = bytes((0xFF, header[1] | 1, header[2] & 0x0C | 0x90, header[3]))
    is_mono, is_mpeg1 = header[3] >> 6 == 3, header[1] >> 3 & 3 == 3
    side = (17 if is_mono else 32) if is_mpeg1 else (9 if is_mono else 17)
    frame = header + bytes(side) + b"Xing\0\0\0\1" + frames.to_bytes(4, "big")
    return frame.ljust(_mp3_frame(header, 0), b"\0")
