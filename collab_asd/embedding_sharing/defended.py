"""A client's defences, its erasure fitted to its own training clips."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from collab_asd.codecs import CodecPlan
from collab_asd.config import RunConfig
from collab_asd.data.run_data import data_folder, load_partitions
from collab_asd.data.tags import attribute_of
from collab_asd.defences.chain import Defences, clip_label, open_defences
from collab_asd.defences.erasure import Erasure
from collab_asd.embedding_sharing.codec import codec_of
from collab_asd.errors import InputError
from collab_asd.federation.client_data import ClientData
from collab_asd.interfaces import FloatArray

logger = logging.getLogger(__name__)


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
        clips = [client.partition.clips[i] for i in client.indices("train")]
        values = attribute_of(client.data_dir, clips, config.erase)
        rows = shaped_training_rows(client, defences, codec_of(config))
        defences = replace(defences, erasure=Erasure.fitted(rows, values))
    if defences != Defences():
        logger.info("client %d: defences: %s", client.partition.client, defences.note(""))
    return defences


def shaped_training_rows(client: ClientData, defences: Defences, plan: CodecPlan) -> Iterator[FloatArray]:
    """Rows ``[n, D]`` of each clip that f_s is to be trained on, as all that learns from them sees them."""
    for i in client.indices("train"):
        own = defences.leaving(clip_label(client.partition, i))
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
