"""Where things lie on a user's machine."""

from pathlib import Path

from platformdirs import user_cache_path, user_data_path

APP = "collab-asd"


def cache_dir(configured: str) -> Path:
    """Folder for weights, embeddings and synthetic machines: the configured one, or the user's cache folder."""
    return Path(configured).expanduser().absolute() if configured else user_cache_path(APP)


def default_results_dir(name: str) -> Path:
    """Folder of one run's results, where none was configured: in the user's data folder."""
    return user_data_path(APP) / "results" / name
