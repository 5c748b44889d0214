"""How the log of a deployment looks: a record is one line with its time, whoever had a say in its text.

Of what a server refuses it writes down enough to see it, and not so much that it fills the disk.
"""

from __future__ import annotations

import logging
import sys
import time

from cachetools import TTLCache

from collab_asd.core.terminal import printable

logger = logging.getLogger(__name__)
LINES, SECONDS = 20, 60.0
REMEMBERED = 10_000
LONGEST_REFUSAL = 300  # characters
LONGEST = 4000  # characters
CONTINUED = "\n  | "
TIMELESS = "flwr", "uvicorn"
"""Loggers whose handlers write no time."""


class OneRecord(logging.LogRecord):
    """A record that no part of its message can end, colour or lengthen."""

    def getMessage(self) -> str:  # noqa: N802 -- the name of `logging.LogRecord`
        """See `logging.LogRecord`."""
        message = one_record(super().getMessage())
        if self.name.split(".")[0] not in TIMELESS:
            return message
        return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(self.created))} {message}"


def one_record(text: str) -> str:
    r"""Return text without a terminal's commands, cut where it is very long, and with each further line marked as one.

    Examples
    --------
    >>> print(one_record("name\n\x1b[2Jrefused: 10.0.0.1"))
    name
      | \x1b[2Jrefused: 10.0.0.1
    """
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]} … {len(text) - LONGEST} more characters"
    return printable(text.rstrip("\n"), keep="\n").replace("\n", CONTINUED)


def note(text: str) -> None:
    """Write a line with its time to stderr, as a record; for a process whose loggers are Flower's."""
    print(time.strftime("%Y-%m-%d %H:%M:%S"), one_record(text), file=sys.stderr, flush=True)


def protect_logs() -> None:
    """Make every record of this process one that nobody else can forge, and give those of Flower their time."""
    logging.setLogRecordFactory(OneRecord)


class Refusals:
    """Writes down refusals, of one kind from one address at most 20 a minute."""

    def __init__(self) -> None:
        self._written: TTLCache[tuple[str, str], list[None]] = TTLCache(REMEMBERED, SECONDS)

    def note(self, address: str, text: str, kind: str) -> None:
        """Write down one.

        Parameters
        ----------
        address : str
        text : str
        kind : str
            What is counted as the same.
        """
        written = self._written.get((address, kind))
        if written is None:
            written = self._written[address, kind] = []  # its minute begins
        if len(written) > LINES:
            return
        written.append(None)
        more = f"; more like it within {SECONDS:.0f} s are not written down" if len(written) > LINES else ""
        logger.warning("refused: %s%s", printable(text)[:LONGEST_REFUSAL], more)
