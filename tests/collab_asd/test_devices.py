"""Every stage computes on the device that it is given, and its front end too.

PyTorch's device ``meta`` has shapes and no numbers, and refuses to mix its tensors with those of a CPU: what runs on it
from end to end leaves nothing behind on a CPU. The same stages run on CUDA where there is one.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from baselines.local_networks.glow import Glow
from baselines.local_networks.variational import Vae, Vidnn
from baselines.split_learning.algorithm import ClientHalf, ServerHalf, new_first_stage
from collab_asd.classifier.model import ClassifierSettings, IdClassifier
from collab_asd.classifier.sampling import WindowSampler
from collab_asd.classifier.settings import PRESETS
from collab_asd.classifier.training import build_head, build_optimizer, draw_epoch, gather, labels_of, mixed_loss, train
from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.types import Clip, EncoderSpec
from collab_asd.data.audio import Audio
from collab_asd.data.resampling import resample_tensor
from collab_asd.encoders import OffsetRemoved, build
from collab_asd.encoders.aisfx import AiSfx, LogMel, build_network, expected_shapes
from collab_asd.encoders.cache import EmbeddingCache
from collab_asd.encoders.torch_encoder import TorchEncoder

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: PyTorch finds none here")
DEVICES = ["meta", pytest.param("cuda", marks=needs_cuda)]
# The margin of ArcFace looks for numbers that meta tensors do not have.
TRAINING = replace(PRESETS["fast"], head="positive")
LIGHT = ClassifierSettings("light", 6, 4, 2, classes=3)
WITHOUT_WEIGHTS = ["random-conv", "logmel"]


def weightless_aisfx():
    """An aiSFX of made-up weights."""
    generator = torch.Generator().manual_seed(0)
    tensors = {name: torch.rand(shape, generator=generator) * 0.1 for name, shape in expected_shapes().items()}
    encoder = AiSfx.__new__(AiSfx)
    encoder.banded, encoder.front_end, encoder.network = True, LogMel(), build_network(tensors)
    encoder._spec = EncoderSpec("aisfx-bands", 44_100, 1, 1, 2048, 8, 1, "made up")
    return encoder


def torch_encoders(shared):
    """Encoders that need no download."""
    yield from (build(RunConfig(encoder=name)).encoder for name in WITHOUT_WEIGHTS)
    yield weightless_aisfx()
    yield build(RunConfig(encoder="yamnet", encoder_weights=str(shared / "weights/yamnet/yamnet_folded.h5"))).encoder
    yield build(RunConfig(encoder="efficientat", encoder_weights=str(shared / "weights/efficientat"))).encoder


@pytest.mark.parametrize("device", DEVICES)
def test_encoders_stay_on_their_device(shared, device):
    for encoder in torch_encoders(shared):
        encoder.to(device)
        waveform = torch.zeros(3 * encoder.spec.sample_rate, device=device)
        windows = encoder.windows(waveform)
        frames = encoder.embed(windows)
        assert {windows.device.type, frames.device.type} == {device}, encoder.spec.name
        assert frames.shape[-1] == encoder.spec.dimension


@pytest.mark.parametrize("device", DEVICES)
def test_resampling_stays_on_its_device(device):
    resampled = resample_tensor(torch.zeros(44_100, device=device), 44_100, 16_000)
    assert (resampled.device.type, len(resampled)) == (device, 16_000)


def clips():
    rng = np.random.default_rng(0)
    return [rng.standard_normal((24, 6), dtype=np.float32) for _ in range(6)], [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("device", DEVICES)
def test_a_training_step_of_the_id_classifier_stays_on_its_device(device):
    model = IdClassifier(LIGHT).to(device)
    head = build_head(model.directions, TRAINING)
    sampler = WindowSampler(*clips(), 4, 2)
    draw = draw_epoch(sampler, TRAINING, np.random.default_rng(0))[0]
    optimizer = build_optimizer([*model.parameters(), *head.parameters()], TRAINING)
    loss = mixed_loss(head, model.train()(gather(sampler, draw, model)), labels_of(sampler, draw))
    loss.backward()
    optimizer.step()
    assert loss.device.type == device
    assert all(p.grad.device.type == device for p in model.parameters())


@pytest.mark.parametrize("device", DEVICES)
def test_both_halves_of_split_learning_stay_on_their_device(device):
    client = ClientHalf(new_first_stage(LIGHT, device), WindowSampler(*clips(), 4, 2), TRAINING, seed=0)
    activations, labels = client.activations(0)
    (gradient,) = ServerHalf(IdClassifier(LIGHT).to(device), TRAINING).step([activations], [labels])
    client.learn(0, gradient)
    assert {activations.device.type, gradient.device.type} == {device}


@pytest.mark.parametrize(
    ("detector", "device"),
    # A flow's first batch sets its scales, which meta tensors have no numbers for.
    [(Vae, "meta"), (Vidnn, "meta"), *(pytest.param(d, "cuda", marks=needs_cuda) for d in (Vae, Vidnn, Glow))],
)
def test_local_networks_stay_on_their_device(detector, device):
    settings = detector.presets["fast"]
    network = detector(settings, device).build(128).to(device)
    x = torch.zeros(4, settings.stack, 128, device=device)
    assert network.loss(x).device.type == device
    assert network.anomaly(x).device.type == device


@needs_cuda
@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_cuda_gives_the_frames_of_a_cpu(name):
    x = 0.1 * np.random.default_rng(0).standard_normal(64_000, dtype=np.float32)
    frames = {device: build(RunConfig(encoder=name, device=device))(x) for device in ("cpu", "cuda")}
    np.testing.assert_allclose(frames["cuda"], frames["cpu"], rtol=1e-3, atol=1e-3)


@needs_cuda
def test_training_on_cuda_tells_the_classes_apart():
    model = train(*clips(), PRESETS["fast"], 0, stack=4, stack_hop=2, device="cuda")
    assert model.predict(model.embed(clips()[0][0])) in (0, 1, 2)


class Doubling(TorchEncoder):
    """Windows of two samples, doubled; memory for so many windows at once."""

    spec = EncoderSpec("doubling", 2, 2, 2, 2, 1, 1, "d")
    batch = 8

    def __init__(self, room):
        self.room, self.sizes = room, []

    def frames(self, samples):
        return samples // 2

    def windows(self, waveform):
        return waveform.unfold(0, 2, 2)

    def embed(self, windows):
        if len(windows) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        self.sizes.append(len(windows))
        return 2 * windows


def test_out_of_memory_makes_batches_smaller():
    encoder, waveform = Doubling(room=3), np.arange(20, dtype=np.float32)
    np.testing.assert_array_equal(encoder(waveform), 2 * waveform.reshape(10, 2))
    assert encoder.sizes == [2] * 5


def test_what_never_fits_is_said_in_a_sentence():
    with pytest.raises(InputError, match=r"doubling does not fit.*cpu"):
        Doubling(room=0)(np.zeros(4, np.float32))


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    encoder = Doubling(room=9)
    encoder.embed = lambda windows: torch.zeros(2, 3) @ windows
    with pytest.raises(RuntimeError, match="mat1"):
        encoder(np.zeros(8, np.float32))


class Pretending(OffsetRemoved):
    """An encoder on a CPU that is fed as one on an accelerator."""

    on_accelerator = True


def test_clips_that_are_encoded_together_have_the_frames_of_each_alone(tmp_path, monkeypatch):
    """Decoding ahead keeps clips, frames and faults in their order."""
    rng = np.random.default_rng(0)
    alone = build(RunConfig(encoder="random-conv"))
    some = [Clip(tmp_path / f"{i}.wav", "pump", "00", "train", None, f"{i:064d}") for i in range(40)]
    sounds = {
        clip: 0.1 * rng.standard_normal(16_000 + 1_600 * (i % 3), dtype=np.float32) for i, clip in enumerate(some)
    }
    cache = EmbeddingCache(tmp_path / "cache")
    faults = list(cache.encode_all(Pretending(alone.encoder), some, lambda clip: Audio(sounds[clip], 16_000, 1)))
    assert faults == [None] * 40
    for clip in some:
        np.testing.assert_allclose(cache.load(alone.spec, clip), alone(sounds[clip]), atol=1e-4)


def test_precision_makes_another_encoder(tmp_path):
    """Frames of one precision are never taken for those of the other."""
    exact, reduced = (build(RunConfig(encoder="random-conv", precision=p)) for p in ("fp32", "bf16"))
    x = 0.1 * np.random.default_rng(0).standard_normal(32_000, dtype=np.float32)
    assert exact.spec.digest != reduced.spec.digest
    assert "bf16" in reduced.spec.note
    difference = np.abs(exact(x) - reduced(x)).max()
    assert 0 < difference < 0.05 * np.abs(exact(x)).max()


def test_an_encoder_without_a_network_has_no_precision():
    assert build(RunConfig(encoder="logmel", precision="bf16")).spec == build(RunConfig(encoder="logmel")).spec
