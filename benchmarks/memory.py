"""Peak anonymous memory of a run of many clients, all of whose embeddings pass through the server.

    python benchmarks/memory.py [--clients 52] [--clips 1000] [--codec fp32] [--engine ray]

Frames are drawn at random (96 x 512 fp32 per clip, a little more than random-conv gives for 10 s). In process, what the
clients take is in the figure, too: by phase it can be told apart. Through ``flwr run`` it is the ServerApp's process.
"""

from __future__ import annotations

import argparse

import random_embeddings

from collab_asd.core.runtime import anonymous_mb


def main() -> None:
    """Print peaks by phase, and what passed through."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=52)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--windows", type=int, default=0, help="of each machine in an epoch; 0: the preset's")
    parser.add_argument("--codec", default="fp32")
    parser.add_argument("--engine", choices=("inprocess", "ray"), default="inprocess")
    args = parser.parse_args()
    print(f"with everything imported: {anonymous_mb():.0f} MB")
    settings = {"epochs": args.epochs, "codec": args.codec}
    measured = random_embeddings.run(args.clients, args.clips, args.engine, args.windows, **settings)
    sent = measured["up"] / 1e9
    print(f"{args.clients} clients x {args.clips} clips, {args.codec}: {sent:.2f} GB of embeddings through the server")
    for phase, seconds in measured["seconds"].items():
        print(f"{phase:25}{seconds:8.1f} s   peak {measured['peak_mb'][phase]:6.0f} MB")


if __name__ == "__main__":
    main()
