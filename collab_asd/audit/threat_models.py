"""What an adversary knows beside what it received, and what it can make of that.

Each level gives rows to learn from and rows to attack in one space; what is then learnt (`retrieval`, `probe`) is the
same for all levels. The public demo key is no secret: whoever audits a run with it looks at the levels that do not know
f_c as if the key had been secret.

============================== ========================================================================================
level                          the adversary
============================== ========================================================================================
knows f_c                      pushes its own sounds through f_c and the codec (a server with one client on its side)
knows f_c and the rotation     the same of a run with a secret rotation: the server has a client's key
f_c, not the rotation          looks at lengths, which no rotation changes; or along principal axes, which turn with it;
                               or turns the unknown space until its own sounds and what was shared lie on each other
wrong f_c                      the same, through an encoder of its own, of the same architecture and another key
another encoder for f_c        takes what was shared for principal components of log-mel spectra, and has its own
architecture, not the key      looks at the size of each frequency band alone, which no key hides; learns from own keys
k clips leaked                 has k recordings of one client's machine beside what was shared of them
k clips leaked, aligned        turns the unknown space into that of its own encoder by them, where it has many sounds
shuffled                       control: as if it knew f_c, but its own sounds are mixed up
============================== ========================================================================================
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, orthogonal_procrustes
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from collab_asd.audit.observations import Alignment, ObservedClip
from collab_asd.audit.spectra import MEL_BANDS
from collab_asd.core.types import FloatArray
from collab_asd.wire.codecs import Codec
from collab_asd.wire.codecs.stages import Product

OTHER = "another encoder for f_c"
KNOWS, WRONG, ARCHITECTURE = "knows f_c", "wrong f_c", "architecture, not the key"
MEMBER = "knows f_c and the rotation"
LENGTHS, AXES = "f_c, not the rotation: lengths", "f_c, not the rotation: axes"
CLOSEST = "f_c, not the rotation: closest points"
SHUFFLED = "shuffled (control)"
LEAKS = (1, 10, 100, 1000)
LOOKED_AT = 12  # principal axes
SUBSPACE = 64  # dimensions in which clouds are turned onto each other
MOST_MATCHINGS, STEPS = 120, 25


@dataclass(frozen=True)
class ThreatModel:
    """One adversary, ready to learn and to attack.

    Parameters
    ----------
    name : str
    learnt_from : sequence of ObservedClip
    attacked : sequence of ObservedClip
        Their rows are in the same space as those of `learnt_from`.
    control : bool
        Pairs are mixed up; `probe` mixes them up anew, many times.
    """

    name: str
    learnt_from: Sequence[ObservedClip]
    attacked: Sequence[ObservedClip]
    control: bool = False


def shuffled(level: ThreatModel, seed: int = 0) -> ThreatModel:
    """Give each clip that is learnt from the spectra and tags of another."""
    order = np.random.default_rng(seed).permutation(len(level.learnt_from))
    mixed = [_with_truth_of(clip, level.learnt_from[i]) for clip, i in zip(level.learnt_from, order, strict=True)]
    return ThreatModel(SHUFFLED, mixed, level.attacked, control=True)


def leaked(count: int, leaks: Sequence[ObservedClip], attacked: Sequence[ObservedClip]) -> ThreatModel:
    """Learn from the first clips of a client."""
    return ThreatModel(f"{count} {'clip' if count == 1 else 'clips'} leaked", leaks[:count], attacked)


def aligned(
    count: int,
    leaks: Sequence[ObservedClip],
    twins: Sequence[ObservedClip],
    own: Sequence[ObservedClip],
    attacked: Sequence[ObservedClip],
) -> ThreatModel:
    """Turn the unknown space to a known one.

    Parameters
    ----------
    count : int
        How many clips are leaked.
    leaks, twins : sequence of ObservedClip
        The leaked clips as they were shared, and in the adversary's own space.
    own : sequence of ObservedClip
        The adversary's own sounds in its own space.
    attacked : sequence of ObservedClip
    """
    pairs = [(a.rows, b.rows) for a, b in zip(leaks[:count], twins[:count], strict=True)]
    turn = Alignment.fit(*(np.concatenate(side) for side in zip(*pairs, strict=True)))
    turned = [replace(clip, rows=turn.apply(clip.rows)) for clip in attacked]
    name = f"{count} {'clip' if count == 1 else 'clips'} leaked, aligned"
    return ThreatModel(name, [*own, *twins[:count]], turned)


def by_length(
    own: Sequence[ObservedClip], own_codec: Codec, attacked: Sequence[ObservedClip], codec: Codec
) -> ThreatModel:
    """Keep what a rotation leaves of each row: its length, that beside its machine's mean, its part along that."""
    return ThreatModel(LENGTHS, _lengths(own, own_codec), _lengths(attacked, codec))


def _lengths(clips: Sequence[ObservedClip], codec: Codec) -> list[ObservedClip]:
    decode = _row_decoder(codec)
    frames, machines = [decode(clip.rows) for clip in clips], [clip.clip.machine for clip in clips]
    means = {
        machine: np.concatenate([f for f, other in zip(frames, machines, strict=True) if other == machine]).mean(axis=0)
        for machine in set(machines)
    }
    rows = [_lengths_beside(f, means[machine]) for f, machine in zip(frames, machines, strict=True)]
    centre = np.concatenate(rows).mean(axis=0)
    return [replace(clip, rows=row - centre) for clip, row in zip(clips, rows, strict=True)]


def _lengths_beside(frames: FloatArray, mean: FloatArray) -> FloatArray:
    """Log lengths of frames ``[n, D]`` and of their differences to a mean; and the part of the latter along it."""
    beside = frames - mean
    lengths = [np.log(np.linalg.norm(rows, axis=1) + 1e-3) for rows in (frames, beside)]
    return np.stack([*lengths, beside @ mean / max(float(np.linalg.norm(mean)), 1e-9)], axis=1).astype(np.float32)


def by_axes(own: Sequence[ObservedClip], attacked: Sequence[ObservedClip]) -> ThreatModel:
    """Bring both sides into coordinates along their own principal axes, which turn with a rotation.

    In units of deviations, and with the side of the longer tail positive. Where both sides' sounds are alike, so are
    their axes.
    """
    near, far = (_principal(np.concatenate([clip.rows for clip in side])) for side in (own, attacked))
    width = min(near.shape[1], far.shape[1])
    return ThreatModel(AXES, _with_rows(own, near[:, :width]), _with_rows(attacked, far[:, :width]))


def by_closest_points(
    own: Sequence[ObservedClip], own_codec: Codec, attacked: Sequence[ObservedClip], codec: Codec
) -> ThreatModel:
    """Turn what was shared until it lies on the adversary's own sounds; no clip is leaked.

    Iterated closest points: each shared clip is assigned one of the adversary's, so that the distances are least in
    all, the rotation that brings the pairs closest is found (Procrustes), and so on. Which machine of the adversary's
    is most like which client's is not known: all matchings are tried, and the one with the least distances is kept.
    The rows of its clips are then assigned in the same way.

    References
    ----------
    P. Besl and N. McKay, "A method for registration of 3-D shapes", IEEE Trans. PAMI 14(2), 1992. E. Grave, A. Joulin,
    Q. Berthet, "Unsupervised alignment of embeddings with Wasserstein Procrustes", AISTATS 2019.
    """
    near, far = _in_subspace(own, own_codec), _in_subspace(attacked, codec)
    machines = [list(dict.fromkeys(clip.clip.machine for clip in side)) for side in (own, attacked)]

    def groups(side: int, rows: Sequence[FloatArray], whole: bool) -> list[FloatArray]:
        clips = (own, attacked)[side]
        points = rows if whole else [row.mean(axis=0, keepdims=True) for row in rows]
        return [
            np.concatenate([p for p, clip in zip(points, clips, strict=True) if clip.clip.machine == machine])
            for machine in machines[side]
        ]

    means = groups(0, near, whole=False), groups(1, far, whole=False)
    count = min(len(machines[0]), len(machines[1]))
    matchings = itertools.product(
        itertools.combinations(range(len(machines[1])), count), itertools.permutations(range(len(machines[0])), count)
    )
    found = []
    for theirs, ours in itertools.islice(matchings, MOST_MATCHINGS):
        pair = [means[1][k] for k in theirs], [means[0][k] for k in ours]
        found.append((*_turned_onto(*pair, _start(*pair)), theirs, ours))
    _, turn, theirs, ours = min(found, key=lambda one: one[0])
    rows = groups(1, far, whole=True), groups(0, near, whole=True)
    pairs = [rows[0][k] for k in theirs], [rows[1][k] for k in ours]
    _, turn = _turned_onto(*pairs, [(side[0] @ turn, side[1]) for side in zip(*pairs, strict=True)])
    turned = [replace(clip, rows=np.asarray(row @ turn, np.float32)) for clip, row in zip(attacked, far, strict=True)]
    return ThreatModel(CLOSEST, [replace(clip, rows=row) for clip, row in zip(own, near, strict=True)], turned)


def _in_subspace(clips: Sequence[ObservedClip], codec: Codec) -> list[FloatArray]:
    """Frames that rows stand for, along the leading directions of all of them -> ``[n, SUBSPACE]`` of each clip."""
    decode = _row_decoder(codec)
    frames = [decode(clip.rows) for clip in clips]
    together = np.concatenate(frames).astype(np.float64)
    _, directions = eigh(together.T @ together)
    leading = directions[:, ::-1][:, :SUBSPACE]
    return [np.asarray(np.pad(f @ leading, ((0, 0), (0, SUBSPACE - leading.shape[1]))), np.float32) for f in frames]


def _start(far: Sequence[FloatArray], near: Sequence[FloatArray]) -> list[tuple[FloatArray, FloatArray]]:
    """Coordinates that no rotation changes once the machines' means are matched: along these, and the rest's length."""
    centres = (np.stack([group.mean(axis=0) for group in side]) for side in (far, near))
    to_far, _, to_near = np.linalg.svd(next(centres).T @ next(centres))
    axes = to_far[:, : len(far)], to_near[: len(far)].T

    def described(points: FloatArray, along: FloatArray) -> FloatArray:
        inside = points @ along
        rest = np.sqrt(np.maximum(np.square(points).sum(axis=1) - np.square(inside).sum(axis=1), 0.0))
        return np.column_stack([inside, rest])

    return [(described(f, axes[0]), described(n, axes[1])) for f, n in zip(far, near, strict=True)]


def _turned_onto(
    far: Sequence[FloatArray], near: Sequence[FloatArray], looked_at: Sequence[tuple[FloatArray, FloatArray]]
) -> tuple[float, FloatArray]:
    """Assign and turn in turns; returns the mean squared distance and the rotation ``[d, d]``.

    `looked_at` is what the first assignment goes by.
    """
    cost, turn = np.inf, np.eye(far[0].shape[1], dtype=np.float32)
    for _ in range(STEPS):
        pairs = [(f[i], n[j]) for f, n, (i, j) in zip(far, near, map(_assigned, looked_at), strict=True)]
        a, b = (np.concatenate(side) for side in zip(*pairs, strict=True))
        turn = orthogonal_procrustes(a, b)[0]
        before, cost = cost, float(np.square(a @ turn - b).sum(axis=1).mean())
        if cost > 0.9999 * before:
            break
        looked_at = [(f @ turn, n) for f, n in zip(far, near, strict=True)]
    return cost, turn


def _assigned(sides: tuple[FloatArray, FloatArray]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return linear_sum_assignment(cdist(*sides, "sqeuclidean"))


def _principal(rows: FloatArray) -> FloatArray:
    """Coordinates of rows ``[n, d]`` along their leading principal axes -> ``[n, LOOKED_AT or fewer]``."""
    centred = rows - rows.mean(axis=0, dtype=np.float64)
    _, axes = eigh(centred.T @ centred)
    coordinates = centred @ axes[:, ::-1][:, :LOOKED_AT]
    coordinates /= np.maximum(coordinates.std(axis=0), 1e-9)
    return np.asarray(coordinates * np.where(np.mean(coordinates**3, axis=0) < 0, -1, 1), np.float32)


def _with_rows(clips: Sequence[ObservedClip], rows: FloatArray) -> list[ObservedClip]:
    parts = np.split(rows, np.cumsum([len(clip.rows) for clip in clips])[:-1])
    return [replace(clip, rows=part) for clip, part in zip(clips, parts, strict=True)]


def other_encoder(own: Sequence[ObservedClip], attacked: Sequence[ObservedClip]) -> ThreatModel:
    """Take what was shared for what another encoder, a mean log-mel spectrum of each row, would have given.

    The adversary brings its own frames to as many principal components as numbers were shared, and gives each number on
    either side the mean 0 and the deviation 1.
    """
    bands = [clip.spectra.reshape(len(clip.spectra), -1, MEL_BANDS).mean(axis=1) for clip in own]
    mean = np.concatenate(bands).mean(axis=0)
    width = attacked[0].rows.shape[1]
    _, _, axes = np.linalg.svd(np.concatenate(bands) - mean, full_matrices=False)
    components = ((part - mean) @ axes[:width].T for part in bands)
    rows = [np.pad(part, ((0, 0), (0, max(0, width - MEL_BANDS)))) for part in components]
    learnt = [replace(clip, rows=row) for clip, row in zip(own, rows, strict=True)]
    return ThreatModel(OTHER, _standardized(learnt), _standardized(attacked))


def _standardized(clips: Sequence[ObservedClip]) -> list[ObservedClip]:
    rows = np.concatenate([clip.rows for clip in clips])
    mean, deviation = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-6)
    return [replace(clip, rows=np.asarray((clip.rows - mean) / deviation, np.float32)) for clip in clips]


def by_band(clips: Sequence[ObservedClip], codec: Codec, bands: int) -> list[ObservedClip]:
    """Keep the size of each frequency band alone: what a rotation of its channels cannot change.

    Relative to the mean over all clips: a key gives each band another gain.
    """
    decode = _row_decoder(codec)
    levels = [band_levels(decode(clip.rows), bands) for clip in clips]
    mean = np.concatenate(levels).mean(axis=0)
    return [replace(clip, rows=level - mean) for clip, level in zip(clips, levels, strict=True)]


def band_levels(frames: FloatArray, bands: int) -> FloatArray:
    """Logarithm of the length of each of `bands` equal parts of frames ``[n, D]`` -> ``[n, bands]``."""
    parts = frames.reshape(len(frames), bands, -1)
    return np.asarray(np.log(np.linalg.norm(parts, axis=2) + 1e-3), np.float32)


def _row_decoder(codec: Codec) -> Callable[[FloatArray], FloatArray]:
    """Return what takes rows to frames, one frame of each row."""
    stages = [s for s in codec.stages if s.rows(1000) == 1000 and not isinstance(s, Product)]  # pooling only repeats

    def decode(rows: FloatArray) -> FloatArray:
        for stage in reversed(stages):
            rows = stage.decode(rows, len(rows))
        return np.asarray(rows, np.float32)

    return decode


def _with_truth_of(clip: ObservedClip, other: ObservedClip) -> ObservedClip:
    length = min(len(clip.rows), len(other.spectra))
    return replace(clip, rows=clip.rows[:length], spectra=other.spectra[:length], tags=other.tags)
