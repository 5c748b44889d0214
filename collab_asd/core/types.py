"""The few types that everything speaks.

Notation for array shapes, used throughout: ``samples`` audio samples, ``T`` frames of one clip, ``D`` dimensions of a
frame, ``n`` clips, ``w`` windows of one clip, ``d`` dimensions of an embedding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Literal, Protocol, Self, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float32]
ScoreArray: TypeAlias = NDArray[np.float64]
ClipNumbers: TypeAlias = NDArray[np.int64]
Split: TypeAlias = Literal["train", "test"]
Part: TypeAlias = Literal["train", "calibration", "test"]
PARTS: tuple[Part, ...] = get_args(Part)  # in the order of the fields of `MachineFrames`
"""Clips that the ID classifier is trained on; normal clips of the training split that it has not seen; test clips."""

NORMAL, ANOMALY = 0, 1
RAW_ENCODERS = frozenset({"waveform"})
"""Encoders whose frames are the samples of the recording: they mean nothing until a spectrum is made of them, and hide
nothing. The server's side, which imports no encoder, knows them by name."""
KEPT_BY_CLIENTS = "kept by the clients"
"""In ``summary.json``, in place of scores that did not leave the clients."""


@dataclass(frozen=True)
class RecordingConditions:
    """How a machine's recordings are changed as they are read (`collab_asd.data.conditions`).

    Parameters
    ----------
    response : tuple of float
        Of the microphone, dB, at knots evenly spaced on the mel scale from 0 to 8 kHz.
    gain : float
        dB.
    noise, noise_slope : float
        RMS of the microphone's noise, full scale 1, 0 for none; and its slope in dB per octave.
    interference : float
        RMS of a machine nearby, full scale 1; 0 for none.
    seed : int
        Of that machine, and with a clip's hash of what differs from clip to clip.
    """

    response: tuple[float, ...]
    gain: float
    noise: float
    noise_slope: float
    interference: float
    seed: int


@dataclass(frozen=True)
class Clip:
    """One recording of one machine.

    Parameters
    ----------
    path : Path
        The audio file.
    machine_type, machine_id : str
        Kind of machine (``"ToyCar"``) and which one of its kind (``"01"``).
    split : {"train", "test"}
        Training clips are normal.
    label : int or None
        0 normal, 1 anomaly, None unknown. Read by `collab_asd.detection.evaluation` alone.
    sha256 : str
        Hex digest of the file's bytes.
    channel : int
        The channel that is used, from 0.
    attributes : tuple of (str, str)
        What else is known of the clip, by name: ``("domain", "source")``, ``("load", "high")``. No detector sees it.
    conditions : RecordingConditions, optional
        What its recording is changed by as it is read; None: it is read as it is.
    """

    path: Path
    machine_type: str
    machine_id: str
    split: Split
    label: int | None
    sha256: str
    channel: int = 0
    attributes: tuple[tuple[str, str], ...] = ()
    conditions: RecordingConditions | None = None

    @property
    def machine(self) -> str:
        """Type and ID in one word: ``"ToyCar/01"``."""
        return f"{self.machine_type}/{self.machine_id}"

    def attribute(self, name: str) -> str:
        """Return the value of an attribute; empty where it is not known."""
        return dict(self.attributes).get(name, "")


@dataclass(frozen=True)
class Partition:
    """The clips that one client holds. A clip's position is its number, all that a server is told of which it is.

    In a run the order is that of a hash keyed by the client's own secret (`collab_asd.data.partitions.numbered`): who
    has a recording can tell neither its number nor whether it has one.

    A client is not a machine: in the paper's setting each client holds one machine, in a heterogeneity sweep a mixture.
    A clip's *group* says which ID classifier it takes part in (one per machine type, as in the paper), its *class*
    which machine of that group it is. Both are numbers: names never leave the client.

    Parameters
    ----------
    client : int
        Number of the client, from 0.
    clips : tuple of Clip
    groups, classes : tuple of int
        Per clip.
    """

    client: int
    clips: tuple[Clip, ...]
    groups: tuple[int, ...]
    classes: tuple[int, ...]

    def indices(self, split: Split) -> list[int]:
        """Positions of the clips of one split."""
        return [i for i, clip in enumerate(self.clips) if clip.split == split]

    def in_order_of_content(self, positions: Iterable[int]) -> list[int]:
        """Sort positions of clips by the clips' content hashes: an order that no client's secret decides."""
        return sorted(positions, key=lambda i: self.clips[i].sha256)


@dataclass(frozen=True)
class EncoderSpec:
    """What a server and a cache need to know of an encoder.

    Parameters
    ----------
    name : str
    sample_rate : int
        Hz that the waveform must have.
    window, hop : int
        Samples that one frame sees, and samples between two frames.
    dimension : int
        D, the size of one frame.
    stack, stack_hop : int
        Frames in one input window of the ID classifier, and frames between two windows.
    digest : str
        SHA-256 (hex) of architecture, weights and key: two encoders with one digest give the same frames.
    note : str
        What a reader of the results must know, such as which key or weights were used. Holds no secret.
    """

    name: str
    sample_rate: int
    window: int
    hop: int
    dimension: int
    stack: int
    stack_hop: int
    digest: str
    note: str = ""


class Encoder(Protocol):
    """A frozen, pre-trained network f_c: waveform in, frames out (paper, section IV-A)."""

    @property
    def spec(self) -> EncoderSpec:
        """Rate, framing, dimension, stacking and digest."""
        ...

    def frames(self, samples: int) -> int:
        """Return the number of frames T that a clip of so many samples gives."""
        ...

    def __call__(self, waveform: FloatArray) -> FloatArray:
        """Encode one mono clip ``[samples]`` at ``spec.sample_rate`` into frames ``[T, D]``."""
        ...


class AnomalyScorer(Protocol):
    """An anomaly detection model f_a on points of an embedding space (paper, section IV-A)."""

    def fit(self, points: FloatArray) -> Self:
        """Learn what is normal from points ``[n, d]``."""
        ...

    def score(self, points: FloatArray) -> ScoreArray:
        """Anomaly score of each point ``[n, d]`` -> ``[n]``; higher is more anomalous."""
        ...

    def held_out(self, points: FloatArray, clips: ClipNumbers) -> ScoreArray:
        """Score normal points ``[n, d]`` by models that have not seen their clip -> ``[n]``; of two clips at least.

        `clips` ``[n]`` says which clip each point is from.
        """
        ...


@dataclass(frozen=True)
class MachineFrames:
    """Embeddings of one machine's clips.

    Parameters
    ----------
    group : int
        Which ID classifier the machine takes part in.
    machine_class : int
        Its number within the group.
    normal : sequence of FloatArray
        Frames ``[T, D]`` of each normal clip that the ID classifier is trained on.
    calibration : sequence of FloatArray
        Those of normal clips that the ID classifier has not seen. They tell how new normal clips will score.
    test : sequence of FloatArray
        Those of test clips.
    spectra : MachineFrames or None
        The same clips as summarized by `collab_asd.detection.second_order.ClipSpectrum`, ``[2 + segments, 128]`` each,
        whatever the encoder: what the client's own score looks at with ``local-features = logmel``. None where only
        frames are at hand.
    recorded : sequence of int
        ``[n]``: the rank of each normal clip, those for calibration last, in the order of recording. Neighbouring clips
        are alike, so whole stretches are left out together to score clips unseen. Empty: in the order given.
    recordings : sequence of int
        Which recording each clip of `normal` and `calibration` is from; empty where each is one of its own.
    """

    group: int
    machine_class: int
    normal: Sequence[FloatArray]
    calibration: Sequence[FloatArray] = ()
    test: Sequence[FloatArray] = ()
    _: KW_ONLY
    spectra: MachineFrames | None = None
    recorded: Sequence[int] = ()
    recordings: Sequence[int] = ()


@dataclass(frozen=True)
class SpaceScores:
    """Scores of one machine's clips in one embedding space.

    Parameters
    ----------
    normal : ScoreArray
        ``[n]``: clips of the machine's own normal sound, each scored by a model that has not seen it.
    test : ScoreArray
        ``[n_test]``.
    trained : int
        How many of the first normal clips f_s was trained on, which puts them closer together than it puts new ones.
    view : str
        Spaces of the same name are views of the same thing, to a fusion; empty: of none.
    """

    normal: ScoreArray
    test: ScoreArray
    trained: int = 0
    view: str = ""


@dataclass(frozen=True)
class ScoreRow:
    """One test clip's score, as in ``scores.csv``; the domain (``source``, ``target``) where the layout tells it."""

    client: int
    machine_type: str
    machine_id: str
    clip: str
    label: int | None
    anomaly_score: float
    threshold: float
    decision: int
    id_correct: bool | None = None
    p_value: float | None = None
    domain: str = ""


@dataclass(frozen=True)
class ScoreTable:
    """The scores of all test clips of one run."""

    rows: tuple[ScoreRow, ...]
