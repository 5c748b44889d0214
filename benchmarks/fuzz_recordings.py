"""Read thousands of damaged recordings of each container, with little memory and time: each is read or refused.

    python benchmarks/fuzz_recordings.py [--files 2000] [--containers WAV FLAC …] [--seed 0]

Bits are flipped, fields of the header overwritten with extreme values, ends and pieces cut out or repeated. Each file
goes the way of `collab-asd data check` and `collab-asd score`, in a process of its own kind that may take 1 GB beyond
what its imports take. Anything but a waveform or a `ClipError` is a failure: exit code 1.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from collab_asd.data.audio import ClipError, at_rate, read_audio, sample_rate_of, seconds_of, signal_fault
from collab_asd.data.statistics import measure

RATE, SECONDS = 16_000, 1.5
MOST_MEMORY, MOST_SECONDS = 1 << 30, 10
SEEDS: dict[str, list[dict[str, Any]]] = {  # what is damaged: how soundfile writes it
    "WAV": [{"subtype": name} for name in ("PCM_16", "FLOAT", "PCM_U8", "IMA_ADPCM", "ULAW", "GSM610")],
    "WAVEX": [{"subtype": "PCM_24"}],
    "RF64": [{"subtype": "PCM_16"}, {"subtype": "DOUBLE"}],
    "W64": [{"subtype": "PCM_16"}, {"subtype": "MS_ADPCM"}],
    "AIFF": [{"subtype": "PCM_16"}, {"subtype": "FLOAT"}, {"subtype": "IMA_ADPCM"}],
    "FLAC": [{"subtype": "PCM_16"}, {"subtype": "PCM_24"}],
    "OGG": [{"subtype": "VORBIS"}, {"subtype": "OPUS"}],
    "MP3": [{"bitrate_mode": mode} for mode in ("CONSTANT", "VARIABLE")],
    "CAF": [{"subtype": "PCM_16"}, {"subtype": "ALAC_16"}],
    "AU": [{"subtype": "PCM_16"}],
}
EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 62, (1 << 64) - 1)


def main() -> int:
    """Print what became of the files of each container; return 1 if any was neither read nor refused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000, help="of each container")
    parser.add_argument("--containers", nargs="+", default=list(SEEDS), choices=list(SEEDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, help=argparse.SUPPRESS)  # a child, which begins with this file
    parser.add_argument("--keep", type=Path, help="folder for the files that failed")
    args = parser.parse_args()
    if args.first is not None:
        _read_damaged(args.containers[0], args.seed, range(args.first, args.files))
        return 0
    failures = 0
    for container in args.containers:
        start = time.perf_counter()
        outcomes, megabytes = _supervised(container, args.seed, args.files, args.keep)
        failed = sum(count for what, count in outcomes.items() if what not in ("read", "refused"))
        failures += failed
        counts = ", ".join(f"{count} {what}" for what, count in sorted(outcomes.items()))
        print(f"{container:6}{counts}; {megabytes:.0f} MB, {time.perf_counter() - start:.0f} s", flush=True)
    return 1 if failures else 0


def _supervised(container: str, seed: int, files: int, keep: Path | None) -> tuple[Counter[str], float]:
    """Count outcomes, and return the largest memory in MB; a child that dies is a failure of its file alone."""
    outcomes: Counter[str] = Counter()
    first, megabytes = 0, 0.0
    while first < files:
        command = [sys.executable, __file__, "--containers", container, "--seed", str(seed)]
        command += ["--files", str(files), "--first", str(first)]
        child = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [line.split("\t") for line in child.stdout.splitlines() if line.count("\t") == 2]
        done = [what for _, what, _ in lines]
        megabytes = max(megabytes, *(float(size) for _, _, size in lines), 0.0)
        if child.returncode:
            done.append(f"died ({child.returncode}: {(child.stderr.splitlines() or ['?'])[-1]})")
        for number, what in enumerate(done, first):
            if keep and what not in ("read", "refused"):
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{container}-{seed}-{number}").write_bytes(damaged(container, seed, number))
        outcomes.update(done)
        first += len(done)
    return outcomes, megabytes


def _read_damaged(container: str, seed: int, numbers: range) -> None:
    """Read the files and print number, outcome and memory in MB of each."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.wav"
        for warm_up in (8_000, RATE):  # its imports are no part of what a recording takes
            soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, warm_up), warm_up)
            _outcome(path)
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + MOST_MEMORY,) * 2)
        signal.signal(signal.SIGALRM, _too_slow)
        for number in numbers:
            path.write_bytes(damaged(container, seed, number))
            signal.alarm(MOST_SECONDS)
            faulthandler.dump_traceback_later(2 * MOST_SECONDS, exit=True)  # where no signal gets through
            try:
                what = _outcome(path)
            except Exception as error:
                what = f"failed ({type(error).__name__}: {error})"
            signal.alarm(0)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{number}\t{' '.join(what.split())}\t{peak:.0f}", flush=True)


def _outcome(path: Path) -> str:
    for look in (sample_rate_of, seconds_of):
        try:
            look(path)
        except ClipError:
            continue
    try:
        audio = read_audio(path, 0)
        if fault := signal_fault(path, audio, 1.0):
            raise fault
        measure(audio)
        samples = at_rate(audio, RATE, path)
    except ClipError:
        return "refused"
    return "read" if np.isfinite(samples).all() else "failed (not finite)"


def damaged(container: str, seed: int, number: int) -> bytes:
    """Make one damaged file."""
    draw = random.Random(f"{container}-{seed}-{number}")
    data = bytearray(_whole(container, draw))
    for _ in range(draw.choice((1, 1, 2, 4))):
        kind = draw.choice(("bits", "header bits", "field", "field", "cut", "piece", "zeros"))
        at = draw.randrange(len(data) or 1)
        if kind == "bits":
            for _ in range(draw.choice((1, 8, 64))):
                data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        elif kind == "header bits":
            data[draw.randrange(min(len(data), 128))] ^= 1 << draw.randrange(8)
        elif kind == "field":
            width, order = draw.choice((1, 2, 4, 8)), draw.choice("<>")
            value = draw.choice((*EXTREMES, draw.getrandbits(64))) & ((1 << 8 * width) - 1)
            at = draw.randrange(min(len(data) - width, 240))
            data[at : at + width] = struct.pack(f"{order}{'BHIQ'[width.bit_length() - 1]}", value)
        elif kind == "cut":
            del data[max(at, 400) :]
        elif kind == "piece":
            piece = data[at : at + draw.randrange(1, 4096)]
            data[at:at] = piece if draw.random() < 0.5 else b""
            del data[at : at + (0 if draw.random() < 0.5 else len(piece))]
        else:
            data[at : at + 64] = bytes(len(data[at : at + 64]))
        if len(data) < 500:
            break
    return bytes(data)


def _whole(container: str, draw: random.Random) -> bytes:
    options = dict(draw.choice(SEEDS[container]))
    channels = 1 if options.get("subtype") == "GSM610" else draw.choice((1, 1, 2))
    samples = np.random.default_rng(draw.randrange(4)).uniform(-0.5, 0.5, (int(RATE * SECONDS), channels))
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=container, **options)
    return file.getvalue()


def _address_space() -> int:
    """Bytes that this process has reserved."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _too_slow(*_: object) -> None:
    raise TimeoutError(f"more than {MOST_SECONDS} s")


if __name__ == "__main__":
    sys.exit(main())
