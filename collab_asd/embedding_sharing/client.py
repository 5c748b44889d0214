"""The client's half of embedding sharing: embed, send, and score with what comes back."""

from __future__ import annotations

import logging
import time

from flwr.app import ArrayRecord, ConfigRecord, RecordDict

from collab_asd.config import RunConfig
from collab_asd.embedding_sharing.algorithm import anomaly_scores, shared_scores
from collab_asd.embedding_sharing.codec import SharedClip, encode_page, plan_pages
from collab_asd.federation.client_data import ClientData, LocalMachine
from collab_asd.federation.records import from_record, to_record
from collab_asd.federation.scoring import MachineScores
from collab_asd.id_classifier.model import ClassifierSettings, from_arrays
from collab_asd.interfaces import SpaceScores, Split
from collab_asd.scorers import ScorerSettings

logger = logging.getLogger(__name__)
MEGABYTE = 1_000_000
REPORT_SECONDS = 10.0
SPLITS: tuple[Split, ...] = ("train", "test")


def describe(client: ClientData, config: RunConfig) -> RecordDict:
    """Embed all clips and say what there is to share.

    The reply holds what the server must know of f_c, and for each split where its pages end, counted in clips.
    """
    spec = client.encoder.spec
    content = ConfigRecord(
        {
            "stack": spec.stack,
            "stack-hop": spec.stack_hop,
            "digest": spec.digest,
            "note": spec.note,
            **{f"{split}-pages": _page_ends(client, split, config) for split in SPLITS},
        }
    )
    return RecordDict({"client": content})


def embeddings(client: ClientData, request: ConfigRecord) -> RecordDict:
    """Send one page of embeddings (Algorithm 1, line 3; Algorithm 2, line 7)."""
    split: Split = "train" if request["split"] == "train" else "test"
    clips = client.partition.indices(split)[int(str(request["start"])) : int(str(request["stop"]))]
    p = client.partition
    shared = [
        SharedClip(i, p.groups[i], p.classes[i], frames) for i, frames in zip(clips, client.frames(clips), strict=True)
    ]
    return RecordDict({"page": to_record(encode_page(shared))})


def score(client: ClientData, config: RunConfig, content: RecordDict) -> list[MachineScores]:
    """Score the test clips with f_s (Algorithm 1) or with the shared scores that the server computed (Algorithm 2)."""
    scorer = ScorerSettings.of(config)
    return [_score_machine(client, machine, scorer, content) for machine in client.machines() if machine.test]


def _score_machine(
    client: ClientData, machine: LocalMachine, scorer: ScorerSettings, content: RecordDict
) -> MachineScores:
    frames = client.machine_frames(machine)
    computed = content.array_records.get(f"shared/{machine.group}/{machine.machine_class}")
    if computed is None:
        settings = ClassifierSettings(**content.config_records[f"settings/{machine.group}"])  # type: ignore[arg-type]
        classifier = from_arrays(settings, from_record(content.array_records[f"f_s/{machine.group}"]))
        shared = shared_scores(classifier, frames, scorer)
        scores, predicted = shared.scores, shared.predicted
    else:
        scores, predicted = _read_shared(computed, machine)
    return MachineScores(machine.test, anomaly_scores(scores, frames, scorer), predicted)


def _read_shared(record: ArrayRecord, machine: LocalMachine) -> tuple[SpaceScores, tuple[int, ...]]:
    """Read the server's scores; their clips must be this machine's own, in order."""
    arrays = from_record(record)
    for name, mine in {"normal-clips": machine.train, "test-clips": machine.test}.items():
        if tuple(arrays[name].tolist()) != mine:
            raise ValueError(f"the server scored other clips ({name}) than this machine has")
    scores = SpaceScores(normal=arrays["normal"], test=arrays["test"])
    return scores, tuple(arrays["predicted"].tolist())


def _page_ends(client: ClientData, split: Split, config: RunConfig) -> list[int]:
    """Embed the clips of one split, one at a time, and plan their pages."""
    clips = client.partition.indices(split)
    sizes, reported = [], time.monotonic()
    for done, index in enumerate(clips):
        if done == 0 or time.monotonic() - reported > REPORT_SECONDS:
            reported = time.monotonic()
            logger.info("client %d: embedding %s clip %d of %d", client.partition.client, split, done + 1, len(clips))
        sizes.append(client.prepare(index))
    return plan_pages(sizes, config.page_megabytes * MEGABYTE)
