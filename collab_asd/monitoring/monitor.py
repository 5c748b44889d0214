"""A saved detector at work: recordings in, verdicts out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from collab_asd import encoders
from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.runtime import pin_threads
from collab_asd.core.types import Encoder, FloatArray, ScoreArray
from collab_asd.data.audio import Audio, ClipError, at_rate, read_audio, seconds_of, signal_fault
from collab_asd.data.excerpts import excerpts
from collab_asd.data.recorder import differences
from collab_asd.data.statistics import measure
from collab_asd.detection import storage
from collab_asd.detection.detector import Detector
from collab_asd.detection.origin import BandLevels, Evidence, load_neighbours
from collab_asd.detection.second_order import ClipSpectrum
from collab_asd.detection.storage import DetectorCard
from collab_asd.detection.thresholds import p_values
from collab_asd.encoders import OffsetRemoved

log = logging.getLogger(__name__)
SHORTEST_SECONDS = 1.0  # as in training


@dataclass(frozen=True)
class Verdict:
    """What a detector says of one recording.

    Parameters
    ----------
    path : Path
    anomaly_score : float
        Higher is more anomalous.
    threshold : float
    nearest_normal : str
        Name of the normal clip that it is most like.
    p_value : float
        Probability that a normal recording of the machine scores as high.
    """

    path: Path
    anomaly_score: float
    threshold: float
    nearest_normal: str
    p_value: float

    @property
    def decision(self) -> int:
        """1 if the score lies above the threshold, else 0."""
        return int(self.anomaly_score > self.threshold)


@dataclass(frozen=True)
class Monitor:
    """A machine's detector and the encoder that it needs.

    Parameters
    ----------
    detector : Detector
    card : DetectorCard
    encoder : Encoder
    neighbours : callable
        Loads the detectors of other machines that lie beside this one.
    odd_rates : set of int
        Sample rates in Hz, other than that of the training recordings, that were warned of.
    odd_kinds : set of str
        Other differences from them that were warned of.
    """

    detector: Detector
    card: DetectorCard
    encoder: Encoder
    neighbours: Callable[[], Mapping[str, Detector]] = dict
    odd_rates: set[int] = field(default_factory=set)
    odd_kinds: set[str] = field(default_factory=set)

    @classmethod
    def open(
        cls,
        folder: Path,
        weights: str = "",
        key_file: str = "",
        false_alarm_rate: float | None = None,
        rotation_key_file: str = "",
    ) -> Monitor:
        """Load a detector and build its encoder.

        Parameters
        ----------
        folder : Path
            One machine's folder in ``detectors/`` of a result folder.
        weights, key_file : str
            Files of the encoder's weights or secret key, where it had any. They are not part of a detector.
        false_alarm_rate : float, optional
            Set the threshold for another rate, in (0, 1), than the run did.
        rotation_key_file : str
            Key of the rotation of the embedding space, where the run had one; no part of a detector either.

        Raises
        ------
        InputError
            The detector cannot be used, or the encoder is another than the one that it was made with.
        """
        pin_threads(1)
        detector, card = storage.load(folder, rotation_key_file)
        built = _built(_encoder_config(card, weights, key_file))
        # A detector that is older than the removal of the offset goes on hearing it.
        keeps_offset = card.encoder_digest == built.encoder.spec.digest
        encoder: Encoder = built.encoder if keeps_offset else built
        if encoder.spec.digest != card.encoder_digest:
            raise InputError(
                f"{folder}: was made with another {card.encoder} (digest {card.encoder_digest[:12]}) than this one "
                f"({encoder.spec.digest[:12]}); give the weights or the key of that run with --weights or --key-file"
            )
        neighbours = partial(load_neighbours, folder, card, rotation_key_file)
        return cls(detector, _with_threshold(card, detector, false_alarm_rate), encoder, neighbours)

    def judge(self, path: str | Path, frames: FloatArray | None = None) -> Verdict:
        """Score one recording; its `frames` ``[T, D]`` are not computed again where they are known.

        Raises
        ------
        ClipError
            It cannot be decoded, is too short, silent or lacks the channel.
        """
        path = Path(path)
        if frames is not None and not self.detector.reads_spectrum:
            return self._verdict(path, frames)
        audio = self._audio(path)
        frames = self.encoder(self._at_rate(audio, path)) if frames is None else frames
        return self._verdict(path, frames, self._spectrum(audio, path))

    def clips(self, path: str | Path) -> list[Path]:
        """Return the clips that a recording is cut into, as those were that the detector learnt from.

        Raises
        ------
        ClipError
            The recording's header cannot be read.
        """
        path = Path(path)
        if not self.card.clip_seconds:
            return [path]
        return [part.path for part in excerpts(path, seconds_of(path), self.card.clip_seconds)] or [path]

    def examine(self, path: str | Path) -> tuple[Verdict, Evidence]:
        """Score one recording as `judge` does; return also what tells where it comes from."""
        path = Path(path)
        audio = self._audio(path)
        frames, spectrum = self.encoder(self._at_rate(audio, path)), self._spectrum(audio, path)
        verdict = self._verdict(path, frames, spectrum)
        (levels,) = BandLevels()(at_rate(audio, BandLevels().spec.sample_rate, path))
        return verdict, Evidence(frames, levels, verdict.anomaly_score, spectrum)

    def scores(self, waveforms: Iterable[FloatArray]) -> ScoreArray:
        """Anomaly scores of waveforms ``[samples]`` at the encoder's rate."""
        clips = []
        for waveform in waveforms:
            spectrum = self._spectrum(Audio(waveform, self.encoder.spec.sample_rate, 1), Path())
            clips.append(self.detector.embed(self.encoder(waveform), spectrum))
        return self.detector.scores(clips).test

    def waveform(self, path: str | Path) -> FloatArray:
        """Read a recording ``[samples]`` at the encoder's rate.

        Raises
        ------
        ClipError
            As `judge`.
        """
        return self._at_rate(self._audio(Path(path)), Path(path))

    def _spectrum(self, audio: Audio, path: Path) -> FloatArray | None:
        """Summarize the spectrum of a recording ``[2 + segments, 128]``, for a detector that reads it."""
        if not self.detector.reads_spectrum:
            return None
        return ClipSpectrum()(at_rate(audio, ClipSpectrum.spec.sample_rate, path))

    def _verdict(self, path: Path, frames: FloatArray, spectrum: FloatArray | None = None) -> Verdict:
        clip = self.detector.embed(frames, spectrum)
        nearest = self.card.normals[self.detector.nearest(clip)]
        score = self.detector.score(clip)
        (p,) = p_values(self.detector.normal_scores, np.array([score]), self.card.thresholding)
        return Verdict(path, score, self.card.threshold, nearest, float(p))

    def _audio(self, path: Path) -> Audio:
        audio = read_audio(path, self.card.channel)
        if fault := signal_fault(path, audio, SHORTEST_SECONDS):
            raise fault
        for remark in audio.remarks:
            log.warning("%s: %s (%s); %s", path, remark.what, remark.detail, remark.remedy)
        self._note_rate(path, audio.rate)
        self._note_recorder(path, audio)
        return audio

    def _at_rate(self, audio: Audio, path: Path) -> FloatArray:
        waveform = at_rate(audio, self.encoder.spec.sample_rate, path)
        if self.encoder.frames(len(waveform)) < 1:
            raise ClipError(path, f"too short for one frame of {self.card.encoder}", "record longer")
        return waveform

    def _note_rate(self, path: Path, rate: int) -> None:
        if rate != self.card.sample_rate and rate not in self.odd_rates:
            self.odd_rates.add(rate)
            log.warning(
                "%s: recorded at %d Hz, the training recordings at %d Hz; resampling takes away the highest "
                "frequencies, which may raise the scores",
                path, rate, self.card.sample_rate,
            )  # fmt: skip

    def _note_recorder(self, path: Path, audio: Audio) -> None:
        """Warn once of each kind of difference from the training recordings that a recorder makes."""
        for kind, what in differences(self.card.recorder, measure(audio)):
            if kind not in self.odd_kinds:
                self.odd_kinds.add(kind)
                log.warning(
                    "%s: recorded in another way than the training recordings (%s): its score may tell of the "
                    "recorder, and not of the machine", path, what,
                )  # fmt: skip


@lru_cache(maxsize=1)
def _built(config: RunConfig) -> OffsetRemoved:
    """Build an encoder once for all detectors of a run."""
    return encoders.build(config)


def _encoder_config(card: DetectorCard, weights: str, key_file: str) -> RunConfig:
    return RunConfig(
        encoder=card.encoder,
        encoder_weights=weights or card.encoder_weights,
        encoder_key_file=key_file,
        openl3_model=card.openl3_model,
        frontend=card.frontend,
        openl3_backend=card.openl3_backend,
        precision=card.precision,
        seed=card.seed,
    )


def _with_threshold(card: DetectorCard, detector: Detector, false_alarm_rate: float | None) -> DetectorCard:
    if false_alarm_rate is None:
        return card
    if not 0 < false_alarm_rate < 1:
        raise InputError(f"--false-alarm-rate {false_alarm_rate}: must lie between 0 and 1")
    from collab_asd.detection.thresholds import threshold

    limit = threshold(detector.normal_scores, false_alarm_rate, card.thresholding)
    return replace(card, threshold=limit, false_alarm_rate=false_alarm_rate)
