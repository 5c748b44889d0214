"""Numbers of groups and classes where each client has a folder of its own, from which no order or name can be read.

A group is told by a keyed hash of its machine type: clients with the same key agree on it without a list of types, and
a server without the key cannot try names. Machines of one client are numbered in an order by its own secret.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

from collab_asd.core.errors import InputError
from collab_asd.core.seeding import keyed_hash
from collab_asd.core.types import Clip
from collab_asd.data.partitions import Machine, Place, group_names, machine_of
from collab_asd.wire.fields import MOST_MACHINES

MOST_CLIENTS = 2**31 // MOST_MACHINES
"""The numbers of a client's machines follow on those of the client before."""
KEY_BYTES = 16


def number_machines(
    clips: Sequence[Clip], client: int, group_by: str, key: bytes | None, secret: bytes
) -> dict[Machine, Place]:
    """Give each machine of one client a group and a class, for a server that has no list of them.

    Parameters
    ----------
    client : int
        Number of the client in its consortium.
    group_by : str
        As of `collab_asd.data.partitions.group_names`.
    key : bytes or None
        Shared by the clients; not needed where all machines are one group.
    secret : bytes
        The client's own.

    Raises
    ------
    InputError
        There is no key, or the numbers do not suffice.
    """
    machines = _in_secret_order(clips, secret)
    if len(machines) > MOST_MACHINES or not 0 <= client < MOST_CLIENTS:
        raise InputError(
            f"client {client} with {len(machines)} machines: numbers suffice for {MOST_CLIENTS} clients of "
            f"{MOST_MACHINES} machines"
        )
    names = group_names(clips, group_by)
    return {
        machine: Place(_group(names[machine], group_by, key), client * MOST_MACHINES + index)
        for index, machine in enumerate(machines)
    }


def load_pseudonym_key(path: str) -> bytes | None:
    """Read the key that hides machine types; None where no file is named.

    Raises
    ------
    InputError
        The file cannot be read, or is too short for a key.
    """
    if not path:
        return None
    try:
        key = Path(path).expanduser().read_bytes()
    except OSError as error:
        raise InputError(f"pseudonym-key-file {path}: {error.strerror}; ask whoever set up the consortium") from error
    if len(key) < KEY_BYTES:
        raise InputError(f"pseudonym-key-file {path}: {len(key)} bytes are too short for a key of {KEY_BYTES}")
    return key


def _in_secret_order(clips: Iterable[Clip], secret: bytes) -> list[Machine]:
    """Order machines by the smallest keyed hash of their clips' content, those to train on first."""
    smallest: dict[Machine, tuple[bool, bytes]] = {}
    for clip in clips:
        machine, mark = machine_of(clip), (clip.split != "train", keyed_hash(secret, "machine", clip.sha256.encode()))
        smallest[machine] = min(smallest.get(machine, mark), mark)
    return sorted(smallest, key=lambda machine: smallest[machine])


def _group(name: str, group_by: str, key: bytes | None) -> int:
    if group_by == "all":
        return 0
    if key is None:
        raise InputError(
            f"pseudonym-key-file: none is named, and with group-by = {group_by} the server would learn machine types; "
            "name the key file that all clients have, or agree on group-by = all"
        )
    kind = "machine type" if group_by == "machine-type" else group_by
    text = f"collab-asd {kind}/{name.strip().casefold()}".encode()
    return int.from_bytes(hmac.digest(key, text, sha256)[:4], "big") >> 1
