"""The figures of a page, each with words for where it cannot be seen: maps of embeddings, sounds, plots."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np
import soundfile
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from sklearn.decomposition import PCA

from collab_asd.core.types import ANOMALY, NORMAL, FloatArray
from collab_asd.detection.evaluation import Evaluation
from collab_asd.report.contents import ClipKind, ClipPortrait, Embeddings, MachineClips, Run, Sound, machine_clips
from collab_asd.report.plots import auc_bars, roc, score_histogram
from collab_asd.report.spectrogram import blank_pair, draw_apart
from collab_asd.report.theme import LIGHT, SERIES, Gallery, Picture, add_legend, chart
from collab_asd.report.words import heat_words, portrait_words

# Points that one panel shows of each kind, shared by its machines: more would only cover one another.
POINTS_SHOWN = 600
MARKS: dict[ClipKind, tuple[str, str]] = {
    "normal": (".", "normal, learned from"),
    "test normal": ("o", "normal, new"),
    "test anomaly": ("x", "faulty, new"),
    "test": ("s", "new, not labelled"),
}


def embedding_maps(machines: Sequence[Embeddings]) -> dict[str, Figure]:
    """Draw the clips of all machines of one type in the plane of the two main components of their training normals.

    Returns
    -------
    dict of Figure
        ``"before"``: the encoder's embeddings; ``"after"``: those of f_s, if every machine has them.
    """
    maps = {"before": _draw_plane(machines, [m.before for m in machines])}
    after = [m.after for m in machines if m.after is not None]
    if len(after) == len(machines):
        maps["after"] = _draw_plane(machines, after)
    return maps


def _draw_plane(machines: Sequence[Embeddings], points: Sequence[FloatArray]) -> Figure:
    plane = _fit_plane(machines, points)
    limit = max(POINTS_SHOWN // len(machines), 10)
    figure, axes = chart(3.8, 3.7)
    for i, (machine, of_machine) in enumerate(zip(machines, points, strict=True)):
        positions, kinds = plane.transform(of_machine), np.array(machine.kinds)
        for kind, (mark, _) in MARKS.items():
            x, y = _thinned(positions[kinds == kind], limit).T
            _style(axes.plot(x, y)[0], mark, SERIES[i % len(SERIES)])
        if len(machines) > len(SERIES):  # colours repeat: write the ID on its place
            place = np.median(positions[kinds == "normal"], axis=0)
            axes.annotate(_short(machine), place, ha="center", va="center", fontsize=8, fontweight="bold")
    axes.set(xticks=[], yticks=[], xlabel="main component 1", ylabel="main component 2")
    axes.spines[["top", "right"]].set_visible(True)
    add_legend(figure, _legend(machines), most_columns=2, fontsize=8)
    return figure


def _fit_plane(machines: Sequence[Embeddings], points: Sequence[FloatArray]) -> PCA:
    normals = [p[np.array(m.kinds) == "normal"] for m, p in zip(machines, points, strict=True)]
    return PCA(2, random_state=0).fit(np.concatenate(normals))


def _thinned(positions: FloatArray, limit: int) -> FloatArray:
    """At most so many of the points, evenly spaced in their order."""
    chosen = np.linspace(0, len(positions) - 1, min(len(positions), limit)).astype(int)
    thinned: FloatArray = positions[chosen]
    return thinned


def _style(line: Line2D, mark: str, colour: str) -> Line2D:
    small = mark == "."
    line.set(linestyle="none", marker=mark, color=colour, markersize=5 if small else 4.5, alpha=0.5 if small else 0.9)
    line.set(markerfacecolor="none" if mark in "os" else colour, markeredgewidth=0 if small else 1)
    return line


def _legend(machines: Sequence[Embeddings]) -> list[Line2D]:
    used = {kind for machine in machines for kind in machine.kinds}
    marks = [
        _style(Line2D([], [], label=words), mark, LIGHT["ink"]) for kind, (mark, words) in MARKS.items() if kind in used
    ]
    if len(machines) > len(SERIES):
        return marks
    colours = [
        Line2D([], [], color=colour, linewidth=5, label=machine.machine)
        for machine, colour in zip(machines, SERIES, strict=False)
    ]
    columns = (marks, colours)
    longest = max(map(len, columns))
    blank = Line2D([], [], linestyle="none", label=" ")
    return [entry for column in columns for entry in column + [blank] * (longest - len(column))]


def _short(machine: Embeddings) -> str:
    return machine.machine.removeprefix(f"{machine.machine_type}/")


HIGHEST_RATE = 16000
LONGEST_S = 10.0
PEAK = 0.5  # of the louder clip; every halving saves FLAC one bit per sample of noise


def players(sound: Sound, normal: Sound) -> tuple[str, str]:
    """Return ``data:`` URIs of two clips as 16-bit FLAC, scaled by one factor so that they can be compared.

    A page must stay small enough to be sent by mail: what lies above 8 kHz or after 10 s is left out.
    """
    clips = [_shortened(sound), _shortened(normal)]
    peak = max(float(np.abs(clip.waveform).max(initial=0.0)) for clip in clips)
    first, second = (_flac(clip, gain=PEAK / peak if peak > 0 else 1.0) for clip in clips)
    return first, second


def player(sound: Sound) -> str:
    """Return the ``data:`` URI of one clip, made as loud as all others."""
    clip = _shortened(sound)
    peak = float(np.abs(clip.waveform).max(initial=0.0))
    return _flac(clip, gain=PEAK / peak if peak > 0 else 1.0)


def _shortened(sound: Sound) -> Sound:
    waveform = sound.waveform[: round(LONGEST_S * sound.rate)]
    if sound.rate <= HIGHEST_RATE:
        return Sound(waveform, sound.rate)
    from scipy.signal import resample_poly

    common = gcd(HIGHEST_RATE, sound.rate)
    return Sound(resample_poly(waveform, HIGHEST_RATE // common, sound.rate // common), HIGHEST_RATE)


def _flac(sound: Sound, gain: float) -> str:
    buffer = io.BytesIO()
    soundfile.write(buffer, gain * sound.waveform, sound.rate, format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


@dataclass(frozen=True)
class Card:
    """A clip's pictures and players beside those of a normal clip; empty URIs where no sound is carried."""

    clip: ClipPortrait
    words: str
    heat_words: str
    picture: Picture
    normal_picture: Picture
    player: str
    normal_player: str


def bars(gallery: Gallery, evaluations: dict[str, Evaluation], name: str) -> Picture | None:
    """AUC per machine and run; None if no machine has one."""
    first = next(iter(evaluations.values()))
    if first.total("auc") is None:
        return None
    runs = [f"{run + ': ' if run else ''}{_auc_words(evaluation)}" for run, evaluation in evaluations.items()]
    return gallery.hang(name, "Bar chart of the AUC of each machine. " + " ".join(runs), auc_bars(evaluations))


def histograms(gallery: Gallery, run: Run, prefix: str) -> list[Picture]:
    """Score histogram of each machine."""
    return [
        gallery.hang(f"{prefix}scores_{m.name}", _alarm_words(m), score_histogram(m))
        for m in machine_clips(run)
        if m.rows
    ]


def roc_curves(gallery: Gallery, run: Run, prefix: str) -> list[Picture]:
    """ROC curve of each machine that has one."""
    return [
        gallery.hang(f"{prefix}roc_{m.name}", _roc_words(m), roc(m))
        for m in machine_clips(run)
        if m.result.auc is not None
    ]


def maps(gallery: Gallery, embeddings: Sequence[Embeddings]) -> dict[str, dict[str, Picture]]:
    """Per machine type, the maps of its machines' embeddings before and after f_s."""
    of_type: dict[str, list[Embeddings]] = {}
    for machine in embeddings:
        of_type.setdefault(machine.machine_type, []).append(machine)
    return {machine_type: _maps_of_type(gallery, machine_type, of_type[machine_type]) for machine_type in of_type}


def _maps_of_type(gallery: Gallery, machine_type: str, machines: Sequence[Embeddings]) -> dict[str, Picture]:
    alt = f"Map of the embeddings of {', '.join(m.machine for m in machines)}, a point per recording,"
    return {
        space: gallery.hang(f"embeddings_{machine_type}_{space}", f"{alt} {space} the ID classifier.", figure)
        for space, figure in embedding_maps(machines).items()
    }


def cards(gallery: Gallery, clips: Sequence[ClipPortrait], sounds: bool) -> list[Card]:
    """Pictures and players of some clips."""
    pair = blank_pair()
    return [_card(gallery, pair, clip, sounds) for clip in clips]


def _card(gallery: Gallery, pair: tuple[Figure, Figure], clip: ClipPortrait, sounds: bool) -> Card:
    draw_apart(clip, *pair)
    figure, normal_figure = pair
    heated = " with its heat map" if clip.heat else ""
    picture = gallery.show(f"Log-mel spectrogram of {clip.clip}{heated}.", figure)
    normal_picture = gallery.show(f"Log-mel spectrogram of the normal recording {clip.normal_name}.", normal_figure)
    player, normal_player = players(clip.sound, clip.normal) if sounds else ("", "")
    return Card(clip, portrait_words(clip), heat_words(clip), picture, normal_picture, player, normal_player)


def _auc_words(evaluation: Evaluation) -> str:
    known = [f"{m.machine} {m.auc:.3f}" for m in evaluation.machines if m.auc is not None]
    return f"{', '.join(known)}; mean {evaluation.total('auc') or 0.0:.3f}."


def _roc_words(machine: MachineClips) -> str:
    if len(machine.by_client()) == 1:
        return f"ROC curve of {machine.name}, area {machine.result.auc:.3f}."
    return f"ROC curves of {machine.name}, one per client, mean area {machine.result.auc:.3f}."


def _alarm_words(machine: MachineClips) -> str:
    kinds = {"normal": NORMAL, "faulty": ANOMALY, "unlabelled": None}
    alarms = [f"{machine.alarms(k)} of {machine.count(k)} {name}" for name, k in kinds.items() if machine.count(k)]
    return f"Histogram of the anomaly scores of {machine.name}. Above the threshold: {', '.join(alarms)}."
