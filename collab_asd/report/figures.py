"""The figures of a page, each with the words that stand for it where it cannot be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from collab_asd.evaluation import Evaluation
from collab_asd.interfaces import ANOMALY, NORMAL
from collab_asd.report.contents import ClipPortrait, Embeddings, Run
from collab_asd.report.embedding_map import embedding_maps
from collab_asd.report.machine_clips import MachineClips, machine_clips
from collab_asd.report.players import players
from collab_asd.report.plots import auc_bars, roc, score_histogram
from collab_asd.report.spectrogram import apart
from collab_asd.report.theme import Gallery, Picture
from collab_asd.report.words import heat_words, portrait_words


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


def cards(gallery: Gallery, clips: Sequence[ClipPortrait], name: str, sounds: bool) -> list[Card]:
    """Pictures and players of some clips."""
    return [_card(gallery, clip, f"{name}_{i}", sounds) for i, clip in enumerate(clips, start=1)]


def _card(gallery: Gallery, clip: ClipPortrait, name: str, sounds: bool) -> Card:
    figure, normal_figure = apart(clip)
    heated = " with its heat map" if clip.heat else ""
    picture = gallery.hang(name, f"Log-mel spectrogram of {clip.clip}{heated}.", figure)
    normal_picture = gallery.hang(
        f"{name}_normal", f"Log-mel spectrogram of the normal recording {clip.normal_name}.", normal_figure
    )
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
