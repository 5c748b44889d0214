"""What a client keeps of a run, in its own folder: detectors, where its clips lie, and in a deployment its scores."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from collab_asd.config import RunConfig
from collab_asd.core.files import cache_dir, holding_name, replacing
from collab_asd.core.schemas import part
from collab_asd.core.types import Clip, FloatArray
from collab_asd.data.audio import ClipError, load_audio, sample_rate_of
from collab_asd.data.layouts import clip_name
from collab_asd.data.manifest import machines_in, manifest_rows
from collab_asd.data.recorder import RecorderProfile, profile
from collab_asd.data.statistics import measure
from collab_asd.detection import storage
from collab_asd.detection.detector import Detector
from collab_asd.detection.evaluation import evaluate
from collab_asd.detection.origin import BandLevels
from collab_asd.detection.storage import DetectorCard
from collab_asd.federation.client_data import ClientData
from collab_asd.federation.results import ResultFolder, mark_misfits, mark_thresholds, summarize
from collab_asd.federation.scoring import MachineScores, decided, join
from collab_asd.wire.defences.linear import Rotation

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
            levels, recorder = _recorded(client, [clips[i] for i in machine.normal], config)
            detector = replace(machine.detector, levels=levels)
            storage.save(folder / "detectors" / name, detector, _card(client, machine, detector, recorder, config))
        if machine.points is not None:
            machine.points.save(folder / "embeddings" / f"{name}.safetensors")


def _recorded(
    client: ClientData, normal: Sequence[Clip], config: RunConfig
) -> tuple[FloatArray, dict[str, list[float]]]:
    """Describe how a machine's normal clips were recorded: their levels ``[n, 17]``, and their `profile`.

    Both are kept in the cache under a hash of the clips' content, since recordings take long to decode; those whose
    embeddings are kept need not lie there any more.
    """
    levels_of = BandLevels()
    content = json.dumps([PROFILE_VERSION, levels_of.spec.digest, [(clip.sha256, clip.channel) for clip in normal]])
    path = cache_dir(config.cache_dir) / "recorders" / f"{hashlib.sha256(content.encode()).hexdigest()}.safetensors"
    with suppress(OSError, SafetensorError, KeyError):
        kept = load_arrays(path.read_bytes())
        return kept["levels"], {name: values.tolist() for name, values in part(kept, "profile/").items()}
    levels = np.concatenate([client.cache.encode(levels_of, clip) for clip in normal])
    measured = []
    for clip in normal[:MOST_PROFILED]:
        with suppress(ClipError):
            measured.append(measure(load_audio(clip)))
    found = profile(measured) if measured else {}
    if len(measured) == len(normal[:MOST_PROFILED]):
        with suppress(OSError), replacing(path) as file:
            file.write(save_arrays({"levels": levels} | {f"profile/{k}": np.array(v) for k, v in found.items()}))
    return levels, found


MOST_PROFILED = 50
"""Normal clips by which it is known how they are recorded; they are in the order of their hashes."""
PROFILE_VERSION = 1  # to be raised when a profile of the same clips becomes another


def _card(
    client: ClientData, machine: MachineScores, detector: Detector, recorder: RecorderProfile, config: RunConfig
) -> DetectorCard:
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
        recorder=recorder,
        clip_seconds=config.clip_seconds,
        misfit=machine.misfit,
    )


def keep_scores(client: ClientData, machines: Sequence[MachineScores], config: RunConfig, folder: Path) -> None:
    """Write scores, manifest and summary, as ``collab-asd report`` reads them.

    A question that is asked again is answered again: what it wrote before is replaced.
    """
    scores = decided(client.partition.client, machines, config)
    manifest = manifest_rows([client.partition], client.data_dir)
    table = join([scores], {scores.client: client.partition}, client.data_dir)
    how = {"engine": "deployment", "encoder_note": client.encoder.spec.note, **UNKNOWN}
    results = ResultFolder(folder, config, manifest)
    results.begin()
    evaluation = mark_thresholds(evaluate(table, machines_in(manifest)), config, [client.partition])
    misfits = [m.normal[0] for m in machines if m.misfit]
    evaluation = mark_misfits(evaluation, (client.partition.clips[i].machine for i in misfits))
    results.finish(table, summarize(config, evaluation, manifest) | how)
    alarms = sum(row.decision for row in table.rows)
    logger.info("%d clips scored, %d of them anomalous: %s", len(table.rows), alarms, folder)
