"""What the server keeps of a run, in a folder: the sums, who is in them, and each client's part where it is retained.

Sums are integers: who joins and leaves again has changed no bit. The variances that matrices are in units of stay those
of the first run, or every client would have to send another matrix when one joins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from collab_asd.core.errors import InputError
from collab_asd.core.schemas import REPEAT, SERVER_STATE, load_arrays_of, require_sealed, save_card
from collab_asd.core.schemas import part as below
from collab_asd.core.terminal import shortened
from collab_asd.detection.second_order import DIMENSION, TRIANGLE
from collab_asd.methods.covariance_sharing.sums import Part, bits_of, read_part, total

KEPT = "server"
CARD, ARRAYS = "sums.json", "sums.safetensors"


@dataclass(frozen=True)
class Group:
    """The sums of one group of machines.

    Parameters
    ----------
    first : Part
        The first round's sums over the clients that the group began with.
    bits : int
        Behind the point of matrices.
    total : Part
        All sums, over all clients that are in them now.
    """

    first: Part
    bits: int
    total: Part

    @classmethod
    def begin(cls, first: Part) -> Self:
        """Begin with the sums of a first round, and no matrix."""
        zeros = (np.zeros(DIMENSION, np.int64), np.zeros(len(TRIANGLE[0]), np.int64))
        return cls(first, bits_of(first.machines, first.dof), Part(0, 0, *zeros))

    def plus(self, part: Part) -> Self:
        """Return the group with one client's part more."""
        return replace(self, total=total([self.total, part]))

    def minus(self, part: Part) -> Self:
        """Return the group without one client's part."""
        return replace(self, total=self.total - part)


@dataclass(frozen=True)
class Member:
    """One client.

    Parameters
    ----------
    clips : str
        Hash of its normal clips, by which it is known again.
    parts : mapping of int to Part
        What it has added, by group.
    included : frozenset of int
        Groups whose first round it was part of.
    """

    clips: str
    parts: Mapping[int, Part]
    included: frozenset[int] = frozenset()

    @property
    def is_retained(self) -> bool:
        """Whether its matrices are known, so that they can be taken out."""
        return all(part.scatter is not None for part in self.parts.values())


@dataclass(frozen=True)
class ServerState:
    """What there is to go on from.

    Parameters
    ----------
    groups : mapping of int to Group
    members : mapping of str to Member
        By the hash of their clips.
    """

    groups: Mapping[int, Group] = field(default_factory=dict)
    members: Mapping[str, Member] = field(default_factory=dict)

    def save(self, folder: Path, retain: bool) -> None:
        """Write into a folder; the clients' own parts only where they are to be retained."""
        arrays: dict[str, NDArray[Any]] = {}
        groups, members = {}, {}
        for g, group in self.groups.items():
            groups[g] = {"bits": group.bits} | {
                name: _put(arrays, f"{g}/{name}", getattr(group, name)) for name in ("first", "total")
            }
        for clips, member in self.members.items():
            parts = member.parts if retain else {g: replace(p, scatter=None) for g, p in member.parts.items()}
            told = {g: _put(arrays, f"{clips}/{g}", part) for g, part in parts.items()}
            members[clips] = {"included": sorted(member.included), "parts": told}
        content = {**SERVER_STATE.stamp, "groups": groups, "members": members}
        save_card(folder / CARD, folder / ARRAYS, content, arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read from a folder.

        Raises
        ------
        InputError
            It is not there, damaged, or another version's.
        """
        if not (folder / CARD).is_file():
            raise InputError(f"join: {folder} holds no sums; name the result folder of a run of covariance-sharing")
        card = require_sealed(SERVER_STATE.read(folder / CARD), folder / CARD, SERVER_STATE, unsealed=True)
        arrays = load_arrays_of(card, folder / CARD, folder / ARRAYS, SERVER_STATE)
        try:
            groups = {
                int(g): Group(
                    _take(arrays, f"{g}/first", said["first"]), said["bits"], _take(arrays, f"{g}/total", said["total"])
                )
                for g, said in card["groups"].items()
            }
            members = {
                clips: Member(
                    clips,
                    {int(g): _take(arrays, f"{clips}/{g}", part) for g, part in said["parts"].items()},
                    frozenset(said["included"]),
                )
                for clips, said in card["members"].items()
            }
            return cls(groups, members)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"join: {folder} cannot be read ({shortened(error)}); {REPEAT}") from error


def _put(arrays: dict[str, NDArray[Any]], name: str, part: Part) -> dict[str, int]:
    arrays[f"{name}/squares"] = np.ascontiguousarray(part.squares)
    if part.scatter is not None:
        arrays[f"{name}/scatter"] = np.ascontiguousarray(part.scatter)
    return {"machines": part.machines, "dof": part.dof}


def _take(arrays: dict[str, NDArray[Any]], name: str, facts: Mapping[str, int]) -> Part:
    own = below(arrays, f"{name}/")
    narrow = {key: array.astype(np.int32) if key == "scatter" else array for key, array in own.items()}
    return read_part(facts, narrow)
