"""How clients train in rounds: how many, and what each does in one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from collab_asd.classifier.settings import PRESETS, Head, TrainingSettings
from collab_asd.config import ClassHead, RunConfig

HEADS: dict[ClassHead, Head] = {"naive": "arcface", "anchors": "fixed", "fedaws": "positive"}
FAST_ROUNDS, FAST_BATCH, FAST_LEARNING_RATE = 21, 32, 1e-3
CLASS_CLIPS = "class-clips"  # in a message: training clips of each class at all clients together
FEWEST_WINDOWS = 2  # one alone has no batch statistics


@dataclass(frozen=True)
class RoundSettings:
    """Rounds, and a client's training in each.

    Parameters
    ----------
    rounds : int
    training : TrainingSettings
        Of one client in one round. Windows seen in all are those of embedding sharing with the same preset.
    """

    rounds: int
    training: TrainingSettings


def settings_of(config: RunConfig, proximal: float = 0.0, share: float = 1.0) -> RoundSettings:
    """Read the settings out of a run's configuration.

    ``fast`` cuts the 3 x 700 windows of each class that embedding sharing sees into 21 rounds of 100, ``paper`` its 20
    epochs into 20 rounds of one. The learning rate stays the same over a round: a cycle within each would end every
    round with steps that are lost in the average. A client that holds a `share` of its classes' clips draws that share
    of the windows: however clips are spread over clients, they see as many in all.
    """
    preset = PRESETS[config.preset]
    training = replace(
        preset,
        epochs=1,
        head=HEADS[config.class_head],
        proximal=proximal,
        normalization=config.normalization,
    )
    if config.preset == "paper":
        rate = config.learning_rate or preset.learning_rate
        return RoundSettings(config.rounds or preset.epochs, replace(training, learning_rate=rate))
    rounds = config.rounds or FAST_ROUNDS
    windows = preset.epochs * (preset.windows_per_class or 0) // rounds
    own_windows = max(FEWEST_WINDOWS, round(share * windows))
    rate = config.learning_rate or FAST_LEARNING_RATE
    return RoundSettings(
        rounds,
        replace(training, windows_per_class=own_windows, batch=FAST_BATCH, one_cycle=False, learning_rate=rate),
    )
