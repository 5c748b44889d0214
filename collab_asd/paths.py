"""Where things lie on a user's machine."""

from pathlib import Path
from urllib.parse import quote

from platformdirs import user_cache_path, user_data_path

APP = "collab-asd"


def cache_dir(configured: str) -> Path:
    """Folder for weights, embeddings and synthetic machines: the configured one, or the user's cache folder."""
    return Path(configured).expanduser().absolute() if configured else user_cache_path(APP)


def results_dir(configured: str, run_id: int) -> Path:
    """Folder of one run's results: the configured one, or one named by Flower's run ID in the user's data folder.

    Server and clients find it without telling each other a path.
    """
    return Path(configured).expanduser().absolute() if configured else user_data_path(APP) / "results" / f"run-{run_id}"


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
