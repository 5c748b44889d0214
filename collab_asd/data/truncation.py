"""Whether a recording ends where its header says.

libsndfile reads a WAV or OGG file that lost its end without complaint and merely returns fewer samples. A folder that
was copied halfway would pass for a folder of shorter clips.
"""

from __future__ import annotations

UNKNOWN_LENGTH = 0xFFFFFFFF  # what programs write that do not know the length in advance
OGG_HEADER = 27  # bytes before the table of segment lengths of an OGG page
OGG_LAST_PAGE = 0x04


def is_truncated(data: bytes) -> bool:
    """Whether the end of a WAV or OGG file is missing; False for other formats, whose decoders notice by themselves.

    Parameters
    ----------
    data : bytes
        The whole file.

    References
    ----------
    RIFF: Microsoft and IBM, *Multimedia Programming Interface and Data Specifications 1.0*. OGG: RFC 3533, section 6.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return _wav_is_truncated(data)
    if data[:4] == b"OggS":
        return _ogg_is_truncated(data)
    return False


def _wav_is_truncated(data: bytes) -> bool:
    """Walk the chunks up to the samples, and compare their promised size with what is there."""
    start = 12
    while start + 8 <= len(data):
        size = int.from_bytes(data[start + 4 : start + 8], "little")
        if data[start : start + 4] == b"data":
            return size != UNKNOWN_LENGTH and start + 8 + size > len(data)
        start += 8 + size + size % 2  # chunks begin at even bytes
    return True


def _ogg_is_truncated(data: bytes) -> bool:
    """Look at the last page: it must be whole and marked as the last of its stream."""
    start = data.rfind(b"OggS")
    if start + OGG_HEADER > len(data):
        return True
    lengths = data[start + OGG_HEADER : start + OGG_HEADER + data[start + 26]]
    end = start + OGG_HEADER + data[start + 26] + sum(lengths)
    return end > len(data) or not data[start + 5] & OGG_LAST_PAGE
