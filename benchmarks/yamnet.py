"""Time YAMNet from waveform to embeddings, in the machine's own measure.

    python benchmarks/yamnet.py [--weights FILE] [--threads 2] [--runs 30]

Prints the median of ms per 10-s clip, and the share of the fp32 matrix-multiply rate that the same machine reaches in
the same run: clip and matrix product take turns, so that a busy minute slows both.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

from collab_asd.encoders.weights import resolve
from collab_asd.encoders.yamnet import MEL_BANDS, PATCH, WEIGHTS, Convolution, YamNet

SAMPLES = 160_000  # 10 s at 16 kHz
SIZE = 1024  # of the square matrices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="yamnet.h5; downloaded when left out")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    encoder = YamNet(resolve(WEIGHTS, arguments.weights))
    waveform = np.random.default_rng(0).standard_normal(SAMPLES, dtype=np.float32) * np.float32(0.1)
    matrix = torch.rand(SIZE, SIZE)
    clip, product = take_turns(lambda: encoder(waveform), lambda: matrix @ matrix, arguments.runs)
    macs = patch_macs(encoder) * encoder.frames(SAMPLES)
    rate, best = macs / clip, SIZE**3 / product
    print(f"YAMNet, {arguments.threads} threads, median of {arguments.runs} runs: {1e3 * clip:.1f} ms per 10-s clip")
    print(f"{patch_macs(encoder) / 1e6:.1f} MMAC per patch, {macs / 1e9:.2f} GMAC per clip")
    print(f"{rate / 1e9:.0f} GMAC/s of {best / 1e9:.0f} GMAC/s in a {SIZE} x {SIZE} product: {rate / best:.0%}")


def take_turns(first: Callable[[], object], second: Callable[[], object], runs: int) -> tuple[float, float]:
    """Median seconds of two functions, run in turn after a warm-up."""
    times = [(seconds(first), seconds(second)) for _ in range(runs + 3)][3:]
    return median(t for t, _ in times), median(t for _, t in times)


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


@torch.inference_mode()
def patch_macs(encoder: YamNet) -> int:
    """Multiply-accumulates of the convolutions for one patch: weights of one output times the size of the output."""
    x, macs = torch.zeros(1, 1, PATCH, MEL_BANDS), 0
    for layer in encoder.network:
        x = layer(x)
        if isinstance(layer, Convolution):
            macs += x.numel() * layer.weight[0].numel()
    return macs


if __name__ == "__main__":
    main()
