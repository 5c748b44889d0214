"""What a server writes down of what it refuses: enough to see it, and not so much that it fills the disk."""

from __future__ import annotations

import logging

from cachetools import TTLCache

from collab_asd.core.terminal import printable

logger = logging.getLogger(__name__)
LINES, SECONDS = 20, 60.0
REMEMBERED = 10_000
LONGEST = 300  # characters


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
        logger.warning("refused: %s%s", printable(text)[:LONGEST], more)
