"""Any audio model of the library `transformers` as an encoder: ``encoder = hf:NAME``.

NAME is a folder that holds a model, or ``ORGANISATION/MODEL@REVISION``, whose revision is a commit of 40 hexadecimal
digits: a branch may change, and its weights with it. Code that comes with a model is never run, so the model must be
one that `transformers` itself knows. Rate, mel bands and length of the input are those of the model's own feature
extractor; a frame is the mean of the last hidden states over one input.

A model whose extractor pads to a fixed length, as those over spectrograms do, gets inputs of that length; others get
seconds. Either moves by half of it.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from collab_asd.core.errors import InputError
from collab_asd.core.types import EncoderSpec
from collab_asd.encoders import PUBLIC_WEIGHTS, EncoderEntry
from collab_asd.encoders.checkpoints import tensors_digest
from collab_asd.encoders.torch_encoder import TorchEncoder

log = logging.getLogger(__name__)

PREFIX = "hf:"
PINNED = re.compile(r"([\w.-]+/[\w.-]+)@([0-9a-f]{40})")
SECOND = 1.0  # s of input of a model that takes any length
STACK, STACK_HOP = 2, 1  # frames


@lru_cache(maxsize=4)
def entry(name: str) -> EncoderEntry:
    """Describe the encoder of a name ``hf:NAME``, from the model's configuration alone.

    Raises
    ------
    InputError
        `transformers` is not installed, the name is no folder and no pinned revision, or it names no audio model.
    """
    config, extractor = _described(name)
    spec = _specification(name, config, extractor)
    return EncoderEntry(
        build=lambda _: HfEncoder(name),
        spec=spec,
        frames=lambda samples: _frames(samples, spec),
        about=f"The model {name.removeprefix(PREFIX)} ({config.model_type}) by transformers, averaged over each input.",
        privacy=PUBLIC_WEIGHTS,
        work=50.0,
        licence="see the model's page",
    )


class HfEncoder(TorchEncoder):
    """Encode a clip with a model of `transformers`: a frame per input.

    Parameters
    ----------
    name : str
        ``hf:NAME``, see above.

    Raises
    ------
    InputError
        As `entry`, or the weights cannot be had.
    """

    batch = 4  # inputs

    def __init__(self, name: str) -> None:
        config, self.extractor = _described(name)
        where, revision = _location(name)
        with _explained(name):
            model = _transformers().AutoModel.from_pretrained(
                where, revision=revision, trust_remote_code=False, use_safetensors=True
            )
        # A model of sound and text has a part for sound.
        self.network = getattr(model, "audio_model", model).eval().requires_grad_(False)
        tensors = {key: tensor.float() for key, tensor in sorted(self.network.state_dict().items())}
        facts = f"collab-asd hf 1: {config.to_json_string()} {self.extractor.to_json_string()}"
        digest = tensors_digest(hashlib.sha256(facts.encode()).hexdigest(), tensors)
        note = f"{name.removeprefix(PREFIX)}, digest {digest[:12]}"
        spec = _specification(name, config, self.extractor)
        self._spec = EncoderSpec(**{**vars(spec), "digest": digest, "note": note})

    def frames(self, samples: int) -> int:
        """Count the inputs of a clip that are full: at least one, which zeros fill up."""
        return _frames(samples, self._spec)

    def windows(self, waveform: Tensor) -> Tensor:
        """Cut one clip ``[samples]`` into what the model takes, by its own extractor, which computes on a CPU."""
        missing = self._spec.window - len(waveform)
        if missing > 0:
            log.warning("A clip of %d samples is too short for %s; zeros fill it up", len(waveform), self._spec.name)
        cut = F.pad(waveform, (0, max(0, missing))).unfold(0, self._spec.window, self._spec.hop)
        found = self.extractor(list(cut.cpu().numpy()), sampling_rate=self._spec.sample_rate, return_tensors="pt")
        inputs: Tensor = found[self.extractor.model_input_names[0]]
        return inputs.to(self.device)

    def embed(self, windows: Tensor) -> Tensor:
        """Encode inputs ``[n, ...]`` into frames ``[n, D]``."""
        fused = "is_longer" in self.extractor.model_input_names  # CLAP's models for long recordings; no input is
        also = {"is_longer": torch.zeros(len(windows), 1, dtype=torch.bool, device=windows.device)} if fused else {}
        with self.autocast():
            hidden: Tensor = self.network(windows, **also).last_hidden_state
        hidden = hidden.float()
        # Tokens by dimensions, or maps of channels over two axes.
        return hidden.mean(1) if hidden.ndim == 3 else hidden.flatten(2).mean(2)


def _location(name: str) -> tuple[str, str]:
    """Return what `transformers` is to load, a folder or a model's name, and the revision of it."""
    named = name.removeprefix(PREFIX)
    if named and Path(named).expanduser().is_dir():
        return str(Path(named).expanduser()), "main"
    if pinned := PINNED.fullmatch(named):
        return pinned[1], pinned[2]
    raise InputError(
        f"encoder {name!r}: {named} is no folder here, and no ORGANISATION/MODEL@REVISION with all 40 digits of a "
        "revision; a model's page shows its revisions"
    )


def _described(name: str) -> tuple[Any, Any]:
    """Read the configuration of a model, and build its feature extractor."""
    where, revision = _location(name)
    library = _transformers()
    with _explained(name):
        config = library.AutoConfig.from_pretrained(where, revision=revision, trust_remote_code=False)
        extractor = library.AutoFeatureExtractor.from_pretrained(where, revision=revision, trust_remote_code=False)
    sound = getattr(config, "audio_config", config)
    if not hasattr(extractor, "sampling_rate") or not hasattr(sound, "hidden_size"):
        raise InputError(f"encoder {name!r}: {config.model_type} is no model of sound that gives hidden states")
    return config, extractor


def _specification(name: str, config: Any, extractor: Any) -> EncoderSpec:
    rate = int(extractor.sampling_rate)
    if fixed := getattr(extractor, "nb_max_samples", None) or getattr(extractor, "n_samples", None):
        window = int(fixed)
    elif hasattr(extractor, "num_mel_bins") and hasattr(extractor, "max_length"):
        window = int(extractor.max_length) * rate // 100  # a spectrum each 10 ms
    else:
        window = int(SECOND * rate)
    dimension = int(getattr(config, "audio_config", config).hidden_size)
    return EncoderSpec(name, rate, window, window // 2, dimension, STACK, STACK_HOP, digest="")


def _frames(samples: int, spec: EncoderSpec) -> int:
    return 1 + max(0, samples - spec.window) // spec.hop


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise InputError("encoder hf:…: transformers is not installed (pip install 'collab-asd[hf]')") from error
    return transformers


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # of many kinds: no network, no such model, no safetensors, another architecture
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"encoder {name!r}: cannot be loaded ({first})") from error
