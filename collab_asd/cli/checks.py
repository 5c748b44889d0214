"""What is wrong with a request, before anything is begun: nothing here imports what takes long, or leaves a trace."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from collab_asd import encoders
from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.files import cache_dir, require_writable
from collab_asd.data.layouts import layout_of
from collab_asd.federation import flwr_compat
from collab_asd.methods import require_possible

ANOTHER_OUT, ANOTHER_CACHE = "name another folder with --out", "name another with --set cache-dir=FOLDER"


def require_valid(config: RunConfig) -> None:
    """Refuse an untested Flower, names and paths that do not exist, and what does not go together.

    Raises
    ------
    InputError
        Names the key, its value, and what it may be.
    """
    from collab_asd.detection.scorers import DetectorSettings
    from collab_asd.wire.codecs import parse

    flwr_compat.require_tested()
    encoders.require_valid(config)
    require_possible(config)
    DetectorSettings.of(config)
    parse(config.codec)
    if config.recording_conditions:
        from collab_asd.data.conditions import conditions

        conditions(config.recording_conditions)
    if config.data_dir:
        layout_of(Path(config.data_dir), config.layout)
    require_folders({"join": config.join} if config.join else {})


def require_folders(named: dict[str, str | Path | None]) -> None:
    """Refuse folders that do not exist, each by the key or option that names it; empty names are left alone.

    Raises
    ------
    InputError
        Names the first.
    """
    for key, folder in named.items():
        if folder and not Path(folder).expanduser().is_dir():
            raise InputError(f"{key} = {folder}: no such folder")


def require_places(results: Path, configs: Iterable[RunConfig]) -> None:
    """Refuse a result folder, or a cache folder of a run, that cannot be written.

    Raises
    ------
    InputError
        Names the folder, and how to name another.
    """
    require_writable(results, ANOTHER_OUT)
    for cache in {cache_dir(config.cache_dir) for config in configs}:
        require_writable(cache, ANOTHER_CACHE)
