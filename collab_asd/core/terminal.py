"""What reaches the terminal: text is printed as it is, and what the terminal cannot show is replaced.

A name may hold rich's markup (``fan [old]``), an emoji code (``:fan:``), commands of a terminal, or letters that the
terminal's encoding lacks. None of them changes how the rest looks, and none ends the program.
"""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Iterable
from io import TextIOWrapper
from typing import Any
from unicodedata import name as name_of

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters: line ends, tabs, and the escape that begins a terminal's commands
    "\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069"  # line and paragraph ends, changes of the writing direction
    "\ud800-\udfff]"  # bytes of a file name that are no UTF-8
)
SHOW_ANYTHING = "collab_asd.terminal"
SIMPLER = {"–": "-", "—": "-", "−": "-", "…": "...", "±": "+/-", "×": "x", "•": "*", "“": '"', "”": '"', "’": "'"}
LINE_ENDS = "\n\t"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


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


MOST_CHARACTERS = 300


def shortened(said: object, most: int = MOST_CHARACTERS) -> str:
    r"""Return what another party said as one short line: control characters as escapes, and so many characters of it.

    Parameters
    ----------
    said : object
        Never trusted: a text, a number, a name of a file.
    most : int

    Examples
    --------
    >>> shortened("fan\n12:00 ERROR forged"), shortened("x" * 500, 8)
    ('fan\\n12:00 ERROR forged', 'xxxxx...')
    """
    text = str(said)
    text = printable(text[: most + 1])
    return text if len(text) <= most else f"{text[: most - 3]}..."


def is_text(name: object) -> bool:
    """Whether a path's bytes were UTF-8, so that it can be written into a file of text."""
    return not re.search("[\ud800-\udfff]", str(name))


def escaped(text: str) -> str:
    r"""Return text with all that is not ASCII, or controls a terminal, as a backslash and digits: ``\u6a5f``."""
    return text.encode("unicode_escape").decode()


class PlainConsole(Console):
    """A console that takes no text for markup, emoji codes or a terminal's commands.

    Parameters
    ----------
    stderr : bool
        Print on stderr in place of stdout.
    soft_wrap : bool
        Leave it to the terminal to break long lines; for text, not for tables.
    width : int, optional
        Characters of a line, in place of the terminal's.
    """

    def __init__(self, *, stderr: bool = False, soft_wrap: bool = False, width: int | None = None) -> None:
        super().__init__(stderr=stderr, soft_wrap=soft_wrap, width=width, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **how: Any) -> Text:
        """Turn a string into text as `Console.render_str`; a table's columns are measured by what it returns."""
        return super().render_str(self._as_shown(text), **how)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as `Console.render`, with all text as the stream can show it."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(self._as_shown(segment.text), segment.style)

    def _as_shown(self, text: str) -> str:
        encoding = getattr(self.file, "encoding", None) or "utf-8"
        return printable(text, keep=LINE_ENDS).encode(encoding, SHOW_ANYTHING).decode(encoding)


def without_colours(line: str) -> str:
    """Return a line that another program printed for a terminal, without its colours."""
    return COLOURS.sub("", line)


def prepare_streams() -> None:
    """Let stdout and stderr replace what their encoding lacks; once is enough for a process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=SHOW_ANYTHING)


def read_names_as_utf8() -> None:
    """Start this program again in Python's UTF-8 mode where it would take file names for ASCII.

    That is so in the locale C where its UTF-8 mode is switched off. Names of recordings could not be written into
    result files then.
    """
    if sys.getfilesystemencoding() != "ascii":
        return
    environment = {"PYTHONIOENCODING": sys.stdout.encoding, **os.environ, "PYTHONUTF8": "1"}
    os.execve(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], environment)


def _simplify(error: UnicodeError) -> tuple[str, int]:
    r"""Replace typographic signs and lines by similar ASCII characters, and letters by escapes such as ``\u6a5f``."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_simpler, error.object[error.start : error.end])), error.end


def _simpler(character: str) -> str:
    if character in SIMPLER:
        return SIMPLER[character]
    if "\u2500" <= character <= "\u257f":  # lines of a table
        sides = name_of(character)
        return "+" if " AND " in sides else "|" if "VERTICAL" in sides else "-"
    return escaped(character)


codecs.register_error(SHOW_ANYTHING, _simplify)
