"""What split learning can work on: apart from what takes long to import."""

from __future__ import annotations

from collab_asd.config import RunConfig
from collab_asd.errors import InputError

MAPS = ("logmel", "random-conv")  # encoders whose frames keep where in frequency something is


def require_possible(config: RunConfig) -> None:
    """Refuse what split learning cannot cut, or cannot train.

    Raises
    ------
    InputError
        The encoder does not give maps, or the head is one for averaging.
    """
    if config.encoder not in MAPS:
        raise InputError(
            f"method {config.method!r} cuts a network over spectrogram maps; encoder {config.encoder!r} gives vectors: "
            f"choose encoder {' or '.join(map(repr, MAPS))}, whose frames do not leave the client either"
        )
    if config.class_head == "fedaws":
        raise InputError(f"class-head = 'fedaws' is for averaging; for {config.method} choose naive or anchors")
