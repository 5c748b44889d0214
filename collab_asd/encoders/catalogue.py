"""What there is to know of each encoder before it is built: facts, terms, and where its weights come from.

One entry of `CATALOGUE` for each of `ENCODERS`. What an encoder computes with is read from its own module, which says
it without any weights; only words stand here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from collab_asd.config import RunConfig, check_choice
from collab_asd.encoders.weights import WeightSource
from collab_asd.interfaces import EncoderSpec

CLIP_SECONDS = 10  # of the benchmark's clips, by which encoders are compared
OWN_LICENCE = "Apache-2.0"
PUBLIC_WEIGHTS = "Weights are public: whoever has them can train an inverse; docs/privacy.md measures what it recovers."


@dataclass(frozen=True)
class Entry:
    """One encoder.

    Parameters
    ----------
    spec : EncoderSpec
        Its digest and note are those of no particular weights or key.
    frames : callable
        Samples of a clip -> frames.
    about : str
        What it is, in one sentence.
    privacy : str
        What its frames give away, as far as anybody knows.
    work : float
        10^9 multiply-accumulates of a matrix product that take as long, on the same core, as to encode a second.
    weights : WeightSource or None
        None where it needs none.
    reference : str
        Whom to cite where there are no weights.
    """

    spec: EncoderSpec
    frames: Callable[[int], int]
    about: str
    privacy: str
    work: float
    weights: WeightSource | None = None
    reference: str = ""

    @property
    def clip_frames(self) -> int:
        """Frames of a clip of 10 s."""
        return self.frames(CLIP_SECONDS * self.spec.sample_rate)

    @property
    def licence(self) -> str:
        """Terms of the weights; of the code where it needs none."""
        return self.weights.licence if self.weights else OWN_LICENCE

    @property
    def citation(self) -> str:
        """Whom to cite; may be empty."""
        return self.weights.citation if self.weights else self.reference


def _random_conv(config: RunConfig) -> Entry:
    from collab_asd.encoders.random_conv import RandomConv, demo_key

    encoder = RandomConv(demo_key(config.seed))
    return Entry(
        encoder.spec,
        encoder.frames,
        about="An untrained convolutional network over log-mel spectra, drawn from a key that the clients share.",
        privacy="No encryption: most of what the key is to hide can be got back without it (docs/privacy.md).",
        work=0.18,
        reference="Architecture after R. Arandjelović, A. Zisserman, Look, Listen and Learn, ICCV 2017",
    )


def _logmel(config: RunConfig) -> Entry:
    from collab_asd.encoders.logmel import LogMel

    encoder = LogMel()
    return Entry(
        encoder.spec,
        encoder.frames,
        about="Log-mel powers every 32 ms: the reference that gives nothing up for privacy.",
        privacy="Not private: log-mel frames are nearly the recording (docs/privacy.md).",
        work=0.02,
    )


def _waveform(config: RunConfig) -> Entry:
    from collab_asd.encoders.waveform import Waveform

    encoder = Waveform()
    return Entry(
        encoder.spec,
        encoder.frames,
        about="The samples themselves, 512 to a frame, for the method centralized and no other.",
        privacy="Not private: it is the recording.",
        work=0.02,
    )


def _yamnet(config: RunConfig) -> Entry:
    from collab_asd.encoders.yamnet import SPEC, WEIGHTS, YamNet

    return Entry(
        SPEC,
        YamNet.frames,
        about="A MobileNet over log-mel patches of 0.96 s, trained to tag the sounds of AudioSet.",
        privacy=PUBLIC_WEIGHTS,
        work=0.3,
        weights=WEIGHTS,
    )


def _openl3(config: RunConfig, dimension: Literal[512, 6144]) -> Entry:
    from collab_asd.encoders.openl3 import WEIGHTS, OpenL3, specification

    places = "over the whole map" if dimension == 512 else "over 4 x 3 places of it"
    return Entry(
        specification(dimension),
        OpenL3.frames,
        about=f"A deep convolutional network over log-mel spectra of 1 s, trained on video; maximum {places}.",
        privacy=PUBLIC_WEIGHTS,
        work=80.0,
        weights=WEIGHTS[config.openl3_model],
    )


def _panns(config: RunConfig) -> Entry:
    from collab_asd.encoders.panns import SPEC, WEIGHTS, Panns

    return Entry(
        SPEC,
        Panns.frames,
        about="A CNN of 14 layers over log-mel and learnt spectra of 1 s, trained to tag the sounds of AudioSet.",
        privacy=PUBLIC_WEIGHTS,
        work=18.0,
        weights=WEIGHTS,
    )


def _efficientat(config: RunConfig) -> Entry:
    from collab_asd.encoders.efficientat import WEIGHTS, EfficientAt, specification

    pooled = config.encoder == "efficientat-pooled"
    kept = "averaged over four frequency bands" if pooled else "in four frequency bands"
    return Entry(
        specification(pooled),
        EfficientAt.frames,
        about=f"A MobileNetV3 over log-mel spectra, taught by transformers to tag AudioSet; {kept}.",
        privacy=PUBLIC_WEIGHTS,
        work=0.2,
        weights=WEIGHTS,
    )


CATALOGUE: dict[str, Callable[[RunConfig], Entry]] = {
    "random-conv": _random_conv,
    "logmel": _logmel,
    "waveform": _waveform,
    "yamnet": _yamnet,
    "openl3-512": partial(_openl3, dimension=512),
    "openl3-6144": partial(_openl3, dimension=6144),
    "panns": _panns,
    "efficientat": _efficientat,
    "efficientat-pooled": _efficientat,
}


def entry(config: RunConfig) -> Entry:
    """Look up the configured encoder; other keys of the configuration may choose among its weights.

    Raises
    ------
    InputError
        There is none of that name.
    """
    check_choice("encoder", config.encoder, CATALOGUE)
    return CATALOGUE[config.encoder](config)
