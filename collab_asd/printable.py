"""Names as one line of plain text: whoever prints a file's or a machine's name does not let it steer the terminal."""

from __future__ import annotations

import re

CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters: line ends, tabs, and the escape that begins a terminal's commands
    "\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069"  # line and paragraph ends, changes of the writing direction
    "\ud800-\udfff]"  # bytes of a file name that are no UTF-8
)


def printable(name: object, keep: str = "") -> str:
    r"""Return a name's text with every control character replaced by its escape, such as ``\n`` or ``\x1b``.

    Parameters
    ----------
    name : object
        A path or text.
    keep : str
        Control characters that are kept.
    """
    return CONTROL.sub(lambda found: found[0] if found[0] in keep else escaped(found[0]), str(name))


def is_text(name: object) -> bool:
    """Whether a path's bytes were UTF-8, so that it can be written into a file of text."""
    return not re.search("[\ud800-\udfff]", str(name))


def escaped(text: str) -> str:
    r"""Return text with all that is not ASCII, or controls a terminal, as a backslash and digits: ``\u6a5f``."""
    return text.encode("unicode_escape").decode()
