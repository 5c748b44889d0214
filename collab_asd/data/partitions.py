"""Which client holds which clips.

Two questions, answered apart: *what* a clip is (its group and class, which follow from its machine alone) and *who*
holds it. A partitioner answers the second; `partition` joins the two.

Mixtures of machines over clients are dealt by Flower's partitioners: from nearly one machine each to the same for all.
Training clips are dealt first. A client that would hold fewer than `FEWEST` of a machine passes them on to the client
that holds most of that machine, for nothing can be fitted to them. A machine's test clips follow its training clips, in
proportion. Nothing here looks at a label: whether a client gets normal or faulty test clips is chance.

The partitioners see clip numbers and machines, no audio. They are imported where they are used: it takes seconds.

References
----------
T.-M. H. Hsu, H. Qi, M. Brown, "Measuring the effects of non-identical data distribution for federated visual
classification", 2019 (Dirichlet mixtures).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from collab_asd.core.errors import InputError
from collab_asd.core.seeding import derive, keyed_hash
from collab_asd.core.types import Clip, Partition, Split
from collab_asd.data.excerpts import together

if TYPE_CHECKING:
    from datasets import Dataset
    from flwr_datasets.partitioner import Partitioner

GROUP_BY = ("machine-type", "section", "all")
ATTRIBUTE = "attribute:"  # with an attribute's name behind it, the fourth way
FEWEST_CALIBRATION_CLIPS = 10  # with fewer, a threshold is safer from the clips that f_s was trained on

Machine = tuple[str, str]  # machine type and machine ID: sorts as a reader of the results expects


class Place(NamedTuple):
    """A machine's place among the ID classifiers: which of them, and its class there."""

    group: int
    label: int


def by_machine(clips: Sequence[Clip], group_by: str) -> list[Partition]:
    """One client per machine, as in the paper (section V-B), clients in the order of machine type and ID.

    Parameters
    ----------
    clips : sequence of Clip
    group_by : {"machine-type", "all"}
        One ID classifier per machine type, or one for all machines.

    Raises
    ------
    InputError
        If ``group_by`` is neither.
    """
    held: defaultdict[Machine, list[Clip]] = defaultdict(list)
    for clip in clips:
        held[machine_of(clip)].append(clip)
    return partition((held[machine] for machine in sorted(held)), places(clips, group_by))


def places(clips: Iterable[Clip], group_by: str) -> dict[Machine, Place]:
    """Group and class of each machine, both counted from 0 in the order of machine type and ID.

    Raises
    ------
    InputError
        If ``group_by`` is not one of `GROUP_BY`.
    """
    groups: defaultdict[str, list[Machine]] = defaultdict(list)
    for machine, name in group_names(clips, group_by).items():
        groups[name].append(machine)
    return {
        machine: Place(group, label)
        for group, machines in enumerate(groups.values())
        for label, machine in enumerate(machines)
    }


def group_names(clips: Iterable[Clip], group_by: str) -> dict[Machine, str]:
    """Name the group of each machine, in the order of machine type and ID.

    It is that of its type, its ID (a section's number), or the value of an attribute that most of its training clips
    have.

    Raises
    ------
    InputError
        If there is no such ``group_by``, or a machine's training clips have no such attribute.
    """
    if group_by not in GROUP_BY and not group_by.startswith(ATTRIBUTE):
        raise InputError(f"group-by: {group_by!r} is not one of {', '.join(GROUP_BY)}")
    held: defaultdict[Machine, list[Clip]] = defaultdict(list)
    for clip in clips:
        held[machine_of(clip)].append(clip)
    machines = sorted(held)
    if group_by.startswith(ATTRIBUTE):
        name = group_by.removeprefix(ATTRIBUTE)
        return {machine: _usual_value(machine, held[machine], name) for machine in machines}
    return {machine: {"machine-type": machine[0], "section": machine[1]}.get(group_by, "all") for machine in machines}


def _usual_value(machine: Machine, clips: Sequence[Clip], name: str) -> str:
    values = Counter(clip.attribute(name) for clip in clips if clip.split == "train")
    del values[""]
    if not values:
        raise InputError(f"{'/'.join(machine)}: {_no_attribute(clips, name)}")
    return min(values, key=lambda value: (-values[value], value))


def _no_attribute(clips: Iterable[Clip], name: str) -> str:
    known = sorted({attribute for clip in clips for attribute, _ in clip.attributes})
    return f"its training clips have no attribute {name!r}; there is {', '.join(known) or 'none'}"


def by_section(clips: Sequence[Clip], group_by: str) -> list[Partition]:
    """One client per section: it holds the machines of that ID of all types, clients in the order of the IDs."""
    held: defaultdict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        held[clip.machine_id].append(clip)
    return partition((held[machine_id] for machine_id in sorted(held)), places(clips, group_by))


def by_attribute(clips: Sequence[Clip], group_by: str, name: str, seed: int) -> list[Partition]:
    """One client per value of an attribute: it holds the training clips, of any machine, that have it.

    Training clips without a value go to the client that holds most of their machine, and so do fewer than `FEWEST` of a
    machine. Test clips go to the client that trains on their machine and value; those that none does are dealt in
    proportion.

    Raises
    ------
    InputError
        No training clip has the attribute, or a machine has no training clips.
    """
    training = _training(clips, seed)
    values = sorted({clip.attribute(name) for own in training.values() for clip in own} - {""})
    if not values:
        raise InputError(f"partition = attribute: {_no_attribute(clips, name)}")
    shares: Shares = {m: [[c for c in own if c.attribute(name) == v] for v in values] for m, own in training.items()}
    for machine, own in training.items():
        max(shares[machine], key=len).extend(clip for clip in own if not clip.attribute(name))
    shares = _passed_on(shares)
    known = {clip for clip in clips if clip.split == "test" and _trains(shares, values, clip, name)}
    rest = [clip for clip in clips if clip not in known]
    dealt = [list(part.clips) for part in _with_test_clips(shares, rest, group_by, seed)]
    for clip in known:
        dealt[values.index(clip.attribute(name))].append(clip)
    return partition(filter(None, dealt), places(clips, group_by))


def _trains(shares: Shares, values: Sequence[str], clip: Clip, name: str) -> bool:
    """Whether a client trains on the machine and the attribute's value of a test clip."""
    value = clip.attribute(name)
    return value in values and bool(shares.get(machine_of(clip), [[]] * len(values))[values.index(value)])


def partition(held: Iterable[Iterable[Clip]], where: Mapping[Machine, Place]) -> list[Partition]:
    """Partitions from the clips that client 0, 1, ... hold; each in the order of content hashes, before `numbered`."""
    found = []
    for client, clips in enumerate(held):
        ordered = tuple(sorted(clips, key=lambda clip: clip.sha256))
        placed = [where[machine_of(clip)] for clip in ordered]
        groups, classes = zip(*placed, strict=True) if placed else ((), ())
        found.append(Partition(client, ordered, groups, classes))
    return found


def numbered(held: Partition, secret: bytes) -> Partition:
    """Put the clips of a client in the order of a hash of their content that is keyed by its secret.

    Copies of one recording stand together.
    """
    order = sorted(range(len(held.clips)), key=lambda i: keyed_hash(secret, "clip", held.clips[i].sha256.encode()))
    return Partition(
        held.client,
        tuple(held.clips[i] for i in order),
        tuple(held.groups[i] for i in order),
        tuple(held.classes[i] for i in order),
    )


def simulated_secret(seed: int) -> bytes:
    """Return what stands for the clients' secrets in a simulation: all its processes can derive it."""
    return derive(seed, "clip-numbers").to_bytes(8, "big")


def machine_of(clip: Clip) -> Machine:
    """Type and ID of the machine that a clip is of."""
    return clip.machine_type, clip.machine_id


def calibration_clips(normals: int, share: float) -> int:
    """Return how many of a machine's normal clips are held back from f_s for its threshold.

    Examples
    --------
    >>> calibration_clips(175, 0.2), calibration_clips(49, 0.2)
    (35, 0)
    """
    held = int(normals * share)
    return held if held >= FEWEST_CALIBRATION_CLIPS else 0


FEWEST = 10  # training clips of one machine at one client: fewer make neither a scorer nor a threshold
DRAWS = 100  # before a Dirichlet mixture in which every client holds something is given up

Shares = dict[Machine, list[list[Clip]]]  # of each machine, the clips of client 0, 1, ...


def dirichlet(clips: Sequence[Clip], group_by: str, clients: int, alpha: float, seed: int) -> list[Partition]:
    """Deal each machine's clips to the clients in shares drawn from a Dirichlet distribution.

    A draw that leaves a client with nothing is repeated.

    Parameters
    ----------
    clips : sequence of Clip
    group_by : {"machine-type", "all"}
        As of `collab_asd.data.partitions.by_machine`.
    clients : int
        0 for as many as there are machines.
    alpha : float
        Concentration, positive: near 0 each machine is with one client, at infinity evenly with all.
    seed : int

    Raises
    ------
    InputError
        There are too few clips for so many clients, or no draw gave each client something.
    """
    held = _training(clips, seed)
    clients = _checked(held, clients)
    for draw in range(DRAWS):
        shares = _passed_on(_dirichlet_shares(held, clients, alpha, derive(seed, "dirichlet", draw)))
        if all(any(machine[client] for machine in shares.values()) for client in range(clients)):
            return _with_test_clips(shares, clips, group_by, seed)
    raise InputError(
        f"dirichlet-alpha = {alpha:g}: {DRAWS} draws left one of {clients} clients without {FEWEST} training clips of "
        "any machine; ask for fewer clients or another dirichlet-alpha (partition = machine is one machine each)"
    )


def iid(clips: Sequence[Clip], group_by: str, clients: int, seed: int) -> list[Partition]:
    """Deal each machine's clips evenly to the clients; parameters as of `dirichlet`.

    Machine by machine: were all clips dealt from one heap, chance would leave clients with fewer than `FEWEST` clips
    of some machines where there are just enough for all.

    Raises
    ------
    InputError
        A machine has fewer than `FEWEST` training clips for each client.
    """
    held = _training(clips, seed)
    clients = clients or len(held)
    machine, own = min(held.items(), key=lambda entry: len(entry[1]))
    if len(own) < FEWEST * clients:
        most = len(own) // FEWEST
        raise InputError(
            f"partition = iid: {'/'.join(machine)} has {len(own)} training clips, and {clients} clients need "
            f"{FEWEST} of them each; "
            + (f"ask for at most clients = {most}" if most else "add recordings, or set partition = machine")
        )
    return _with_test_clips(_iid_shares(held, clients), clips, group_by, seed)


def _training(clips: Sequence[Clip], seed: int) -> dict[Machine, list[Clip]]:
    if held := _shuffled(clips, "train", seed):
        return held
    raise InputError("there are no training clips to deal out to clients")


def _shuffled(clips: Sequence[Clip], split: Split, seed: int) -> dict[Machine, list[Clip]]:
    """Clips of one split by machine, in an order that depends on their content and the seed."""
    held: defaultdict[Machine, list[Clip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: clip.sha256):
        if clip.split == split:
            held[machine_of(clip)].append(clip)
    order = {m: np.random.default_rng(derive(seed, "deal", split, *m)).permutation(len(held[m])) for m in sorted(held)}
    return {machine: [held[machine][i] for i in order[machine]] for machine in order}


def _checked(held: Mapping[Machine, Sequence[Clip]], clients: int) -> int:
    """Return the number of clients; refuse more than can hold `FEWEST` training clips of any machine."""
    clients = clients or len(held)
    most = sum(len(own) // FEWEST for own in held.values())
    if clients > most:
        raise InputError(
            f"clients = {clients}: each needs {FEWEST} training clips of one machine, and there are clips for {most}"
        )
    return clients


def _dirichlet_shares(held: Mapping[Machine, Sequence[Clip]], clients: int, alpha: float, seed: int) -> Shares:
    """Each machine's shares are drawn apart from the others', so it does not matter which have an f_s in common."""
    from flwr_datasets.partitioner import DirichletPartitioner

    partitioner = DirichletPartitioner(clients, "machine", alpha, min_partition_size=0, seed=seed)
    return _dealt(held, partitioner, clients)


def _iid_shares(held: Mapping[Machine, Sequence[Clip]], clients: int) -> Shares:
    from flwr_datasets.partitioner import IidPartitioner

    shares: Shares = {}
    for machine, own in held.items():
        shares |= _dealt({machine: own}, IidPartitioner(clients), clients)
    return shares


def _dealt(held: Mapping[Machine, Sequence[Clip]], partitioner: Partitioner, clients: int) -> Shares:
    """Let a partitioner deal clips by their numbers."""
    recordings = {machine: _recordings(own) for machine, own in held.items()}
    flat = [(machine, clips) for machine, own in recordings.items() for clips in own]
    partitioner.dataset = _numbered(recordings)
    shares: Shares = {machine: [[] for _ in range(clients)] for machine in held}
    for client in range(clients):
        for number in partitioner.load_partition(client)["clip"]:
            machine, clips = flat[number]
            shares[machine][client] += clips
    return shares


def _recordings(clips: Sequence[Clip]) -> list[list[Clip]]:
    """Gather the clips that were cut from one recording: they are dealt together."""
    return [[clips[i] for i in of_one] for of_one in together(clip.path for clip in clips)]


def _numbered(recordings: Mapping[Machine, Sequence[Sequence[Clip]]]) -> Dataset:
    """All that a partitioner needs to know: the number of each clip, or recording of several, and of its machine."""
    from datasets import Dataset

    machines = [number for number, own in enumerate(recordings.values()) for _ in own]
    return Dataset.from_dict({"clip": list(range(len(machines))), "machine": machines})


def _passed_on(shares: Shares) -> Shares:
    """Give what is too little to the client that holds most of that machine, the first of several."""
    return {machine: _gathered(parts) for machine, parts in shares.items()}


def _gathered(parts: Sequence[list[Clip]]) -> list[list[Clip]]:
    most = max(range(len(parts)), key=lambda client: len(parts[client]))
    few = {client for client, part in enumerate(parts) if len(part) < FEWEST and client != most}
    surplus = [clip for client in sorted(few) for clip in parts[client]]
    return [
        [] if client in few else [*part, *surplus] if client == most else list(part)
        for client, part in enumerate(parts)
    ]


def _with_test_clips(shares: Shares, clips: Sequence[Clip], group_by: str, seed: int) -> list[Partition]:
    """Add each machine's test clips to its training clips, and make partitions of them."""
    where = places(clips, group_by)
    test = _shuffled(clips, "test", seed)
    if missing := sorted(where.keys() - shares.keys()):
        raise InputError(f"{'/'.join(missing[0])} has no training clips, so nobody can hold it: leave that machine out")
    held: list[list[Clip]] = [[] for _ in next(iter(shares.values()))]
    for machine, parts in shares.items():
        own = test.get(machine, [])
        ends = np.cumsum(apportion(len(own), [len(part) for part in parts]))
        for client, (part, end) in enumerate(zip(parts, ends, strict=True)):
            start = ends[client - 1] if client else 0
            held[client] += [*part, *own[start:end]]
    return partition(held, where)


def apportion(clips: int, weights: Sequence[int]) -> list[int]:
    """Divide a number of clips in proportion to weights, by largest remainders (Hamilton's method).

    Examples
    --------
    >>> apportion(10, [100, 60, 15, 0])
    [6, 3, 1, 0]
    """
    whole, rest = zip(*(divmod(clips * weight, sum(weights)) for weight in weights), strict=True)
    first = sorted(range(len(weights)), key=lambda client: -rest[client])[: clips - sum(whole)]
    return [share + (client in first) for client, share in enumerate(whole)]


CLIPS = "clips-"
PREFIX = "dirichlet-"
CONDITIONS = ("response-", "gain-", "noise-", "interference-")


def partition_settings(name: str) -> dict[str, Any]:
    """Return the configuration keys that a partition's name stands for; none for the empty name.

    Examples
    --------
    >>> partition_settings("dirichlet-0.1")
    {'partition': 'dirichlet', 'dirichlet-alpha': 0.1}
    >>> partition_settings("clips-20")
    {'partition': 'machine', 'train-clips': 20}
    >>> partition_settings("response-3")
    {'partition': 'machine', 'recording-conditions': 'response-3'}

    Raises
    ------
    InputError
        The name stands for nothing.
    """
    if name.startswith(CLIPS) and name.removeprefix(CLIPS).isdecimal() and int(name.removeprefix(CLIPS)):
        return {"partition": "machine", "train-clips": int(name.removeprefix(CLIPS))}
    if name.startswith(CONDITIONS):
        return {"partition": "machine", "recording-conditions": name}
    if name in ("", "machine", "iid"):
        return {"partition": name} if name else {}
    return {"partition": "dirichlet", "dirichlet-alpha": _alpha(name)}


def evenness(name: str) -> float:
    """Return where a partition stands between one machine each, 0, and IID, infinity; or how many clips there are.

    Other recording conditions come after the plain ones, in no order.
    """
    if name.startswith(CONDITIONS):
        return 1.0
    if name.startswith(CLIPS):
        return float(partition_settings(name)["train-clips"])
    ends = {"machine": 0.0, "iid": math.inf}
    return ends[name] if name in ends else _alpha(name)


def partition_words(name: str) -> str:
    """Return a partition's name as a figure writes it, in two short lines."""
    if name.startswith(CLIPS):
        return f"{name.removeprefix(CLIPS)} clips\nper machine"
    if name.startswith(CONDITIONS):
        return name.replace("+", "\n")
    words = {"machine": "one machine\neach", "iid": "same for all\n(IID)"}
    return words.get(name) or f"Dirichlet\n{_alpha(name):g}"


def _alpha(name: str) -> float:
    try:
        alpha = float(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else 0.0
    except ValueError:
        alpha = 0.0
    if not 0 < alpha < math.inf:
        raise InputError(
            f"partitions: {name!r} does not exist; write machine, iid or dirichlet-ALPHA (dirichlet-0.5), or clips-N"
        )
    return alpha
