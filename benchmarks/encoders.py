"""Time encoders from waveform to frames, in the machine's own measure.

    python benchmarks/encoders.py [--threads 2] [--runs 5] yamnet=yamnet.h5 openl3-512=openl3.h5 logmel …

Per encoder: the median of ms per second of audio and per frame on a clip of 10 s; multiply-accumulates per frame, as
they are carried out; their rate as a share of the fp32 matrix-multiply rate that the same machine reaches in the same
run (clip and matrix product take turns, so that a busy minute slows both); the peak memory of a process that does
nothing else.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from multiprocessing import get_context
from statistics import median

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from collab_asd.config import RunConfig
from collab_asd.core.types import Encoder, FloatArray
from collab_asd.encoders import build

SECONDS = 10
SIZE = 1024  # of the square matrices
HEADER = "encoder            ms/s   ms/frame   GMAC/frame   GMAC/s   of a product   peak MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoders", nargs="+", metavar="NAME[=WEIGHTS]")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    print(HEADER)
    for encoder in arguments.encoders:
        name, _, weights = encoder.partition("=")
        with get_context("spawn").Pool(1) as alone:
            print(alone.apply(row, (name, weights, arguments.threads, arguments.runs)), flush=True)


def row(name: str, weights: str, threads: int, runs: int) -> str:
    """Measure one encoder."""
    torch.set_num_threads(threads)
    encoder = build(RunConfig.from_mapping({"encoder": name, "encoder-weights": weights}))
    samples = SECONDS * encoder.spec.sample_rate
    waveform = np.random.default_rng(0).standard_normal(samples, dtype=np.float32) * np.float32(0.1)
    encoder(waveform)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MB; Linux counts in KiB
    matrix, frames, macs = torch.rand(SIZE, SIZE), encoder.frames(samples), clip_macs(encoder, waveform)
    clip, product = take_turns(lambda: encoder(waveform), lambda: matrix @ matrix, runs)
    rate, best = macs / clip, SIZE**3 / product
    return (
        f"{name:14s} {1e3 * clip / SECONDS:8.1f} {1e3 * clip / frames:10.2f} {macs / frames / 1e9:12.3f} "
        f"{rate / 1e9:8.0f} {rate / best:8.0%} of {best / 1e9:3.0f} {peak:8.0f}"
    )


def clip_macs(encoder: Encoder, waveform: FloatArray) -> int:
    """Multiply-accumulates of all convolutions and matrix products for one clip."""
    with FlopCounterMode(display=False) as counter:
        encoder(waveform)
    return int(counter.get_total_flops()) // 2


def take_turns(first: Callable[[], object], second: Callable[[], object], runs: int) -> tuple[float, float]:
    """Median seconds of two functions, run in turn after a warm-up; the second, which is short, ten times each turn."""
    second()
    times = [(seconds(first), median(seconds(second) for _ in range(10))) for _ in range(runs)]
    return median(t for t, _ in times), median(t for _, t in times)


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
