"""What the process that all tasks are copies of has imported. It goes on if that fails: each task then says why."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)

try:
    import simulations.client_app
    from collab_asd.federation.flwr_compat import pull_task_input as pull_task_input
except Exception:
    logger.exception("the ClientApp cannot be imported")
