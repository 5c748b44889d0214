"""The recordings of one run: a user's folder, or synthetic machines, one per client."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from pathlib import Path

from collab_asd.config import RunConfig
from collab_asd.core.files import cache_dir
from collab_asd.core.types import Clip, Partition
from collab_asd.data.check import check, require_good
from collab_asd.data.layouts import find_clips
from collab_asd.data.manifest import manifest_rows, manifest_sha256
from collab_asd.data.partitions import by_machine, dirichlet, iid
from collab_asd.data.synthetic.settings import SyntheticSettings

logger = logging.getLogger(__name__)


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
    return deal(find_clips(data_folder(config, clients), config.channel), config)


def deal(clips: Sequence[Clip], config: RunConfig) -> list[Partition]:
    """Give each client its clips, as `load_partitions`.

    Raises
    ------
    InputError
        The clips cannot be dealt as asked for.
    """
    if config.partition == "dirichlet":
        return dirichlet(clips, config.group_by, config.clients, config.dirichlet_alpha, config.seed)
    if config.partition == "iid":
        return iid(clips, config.group_by, config.clients, config.seed)
    return by_machine(clips, config.group_by)


def require_trainable(config: RunConfig, partitions: Sequence[Partition], shares: bool) -> None:
    """Refuse data that a run would come out wrong with, as ``collab-asd data check`` does.

    Clips that passed once are not decoded again: what passed is remembered by content.

    Raises
    ------
    InputError
        All errors at once.
    """
    clips = [clip for partition in partitions for clip in partition.clips]
    folder = data_folder(config, len({clip.machine for clip in clips}))
    passed = manifest_sha256(manifest_rows(partitions, folder))
    marker = cache_dir(config.cache_dir) / "checked" / f"{passed}-{config.group_by}-{config.channel}-{shares}"
    if marker.exists():
        return
    logger.info("checking %d clips", len(clips))
    require_good(clips, check(folder, clips, group_by=config.group_by, shares=shares), skip_bad=False)
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()


def without_bad_clips(config: RunConfig, shares: bool) -> tuple[Path, list[str]]:
    """List the good clips of the data folder in a CSV file that can stand for it.

    Returns
    -------
    path : Path
        The CSV, in the cache folder, named by its content.
    left_out : list of str
        What is not in it, and why.
    """
    folder = data_folder(config, 0)
    clips = find_clips(folder, config.channel)
    report = check(folder, clips, group_by=config.group_by, shares=shares)
    kept, left_out = require_good(clips, report, skip_bad=True)
    name = manifest_sha256(manifest_rows(by_machine(kept, config.group_by), folder))[:16]
    path = cache_dir(config.cache_dir) / "listings" / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_listing(path, kept)
    return path, left_out


def write_listing(path: Path, clips: Sequence[Clip]) -> None:
    """List clips in a CSV file that can stand for their data folder."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "machine_type", "machine_id", "split", "label"])
        for c in clips:
            writer.writerow([c.path, c.machine_type, c.machine_id, c.split, "" if c.label is None else c.label])
