"""An untrained convolutional network drawn from a key, as an encoder that needs no download.

The network follows the audio half of Look, Listen and Learn (blocks of convolutions and max pooling over a log-mel
spectrogram), but is never trained and keeps the position in frequency, by which machines are told apart. All clients
have the same key and so the same network; the server needs none.

This is no encryption, and nothing is proven about what can be recovered from the frames. Level and rhythm of a sound
show in them without any key, frequency bands stay in order, and whoever knows some recordings together with their
frames can learn an inverse. With the public demo key, anybody can. What known attacks achieve is for the privacy audit
to measure.

References
----------
R. Arandjelović and A. Zisserman, "Look, Listen and Learn", ICCV 2017. A. L. Cramer et al., "Look, listen, and learn
more: Design choices for deep audio embeddings", ICASSP 2019.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from collab_asd.config import RunConfig
from collab_asd.core import seeding
from collab_asd.core.errors import InputError
from collab_asd.core.torch_audio import torchaudio
from collab_asd.core.types import EncoderSpec
from collab_asd.encoders import EncoderEntry
from collab_asd.encoders.torch_encoder import TorchEncoder

SAMPLE_RATE = 16_000  # Hz
FFT, FFT_HOP, MEL_BANDS = 1024, 400, 128  # samples, samples, bands
FLOOR = 1e-10  # of mel power
CENTRE, UNIT = -40.0, 10.0  # dB; the level stays in: what is louder is further from zero

# Blocks of convolutions (output channels, kernel in frequency and time), each followed by max pooling (same axes).
Block = tuple[tuple[tuple[int, tuple[int, int]], ...], tuple[int, int]]
BLOCKS: tuple[Block, ...] = (
    (((16, (3, 3)), (16, (3, 3))), (2, 2)),
    (((32, (3, 3)), (32, (3, 3))), (2, 2)),
    (((64, (3, 3)), (32, (3, 3))), (2, 1)),
)
KEY_BANDS = 16  # of a frame, in frequency
DIMENSION = KEY_BANDS * 32  # channels
FRAME_SPECTRA, FRAME_HOP = 32, 4  # spectra that one frame sees: no padding in time; and between two frames
WINDOW, HOP = FFT + (FRAME_SPECTRA - 1) * FFT_HOP, FRAME_HOP * FFT_HOP  # samples
STACK, STACK_HOP = 32, 4  # frames

SPEC = EncoderSpec("random-conv", SAMPLE_RATE, WINDOW, HOP, DIMENSION, STACK, STACK_HOP, digest="")
"""All of it that no key is needed for."""
ARCHITECTURE = f"random-conv 2: {SAMPLE_RATE} {FFT} {FFT_HOP} {MEL_BANDS} {FLOOR} {CENTRE} {UNIT} {BLOCKS}"
_DEMO = b"collab-asd public demo key "


def demo_key(seed: int) -> bytes:
    """Key number `seed` of those that everybody knows. It makes results reproducible and hides nothing."""
    return _DEMO + str(seed).encode()


def load_key(path: Path) -> bytes:
    """Read a secret key: all bytes of a file, 16 at least.

    Raises
    ------
    InputError
        The file is missing, cannot be read, is too short or holds a demo key.
    """
    key = seeding.read_key(path, "encoder key")
    if key.startswith(_DEMO):
        raise InputError(f"encoder key {path} is a public demo key: make a secret one with `head -c 32 /dev/urandom`")
    return key


def gaussian(key: bytes, layer: int, count: int) -> NDArray[np.float64]:
    """Draw `count` standard normal numbers for one layer of the network of a key (`seeding.gaussian`)."""
    return seeding.gaussian(f"collab-asd random-conv/{layer}/".encode() + key, count)


class RandomConv(TorchEncoder):
    """Waveform at 16 kHz -> 16 frequency bands of 32 random features every 0.1 s: 92 frames of 512 for 10 s.

    Parameters
    ----------
    key : bytes
        What the weights are drawn from.
    """

    def __init__(self, key: bytes) -> None:
        self._mel = torchaudio.transforms.MelSpectrogram(
            SAMPLE_RATE, n_fft=FFT, hop_length=FFT_HOP, n_mels=MEL_BANDS, center=False, power=2.0
        )
        self._network = draw_network(key)
        digest = hashlib.sha256(ARCHITECTURE.encode() + b"/" + key).hexdigest()
        is_demo = key.startswith(_DEMO)
        note = f"public demo key {key[len(_DEMO) :].decode()}: hides nothing" if is_demo else "secret key"
        self._spec = replace(SPEC, digest=digest, note=note)

    @staticmethod
    def frames(samples: int) -> int:
        """Frames of a clip of so many samples; 0 for one shorter than 0.839 s."""
        return max(0, 1 + (samples - WINDOW) // HOP)

    def windows(self, waveform: Tensor) -> Tensor:
        """See `TorchEncoder`: the clip as a whole, at 16 kHz."""
        return waveform[None]

    def embed(self, windows: Tensor) -> Tensor:
        """Encode clips ``[n, samples]`` into frames ``[n, T, 512]``; band by channel, low bands first."""
        decibels = 10.0 * torch.log10(self._mel(windows).clamp_min(FLOOR))
        spectra = (decibels[:, None] - CENTRE) / UNIT  # [n, 1, 128 bands, spectra]
        with self.autocast():
            features: Tensor = self._network(spectra)  # [n, 32 channels, 16 bands, T]
        return features.permute(0, 3, 2, 1).flatten(2)


def draw_network(key: bytes) -> nn.Sequential:
    """Draw the network: ``[1, 1, 128 bands, spectra]`` -> ``[1, 32, 16 bands, T]``.

    Layer l's weights, in PyTorch's order (out, in, frequency, time), are `gaussian` numbers scaled by sqrt(2 / fan-in),
    which keeps the size of what flows through (K. He et al., ICCV 2015). There are no biases, and as in Look, Listen
    and Learn no activation after the last convolution.
    """
    layers: list[nn.Module] = []
    drawn, channels = 0, 1
    for convolutions, pooling in BLOCKS:
        for out, kernel in convolutions:
            if drawn:  # after the pooling of the block before, which is the same: maximum and ReLU commute
                layers.append(nn.ReLU())
            layer = nn.Conv2d(channels, out, kernel, padding=(kernel[0] // 2, 0), bias=False).requires_grad_(False)
            shape = tuple(layer.weight.shape)
            weights = gaussian(key, drawn, int(np.prod(shape))) * np.sqrt(2.0 / np.prod(shape[1:]))
            layer.weight.copy_(torch.from_numpy(weights.reshape(shape).astype(np.float32)))
            layers.append(layer)
            drawn, channels = drawn + 1, out
        layers.append(nn.MaxPool2d(pooling))
    return nn.Sequential(*layers).eval()


def _build(config: RunConfig) -> RandomConv:
    key_file = config.encoder_key_file
    return RandomConv(load_key(Path(key_file).expanduser()) if key_file else demo_key(config.seed))


ENTRY = EncoderEntry(
    build=_build,
    spec=SPEC,
    frames=RandomConv.frames,
    about="An untrained convolutional network over log-mel spectra, drawn from a key that the clients share.",
    privacy="No encryption: most of what the key is to hide can be got back without it (docs/privacy.md).",
    work=0.18,
    key_bands=KEY_BANDS,
    reference="Architecture after R. Arandjelović, A. Zisserman, Look, Listen and Learn, ICCV 2017",
)
