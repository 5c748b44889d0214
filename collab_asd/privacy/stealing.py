"""Model stealing: which models each party holds, and so loses when it is broken into.

Adversary: whoever breaks into a client or the server, or reads the messages between them. Goal: all that detecting
needs: f_c and f_s. Read from the recorded view, not from intentions; there is nothing random in it.

Source: K. Dohi and Y. Kawaguchi, section IV-C.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from collab_asd import encoders
from collab_asd.methods import METHODS
from collab_asd.privacy.run import AuditedRun


@dataclass(frozen=True)
class Party:
    """One who could be broken into.

    Parameters
    ----------
    name : str
    f_c, f_s, embeddings : bool
        Whether it holds these. Embeddings are those of other clients.
    """

    name: str
    f_c: bool
    f_s: bool
    embeddings: bool

    @property
    def complete(self) -> bool:
        """Whether a thief can score recordings with what is found there."""
        return self.f_c and self.f_s

    def to_plain(self) -> dict[str, Any]:
        """Lay out for JSON."""
        return asdict(self) | {"complete": self.complete}


def parties(run: AuditedRun) -> list[Party]:
    """Read who holds what. A public f_c is held by all who have seen its digest, since that names it."""
    named, sent = f_c_is_named(run), bool(run.view.classifiers())
    shared = METHODS.find(run.config.method).sends_frames
    return [
        Party("a client", True, sent, False),
        Party("the server", named, sent or shared, shared),
        Party("a reader of all messages", named, sent, shared),
    ]


def f_c_is_named(run: AuditedRun) -> bool:
    """Whether the digest that clients send is one that anybody can compute: of public weights, or of a demo key."""
    public = replace(run.config, encoder_key_file="")
    return {encoders.build(public).spec.digest} == run.view.encoder_digests()
