"""Where one machine's clips lie before and after f_s: what the report's map of embeddings is drawn from.

These points stay with the client, as its detector does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from collab_asd.atomic import replacing
from collab_asd.detectors.detector import Embedded
from collab_asd.detectors.space import Space, mean_frame
from collab_asd.errors import InputError
from collab_asd.interfaces import FloatArray, MachineFrames
from collab_asd.scorers import Average

MOST_NORMALS = 200  # more dots than that only hide one another


@dataclass(frozen=True)
class ClipPoints:
    """One point per clip, the mean of its frames or windows.

    Parameters
    ----------
    normal_before, test_before : FloatArray
        ``[n, D]`` of up to 200 normal clips and of all test clips, in the space of f_c.
    normal_after, test_after : FloatArray or None
        ``[n, 128]`` of the same clips in the space of f_s; None where the client has no f_s.
    """

    normal_before: FloatArray
    test_before: FloatArray
    normal_after: FloatArray | None = None
    test_after: FloatArray | None = None

    @classmethod
    def of(
        cls,
        machine: MachineFrames,
        shared: Space | None = None,
        test: Sequence[Embedded] = (),
        average: Average = "frames",
    ) -> ClipPoints:
        """Collect the points of a machine's clips; `test` are its test clips in the spaces of a detector.

        Parameters
        ----------
        machine : MachineFrames
        shared : Space, optional
            The detector's first space, if that is the one of f_s.
        test : sequence of Embedded
        average : {"frames", "log-mel"}
            See `mean_frame`.
        """
        normal = [*machine.normal, *machine.calibration][:MOST_NORMALS]
        before = _means(normal, average), _means(machine.test, average)
        if shared is None or shared.classifier is None:
            return cls(*before)
        return cls(*before, _means(shared.normals[:MOST_NORMALS]), _means([clip[0] for clip in test]))

    def save(self, path: Path) -> None:
        """Write the points to a safetensors file."""
        with replacing(path) as file:
            file.write(save({name: array for name, array in vars(self).items() if array is not None}))

    @classmethod
    def load(cls, path: Path) -> ClipPoints:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            The file cannot be read or holds something else.
        """
        try:
            return cls(**load_file(path))
        except (OSError, SafetensorError, TypeError) as error:
            raise InputError(f"{path}: not a file of embeddings ({error}); repeat the run that made it") from error


def _means(clips: Sequence[FloatArray], average: Average = "frames") -> FloatArray:
    return np.array([mean_frame(clip, average) for clip in clips], np.float32)
