"""A client with a folder of its own: in a deployment, its SuperNode's ``--node-config`` names ``data-dir``.

What lies where at such a client is its own affair, what may be asked of it was agreed on beforehand, and its scores
stay with it.
"""

from __future__ import annotations

from dataclasses import replace

from flwr.app import Context

from collab_asd.config import RunConfig
from collab_asd.data.layouts import find_clips
from collab_asd.data.partition import partition
from collab_asd.data.run_data import data_folder, require_trainable
from collab_asd.errors import InputError
from collab_asd.federation.agreement import OWN_KEYS, Agreement
from collab_asd.federation.own_paths import require_plain_paths, require_within
from collab_asd.federation.pseudonyms import load_pseudonym_key, number_machines
from collab_asd.interfaces import Partition

UNASKED = {"partition": "machine", "clients": 0, "join": "", "record-view": False, "report-scores": False}
"""Keys of a run that mean nothing to a client with a folder of its own."""


def is_private(context: Context) -> bool:
    """Whether this SuperNode has a folder of its own."""
    return "data-dir" in context.node_config


def agreement_of(context: Context) -> Agreement:
    """Read what was agreed on.

    Raises
    ------
    InputError
        The file cannot be read, or a path in the SuperNode's configuration is not plain.
    """
    require_plain_paths(context.node_config)
    return Agreement.load(str(context.node_config.get("agreement", "")))


def private_config(context: Context) -> RunConfig:
    """Return the run's configuration as this client lets it be.

    Raises
    ------
    InputError
        The run asks for what was not agreed on: nothing has been read yet.
    """
    node = context.node_config
    agreement_of(context).require_agreed(RunConfig.from_mapping(context.run_config))
    own = {key: str(node.get(key, "")) for key in OWN_KEYS}
    if not own["data-dir"]:
        raise InputError("data-dir: is empty; name the folder of your recordings in node.toml")
    if own["results-dir"]:
        own["results-dir"] += f"/run-{context.run_id}"
    return RunConfig.from_mapping(context.run_config | UNASKED | own)


def own_partition(config: RunConfig, client: int, key_file: str) -> Partition:
    """All machines of this client's folder, numbered so that a server learns no order and no name.

    Parameters
    ----------
    config : RunConfig
    client : int
        Number of the client in its consortium.
    key_file : str
        The key that hides machine types; empty: none.

    Raises
    ------
    InputError
        The folder or the key cannot be used, or the recordings would make the run come out wrong.
    """
    clips = find_clips(data_folder(config, 1), config.channel)
    require_within(clips, data_folder(config, 1))
    (held,) = partition([clips], number_machines(clips, client, config.group_by, load_pseudonym_key(key_file)))
    require_trainable(config, [held], shares=False)
    return replace(held, client=client)
