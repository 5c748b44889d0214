"""The recordings of one run: a user's folder, or synthetic machines, one per client."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from collab_asd.config import RunConfig
from collab_asd.core.files import cache_dir, replacing
from collab_asd.core.types import Clip, Partition
from collab_asd.data.check import check, require_good
from collab_asd.data.layouts import divided_again, find_clips, list_clips
from collab_asd.data.partitions import (
    by_attribute,
    by_machine,
    by_section,
    dirichlet,
    iid,
    numbered,
    simulated_secret,
)
from collab_asd.data.synthetic import SyntheticSettings

logger = logging.getLogger(__name__)
SYNTHETIC = (0, "DCASE", 0.0)  # channel, layout and length of clips as synthetic machines have them: whole clips
CHECK_VERSION = 3  # to be raised when the check finds what it did not find before


def data_folder(config: RunConfig, clients: int) -> Path:
    """Folder that the run reads: ``data-dir``, or as many synthetic machines as there are clients."""
    if config.data_dir:
        return Path(config.data_dir).expanduser().absolute()
    from collab_asd.data.synthetic.dataset import ensure_dataset

    return ensure_dataset(SyntheticSettings(machines=clients), cache_dir(config.cache_dir))


def load_partitions(config: RunConfig, clients: int) -> list[Partition]:
    """Give each client its clips: one machine each, as in the paper (section V-B), or a mixture of machines.

    Parameters
    ----------
    config : RunConfig
    clients : int
        SuperNodes: as many synthetic machines there are where no recordings are named.

    Raises
    ------
    InputError
        The folder is missing, empty or of no known layout, or the clips cannot be dealt as asked for.
    """
    return deal(under_conditions(run_clips(config, clients), config), config)


def under_conditions(clips: Sequence[Clip], config: RunConfig) -> Sequence[Clip]:
    """Give the clips of each machine its own ``recording-conditions``; the level is that of its first training clip.

    Raises
    ------
    InputError
        The conditions cannot be read, or that clip cannot.
    """
    if not config.recording_conditions:
        return clips
    from collab_asd.data.audio import load_audio
    from collab_asd.data.conditions import draw
    from collab_asd.data.synthetic.signals import rms

    first: dict[str, Clip] = {}
    for clip in sorted(clips, key=lambda clip: (clip.split != "train", clip.sha256)):
        first.setdefault(clip.machine, clip)
    drawn = {
        machine: draw(config.recording_conditions, config.seed, machine, rms(load_audio(clip).waveform))
        for machine, clip in first.items()
    }
    return [replace(clip, conditions=drawn[clip.machine]) for clip in clips]


@lru_cache(maxsize=4)
def partitions_of_run(run_id: int, config: RunConfig, clients: int) -> list[Partition]:
    """Return `load_partitions`, read once per process and run: by server and clients in one; a new run looks again."""
    return load_partitions(config, clients)


def deal(clips: Sequence[Clip], config: RunConfig) -> list[Partition]:
    """Give each client its clips, as `load_partitions`.

    Raises
    ------
    InputError
        The clips cannot be dealt as asked for.
    """
    return [numbered(held, simulated_secret(config.seed)) for held in _dealt(clips, config)]


def _dealt(clips: Sequence[Clip], config: RunConfig) -> list[Partition]:
    if config.partition == "section":
        return by_section(clips, config.grouping)
    if config.partition == "attribute":
        return by_attribute(clips, config.grouping, config.attribute, config.seed)
    if config.partition == "dirichlet":
        return dirichlet(clips, config.grouping, config.clients, config.dirichlet_alpha, config.seed)
    if config.partition == "iid":
        return iid(clips, config.grouping, config.clients, config.seed)
    return by_machine(clips, config.grouping)


def run_clips(config: RunConfig, clients: int) -> list[Clip]:
    """List the clips of the data folder; with ``skip-bad``, those that can be used.

    Raises
    ------
    InputError
        The folder is missing, empty or of no known layout; without ``skip-bad``, it holds files that are no clips.
    """
    if not config.skip_bad:
        return find_clips(data_folder(config, clients), *how(config))
    return _usable(config, data_folder(config, clients))[0]


def how(config: RunConfig) -> tuple[int, str, float]:
    """Return how a run's recordings are to be read: channel, layout and length of clips, as `find_clips` takes them."""
    return config.channel, config.layout or ("" if config.data_dir else SYNTHETIC[1]), config.clip_seconds


def left_out(config: RunConfig) -> list[str]:
    """Return what ``skip-bad`` leaves out of the data folder, and why: one line per kind of fault.

    Raises
    ------
    InputError
        Nothing that can be trained on is left.
    """
    return _usable(config, data_folder(config, 0))[1]


def _usable(config: RunConfig, folder: Path) -> tuple[list[Clip], list[str]]:
    """Return the clips that can be used, and what is left out; remembered by content, as what passes is."""
    clips, refused, *_ = list_clips(folder, *how(config))
    note = _note(config, clips, "skip-bad", *(str(fault) for fault in refused))
    try:
        found = json.loads(note.read_bytes())
        bad, lines = set(found["bad"]), list(found["lines"])
    except (OSError, ValueError, LookupError, TypeError):
        report = check(
            folder, clips, group_by=config.grouping, shares=False, allow_mixed=config.allow_mixed, refused=refused
        )
        kept, lines = require_good(clips, report, skip_bad=True)
        bad = {str(clip.path) for clip in clips} - {str(clip.path) for clip in kept}
        with replacing(note) as file:
            file.write(json.dumps({"bad": sorted(bad), "lines": lines}).encode())
    return divided_again(folder, [clip for clip in clips if str(clip.path) not in bad], config.layout), lines


def require_trainable(config: RunConfig, partitions: Sequence[Partition], shares: bool) -> None:
    """Refuse data that a run would come out wrong with, as ``collab-asd data check`` does.

    Clips that passed once are not decoded again: what passed is remembered by content, and by all else that is judged.
    Synthetic machines pass as they are made.

    Raises
    ------
    InputError
        All errors at once.
    """
    if not config.data_dir and how(config) == SYNTHETIC and len(partitions) > 1:
        return
    clips = [replace(clip, conditions=None) for partition in partitions for clip in partition.clips]
    marker = _note(config, clips, f"shares {shares}")
    if marker.exists():
        return
    logger.info("checking %d clips", len(clips))
    folder = data_folder(config, len({clip.machine for clip in clips}))
    report = check(folder, clips, group_by=config.grouping, shares=shares, allow_mixed=config.allow_mixed)
    require_good(clips, report, skip_bad=False)
    with replacing(marker):
        pass


def _note(config: RunConfig, clips: Sequence[Clip], *also: str) -> Path:
    """Where it is remembered what a check of these clips found: named by all that the outcome depends on."""
    options = [CHECK_VERSION, config.grouping, config.allow_mixed, config.skip_bad, *also]
    judged = sorted(
        (str(c.path), c.machine_type, c.machine_id, c.split, str(c.label), c.channel, c.sha256) for c in clips
    )
    digest = hashlib.sha256(json.dumps([options, judged]).encode()).hexdigest()
    return cache_dir(config.cache_dir) / "checked" / digest


def write_listing(path: Path, clips: Sequence[Clip]) -> None:
    """List clips in a CSV file that can stand for their data folder, with a column for each attribute."""
    attributes = list(dict.fromkeys(name for clip in clips for name, _ in clip.attributes))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "machine_type", "machine_id", "split", "label", *attributes])
        for c in clips:
            known = [c.attribute(name) for name in attributes]
            writer.writerow([c.path, c.machine_type, c.machine_id, c.split, "" if c.label is None else c.label, *known])
