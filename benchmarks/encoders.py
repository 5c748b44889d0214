"""Time encoders from recording to frames, in the machine's own measure.

    python benchmarks/encoders.py [--device cpu] [--precision fp32] [--threads 2] [--runs 5] yamnet=yamnet.h5 logmel …

Per encoder, for clips of 10 s: clips per second from waveforms in memory; milliseconds per frame; multiply-accumulates
per frame, as they are carried out; their rate as a share of the matrix-multiply rate that the same device reaches in
the same precision and run (clips and matrix product take turns, so that a busy minute slows both); the device's memory
bandwidth, likewise; what share of the time decoding and resampling take where the recordings are 48-kHz FLAC files and
nothing is decoded ahead; peak memory of a process that does nothing else, on the device where that is no CPU. With one
thread on a CPU, all seconds are those of the processor.
"""

from __future__ import annotations

import argparse
import io
import resource
import time
from collections.abc import Callable
from functools import lru_cache
from multiprocessing import get_context
from statistics import median

import numpy as np
import soundfile
import torch
from torch.utils.flop_counter import FlopCounterMode

from collab_asd.config import RunConfig
from collab_asd.core.runtime import resolve_device
from collab_asd.core.types import Encoder, FloatArray
from collab_asd.data.audio import Audio
from collab_asd.data.resampling import resample
from collab_asd.encoders import OffsetRemoved, build

SECONDS, RECORDED = 10, 48_000  # s, Hz
TOGETHER = 16  # clips that an accelerator is given at once
SMALL, LARGE = 1024, 8192  # of the square matrices, on a CPU and on an accelerator
HEADER = "encoder          clips/s   ms/frame   GMAC/frame   GMAC/s   of a product   GB/s copied   decoding   peak MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoders", nargs="+", metavar="NAME[=WEIGHTS]")
    parser.add_argument("--device", default="cpu", help="as the configuration key; auto: the best there is")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    device = resolve_device(arguments.device)
    print(f"device {device}, {arguments.precision}\n{HEADER}")
    for encoder in arguments.encoders:
        name, _, weights = encoder.partition("=")
        chosen = {"encoder": name, "encoder-weights": weights, "device": device, "precision": arguments.precision}
        with get_context("spawn").Pool(1) as alone:
            print(alone.apply(row, (chosen, arguments.threads, arguments.runs)), flush=True)


def row(chosen: dict[str, str], threads: int, runs: int) -> str:
    """Measure one encoder."""
    torch.set_num_threads(threads)
    encoder, device = build(RunConfig.from_mapping(chosen)), torch.device(chosen["device"])
    rate = encoder.spec.sample_rate
    waveform = np.random.default_rng(0).standard_normal(SECONDS * rate, dtype=np.float32) * np.float32(0.1)
    macs, frames = clip_macs(encoder, waveform), encoder.frames(len(waveform))
    clips = 1 if device.type == "cpu" else TOGETHER
    encode = encoding(encoder, waveform, clips)
    size = SMALL if device.type == "cpu" else LARGE
    matrix = torch.rand(size, size, device=device)
    matrix = matrix.bfloat16() if chosen["precision"] == "bf16" else matrix
    some, product, copy = take_turns(device, runs, encode, lambda: matrix @ matrix, matrix.clone)
    clip, best = some / clips, size**3 / product
    decode = decoded if rate == RECORDED else lambda: resample(decoded(), RECORDED, rate)
    decode()
    decoding = seconds(decode, torch.device("cpu"))
    bandwidth = 2 * matrix.nbytes / copy
    return (
        f"{chosen['encoder']:14s} {1 / clip:9.2f} {1e3 * clip / frames:10.2f} {macs / frames / 1e9:12.3f} "
        f"{macs / clip / 1e9:8.0f} {macs / clip / best:7.0%} of {best / 1e9:4.0f} {bandwidth / 1e9:13.0f} "
        f"{decoding / (decoding + clip):10.0%} {peak_mb(device):9.0f}"
    )


def encoding(encoder: OffsetRemoved, waveform: FloatArray, clips: int) -> Callable[[], object]:
    """Return what encodes so many clips: one by one on a CPU, together elsewhere."""
    recordings = [Audio(waveform, encoder.spec.sample_rate, 1)] * clips
    return (lambda: encoder.encode(recordings)) if encoder.on_accelerator else (lambda: encoder(waveform))


def decoded() -> FloatArray:
    """Decode a clip of 10 s of FLAC at 48 kHz."""
    return np.asarray(soundfile.read(io.BytesIO(flac()), dtype="float32")[0], np.float32)


@lru_cache
def flac() -> bytes:
    """Bytes of such a clip."""
    file = io.BytesIO()
    noise = 0.1 * np.random.default_rng(0).standard_normal(SECONDS * RECORDED)
    soundfile.write(file, noise, RECORDED, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def peak_mb(device: torch.device) -> float:
    """Peak memory of this process, or of what it took of an accelerator."""
    if device.type == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts in KiB
    return float(torch.get_device_module(device).max_memory_allocated(device)) / 2**20


def clip_macs(encoder: Encoder, waveform: FloatArray) -> int:
    """Multiply-accumulates of all convolutions and matrix products for one clip."""
    with FlopCounterMode(display=False) as counter:
        encoder(waveform)
    return int(counter.get_total_flops()) // 2


def take_turns(device: torch.device, runs: int, *functions: Callable[[], object]) -> list[float]:
    """Median seconds of some functions, run in turn after a warm-up; all but the first are short and run ten times."""
    for function in functions:
        function()
    first, *short = functions
    times = [
        (seconds(first, device), *(median(seconds(f, device) for _ in range(10)) for f in short)) for _ in range(runs)
    ]
    return [median(of_one) for of_one in zip(*times, strict=True)]


def seconds(function: Callable[[], object], device: torch.device) -> float:
    """Seconds that a function takes, until the device has done all of it; of one thread on a CPU, the processor's."""
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    synchronize(device)
    start = clock()
    function()
    synchronize(device)
    return clock() - start


def synchronize(device: torch.device) -> None:
    if device.type != "cpu":
        torch.get_device_module(device).synchronize()


if __name__ == "__main__":
    main()
