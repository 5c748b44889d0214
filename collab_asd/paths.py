"""Where things lie on a user's machine."""

import tempfile
from pathlib import Path
from urllib.parse import quote

from platformdirs import user_cache_path, user_data_path

from collab_asd.errors import InputError
from collab_asd.printable import is_text

APP = "collab-asd"
PROBE_BYTES = 4096  # enough to meet a full disk


def cache_dir(configured: str) -> Path:
    """Folder for weights, embeddings and synthetic machines: the configured one, or the user's cache folder."""
    return Path(configured).expanduser().absolute() if configured else _own(user_cache_path(APP), "cache-dir")


def results_dir(configured: str, run_id: int) -> Path:
    """Folder of one run's results: the configured one, or one named by Flower's run ID in the user's data folder.

    Server and clients find it without telling each other a path.
    """
    if configured:
        return Path(configured).expanduser().absolute()
    return _own(user_data_path(APP), "results-dir") / "results" / f"run-{run_id}"


def _own(folder: Path, key: str) -> Path:
    """Refuse ``~/…``, which a user without a home folder gets in its place."""
    if not folder.is_absolute():
        raise InputError(f"{folder}: this user has no home folder; name a folder with {key}")
    return folder


def machine_folder_name(machine_type: str, machine_id: str) -> str:
    """Name of a file or folder of one machine: ``"ToyCar_id_01"``, with what a path cannot hold as ``%XX``.

    An underscore of the ID is escaped as well: the last one then ends the type, and no two machines share a name.
    """
    return f"{quote(machine_type, safe=' ')}_id_{quote(machine_id, safe=' ').replace('_', '%5F')}"


def holding_name(machine_type: str, machine_id: str, client: int | None = None) -> str:
    """Where, among what clients keep, lies what one keeps of a machine: ``"ToyCar_id_01"``.

    `client` is named where several may hold that machine: ``"client-2/ToyCar_id_01"``.
    """
    name = machine_folder_name(machine_type, machine_id)
    return name if client is None else f"client-{client}/{name}"


def require_writable(folder: Path, remedy: str) -> None:
    """Refuse a folder that cannot be made or written in, before any work is done; leaves nothing behind.

    Parameters
    ----------
    folder : Path
        Need not exist.
    remedy : str
        What to do: how to name another folder.

    Raises
    ------
    InputError
        A part of the path is a file, it is read-only, its permissions forbid it, or the disk is full.
    """
    if not is_text(folder):
        raise InputError(f"{folder}: the path is not in UTF-8; {remedy}")
    try:
        nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        with tempfile.TemporaryFile(dir=nearest) as probe:
            probe.write(bytes(PROBE_BYTES))
    except NotADirectoryError:
        what = "is a file, not a folder" if nearest == folder else f"cannot be made, {nearest} is a file"
        raise InputError(f"{folder}: {what}; {remedy}") from None
    except OSError as error:
        raise InputError(f"{folder}: nothing can be written there ({error.strerror}); {remedy}") from error
