"""What the process that all tasks are copies of has imported. It goes on if that fails: each task then says why."""

from __future__ import annotations

import logging
from importlib import import_module

from collab_asd.federation.flwr_compat import RUN_CLIENTAPP

logger = logging.getLogger(__name__)

for module in ("simulations.client_app", RUN_CLIENTAPP):
    try:
        import_module(module)
    except Exception:
        logger.exception("%s cannot be imported", module)
