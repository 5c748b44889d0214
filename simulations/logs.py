"""Progress that `flwr run --stream` shows: it passes on what reaches stderr, not plain logging."""

import logging
import sys

ROOMS = ("collab_asd", "baselines", "simulations")


def show_progress(level: int = logging.INFO) -> None:
    """Send the project's log lines to stderr, once per process."""
    for room in ROOMS:
        logger = logging.getLogger(room)
        logger.setLevel(level)
        if not logger.handlers:
            handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
            logger.addHandler(handler)
            logger.propagate = False
