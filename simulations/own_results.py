"""The result folder of a client that keeps its scores: names, labels where its folder has them, and its own AUC."""

from __future__ import annotations

import logging
from pathlib import Path

from collab_asd.config import RunConfig
from collab_asd.data.manifest import machines_in, manifest_rows
from collab_asd.evaluation import evaluate
from collab_asd.federation.client_data import ClientData
from collab_asd.federation.scoring import ClientScores
from simulations.naming import join
from simulations.results import ResultFolder, mark_thresholds, summarize

logger = logging.getLogger(__name__)
UNKNOWN = {"bytes_up": {}, "bytes_down": {}, "seconds": {}, "excluded": {}, "peak_rss_mb": 0.0}
"""What the server of a run knows, and a client does not."""


def keep_scores(client: ClientData, scores: ClientScores, config: RunConfig, folder: Path) -> None:
    """Write scores, manifest and summary, as ``collab-asd report`` reads them.

    A question that is asked again is answered again: what it wrote before is replaced.
    """
    manifest = manifest_rows([client.partition], client.data_dir)
    table = join([scores], {scores.client: client.partition}, client.data_dir)
    how = {"engine": "deployment", "encoder_note": client.encoder.spec.note, **UNKNOWN}
    results = ResultFolder(folder, config, manifest)
    results.begin()
    evaluation = mark_thresholds(evaluate(table, machines_in(manifest)), config, [client.partition])
    results.finish(table, summarize(config, evaluation, manifest) | how)
    alarms = sum(row.decision for row in table.rows)
    logger.info("%d clips scored, %d of them anomalous: %s", len(table.rows), alarms, folder)
