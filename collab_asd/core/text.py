"""Text files that people write, in whichever encoding their editor or spreadsheet saves them."""

from __future__ import annotations

import codecs
import logging
from pathlib import Path

from collab_asd.core.errors import InputError

log = logging.getLogger(__name__)
LARGEST = 2**28  # bytes
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
CONTROLS = frozenset(map(chr, range(32))) - set("\t\n\r\f\x1b")  # an escape: names copied from a terminal


def read_text(path: Path) -> str:
    r"""Read a text file: UTF-8, UTF-16 or UTF-32 as its first bytes tell, or else Windows-1252, which is logged.

    Lines end in ``\n``, whatever they end in.

    Raises
    ------
    InputError
        The file holds no text, or too much of it.
    OSError
        It cannot be read.
    """
    if path.stat().st_size > LARGEST:
        raise InputError(f"{path}: too large for a text file ({path.stat().st_size / 1e9:.1f} GB)")
    content = path.read_bytes()
    encoding = encoding_of(content)
    try:
        text = content.decode(encoding)
        if not CONTROLS.isdisjoint(text):
            raise ValueError
    except ValueError:
        raise InputError(f"{path}: is no text file; save it as text in UTF-8") from None
    if encoding == "cp1252":
        log.warning("%s: not in UTF-8; it was read as Windows-1252, in which Western Windows saves text", path)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def encoding_of(content: bytes) -> str:
    """Tell the encoding of a text from its byte order mark, its zeros, or whether it is UTF-8.

    Examples
    --------
    >>> encoding_of("Köln".encode()), encoding_of("Köln".encode("utf-16-le")), encoding_of("Köln".encode("cp1252"))
    ('utf-8', 'utf-16-le', 'cp1252')
    """
    for mark, encoding in MARKS.items():
        if content.startswith(mark):
            return encoding
    even, odd = content[0::2].count(0), content[1::2].count(0)
    if max(even, odd) > len(content) / 8:  # the upper halves of what are mostly Latin letters
        return "utf-16-le" if odd > even else "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(content)  # the beginning of a file may end within a letter
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"
