"""The client's half of embedding sharing: embed, send, and score with what comes back.

Its defences are the agreed ones; an erasure is fitted to its own training clips.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np
from flwr.app import ConfigRecord, RecordDict

from collab_asd.classifier.model import IdClassifier
from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.runtime import resolve_device
from collab_asd.core.terminal import shortened
from collab_asd.core.types import PARTS, EncoderSpec, FloatArray, MachineFrames, Part, SpaceScores
from collab_asd.data.run_data import data_folder, load_partitions
from collab_asd.data.tags import attribute_of
from collab_asd.detection.detector import ClipPoints, Detector
from collab_asd.detection.scorers import DetectorSettings, fuse, looks_at_spectra
from collab_asd.detection.second_order import Others, others_from_arrays
from collab_asd.federation.client_data import ClientData, LocalMachine
from collab_asd.federation.messages import from_record, holds_classifier, read_classifier, to_record
from collab_asd.federation.scoring import MachineScores, score_with
from collab_asd.methods.embedding_sharing.algorithm import fit_detector, own_spaces, pooling_suits
from collab_asd.methods.embedding_sharing.covariances import TOLD, Scatter, shares_covariances
from collab_asd.methods.embedding_sharing.pages import (
    FLOAT,
    MEGABYTE,
    MOST_NOTE,
    Arrays,
    PageNumber,
    SharedClip,
    codec_of,
    encode_page,
    plan_pages,
    require_decodable,
)
from collab_asd.wire.codecs import Codec, CodecPlan
from collab_asd.wire.defences.chain import Defences, clip_label, open_defences
from collab_asd.wire.defences.linear import Erasure

logger = logging.getLogger(__name__)
UNSUITED = (
    "%s/%s: with the covariances of the other machines, other normal recordings of it look unusual than without; "
    "sharing may make its detector worse: look for recordings of another kind among the normal ones of all, compare "
    "local-mahalanobis, or pool with like machines alone (group-by = machine-type)"
)


@lru_cache(maxsize=32)
def defences_of(client: ClientData, config: RunConfig) -> Defences:
    """Build what protects this client's embeddings; the same in every message of a run.

    Raises
    ------
    InputError
        A key cannot be used, or its training clips are not tagged with the attribute that is to be erased.
    """
    defences = open_defences(config, client.encoder)
    if config.erase:
        clips = [client.partition.clips[i] for i in client.training_clips()]
        values = attribute_of(client.data_dir, clips, config.erase)
        rows = shaped_training_rows(client, defences, codec_of(config))
        defences = replace(defences, erasure=Erasure.fitted(rows, values))
    if defences != Defences():
        logger.info("client %d: defences: %s", client.partition.client, defences.note(""))
    return defences


def shaped_training_rows(client: ClientData, defences: Defences, plan: CodecPlan) -> Iterator[FloatArray]:
    """Rows ``[n, D]`` of each clip that f_s is to be trained on, as all that learns from them sees them."""
    for i in client.training_clips():
        own = defences.sender_stages(clip_label(client.partition, i))
        yield plan.with_own(own).shaped(client.frames([i])[0])


def require_tagged(config: RunConfig, clients: int) -> None:
    """Refuse to erase an attribute that the recordings of one of so many clients are not tagged with.

    Raises
    ------
    InputError
        Names the client, and what its table lacks.
    """
    folder = data_folder(config, clients)
    for partition in load_partitions(config, clients):
        clips = [partition.clips[i] for i in partition.indices("train")]
        try:
            attribute_of(folder, clips, config.erase)
        except InputError as error:
            raise InputError(f"client {partition.client}: {error}") from error


def describe(client: ClientData, config: RunConfig, state: RecordDict, content: RecordDict) -> RecordDict:
    """Embed all clips and say what there is to share.

    The reply holds what the server must know of f_c, for each part where its pages end, counted in clips, and the
    statistics that the codec is fitted to, if it learns.
    """
    spec, plan, machines = client.encoder.spec, codec_of(config), client.machines()
    defences = defences_of(client, config)
    client.prepare(range(len(client.partition.clips)))
    pages = {f"{part}-pages": _page_ends(client, part, config) for part in PARTS}
    description = ConfigRecord(
        {
            "stack": spec.stack,
            "stack-hop": spec.stack_hop,
            "dimension": spec.dimension,
            "digest": defences.digest(spec.digest),
            "note": shortened(defences.note(client.told_of_encoder or spec.note), MOST_NOTE),
            "groups": [machine.group for machine in machines],
            "classes": [machine.machine_class for machine in machines],
            "clips-digest": client.clips_digest(
                client.indices("train") if config.inference == "client" else range(len(client.partition.clips))
            ),
            **pages,
        }
    )
    reply = RecordDict({"client": description})
    if plan.learns:
        rows = shaped_training_rows(client, defences, plan)
        reply["statistics"] = to_record(plan.statistics_of(rows).to_arrays())
    if shares_covariances(config):
        for machine in machines:
            told = Scatter.of(client.spectra(machine.normal))
            reply[f"{TOLD}{machine.group}/{machine.machine_class}"] = to_record(told.to_arrays())
    return reply


def embeddings(client: ClientData, config: RunConfig, state: RecordDict, content: RecordDict) -> RecordDict:
    """Send one page of embeddings (Algorithm 1, line 3; Algorithm 2, line 7); none but those that were announced."""
    number = PageNumber(**content.config_records["request"])  # type: ignore[arg-type]
    ends = _page_ends(client, number.part, config)
    if (number.start, number.stop) not in zip([0, *ends], ends, strict=False):
        raise InputError(f"{number}: refused, it is none of the pages that were announced")
    clips = client.indices(number.part)[number.start : number.stop]
    p, defences = client.partition, defences_of(client, config)
    shared = [
        SharedClip(i, p.groups[i], p.classes[i], frames, defences.sender_stages(clip_label(p, i)))
        for i, frames in zip(clips, client.frames(clips), strict=True)
    ]
    return RecordDict({"page": to_record(encode_page(number, shared, _codec(client, config, content)))})


def score(client: ClientData, config: RunConfig, content: RecordDict) -> list[MachineScores]:
    """Score the test clips with f_s (Algorithm 1) or with the shared scores that the server computed (Algorithm 2)."""
    scorer, with_spectra, found = DetectorSettings.of(config), looks_at_spectra(config), []
    device = resolve_device(config.device)
    codec = None
    if "codec" in content:
        codec = _codec(client, config, content).with_own(defences_of(client, config).detector_stages)
    for machine in client.machines():
        frames = client.machine_frames(machine, with_spectra=with_spectra)
        place = f"{machine.group}/{machine.machine_class}"
        told = content.array_records.get(f"others/{place}")
        others = None if told is None else others_from_arrays(from_record(told))
        if holds_classifier(content, machine.group):
            classifier = read_classifier(content, machine.group).to(device)
            require_own_windows(classifier, client.encoder.spec)
            detector = fit_detector(classifier, frames, scorer, codec, others)
            misfit = is_misfit(client, machine, frames, scorer, detector)
            found.append(score_with(detector, frames, normal=machine.normal, test=machine.test, misfit=misfit))
        else:
            shared = from_record(content.array_records[f"shared/{place}"])
            found.append(_complete(client, shared, machine, frames, scorer, others))
    return found


def is_misfit(
    client: ClientData, machine: LocalMachine, frames: MachineFrames, scorer: DetectorSettings, detector: Detector
) -> bool:
    """Whether the covariances of the other machines do not suit this one; logs a warning then."""
    if pooling_suits(frames, scorer, detector):
        return False
    clip = client.partition.clips[machine.normal[0]]
    logger.warning(UNSUITED, clip.machine_type, clip.machine_id)
    return True


def require_own_windows(classifier: IdClassifier, spec: EncoderSpec) -> None:
    """Refuse an f_s of other windows than this client's encoder gives.

    Raises
    ------
    InputError
        Names both.
    """
    told = classifier.settings
    if (told.dimension, told.stack, told.stack_hop) != (spec.dimension, spec.stack, spec.stack_hop):
        raise InputError(
            f"the ID classifier: refused, it looks at windows of {told.stack} frames of {told.dimension} numbers, and "
            f"this client's have {spec.stack} of {spec.dimension}"
        )


def _complete(
    client: ClientData,
    shared: Arrays,
    machine: LocalMachine,
    frames: MachineFrames,
    scorer: DetectorSettings,
    others: Others | None,
) -> MachineScores:
    """Add the scores of the client's own space to the server's (Algorithm 2), which must be of this machine's clips."""
    normal, test = shared["normal-clips"].tolist(), shared["test-clips"].tolist()
    parts = normal[: len(machine.train)], normal[len(machine.train) :], test
    if any(sorted(part) != sorted(own) for part, own in zip(parts, machine.parts, strict=True)):
        raise ValueError("the server scored other clips than this machine has")
    # The last normal clips, where it scored only those that f_s has not seen; all in an order of its own.
    scored = dict(zip(reversed(normal), reversed(shared["normal"]), strict=False))
    tested = {clip: i for i, clip in enumerate(test)}
    order = [tested[clip] for clip in machine.test]
    scores = SpaceScores(
        normal=np.array([scored[clip] for clip in machine.normal if clip in scored]), test=shared["test"][order]
    )
    misfit = False
    if scorer.local is not None:
        if scorer.local.half_weight is not None:
            if len(scores.normal) != len(machine.normal):
                raise ValueError(f"the server scored {len(scores.normal)} of {len(machine.normal)} normal clips")
            scores = replace(scores, trained=len(machine.train))
        own = Detector(own_spaces(frames, scorer, others))
        misfit = is_misfit(client, machine, frames, scorer, own)
        in_own = own.scores_by_space(own.embed_tests(frames))
        scores = fuse([scores, *in_own], [scorer.shared.half_weight, *own.half_weights])
    predicted, points = tuple(shared["predicted"][order].tolist()), ClipPoints.of(frames, average=scorer.shared.average)
    return MachineScores(machine.test, scores, predicted, normal=machine.normal, points=points, misfit=misfit)


def _codec(client: ClientData, config: RunConfig, content: RecordDict) -> Codec:
    """Return the codec, with what the server fitted it to, if it is the agreed one.

    Raises
    ------
    InputError
        It is not, or one basis too many.
    """
    if "codec" not in content.array_records:
        raise InputError("the server sent no codec")
    arrays = from_record(content.array_records["codec"])
    try:
        codec = codec_of(config).with_arrays(arrays, client.encoder.spec.dimension)
    except ValueError as error:
        raise InputError(
            f"codec = {config.codec}: refused, the server sent another than was agreed on: {error}"
        ) from error
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    if client.bases is not None:
        client.bases.admit(digest.hexdigest())
    return codec


@lru_cache(maxsize=96)  # each page that is asked for is looked up
def _page_ends(client: ClientData, part: Part, config: RunConfig) -> list[int]:
    """Embed the clips of one part that are not embedded yet, and plan their pages: none where it is not shared."""
    clips = client.indices(part) if part in client.shared_parts else []
    plan, dimension = codec_of(config), client.encoder.spec.dimension
    if not clips:
        return []
    frames = [size // (FLOAT * dimension) for size in client.prepare(clips)]
    require_decodable(max(frames), dimension)
    sizes = [plan.clip_bytes(count, dimension) for count in frames]
    try:
        return plan_pages(sizes, int(config.page_megabytes * MEGABYTE))
    except ValueError as error:
        raise InputError(f"page-megabytes = {config.page_megabytes:g}: {error}; raise it, or choose a codec") from error
