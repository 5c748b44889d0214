"""Algorithms 1 and 2 of the paper, on arrays: no messages, no files.

==============  =====================================================================
Paper           Here
==============  =====================================================================
E_k             `MachineFrames.normal`: frames ``[T, D]`` of f_c of each normal clip
E'_k            `MachineFrames.test`
S_k             `MachineFrames.machine_class`: the machine's number in its group
f_s             `IdClassifier`, one per group (per machine type, section V-B)
f_a             `ClipScorer`, in a `Space`
E~_k            ``Space.embed(frames)``: ``[w, 128]``, one row per window
A_k             `SpaceScores.test`
==============  =====================================================================

The paper does not say how a client finds a threshold. Here some of its normal clips, `MachineFrames.calibration`, take
no part in line 5: f_s has seen the others and puts them closer together than it will put new ones.

References
----------
K. Dohi and Y. Kawaguchi, "Distributed collaborative anomalous sound detection by embedding sharing".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from numpy.linalg import LinAlgError

from collab_asd.classifier.model import IdClassifier
from collab_asd.classifier.sampling import joined
from collab_asd.classifier.settings import TrainingSettings
from collab_asd.classifier.training import train
from collab_asd.core.errors import InputError
from collab_asd.core.seeding import derive
from collab_asd.core.types import MachineFrames, SpaceScores
from collab_asd.detection.detector import Detector, Space
from collab_asd.detection.scorers import HALF_WEIGHT, SHORT_HALF_WEIGHT, DetectorSettings, ScorerSettings
from collab_asd.detection.second_order import Others, suits
from collab_asd.methods.embedding_sharing.covariances import others_of_machines
from collab_asd.methods.embedding_sharing.pages import sha256_of
from collab_asd.wire.codecs import Codec


def algorithm_1(
    machines: Sequence[MachineFrames],
    training: TrainingSettings,
    stacking: tuple[int, int],
    scorer: DetectorSettings,
    seed: int,
) -> list[SpaceScores]:
    """Run Algorithm 1 as one plain loop; Algorithm 2 differs only in who does lines 7 to 14.

    Returns
    -------
    list of SpaceScores
        Anomaly scores of each machine, in the order given.
    """
    sent = [in_order_of_content(machine) for machine in machines]
    classifiers = train_id_classifiers(sent, training, stacking, seed)  # server, lines 4-6
    detectors = [
        fit_detector(classifiers[machine.group], machine, scorer, others=others)  # clients, 7-10
        for machine, others in zip(machines, others_of_machines(machines), strict=True)
    ]
    return [
        detector.scores(detector.embed_tests(machine))  # 11-14
        for detector, machine in zip(detectors, machines, strict=True)
    ]


def in_order_of_content(machine: MachineFrames) -> MachineFrames:
    """Put the clips that f_s is trained on in the order that the server's store gives them."""
    return replace(machine, normal=sorted(machine.normal, key=sha256_of))


def train_id_classifiers(
    machines: Sequence[MachineFrames],
    training: TrainingSettings,
    stacking: tuple[int, int],
    seed: int,
    device: str = "cpu",
    progress: Callable[[int, int, float], None] | None = None,
    start: Mapping[int, IdClassifier] | None = None,
) -> dict[int, IdClassifier]:
    """Train one f_s per group to tell its machines apart (line 5).

    Parameters
    ----------
    stacking : (int, int)
        Frames in one window of f_s, and frames between windows: a property of f_c (section V-B).
    device : str
        A PyTorch device.
    progress : callable, optional
        Called with (group, epoch, loss) after each epoch.
    start : mapping, optional
        f_s of some groups to go on from: a machine has joined since.
    """
    return {
        group: train_on_group(members, training, stacking, seed, device, progress, (start or {}).get(group))
        for group, members in by_group(machines).items()
    }


def by_group(machines: Sequence[MachineFrames]) -> dict[int, list[MachineFrames]]:
    """Put the machines together that have an f_s in common."""
    groups: dict[int, list[MachineFrames]] = {group: [] for group in sorted({m.group for m in machines})}
    for machine in machines:
        groups[machine.group].append(machine)
    return groups


def group_ranks(machines: Sequence[MachineFrames]) -> dict[int, int]:
    """Count groups from 0 in the order of their first machines' classes.

    Seeds follow from this rank: pseudonyms then give the f_s that plain numbers give, of machines in the same order.
    """
    first = {group: min(m.machine_class for m in members) for group, members in by_group(machines).items()}
    return {group: rank for rank, group in enumerate(sorted(first, key=lambda group: first[group]))}


def train_on_group(
    members: Sequence[MachineFrames],
    training: TrainingSettings,
    stacking: tuple[int, int],
    seed: int,
    device: str = "cpu",
    progress: Callable[[int, int, float], None] | None = None,
    start: IdClassifier | None = None,
    checkpoint: Path | None = None,
) -> IdClassifier:
    """Train the f_s of one group; parameters as of `train_id_classifiers` and `train`."""
    group = members[0].group
    return train(
        joined([m.normal for m in members]),
        [m.machine_class for m in members for _ in m.normal],
        training,
        derive(seed, "id-classifier", group),
        stack=stacking[0],
        stack_hop=stacking[1],
        device=device,
        progress=None if progress is None else partial(progress, group),
        start=start,
        checkpoint=checkpoint,
    )


def fit_detector(
    classifier: IdClassifier,
    machine: MachineFrames,
    scorer: DetectorSettings,
    codec: Codec | None = None,
    others: Others | None = None,
) -> Detector:
    """Build f_a in the space of f_s (lines 9 and 10); with ``fusion`` also in the client's own spaces.

    `codec` is what f_s was trained through; the client's own spaces need none. `others` is as of `own_spaces`.
    """
    shared = Space.fit(machine, scorer.shared, classifier, codec)
    return Detector((shared, *own_spaces(machine, scorer, others)))


def own_spaces(machine: MachineFrames, scorer: DetectorSettings, others: Others | None = None) -> tuple[Space, ...]:
    """Build the spaces that a client needs no f_s for; none without ``fusion``.

    Parameters
    ----------
    machine : MachineFrames
    scorer : DetectorSettings
    others : Others, optional
        How the clips of other machines vary: they support the covariance of the spectra. The machine's own covariance
        is then looked at beside, for machines that the others are unlike.

    Returns
    -------
    tuple of Space
        Of spectra two views, the levels alone and all: a fault that shows in the levels drowns in the many numbers of
        the whole. First by the machine's own covariance, then with the others' support. Between them the levels of
        segments, for short events, by the machine's own.

    Raises
    ------
    InputError
        No machines can have the covariance of `others`.
    """
    if scorer.local is None:
        return ()
    if scorer.local.average != "spectrum":
        return (Space.fit(machine, scorer.local),)
    own = scorer.local if others is None else replace(scorer.local, half_weight=HALF_WEIGHT)
    pooled = replace(scorer.local, name="mahalanobis")
    short = replace(pooled, average="segments", pooling="max", half_weight=SHORT_HALF_WEIGHT)
    levels = Space.fit(machine, replace(own, average="levels"))
    alone = levels, Space.fit(machine, own), Space.fit(machine, short)
    if others is None:
        return alone
    try:
        levels = Space.fit(machine, replace(pooled, average="levels"), others=others.of_levels)
        return *alone, levels, Space.fit(machine, pooled, others=others)
    except LinAlgError as error:
        raise InputError(
            f"the covariances of the other machines: refused, no recordings have such ({error}); "
            "ask who runs the server"
        ) from error


def pooling_suits(machine: MachineFrames, scorer: DetectorSettings, detector: Detector) -> bool:
    """Whether a detector that hears the others' covariance judges the machine's normal clips as it would without."""
    pooled = detector.spaces[-1]
    if pooled.others is None or scorer.local is None:
        return True
    alone = Space.fit(machine, replace(scorer.local, name="mahalanobis"))
    return suits(alone.held_out, pooled.held_out)


def fit_local_detector(machine: MachineFrames, scorer: ScorerSettings) -> Detector:
    """Build f_a in the client's own space of f_c. Nothing is shared, so there is no f_s to have seen any clip."""
    alone = MachineFrames(
        machine.group, machine.machine_class, [*machine.normal, *machine.calibration], recordings=machine.recordings
    )
    return Detector((Space.fit(alone, scorer),))
