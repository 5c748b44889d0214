"""By which bases of a codec a node has sent embeddings: each shows them along other axes.

A server fits the basis of a codec to what the clients tell it, so a dishonest one may send any. Whoever gathers the
coordinates along enough of them has the embeddings themselves. A node therefore notes each basis that it has sent by,
in all runs, and sends by no more of them than its agreement allows (``codec-bases``). The same clients with the same
recordings give the same basis again, which costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from collab_asd.core.errors import InputError, PublicError
from collab_asd.core.files import replacing

BASES = 4
"""In all runs under an agreement that does not say how many."""
MOST_OF_A_RUN = 2
"""That no run before has used: the server fits a second one where a client is lost."""
MOST_BASES = 10_000
LEDGER = "codec-bases"
FIELDS = 3
LOCK_SECONDS = 60.0


@dataclass(frozen=True)
class BasisLedger:
    """The list of the bases that a node has sent by.

    Parameters
    ----------
    file : Path
        A line each: digests of encoder and basis, and the run that used it first.
    encoder : str
        Digest of the encoder. Those of another encoder do not count.
    run : int
        The run that asks now.
    allowed : int
        How many bases the agreement allows in all runs.
    """

    file: Path
    encoder: str
    run: int
    allowed: int = BASES

    @classmethod
    def of_node(cls, results: Path, encoder: str, run: int = 0, allowed: int = BASES) -> Self:
        """Return that of a node whose runs' results lie in a folder."""
        return cls(results / LEDGER, encoder, run, allowed)

    def admit(self, digest: str) -> None:
        """Note the basis of which this is the digest, before anything is sent by it.

        Raises
        ------
        PublicError
            It is a new one, and as many as are allowed were used before.
        InputError
            The list cannot be read.
        """
        self.file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.file.with_suffix(".lock"), timeout=LOCK_SECONDS):
                self._admit(digest)
        except Timeout:
            raise InputError(f"{self.file}: another process holds it; stop that, or wait for it") from None

    def _admit(self, digest: str) -> None:
        lines = self._lines()
        known = {basis: int(run) for encoder, basis, run in lines if encoder == self.encoder}
        if digest in known:
            return
        if len(known) >= self.allowed:
            raise PublicError(
                f"codec: this node has sent embeddings by {len(known)} bases, and the agreement allows {self.allowed} "
                "in all runs; other recordings or other clients make another basis, and so does a server that wants to "
                "read more. To allow more, all parties raise codec-bases in agreement.toml"
            )
        if list(known.values()).count(self.run) >= MOST_OF_A_RUN:
            raise PublicError(
                f"codec: the server asks this node for embeddings by a third basis in one run, and {MOST_OF_A_RUN} are "
                "the most; ask who runs the server why"
            )
        with replacing(self.file) as file:
            file.write(
                "".join(f"{' '.join(line)}\n" for line in [*lines, [self.encoder, digest, str(self.run)]]).encode()
            )

    def used(self) -> int:
        """Return how many bases of the encoder were used."""
        return sum(encoder == self.encoder for encoder, _, _ in self._lines())

    def _lines(self) -> list[list[str]]:
        try:
            lines = [line.split() for line in self.file.read_text("utf-8").splitlines()] if self.file.exists() else []
        except ValueError:
            lines = [[]]
        if any(len(line) != FIELDS or not line[-1].lstrip("-").isdecimal() for line in lines):
            raise InputError(
                f"{self.file}: is damaged, so it is not known by how many bases embeddings were sent; restore it, or "
                "remove it if all parties agree to begin anew"
            )
        return lines
