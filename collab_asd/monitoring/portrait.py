"""A clip to be looked at and listened to, beside the normal clip that it is most like."""

from __future__ import annotations

from pathlib import Path

from collab_asd.errors import InputError
from collab_asd.monitoring.explain import FINE, Grid, explain
from collab_asd.monitoring.monitor import Monitor, Verdict
from collab_asd.report.contents import ClipPortrait, Sound
from collab_asd.report.spectrogram import side_by_side

NAME_PARTS = 3


def portray(
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
        heat=explain(monitor.score, waveform, normal, rate, grid) if verdict.decision and grid else None,
        skipped=bool(verdict.decision and not grid),
    )


def draw(monitor: Monitor, verdict: Verdict, normals: Path | None, folder: Path) -> Path:
    """Draw a clip with its heat map beside its nearest normal clip; return the PNG, named after the clip's path.

    Raises
    ------
    InputError
        The training recordings lie neither in `normals` nor where they lay when the detector was made, or the picture
        cannot be written.
    """
    data_dir = normals or Path(monitor.card.data_dir)
    if not data_dir.exists():
        raise InputError(f"{data_dir}: the training recordings are not there; say where with --normals")
    figure = side_by_side(portray(monitor, verdict, data_dir))
    parts = verdict.path.absolute().with_suffix(".png").parts[-NAME_PARTS:]  # clips of several folders may share names
    try:
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / "_".join(parts), dpi=150)
    except OSError as error:
        raise InputError(f"{folder}: no pictures can be written there ({error}); name another folder") from error
    return folder / "_".join(parts)
