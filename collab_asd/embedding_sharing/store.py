"""The server's store of received embeddings: views of the messages' bytes, never joined or copied."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from collab_asd.embedding_sharing.codec import SharedClip
from collab_asd.interfaces import MachineFrames, Split


@dataclass(frozen=True)
class SharedMachine:
    """One machine as the server knows it: embeddings, and the client's numbers of the clips they belong to."""

    frames: MachineFrames
    normal_clips: tuple[int, ...]
    test_clips: tuple[int, ...]


class EmbeddingStore:
    """Embeddings by client and split, in the order of the client's clip numbers."""

    def __init__(self) -> None:
        self._clips: dict[tuple[int, Split], list[SharedClip]] = defaultdict(list)
        self._groups: dict[int, set[int]] = defaultdict(set)

    def add(self, client: int, split: Split, clips: Iterable[SharedClip]) -> None:
        """Keep one page."""
        page = list(clips)
        self._clips[client, split].extend(page)
        self._groups[client].update(clip.group for clip in page)

    def __len__(self) -> int:
        """Return the number of clips that are kept."""
        return sum(map(len, self._clips.values()))

    def groups(self, client: int) -> list[int]:
        """Return the groups that a client has machines in; known after `release`, too."""
        return sorted(self._groups[client])

    def machines(self, client: int) -> list[SharedMachine]:
        """Return what one client has sent, by machine."""
        train, test = self._clips[client, "train"], self._clips[client, "test"]
        return [self._machine(key, train, test) for key in sorted({(c.group, c.machine_class) for c in train})]

    def release(self) -> None:
        """Forget the embeddings: under Algorithm 1 nothing needs them once f_s is trained."""
        self._clips.clear()

    @staticmethod
    def _machine(key: tuple[int, int], train: list[SharedClip], test: list[SharedClip]) -> SharedMachine:
        normal, other = ([c for c in clips if (c.group, c.machine_class) == key] for clips in (train, test))
        frames = MachineFrames(*key, [c.frames for c in normal], [c.frames for c in other])
        return SharedMachine(frames, tuple(c.clip for c in normal), tuple(c.clip for c in other))
