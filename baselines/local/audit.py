"""The audit of methods that share nothing: whether it is true."""

from __future__ import annotations

from collab_asd.audit.attacks import Attack, Case
from collab_asd.audit.findings import Audit
from collab_asd.core.errors import InputError
from collab_asd.federation.messages import SCORE

SCORES = "scores/"


def require_scores_alone(case: Case, found: Audit) -> None:
    """Read in the recorded view that scores, thresholds and decisions alone have left the clients.

    Raises
    ------
    InputError
        Something else has.
    """
    run = case.run
    sent = {(m.kind, name) for m in run.view.messages if m.way == "up" for name in m.arrays}
    other = sorted(name for kind, name in sent if kind != SCORE or not name.startswith(SCORES))
    if other:
        raise InputError(f"{run.results}: clients sent {', '.join(other)}, and the audit has no attack on that")
    numbers = ", ".join(sorted(name.removeprefix(SCORES) for _, name in sent))
    found.missing.append(
        f"attacks on {run.config.method}: of each test clip {numbers} have left its client, and nothing else"
    )


SCORES_ALONE = Attack(("nothing",), require_scores_alone)
