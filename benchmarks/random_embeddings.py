"""Clients whose embeddings are drawn when they are asked for: none is computed from a recording or kept on a disk.

All else is the real run: ClientApp, messages, strategy, store, training, scoring. `memory.py` and `scaling.py` measure
with them, in process or through ``flwr run``, whose components `server_app` and `client_app` are.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from collab_asd.config import RunConfig
from collab_asd.core.runtime import PeakMemory, Stopwatch, pin_threads
from collab_asd.core.types import Clip, Encoder, FloatArray, Partition, Split
from collab_asd.detection.second_order import ClipSpectrum
from collab_asd.encoders import cache as embedding_cache
from collab_asd.federation import engines
from collab_asd.federation import policy as node_policy
from collab_asd.federation.grid import InProcessGrid, Rules, SupervisedGrid
from collab_asd.federation.roster import meet_clients
from collab_asd.methods import build_method, fewest_clients
from simulations import client_app as clients

FRAMES, DIMENSION, TEST_CLIPS = 96, 512, 10  # frames: a little more than random-conv gives for 10 s
NOISE_ROWS = 20_000
# Ray's actors inherit the environment.
CLIPS_VARIABLE, FOLDER_VARIABLE, WINDOWS_VARIABLE = "DRAWN_CLIPS", "DRAWN_FOLDER", "DRAWN_WINDOWS"
RECORDING = "one.wav"  # whose sample rate the clients note down
Measured = dict[str, Any]


class DrawnEmbeddings:
    """Stands for the cache: frames of a clip are its client's mean and a piece of common noise."""

    def __init__(self, folder: Path) -> None:
        self._noise = np.random.default_rng(0).standard_normal((NOISE_ROWS, DIMENSION), np.float32)

    def size(self, encoder: Encoder, clip: Clip) -> int:
        """Bytes of the frames."""
        return FRAMES * int(self._noise[0].nbytes)

    def encode(self, encoder: Encoder, clip: Clip) -> FloatArray:
        """Draw a clip's frames, the same each time; of `ClipSpectrum` as many rows as 10 s have."""
        start, dimension = int(clip.sha256[:8], 16) % (NOISE_ROWS - FRAMES), encoder.spec.dimension
        frames = FRAMES if dimension == DIMENSION else ClipSpectrum.frames(10 * ClipSpectrum.spec.sample_rate)
        return self._noise[start : start + frames, :dimension] + _centre(int(clip.machine_id))[:dimension]


@cache
def _centre(client: int) -> FloatArray:
    return np.random.default_rng(client).standard_normal(DIMENSION, np.float32)


@cache
def draw_partitions(run_id: int, config: RunConfig, clients: int) -> list[Partition]:
    """Give each client one machine; all are of one type, so that f_s has as many classes as there are clients.

    Drawn once for all clients of a process, as `collab_asd.data.run_data.partitions_of_run` reads a folder once.
    """
    clips, recording = int(os.environ[CLIPS_VARIABLE]), Path(os.environ[FOLDER_VARIABLE]) / RECORDING
    return [_partition(client, clips, recording) for client in range(clients)]


def _partition(client: int, clips: int, recording: Path) -> Partition:
    digests = (hashlib.sha256(f"{client}/{i}".encode()).hexdigest() for i in range(clips + TEST_CLIPS))
    splits: Iterator[Split] = chain(repeat("train", clips), repeat("test", TEST_CLIPS))
    drawn = [Clip(recording, "fan", f"{client:05d}", s, None, d) for s, d in zip(splits, digests, strict=True)]
    drawn.sort(key=lambda clip: clip.sha256)
    return Partition(client, tuple(drawn), (0,) * len(drawn), (client,) * len(drawn))


def draw(message: Message, context: Context, handle: Callable[[Message, Context], Message]) -> Message:
    """Let what would read recordings draw them instead, in whatever process the client is."""
    node_policy.partitions_of_run = draw_partitions  # type: ignore[attr-defined]
    embedding_cache.EmbeddingCache = DrawnEmbeddings  # type: ignore[misc,assignment]
    return handle(message, context)


client_app = ClientApp(mods=[draw, clients.keep_errors_private])
client_app.query("hello")(clients.hello)
client_app.query("describe")(clients.answer)
client_app.train("embeddings")(clients.answer)
client_app.evaluate("score")(clients.score)
server_app = ServerApp()


class Meter(Stopwatch):
    """Measures the peak of anonymous memory of each phase as well."""

    def __init__(self) -> None:
        super().__init__()
        self.peak_mb: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Measure a ``with`` block."""
        with super().__call__(phase), PeakMemory() as memory:
            yield
        self.peak_mb[phase] = max(memory.peak_mb, self.peak_mb.get(phase, 0.0))


class MeteredGrid(SupervisedGrid):
    """Measures each exchange under the type of its messages."""

    def __init__(self, meter: Meter, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._meter = meter

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterator[Message]:
        """See `SupervisedGrid`."""
        left = iter(messages)
        for first in left:
            with self._meter(first.metadata.message_type):
                return super().send_and_receive(chain([first], left), timeout=timeout)
        return iter(())


def measure(grid: Grid, config: RunConfig) -> Measured:
    """Run the configured method on any grid; returns seconds and peak memory by phase, and bytes."""
    logging.disable(logging.INFO)
    pin_threads(config.threads)
    meter = Meter()
    method: Any = build_method(config)
    if windows := int(os.environ.get(WINDOWS_VARIABLE, "0")):
        method.training = replace(method.training, windows_per_class=windows)
    with meter("total"):
        with meter("meet"):
            nodes = meet_clients(grid, fewest_clients(config), config.timeout).clients
        folder, method.watch = Path(config.results_dir), meter
        supervised = MeteredGrid(meter, grid, nodes, Rules(config.timeout), folder, check=method.check_reply)
        method.run(supervised)
    traffic = supervised.traffic
    up, down = (sum(traffic.of(client)[way] for client in nodes) for way in (0, 1))
    return {"clients": len(nodes), "seconds": meter.seconds, "peak_mb": meter.peak_mb, "up": up, "down": down}


def run(clients: int, clips: int, engine: str = "inprocess", windows: int = 0, **settings: Any) -> Measured:
    """Measure a run of so many clients with so many clips each in a folder that is removed afterwards.

    Parameters
    ----------
    engine : {"inprocess", "ray"}
    windows : int
        Of each machine in an epoch of f_s; 0: as many as the preset says.
    **settings
        Of the configuration.
    """
    with tempfile.TemporaryDirectory(prefix="collab-asd-drawn-") as folder:
        soundfile.write(Path(folder) / RECORDING, np.zeros(160), 16_000)
        path = f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        drawn = {CLIPS_VARIABLE: str(clips), FOLDER_VARIABLE: folder, WINDOWS_VARIABLE: str(windows)}
        os.environ |= drawn | {"PYTHONPATH": path}
        settings |= {"data_dir": folder, "results_dir": f"{folder}/results", "cache_dir": f"{folder}/cache"}
        config = replace(RunConfig(), **settings)
        if engine == "inprocess":
            return measure(InProcessGrid(client_app, clients, config.to_mapping()), config)
        results = engines.run_ray(
            config, clients, lambda line: None, ("random_embeddings:server_app", "random_embeddings:client_app")
        )
        return dict(json.loads((results / "summary.json").read_text()))


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    """Measure a run through Flower."""
    config = RunConfig.from_mapping(context.run_config)
    results = Path(config.results_dir)
    measured = measure(grid, config)
    results.mkdir(parents=True, exist_ok=True)
    (results / "summary.json").write_text(json.dumps(measured))
