"""Where in time and frequency a clip departs from normal, asked of the detector itself.

Each patch of the clip's spectrogram is replaced by the same patch of the nearest normal clip, and the clip is scored
again: how far the anomaly score falls is how much the patch had to do with it. It works for every encoder and detector,
and tells what the detector heard, not what merely looks different.

References
----------
M. D. Zeiler and R. Fergus, "Visualizing and understanding convolutional networks", ECCV 2014 (occlusion).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from collab_asd.core.errors import InputError, reason
from collab_asd.core.types import FloatArray, ScoreArray
from collab_asd.monitoring.monitor import Monitor, Verdict
from collab_asd.report.contents import ClipPortrait, Heat, Sound
from collab_asd.report.spectrogram import side_by_side

FFT, HOP = 1024, 256  # samples
BANDS, TIMES = 10, 6
Grid = tuple[int, int]
FINE: Grid = (BANDS, TIMES)
COARSE: Grid = (5, 3)


def explain(
    scores: Callable[[Iterable[FloatArray]], ScoreArray],
    waveform: FloatArray,
    normal: FloatArray,
    rate: int,
    grid: Grid = FINE,
) -> Heat:
    """Map how much each patch of a clip adds to its anomaly score.

    Parameters
    ----------
    scores : callable
        Anomaly scores of waveforms ``[samples]``.
    waveform : FloatArray
        ``[samples]``: the clip.
    normal : FloatArray
        The normal clip that patches are taken from; repeated where it is shorter.
    rate : int
        Of both, Hz.
    grid : tuple of int
        Frequency bands, of equal width on the mel scale, and stretches of time. The clip is scored once for each patch.

    Returns
    -------
    Heat
        Of that grid.
    """
    bands, times = grid
    edges_hz, edges_s = _mel_edges(rate / 2, bands), np.linspace(0.0, len(waveform) / rate, times + 1)
    difference = _spectrum(np.resize(normal, len(waveform))) - _spectrum(waveform)
    rows = np.rint(edges_hz / (rate / 2) * (difference.shape[0] - 1)).astype(int)
    rows[-1] += 1  # the bin at half the sample rate
    columns = np.rint(edges_s / edges_s[-1] * difference.shape[1]).astype(int)

    def clips() -> Iterator[FloatArray]:
        yield waveform
        for band, time in np.ndindex(grid):
            patch = slice(*rows[band : band + 2]), slice(*columns[time : time + 2])
            yield _with_patch(waveform, difference, *patch)

    whole, *changed = scores(clips())
    return Heat(np.reshape(whole - np.array(changed), grid), edges_hz, edges_s)


def _mel_edges(highest: float, bands: int) -> ScoreArray:
    """Edges of the bands in Hz, equally spaced on O'Shaughnessy's mel scale."""
    mels = np.linspace(0.0, np.log1p(highest / 700), bands + 1)
    return 700 * np.expm1(mels)


def _spectrum(waveform: FloatArray) -> Tensor:
    return torch.stft(torch.from_numpy(np.array(waveform)), FFT, HOP, window=_window(), return_complex=True)


def _with_patch(waveform: FloatArray, difference: Tensor, rows: slice, columns: slice) -> FloatArray:
    """Add a patch of the difference to a clip; only the frames that overlap with it are turned into samples."""
    reach = FFT // HOP
    first, end = max(columns.start - reach, 0), min(columns.stop + reach, difference.shape[1])
    patch = torch.zeros_like(difference[:, first:end])
    patch[rows, columns.start - first : columns.stop - first] = difference[rows, columns]
    changed = waveform.copy()
    around = changed[first * HOP :] if end == difference.shape[1] else changed[first * HOP : (end - 1) * HOP]
    around += torch.istft(patch, FFT, HOP, window=_window(), length=len(around)).numpy()
    return changed


@cache
def _window() -> Tensor:
    return torch.hann_window(FFT)


def build_clip_card(
    monitor: Monitor,
    verdict: Verdict,
    data_dir: Path,
    *,
    name: str = "",
    label: int | None = None,
    grid: Grid | None = FINE,
) -> ClipPortrait:
    """Load a clip and its nearest normal one, and explain what raised an alarm, if the clip raised one.

    Parameters
    ----------
    monitor : Monitor
    verdict : Verdict
        Of the clip.
    data_dir : Path
        Folder (or table) of the recordings that the detector learnt from.
    name : str
        What to call the clip; by default its file name.
    label : int or None
        Of the clip, if somebody knows.
    grid : tuple of int or None
        How finely an alarm is explained; None leaves it unexplained.

    Raises
    ------
    InputError
        A recording cannot be used; the normal one may have moved.
    """
    root = data_dir if data_dir.is_dir() else data_dir.parent
    waveform, normal = monitor.waveform(verdict.path), monitor.waveform(root / verdict.nearest_normal)
    rate = monitor.encoder.spec.sample_rate
    return ClipPortrait(
        clip=name or verdict.path.name,
        machine=monitor.card.machine,
        label=label,
        score=verdict.anomaly_score,
        threshold=verdict.threshold,
        sound=Sound(waveform, rate),
        normal_name=verdict.nearest_normal,
        normal=Sound(normal, rate),
        heat=explain(monitor.scores, waveform, normal, rate, grid) if verdict.decision and grid else None,
        skipped=bool(verdict.decision and not grid),
    )


def draw(monitor: Monitor, verdict: Verdict, normals: Path | None, folder: Path) -> Path:
    """Draw a clip with its heat map beside its nearest normal clip; return the PNG, which `picture_path` names.

    Raises
    ------
    InputError
        The training recordings lie neither in `normals` nor where they lay when the detector was made, or the picture
        cannot be written.
    """
    data_dir = normals or Path(monitor.card.data_dir)
    if not data_dir.exists():
        raise InputError(f"{data_dir}: the training recordings are not there; say where with --normals")
    picture = picture_path(verdict.path, folder)
    name = picture.relative_to(folder).with_suffix("").as_posix()
    figure = side_by_side(build_clip_card(monitor, verdict, data_dir, name=name))
    try:
        picture.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(picture, dpi=150)
    except OSError as error:
        raise InputError(f"{picture}: the picture cannot be written ({reason(error)}); name another folder") from error
    return picture


def picture_path(clip: Path, folder: Path) -> Path:
    """Return where a clip's picture lies: at the clip's path beneath `folder`, so that no two clips share one.

    The path is that from the working folder or, for a clip elsewhere, from the root of the file system.

    Examples
    --------
    >>> picture_path(Path("inbox/monday/0001.wav"), Path("explained")).as_posix()
    'explained/inbox/monday/0001.wav.png'
    >>> picture_path(Path("/mnt/press/0001.flac"), Path("explained")).as_posix()
    'explained/mnt/press/0001.flac.png'
    """
    whole, here = Path(os.path.abspath(clip)), Path.cwd()
    inside = whole.relative_to(here) if whole.is_relative_to(here) else whole.relative_to(whole.anchor)
    return folder / inside.with_name(f"{inside.name}.png")
