"""How much an audit looks at, and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from collab_asd.interfaces import FloatArray
from collab_asd.privacy.measures import Finding
from collab_asd.privacy.stealing import Party

TRUTH = "truth"


@dataclass(frozen=True)
class Scope:
    """How much is looked at: the adversary's own sounds, clips of each client, keys that the adversary tries."""

    own: int
    per_client: int
    keys: int


FULL, QUICK = Scope(own=240, per_client=100, keys=3), Scope(own=80, per_client=25, keys=1)


@dataclass
class Audit:
    """What came out.

    Parameters
    ----------
    findings : list of Finding
    missing : list of str
        What could not be measured, and what it would take.
    parties : list of Party
        Who holds which model.
    pictures : dict of str to list of FloatArray
        Estimates of the first attacked clip of each client by level of knowledge, and its truth: log-mel spectra
        ``[n, bands]`` in dB.
    recordings : dict of int to FloatArray
        By client, the stretch of sound that is pictured ``[samples]``, at the rate of `collab_asd.privacy.spectra`.
    hop : int
        Samples between two spectra of the pictures.
    """

    findings: list[Finding] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    parties: list[Party] = field(default_factory=list)
    pictures: dict[str, list[FloatArray]] = field(default_factory=dict)
    recordings: dict[int, FloatArray] = field(default_factory=dict)
    hop: int = 0
