"""Time OpenL3's network under TensorFlow, as its official package runs it, beside `benchmarks/encoders.py openl3-512`.

    python benchmarks/openl3_tensorflow.py [--threads 2] [--windows 8] [--runs 5]

Needs an environment with ``tensorflow-cpu`` and nothing of this project. The layers are those that the package's
authors publish; weights are random, since they do not matter to speed, and the front end (3 ms per window) is left out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import tensorflow as tf
from tensorflow.keras import layers

CHANNELS, POOLED = (64, 64, 128, 128, 256, 256, 512), (1, 3, 5)
MACS = 10.2e9  # of one window, by direct convolution
SIZE = 1024  # of the square matrices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    model = network()
    embed = tf.function(lambda decibels: model(decibels, training=False))
    decibels = tf.constant(np.random.default_rng(0).normal(-40, 20, (arguments.windows, 256, 199, 1)), tf.float32)
    matrix = tf.random.normal((SIZE, SIZE))
    window = seconds(lambda: embed(decibels).numpy(), arguments.runs) / arguments.windows
    product = seconds(lambda: tf.matmul(matrix, matrix).numpy(), 10 * arguments.runs)
    rate, best = MACS / window, SIZE**3 / product
    print(f"TensorFlow {tf.__version__}, {arguments.threads} threads: {1e3 * window:.1f} ms per window, network alone")
    print(f"{rate / 1e9:.0f} GMAC/s of {best / 1e9:.0f} GMAC/s in a {SIZE} x {SIZE} product: {rate / best:.0%}")


def network() -> tf.keras.Model:
    """Build the network: dB ``[n, 256, 199, 1]`` -> embeddings ``[n, 6144]``."""
    decibels = layers.Input((256, 199, 1))
    y = layers.BatchNormalization()(decibels)
    for number, channels in enumerate(CHANNELS):
        y = layers.Activation("relu")(layers.BatchNormalization()(layers.Conv2D(channels, 3, padding="same")(y)))
        y = layers.MaxPooling2D(2)(y) if number in POOLED else y
    y = layers.MaxPooling2D((8, 8))(layers.Conv2D(512, 3, padding="same")(y))
    return tf.keras.Model(decibels, layers.Flatten()(y))


def seconds(function: Callable[[], object], runs: int) -> float:
    """Median seconds, after two runs in which TensorFlow traces and warms up."""
    times = []
    for _ in range(runs + 2):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return median(times[2:])


if __name__ == "__main__":
    main()
