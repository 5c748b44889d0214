"""What the parties of a deployment agreed on, as a file that each of them has: no run may ask for anything else.

The file is TOML: keys of the run configuration, ``encoder-digest``, ``codec-bases``, and versions of programs. A key
that decides what leaves a client or how its machines are judged, and that is not named, must have its default.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Self

from collab_asd.config import KEY_FILES, RunConfig
from collab_asd.core.errors import InputError, reason
from collab_asd.core.files import read_text
from collab_asd.core.schemas import AGREEMENT, VersionError
from collab_asd.core.types import RAW_ENCODERS
from collab_asd.federation.bases import BASES, MOST_BASES
from collab_asd.methods import METHODS

ENCODER_DIGEST, CODEC_BASES = "encoder-digest", "codec-bases"
PROGRAMS = ("collab-asd", "flwr")
SPOKEN_DIGITS = 16
OWN_KEYS = ("data-dir", "encoder-weights", *KEY_FILES, "cache-dir", "results-dir")
"""Where a client's own things lie; no server has a say in it."""
FREE = frozenset(
    (
        *OWN_KEYS,
        *("preset", "epochs", "rounds", "learning-rate", "optimizer", "normalization"),
        *("class-head", "server-batches"),
        *("seed", "device", "threads", "report", "report-scores", "join"),
        *("min-clients", "timeout", "on-failure", "retries"),
    )
)
"""Keys that need no agreement: how the server trains and waits."""
DEPLOYED = ("embeddings", "nothing")
"""What a method that a deployment runs may share: what else would leave a client, no agreement says."""
OF_EMBEDDINGS = frozenset(("codec", "share-covariances", "noise-epsilon", "noise-delta", "noise-norm", "erase"))
"""Keys that mean nothing where a method shares no embeddings."""
NAMED = "statistics"
"""What it may share besides, where an agreement names the method: one client's sums tell which clips are in them."""


def shares_embeddings(config: RunConfig) -> bool:
    """Return whether embeddings leave a client, so that a codec and its bases have to be agreed on."""
    return METHODS.find(config.method).shares == "embeddings"


def layout_of_node(data_dir: str, agreed: str) -> str:
    """Return the layout of a node's recordings: what was agreed on is for folders, but a node may have a table."""
    return "CSV" if Path(data_dir).is_file() else agreed


@dataclass(frozen=True)
class Agreement:
    """What was agreed on.

    Parameters
    ----------
    config : RunConfig or None
        None where a client has no such file.
    encoder_digest : str
        Digest that the encoder must have; empty: any.
    versions : mapping
        Program -> version that was agreed on, for `collab-asd deploy check`; a run compares versions itself.
    covariances : bool
        Whether the file itself allows ``share-covariances``: a machine's matrix tells who holds a recording whether it
        was among its clips, so the default does not.
    bases : int
        By how many bases of its codec a client sends embeddings, in all runs (`BasisLedger`).
    """

    config: RunConfig | None = None
    encoder_digest: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    covariances: bool = False
    bases: int = BASES

    @classmethod
    def load(cls, path: str) -> Self:
        """Read the file; an empty path stands for none.

        Raises
        ------
        InputError
            It cannot be read, or names what does not exist.
        """
        if not path:
            return cls()
        try:
            named = tomllib.loads(read_text(Path(path).expanduser()))
            AGREEMENT.require_readable(named, Path(path))
            named.pop(AGREEMENT.key, None)
            digest = str(named.pop(ENCODER_DIGEST, ""))
            bases = named.pop(CODEC_BASES, BASES)
            if type(bases) is not int or not 1 <= bases <= MOST_BASES:
                raise ValueError(f"{CODEC_BASES} = {bases!r}: is no whole number from 1 to {MOST_BASES:,}")
            versions = {program: str(named.pop(program)) for program in PROGRAMS if program in named}
            config = RunConfig.from_mapping(named)
            return cls(config, digest, versions, "share-covariances" in named and config.share_covariances, bases)
        except VersionError:
            raise
        except (OSError, ValueError) as error:
            raise InputError(f"agreement {path}: {reason(error)}; ask whoever set up the consortium for it") from error

    @property
    def spoken_digest(self) -> str:
        """Digest of all that was agreed on, in groups of four digits, for parties who compare it by telephone.

        It is of what the file says, not of how: order, comments and keys that need no agreement do not change it.
        """
        agreed = self.config.to_mapping() if self.config else {}
        bound = {key: value for key, value in agreed.items() if key not in FREE}
        bound["share-covariances"] = self.covariances
        plain = [bound, self.encoder_digest, dict(self.versions), self.bases]
        digest = sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:SPOKEN_DIGITS]
        return " ".join(digest[i : i + 4] for i in range(0, SPOKEN_DIGITS, 4))

    def require_agreed(self, config: RunConfig) -> None:
        """Refuse a run that asks for anything else.

        Raises
        ------
        InputError
            Names each key, with what was agreed on.
        """
        shared = METHODS.find(config.method).shares
        if shared == NAMED and self.config is None:
            raise InputError(
                f"method = {config.method}: refused without an agreement that names it: the server sees one matrix of "
                "each client, which tells whoever holds a recording whether it is in it (docs/privacy.md)"
            )
        if shared not in (*DEPLOYED, NAMED):
            raise InputError(
                f"method = {config.method}: refused, it shares {shared}; a deployment runs methods that share "
                f"{' or '.join(DEPLOYED)}"
            )
        if config.encoder in RAW_ENCODERS:
            raise InputError(f"encoder = {config.encoder}: refused, it would send the recordings themselves")
        if self.config is None:
            if config.inference != "client":
                raise InputError("inference = server: refused, test clips leave a client only by an agreement")
            return
        agreed, asked = self.config.to_mapping(), config.to_mapping()
        if other := [key for key in agreed if key not in FREE and agreed[key] != asked[key]]:
            said = "; ".join(f"{key} = {asked[key]} (agreed: {agreed[key]})" for key in other)
            raise InputError(f"the run asks for what was not agreed on: {said}")

    def require_encoder(self, digest: str) -> None:
        """Refuse another encoder, other weights or another key than was agreed on.

        Raises
        ------
        InputError
            Names both digests.
        """
        if self.encoder_digest and digest != self.encoder_digest:
            raise InputError(
                f"encoder: its digest is {digest[:12]}, agreed on was {self.encoder_digest[:12]}; "
                "use the weights, the key and the version of collab-asd that the consortium agreed on"
            )
