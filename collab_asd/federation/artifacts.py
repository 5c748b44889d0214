"""What a client keeps of a run, in its own folder: detectors, where its clips lie, and in a deployment its scores."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from collab_asd.config import RunConfig
from collab_asd.core.files import holding_name
from collab_asd.core.types import Clip
from collab_asd.data.audio import ClipError, load_audio, sample_rate_of
from collab_asd.data.layouts import clip_name
from collab_asd.data.manifest import machines_in, manifest_rows
from collab_asd.data.recorder import profile
from collab_asd.data.statistics import measure
from collab_asd.detection import storage
from collab_asd.detection.detector import Detector
from collab_asd.detection.evaluation import evaluate
from collab_asd.detection.origin import BandLevels
from collab_asd.detection.storage import DetectorCard
from collab_asd.federation.client_data import ClientData
from collab_asd.federation.results import ResultFolder, mark_thresholds, summarize
from collab_asd.federation.scoring import ClientScores, MachineScores, join
from collab_asd.wire.defences.rotation import Rotation

logger = logging.getLogger(__name__)
UNKNOWN = {"bytes_up": {}, "bytes_down": {}, "seconds": {}, "excluded": {}, "peak_rss_mb": 0.0}
"""What the server of a run knows, and a client does not."""


def save_client_artifacts(
    client: ClientData, machines: Sequence[MachineScores], config: RunConfig, folder: Path
) -> None:
    """Write ``detectors/`` and ``embeddings/`` into the client's results folder.

    Under Algorithm 2 there is no detector to keep: the ID classifier stays with the server.
    """
    clips, owner = client.partition.clips, client.partition.client if config.mixed else None
    for machine in machines:
        clip = clips[machine.normal[0]]
        name = holding_name(clip.machine_type, clip.machine_id, owner)
        if machine.detector is not None:
            levels = np.concatenate([client.cache.encode(BandLevels(), clips[i]) for i in machine.normal])
            detector = replace(machine.detector, levels=levels)
            storage.save(folder / "detectors" / name, detector, _card(client, machine, detector, config))
        if machine.points is not None:
            machine.points.save(folder / "embeddings" / f"{name}.safetensors")


def _recorder(clips: Sequence[Clip]) -> dict[str, list[float]]:
    """Describe how clips were recorded; those whose embeddings are kept need not lie there any more."""
    measured = []
    for clip in clips:
        with suppress(ClipError):
            measured.append(measure(load_audio(clip)))
    return profile(measured) if measured else {}


MOST_PROFILED = 50
"""Normal clips by which it is known how they are recorded; they are in the order of their hashes."""


def _card(client: ClientData, machine: MachineScores, detector: Detector, config: RunConfig) -> DetectorCard:
    clips = client.partition.clips
    any_clip = clips[machine.normal[0]]
    codecs = (space.codec for space in detector.spaces if space.codec is not None)
    own = (stage for codec in codecs for stage in codec.own)
    return DetectorCard(
        machine_type=any_clip.machine_type,
        machine_id=any_clip.machine_id,
        encoder=client.encoder.spec.name,
        encoder_digest=client.encoder.spec.digest,
        encoder_weights=config.encoder_weights,
        seed=config.seed,
        channel=any_clip.channel,
        sample_rate=sample_rate_of(any_clip.path),
        threshold=machine.threshold(config),
        false_alarm_rate=config.false_alarm_rate,
        thresholding=config.threshold,
        data_dir=str(client.data_dir),
        normals=tuple(clip_name(clips[i], client.data_dir) for i in machine.normal),
        openl3_model=config.openl3_model,
        frontend=config.frontend,
        openl3_backend=config.openl3_backend,
        precision=config.precision,
        rotation=next((stage.fingerprint for stage in own if isinstance(stage, Rotation)), ""),
        recorder=_recorder([clips[i] for i in machine.normal[:MOST_PROFILED]]),
        clip_seconds=config.clip_seconds,
    )


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
