"""Check encoders and f_s on an accelerator against a CPU, and time them: one file, made-up audio, no Flower.

    python benchmarks/device_checks.py [--device cuda] [NAME=WEIGHTS …]

Needs PyTorch and this repository alone; random-conv and logmel always take part, others with their weights. Takes a few
minutes; the last line says whether all checks passed. Frames in fp32 must agree with those of the CPU, those in bf16 by
their cosine once the mean over clips is taken off; batches of several clips must give what clips alone give; f_s must
learn to tell made-up machines apart; after a lack of memory, an encoder must go on with smaller batches.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np
import torch

from collab_asd.classifier.settings import PRESETS
from collab_asd.classifier.training import train
from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.runtime import release_memory, resolve_device
from collab_asd.core.types import FloatArray
from collab_asd.data.audio import Audio
from collab_asd.encoders import build

CLIPS, SECONDS, RECORDED = 8, 10, 44_100  # clips, s, Hz
FRAMES_AGREE, COSINE = 1e-3, 0.99
MOST_MEMORY = 0.02  # share of the accelerator for the check of what happens without


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoders", nargs="*", metavar="NAME=WEIGHTS")
    parser.add_argument("--device", default="cuda")
    arguments = parser.parse_args()
    try:
        device = resolve_device(arguments.device)
    except InputError as error:
        print(f"skipped: {error}")
        return
    passed = True
    for encoder in ["logmel", "random-conv", *arguments.encoders]:
        name, _, weights = encoder.partition("=")
        for what, right in check_encoder(name, weights, device):
            passed &= right
            print(f"{'ok  ' if right else 'FAIL'} {name}: {what}", flush=True)
    for what, right in check_classifier(device):
        passed &= right
        print(f"{'ok  ' if right else 'FAIL'} f_s: {what}", flush=True)
    print("all checks passed" if passed else "some checks FAILED")
    raise SystemExit(not passed)


def check_encoder(name: str, weights: str, device: str) -> Iterator[tuple[str, bool]]:
    """Compare an encoder's frames on a device with those on a CPU."""
    chosen = {"encoder": name, "encoder-weights": weights}
    plain, fast = (build(RunConfig.from_mapping(chosen | {"device": where})) for where in ("cpu", device))
    recordings = list(made_up())
    began = time.perf_counter()
    together = fast.encode(recordings)
    first = time.perf_counter() - began
    alone = [fast.encode([recording])[0] for recording in recordings]
    expected = plain.encode(recordings)
    scale = max(float(np.abs(frames).max()) for frames in expected)
    yield difference("fp32 against the CPU", together, expected, scale)
    yield difference("together against alone", together, alone, scale)
    began = time.perf_counter()
    fast.encode(recordings * 8)
    yield (
        f"{CLIPS * 8 / (time.perf_counter() - began):.1f} clips of {SECONDS} s per second, first call {first:.1f} s",
        True,
    )
    reduced = build(RunConfig.from_mapping(chosen | {"device": device, "precision": "bf16"})).encode(recordings)
    cosine = centred_cosine(reduced, expected)
    yield f"bf16: cosine {cosine:.4f} at the least, without the mean over clips", cosine > COSINE
    if torch.device(device).type == "cuda":
        release_memory()
        torch.cuda.set_per_process_memory_fraction(MOST_MEMORY, device)
        try:
            yield difference(
                f"with {MOST_MEMORY:.0%} of the memory", fast.encode(recordings * 4)[:CLIPS], expected, scale
            )
        except InputError as error:
            yield f"with {MOST_MEMORY:.0%} of the memory, refused: {error}", True
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, device)


def check_classifier(device: str) -> Iterator[tuple[str, bool]]:
    """Train f_s on clips of four made-up machines."""
    random = np.random.default_rng(0)
    centres, classes = random.standard_normal((4, 512)), [i % 4 for i in range(80)]
    clips = [np.asarray(centres[c] + random.standard_normal((92, 512)), np.float32) for c in classes]
    for where in ("cpu", device):
        began = time.perf_counter()
        model = train(clips, classes, PRESETS["fast"], 0, stack=32, stack_hop=4, device=where)
        right = np.mean([model.predict(model.embed(clip)) == c for clip, c in zip(clips, classes, strict=True)])
        yield f"{right:.2f} of clips told apart after {time.perf_counter() - began:.1f} s on {where}", bool(right > 0.9)


def made_up() -> Iterator[Audio]:
    """Make recordings of noise and a tone each."""
    random, time_axis = np.random.default_rng(0), np.arange(SECONDS * RECORDED) / RECORDED
    for i in range(CLIPS):
        sound = 0.1 * random.standard_normal(len(time_axis)) + 0.2 * np.sin(2 * np.pi * 300 * (i + 1) * time_axis)
        yield Audio(np.asarray(sound, np.float32), RECORDED, 1)


def difference(what: str, found: list[FloatArray], expected: list[FloatArray], scale: float) -> tuple[str, bool]:
    largest = max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True)) / scale
    return f"{what}: {largest:.1e} of the largest value", largest < FRAMES_AGREE


def centred_cosine(found: list[FloatArray], expected: list[FloatArray]) -> float:
    """Return the smallest cosine between two embeddings of a clip, each without its mean over clips."""
    a, b = (np.stack([frames.mean(axis=0) for frames in some]).astype(np.float64) for some in (found, expected))
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    return float(((a * b).sum(1) / np.maximum(1e-12, np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))).min())


if __name__ == "__main__":
    main()
