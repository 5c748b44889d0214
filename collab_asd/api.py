"""The library's public interface: recordings to embeddings to a collaborative model to anomaly scores, in one process.

Nothing here talks to a network. What a federation computes over messages, `CollaborativeModel` computes on arrays, by
the same functions, so that a notebook and a run give the same scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from collab_asd import encoders
from collab_asd.classifier.settings import training_of
from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.files import cache_dir
from collab_asd.core.types import Clip, Encoder, FloatArray, MachineFrames, ScoreArray, ScoreRow, ScoreTable
from collab_asd.data.layouts import find_clips
from collab_asd.data.partitions import by_machine
from collab_asd.detection.detector import Detector
from collab_asd.detection.evaluation import MachineResult
from collab_asd.detection.evaluation import evaluate as evaluate_table
from collab_asd.detection.scorers import DetectorSettings
from collab_asd.detection.thresholds import threshold
from collab_asd.encoders.cache import EmbeddingCache
from collab_asd.federation.client_data import ClientData
from collab_asd.methods.embedding_sharing.algorithm import (
    fit_detector,
    fit_local_detector,
    in_order_of_content,
    train_id_classifiers,
)
from collab_asd.methods.embedding_sharing.covariances import others_of_machines, shares_covariances
from collab_asd.monitoring.monitor import Monitor


class EmbeddedClips(list[FloatArray]):
    """Embeddings ``[T, D]`` of clips: a list, with a summary of each clip's spectrum in `spectra` beside.

    A `CollaborativeModel` scores both; pass the list on as it is.
    """

    def __init__(self, frames: Sequence[FloatArray], spectra: Sequence[FloatArray]) -> None:
        super().__init__(frames)
        self.spectra = list(spectra)


@dataclass(frozen=True)
class Machine:
    """The embedded recordings of one machine.

    Parameters
    ----------
    name : str
        ``"type/id"``, for example ``"ToyCar/01"``.
    frames : MachineFrames
        Embeddings ``[T, D]`` of each clip: `normal` and `calibration` to fit on, `test` to score.
    test_clips : tuple of Clip
        The clips of ``frames.test``, in the same order, with their labels.
    """

    name: str
    frames: MachineFrames
    test_clips: tuple[Clip, ...]

    @property
    def train(self) -> EmbeddedClips:
        """Embeddings of all normal training clips."""
        spectra = self.frames.spectra
        beside = () if spectra is None else (*spectra.normal, *spectra.calibration)
        return EmbeddedClips([*self.frames.normal, *self.frames.calibration], beside)

    @property
    def test(self) -> EmbeddedClips:
        """Embeddings of all test clips."""
        return EmbeddedClips(self.frames.test, () if self.frames.spectra is None else self.frames.spectra.test)

    @property
    def labels(self) -> list[int | None]:
        """Label of each test clip: 0 normal, 1 anomaly, None unknown."""
        return [clip.label for clip in self.test_clips]


def load_recordings(folder: str | Path, channel: int = 0, *, layout: str = "", clip_seconds: float = 0.0) -> list[Clip]:
    """List the recordings of a folder, of any layout that ``collab-asd data check`` knows.

    Parameters
    ----------
    folder : str or Path
    channel : int
        Channel of each recording that is used, from 0.
    layout : str
        Name of the layout; empty: told from the folder.
    clip_seconds : float
        Length of the clips that longer recordings are cut into, s; 0: none is cut.

    Raises
    ------
    InputError
        The folder is missing, empty or of no known layout.
    """
    return find_clips(Path(folder).expanduser(), channel, layout, clip_seconds)


def build_encoder(name: str = RunConfig.encoder, *, weights: str = "", key_file: str = "", seed: int = 0) -> Encoder:
    """Build an encoder by its name, as ``collab-asd encoders list`` shows them.

    Parameters
    ----------
    name : str
    weights : str
        A file of pre-trained weights, or a folder of them; empty: downloaded once and verified.
    key_file : str
        The clients' secret key of ``random-conv``; empty: the public key number `seed`.
    seed : int

    Returns
    -------
    Encoder
        Called with a waveform ``[samples]`` at ``encoder.spec.sample_rate`` Hz; returns frames ``[T, D]``.

    Raises
    ------
    InputError
        There is none of that name, or its weights or key cannot be used.
    """
    return encoders.build(RunConfig(encoder=name, encoder_weights=weights, encoder_key_file=key_file, seed=seed))


def embed(
    encoder: Encoder, clips: Sequence[Clip], *, calibration: float = RunConfig.calibration, cache: str = ""
) -> dict[str, Machine]:
    """Embed recordings, each machine's apart. What was embedded before is read from the cache.

    Parameters
    ----------
    encoder : Encoder
    clips : sequence of Clip
    calibration : float
        Share of each machine's training clips, in [0, 1), that no classifier is trained on, to set thresholds by.
    cache : str
        Folder of the cache; empty: the user's.

    Returns
    -------
    dict
        Machine name, ``"type/id"`` -> `Machine`.

    Raises
    ------
    InputError
        A recording cannot be used, or the cache cannot be written.
    """
    stored = EmbeddingCache(cache_dir(cache) / "embeddings")
    machines = {}
    for partition in by_machine(clips, "machine-type"):
        client = ClientData(partition, encoder, stored, Path(), calibration)
        (held,) = client.machines()
        first = partition.clips[0]
        machines[f"{first.machine_type}/{first.machine_id}"] = Machine(
            f"{first.machine_type}/{first.machine_id}",
            client.machine_frames(held, with_spectra=True),
            tuple(partition.clips[i] for i in held.test),
        )
    return machines


class AnomalyDetector:
    """Score clips of one machine, with the methods of a scikit-learn outlier detector.

    `fit` builds a detector from the machine's own normal clips alone. `CollaborativeModel` makes detectors that have
    learned from other machines, too, and `load_detector` reads one that a run has saved.

    Parameters
    ----------
    scorer : str
        ``"knn"``, ``"lof"``, ``"mahalanobis"`` or ``"gmm"``, over the mean embedding of a clip.
    metric : {"euclidean", "cosine"}
    false_alarm_rate : float
        Share of normal clips, in (0, 1), that may be called anomalous.
    """

    def __init__(
        self,
        scorer: str = RunConfig.local_scorer,
        *,
        metric: str = RunConfig.metric,
        false_alarm_rate: float = RunConfig.false_alarm_rate,
    ) -> None:
        self.scorer, self.metric, self.false_alarm_rate = scorer, metric, false_alarm_rate
        self.threshold_ = float("nan")
        self._detector: Detector | None = None

    @classmethod
    def of(cls, detector: Detector, false_alarm_rate: float = RunConfig.false_alarm_rate) -> Self:
        """Wrap a fitted `Detector`."""
        return cls(false_alarm_rate=false_alarm_rate)._take(detector)

    def _take(self, detector: Detector) -> Self:
        self._detector = detector
        self.threshold_ = threshold(detector.normal_scores, self.false_alarm_rate, RunConfig.threshold)
        return self

    def fit(self, X: Sequence[FloatArray], y: None = None) -> Self:
        """Fit to embeddings ``[T, D]`` of normal clips; at least three."""
        settings = DetectorSettings.of(RunConfig.from_mapping({"scorer": self.scorer, "metric": self.metric})).shared
        return self._take(fit_local_detector(MachineFrames(0, 0, list(X)), settings))

    def anomaly_scores(self, X: Sequence[FloatArray]) -> ScoreArray:
        """Return the anomaly score ``[n]`` of each clip, an embedding ``[T, D]``; higher is more anomalous.

        A detector of a `CollaborativeModel` needs the spectra, too, which come with `Machine.test` and `Machine.train`.
        """
        if self._detector is None:
            raise InputError("this AnomalyDetector is not fitted: call fit first")
        detector = self._detector
        spectra = X.spectra if isinstance(X, EmbeddedClips) and X.spectra else repeat(None, len(X))
        return detector.scores([detector.embed(*clip) for clip in zip(X, spectra, strict=True)]).test

    def score_samples(self, X: Sequence[FloatArray]) -> ScoreArray:
        """Return the negated anomaly scores ``[n]``: higher is more normal, as everywhere in scikit-learn."""
        return -self.anomaly_scores(X)

    def decision_function(self, X: Sequence[FloatArray]) -> ScoreArray:
        """Return threshold minus anomaly score ``[n]``: negative for anomalies."""
        return self.threshold_ - self.anomaly_scores(X)

    def predict(self, X: Sequence[FloatArray]) -> NDArray[np.int64]:
        """Return -1 for each clip that is called anomalous, else 1 -> ``[n]``."""
        return np.where(self.anomaly_scores(X) > self.threshold_, -1, 1)


class CollaborativeModel:
    """Embedding sharing on arrays: one ID classifier per machine type, and a detector for each machine.

    Parameters
    ----------
    preset : {"fast", "paper"}
    scorer : str
        ``"fusion"`` of the shared and the local space, or a scorer in the shared space alone.
    false_alarm_rate : float
        Share of normal clips, in (0, 1), that may be called anomalous.
    epochs : int
        0: as many as the preset says.
    seed : int
    share_covariances : bool
        Whether machines tell each other how their spectra vary; only the fusion looks at it.
    """

    def __init__(
        self,
        *,
        preset: str = RunConfig.preset,
        scorer: str = RunConfig.scorer,
        false_alarm_rate: float = RunConfig.false_alarm_rate,
        epochs: int = 0,
        seed: int = 0,
        share_covariances: bool = RunConfig.share_covariances,
    ) -> None:
        values = {"preset": preset, "scorer": scorer, "false-alarm-rate": false_alarm_rate}
        values |= {"epochs": epochs, "seed": seed, "share-covariances": share_covariances}
        self._config = RunConfig.from_mapping(values)
        self.detectors_: dict[str, AnomalyDetector] = {}

    def fit(self, machines: Mapping[str, Machine], encoder: Encoder) -> Self:
        """Train on the normal clips of all machines, and build each machine's detector.

        Parameters
        ----------
        machines : mapping
            As `embed` returns it; at least two machines of each type.
        encoder : Encoder
            What made the embeddings: it says how many frames the classifier sees at once.
        """
        config = self._config
        frames = [machine.frames for machine in machines.values()]
        stacking = encoder.spec.stack, encoder.spec.stack_hop
        sent = [in_order_of_content(machine) for machine in frames]
        classifiers = train_id_classifiers(sent, training_of(config), stacking, config.seed)
        settings = DetectorSettings.of(config)
        others = others_of_machines(frames) if shares_covariances(config) else [None] * len(frames)
        self.detectors_ = {
            name: AnomalyDetector.of(
                fit_detector(classifiers[machine.group], machine, settings, others=told), config.false_alarm_rate
            )
            for name, machine, told in zip(machines, frames, others, strict=True)
        }
        return self


def evaluate(labels: Sequence[int | None], anomaly_scores: Sequence[float], threshold: float = np.inf) -> MachineResult:
    """Evaluate one machine's anomaly scores.

    Parameters
    ----------
    labels : sequence of int or None
        0 normal, 1 anomaly, None unknown.
    anomaly_scores : sequence of float
        Higher is more anomalous.
    threshold : float
        Scores above it count as alarms.

    Returns
    -------
    MachineResult
        AUC with its interval, pAUC, false-alarm rate, recall and F1; None where there is nothing to measure on.

    Raises
    ------
    InputError
        There are no clips.
    """
    rows = tuple(
        ScoreRow(0, "", "", str(i), label, float(score), threshold, int(score > threshold))
        for i, (label, score) in enumerate(zip(labels, anomaly_scores, strict=True))
    )
    if not rows:
        raise InputError(
            "no clips to evaluate: labels and anomaly scores are empty; add test clips to the data folder, or compare "
            "the scores of new recordings with the detector's threshold_"
        )
    return evaluate_table(ScoreTable(rows)).machines[0]


def load_detector(folder: str | Path, *, weights: str = "", key_file: str = "") -> Monitor:
    """Load a saved detector with its encoder: ``monitor.judge(path)`` scores a recording.

    Parameters
    ----------
    folder : str or Path
        One machine's folder in ``detectors/`` of a result folder.
    weights, key_file : str
        Files of the encoder's weights or secret key, where it had any.

    Raises
    ------
    InputError
        The detector cannot be used, or the encoder is not the one that it was made with.
    """
    return Monitor.open(Path(folder).expanduser(), weights, key_file)
