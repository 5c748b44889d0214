"""How `centralized` trains: embedding sharing whose embedding is the recording.

The protocol, the strategy and the scorers are those of embedding sharing. Only f_s differs: it hears samples, and
learns a front end for them.
"""

from __future__ import annotations

from dataclasses import replace

from collab_asd.config import Preset, RunConfig
from collab_asd.errors import InputError
from collab_asd.id_classifier import settings
from collab_asd.id_classifier.settings import TrainingSettings

READS = "waveform"

PRESETS: dict[Preset, TrainingSettings] = {
    "fast": replace(settings.PRESETS["fast"], backbone="stgram-light", learning_rate=2e-3),  # chosen on toycar_tune
    "paper": replace(settings.PRESETS["paper"], backbone="stgram-mfn"),
}
"""Those of embedding sharing, with as many windows of each machine."""


def require_recordings(config: RunConfig) -> None:
    """Refuse whatever is not the recordings themselves.

    Raises
    ------
    InputError
        The encoder is another.
    """
    if config.encoder != READS:
        raise InputError(
            f"method {config.method!r} learns from the recordings themselves, not from frames of encoder "
            f"{config.encoder!r}: add --encoder {READS} (for flwr run: encoder='{READS}'); they all leave the clients"
        )
