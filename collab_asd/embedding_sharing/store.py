"""The server's store of received embeddings: views of the messages' bytes, never joined or copied."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from collab_asd.embedding_sharing.codec import SharedClip
from collab_asd.interfaces import MachineFrames, Part

PARTS: tuple[Part, ...] = get_args(Part)  # in the order of the fields of `MachineFrames`


@dataclass(frozen=True)
class SharedMachine:
    """One machine as the server knows it: embeddings, and the client's numbers of the clips they belong to."""

    frames: MachineFrames
    normal_clips: tuple[int, ...]
    test_clips: tuple[int, ...]


class EmbeddingStore:
    """Embeddings by client and part, in the order of the client's clip numbers."""

    def __init__(self) -> None:
        self._clips: dict[tuple[int, Part], list[SharedClip]] = defaultdict(list)
        self._groups: dict[int, set[int]] = defaultdict(set)

    def add(self, client: int, part: Part, clips: Iterable[SharedClip]) -> None:
        """Keep one page."""
        page = list(clips)
        self._clips[client, part].extend(page)
        self._groups[client].update(clip.group for clip in page)

    def __len__(self) -> int:
        """Return the number of clips that are kept."""
        return sum(map(len, self._clips.values()))

    def groups(self, client: int) -> list[int]:
        """Return the groups that a client has machines in; known after `release`, too."""
        return sorted(self._groups[client])

    def machines(self, client: int) -> list[SharedMachine]:
        """Return what one client has sent, by machine."""
        held = {part: self._clips[client, part] for part in PARTS}
        places = sorted({(clip.group, clip.machine_class) for clip in held["train"]})
        return [_machine(place, held) for place in places]

    def release(self) -> None:
        """Forget the embeddings: under Algorithm 1 nothing needs them once f_s is trained."""
        self._clips.clear()


def _machine(place: tuple[int, int], held: Mapping[Part, Sequence[SharedClip]]) -> SharedMachine:
    own = {part: [c for c in clips if (c.group, c.machine_class) == place] for part, clips in held.items()}
    return SharedMachine(
        MachineFrames(*place, *([clip.frames for clip in own[part]] for part in PARTS)),
        normal_clips=tuple(clip.clip for clip in (*own["train"], *own["calibration"])),
        test_clips=tuple(clip.clip for clip in own["test"]),
    )
