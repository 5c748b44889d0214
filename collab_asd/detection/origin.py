"""Whether new recordings come from another machine or another recorder than those that a detector learnt from.

Alarms alone do not tell: whoever hangs the microphone up at the wrong machine gets them, too. Two questions are asked
after every five recordings, of the last ten.

*Another machine?* The detectors that lie beside this one are asked as well. A fault is unusual to all of them; a
healthy machine of theirs is normal to its own.

*Another recorder?* Gain, bandwidth, frequency response and offset of a recorder change the mean spectrum in all bands
by several dB, and a fault seldom does. Detectors keep the levels of their normal clips for this; those of earlier
versions have none.

What cannot be told: a machine whose detector does not lie beside this one, unless its spectrum is far away; a machine
that the detector itself takes for its own; another room, or a recorder whose response differs by less than `LEAST_DB`.
A fault that changes the whole spectrum by more is taken for a recorder. ``benchmarks/origin.py`` measures how often.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from collab_asd.core.errors import InputError
from collab_asd.core.torch_audio import FFT, HOP, MEL_BANDS, SAMPLE_RATE, log_mel
from collab_asd.core.types import EncoderSpec, FloatArray, ScoreArray
from collab_asd.detection import storage
from collab_asd.detection.choice import CARD_FILE
from collab_asd.detection.detector import Detector
from collab_asd.detection.storage import DetectorCard

log = logging.getLogger(__name__)
FEWEST, MOST = 5, 10
"""The last ten recordings are judged together, or all where there are fewer, after every five."""
BANDS = 16

# Chosen on the tuning clips of ToyCar and on synthetic machines, so that faults of the own machine seldom pass.
HIGHEST_SURPRISE = 1.5
"""Mean surprise, 1 for normal clips, up to which a detector takes recordings for those of its machine."""
LEAST_LEAD = 1.0
"""By how much more they must surprise the detector in use."""
LEAST_DB = 4.0
"""Root mean square over bands."""
LEAST_RATIO = 1.5
"""Of that to what five normal clips reach in 1 of 100 cases."""
LEAST_OFFSET, USUAL_OFFSETS = 0.1, 5
"""Of the standard deviation of the waveform; of the range of the normal clips' offsets."""
MOST_NEIGHBOURS = 20


class BandLevels:
    """Mean levels of a waveform in 16 bands, equally wide on the mel scale, and its offset: an encoder of one frame."""

    @property
    def spec(self) -> EncoderSpec:
        """Rate and dimension; there is one frame, whatever the length."""
        digest = hashlib.sha256(f"band levels 1: {BANDS} of {MEL_BANDS} mel bands".encode()).hexdigest()
        return EncoderSpec("band-levels", SAMPLE_RATE, FFT, HOP, BANDS + 1, stack=1, stack_hop=1, digest=digest)

    def frames(self, samples: int) -> int:
        """Return 1 for a waveform of at least one window."""
        return int(samples >= FFT)

    @torch.inference_mode()
    def __call__(self, waveform: FloatArray) -> FloatArray:
        """Measure a waveform ``[samples]`` at 16 kHz -> ``[1, 17]``: dB, and last the mean over the deviation."""
        levels = log_mel(torch.tensor(waveform)).numpy().mean(axis=0).reshape(BANDS, -1).mean(axis=1)
        offset = waveform.mean(dtype=np.float64) / max(float(waveform.std(dtype=np.float64)), 1e-12)
        return np.append(levels, offset).astype(np.float32)[np.newaxis]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is remembered of a recording that was scored.

    Parameters
    ----------
    frames : FloatArray
        ``[T, D]`` of the encoder.
    levels : FloatArray
        ``[17]``, of `BandLevels`.
    anomaly_score : float
    spectrum : FloatArray or None
        ``[2 + segments, 128]``, of `collab_asd.detection.second_order.ClipSpectrum`, where a detector reads it.
    """

    frames: FloatArray
    levels: FloatArray
    anomaly_score: float
    spectrum: FloatArray | None = None


@dataclass(frozen=True)
class Hint:
    """Where recordings come from, and how that is known."""

    source: Literal["another machine", "another recorder or machine"]
    reason: str

    def __str__(self) -> str:
        """Say it in one sentence."""
        return f"these recordings seem to come from {self.source}: {self.reason}"


@dataclass
class OriginCheck:
    """Collects recordings as they are scored and says, after every five of them, whether they come from elsewhere.

    Parameters
    ----------
    detector : Detector
        Of the machine that they are thought to be of.
    load_neighbours : callable
        Returns the detectors of other machines by name; called once, when recordings surprise the detector.
    """

    detector: Detector
    load_neighbours: Callable[[], Mapping[str, Detector]] = dict
    _last: deque[Evidence] = field(default_factory=lambda: deque(maxlen=MOST))
    _count: int = 0
    _found: list[Hint | None] = field(default_factory=list)

    def add(self, recording: Evidence) -> Hint | None:
        """Remember a recording; return what is known of the last ones."""
        self._last.append(recording)
        self._count += 1
        if self._count % FEWEST == 0:
            self._found.append(self._machine() or self._recorder())
        return self.hint

    @property
    def hint(self) -> Hint | None:
        """What was found last."""
        return self._found[-1] if self._found else None

    @property
    def prevailing(self) -> Hint | None:
        """What was found last of all recordings together: only where it was found in at least half of them."""
        hints = [hint for hint in self._found if hint]
        return hints[-1] if hints and 2 * len(hints) >= len(self._found) else None

    def _machine(self) -> Hint | None:
        """Look for a neighbour to which these recordings are normal, where they are not to the own detector."""
        own = mean_surprise(self.detector.normal_scores, [clip.anomaly_score for clip in self._last])
        if own <= HIGHEST_SURPRISE:
            return None
        surprises = {
            name: mean_surprise(
                other.normal_scores, [other.score(other.embed(clip.frames, clip.spectrum)) for clip in self._last]
            )
            for name, other in self._neighbours.items()
        }
        nearest = min(surprises, key=surprises.__getitem__, default="")
        if not nearest or surprises[nearest] > min(HIGHEST_SURPRISE, own - LEAST_LEAD):
            return None
        return Hint(
            "another machine",
            f"the last {len(self._last)} are normal to the detector of {nearest} (mean surprise "
            f"{surprises[nearest]:.1f}; 1 is usual) and not to this one ({own:.1f}). Check which machine was recorded, "
            "or score them with that detector",
        )

    def _recorder(self) -> Hint | None:
        """Compare mean spectrum and offset with those of the normal clips."""
        if self.detector.levels is None:
            return None
        mean = np.mean([clip.levels for clip in self._last], axis=0)
        difference = mean - self.detector.levels.mean(axis=0)
        reason = self._offset_reason(difference) or self._spectrum_reason(difference[:BANDS])
        if not reason:
            return None
        return Hint(
            "another recorder or machine",
            f"{reason}. Check the microphone, its gain and the file format; record new normal clips for a new recorder",
        )

    def _offset_reason(self, difference: FloatArray) -> str:
        assert self.detector.levels is not None
        offset, usual = abs(float(difference[BANDS])), float(np.ptp(self.detector.levels[:, BANDS]))
        if offset <= max(LEAST_OFFSET, USUAL_OFFSETS * usual):
            return ""
        return f"the waveforms of the last {len(self._last)} have an offset of {offset:.2g} standard deviations"

    def _spectrum_reason(self, difference: FloatArray) -> str:
        distance = root_mean_square(difference)
        if distance <= max(LEAST_DB, LEAST_RATIO * self._usual_db):
            return ""
        band = int(np.abs(difference).argmax())
        low, high = band_edges(band)
        return (
            f"the mean spectrum of the last {len(self._last)} lies {distance:.1f} dB from that of the training normals "
            f"({self._usual_db:.1f} dB are usual), most of all {difference[band]:+.1f} dB at {low:.0f} to {high:.0f} Hz"
        )

    @cached_property
    def _neighbours(self) -> Mapping[str, Detector]:
        return self.load_neighbours()

    @cached_property
    def _usual_db(self) -> float:
        """Distance to the mean spectrum that five normal clips exceed in 1 of 100 cases."""
        assert self.detector.levels is not None
        levels = self.detector.levels[:, :BANDS]
        rng = np.random.default_rng(0)
        groups = (levels[rng.integers(len(levels), size=FEWEST)].mean(axis=0) for _ in range(500))
        return float(np.quantile([root_mean_square(group - levels.mean(axis=0)) for group in groups], 0.99))


def mean_surprise(normal_scores: ScoreArray, scores: list[float]) -> float:
    """Mean of -log p over clips, p being the share of normal scores that are as high; 1 on average for normal clips.

    Examples
    --------
    >>> round(mean_surprise(np.arange(9.0), [0.0, 100.0]), 2)
    1.15
    """
    above = np.asarray(normal_scores)[np.newaxis] >= np.asarray(scores)[:, np.newaxis]
    return float(-np.log((1 + above.sum(axis=1)) / (len(normal_scores) + 1)).mean())


def root_mean_square(values: FloatArray) -> float:
    """Root mean square of an array."""
    return math.sqrt(float(np.mean(np.square(values, dtype=np.float64))))


def band_edges(band: int) -> tuple[float, float]:
    """Edges in Hz of one of the 16 bands; the mel scale is O'Shaughnessy's."""
    highest = np.log1p(SAMPLE_RATE / 2 / 700)
    low, high = (700 * math.expm1(highest * edge / BANDS) for edge in (band, band + 1))
    return low, high


def load_neighbours(folder: Path, card: DetectorCard, rotation_key_file: str = "") -> dict[str, Detector]:
    """Load the detectors of other machines that lie beside one and hear through the same encoder, up to 20.

    Those of the same machine type come first. What cannot be loaded is left out.
    """
    folders = [
        path.parent for path in folder.absolute().parent.glob(f"*/{CARD_FILE}") if path.parent != folder.absolute()
    ]
    found: dict[str, Detector] = {}
    for path in sorted(folders, key=lambda path: (not path.name.startswith(card.machine_type), path.name)):
        if len(found) == MOST_NEIGHBOURS:
            log.info("%s: only %d of the detectors beside it are asked", folder, MOST_NEIGHBOURS)
            break
        try:
            detector, other = storage.load(path, rotation_key_file)
        except InputError as error:
            log.info("not asked: %s", error)
            continue
        if other.encoder_digest == card.encoder_digest and other.machine != card.machine:
            found[other.machine] = detector
    return found
