"""What ``collab-asd compare --dry-run`` says below the cells: bytes to send, hours to encode, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from collab_asd.cli.encoders import described, megabytes
from collab_asd.config import RunConfig
from collab_asd.experiments.cost import Encoding, Forecast, encodings, forecast, recordings
from collab_asd.experiments.experiment import Cell, Experiment


@dataclass(frozen=True)
class Estimate:
    """What is still to be run.

    Parameters
    ----------
    recordings : str
        What it would be run on.
    runs : list of Forecast
    device : str
        What encodes.
    encoding : list of Encoding
    missing : list of str
        What there is to do first.
    """

    recordings: str
    runs: list[Forecast]
    device: str
    encoding: list[Encoding]
    missing: list[str]

    @classmethod
    def of(cls, experiment: Experiment, cells: Sequence[Cell]) -> Estimate:
        """Estimate the cells that are not finished.

        Raises
        ------
        InputError
            The recordings are not fit to be dealt, or cannot be read.
        """
        found = recordings(experiment.data_dir, cells[0].config, experiment.machines)
        todo = [cell.config for cell in cells if cell.state != "finished"]
        encoding = encodings(cells, found, _is_here)
        return cls(found.words, forecast(cells, found), *encoding, [*_data(experiment), *_missing_weights(todo)])

    def as_json(self) -> dict[str, Any]:
        """Return all of it."""
        return asdict(self)

    def show(self, console: Console) -> None:
        """Print a table of the methods, and what is missing."""
        console.print(f"\n{self.recordings}", soft_wrap=True)
        table = Table(box=None, padding=(0, 2, 0, 0))
        for heading in ("method", "encoder"):
            table.add_column(heading, overflow="fold")
        for heading in ("runs", "MB up", "MB down"):
            table.add_column(heading, justify="right")
        for run in self.runs:
            sent = ("–" if size is None else f"{size / 1e6:,.1f}" for size in (run.bytes_up, run.bytes_down))
            table.add_row(run.method, run.encoder, str(run.runs), *sent)
        table.add_row("all", "", str(sum(run.runs for run in self.runs)))
        console.print(table)
        console.print("MB of one run, all clients together: sent to the server, and by it.\n", soft_wrap=True)
        table = Table("encoding, unless it is cached", box=None, padding=(0, 2, 0, 0))
        for heading in ("times", "hours"):
            table.add_column(heading, justify="right")
        for encoding in self.encoding:
            hours = "–" if encoding.hours is None else f"{encoding.hours:,.2f}"
            table.add_row(encoding.encoder, str(encoding.times), hours)
        known = [encoding.hours for encoding in self.encoding if encoding.hours is not None]
        table.add_row("all", "", f"{sum(known):,.2f}" + " and more" * (len(known) < len(self.encoding)))
        console.print(table)
        what = "of one core" if self.device == "cpu" else f"on {self.device}"
        console.print(
            f"Hours {what}, measured a moment ago on noise; decoding, training and scoring are not in them.",
            soft_wrap=True,
        )
        for line in self.missing:
            console.print(f"missing: {line}", style="yellow", soft_wrap=True)


def _is_here(config: RunConfig) -> bool:
    """Whether an encoder can be built without a download; a model of a library, ``hf:NAME``, where NAME is a folder."""
    _, family, name = config.encoder.partition(":")
    return Path(name).expanduser().is_dir() if family else not any(_missing_weights([config]))


def _data(experiment: Experiment) -> Iterator[str]:
    if not experiment.data_dir and not experiment.machines:
        yield "recordings; `collab-asd data download dcase2020 DIR` brings the benchmark, then --data DIR"


def _missing_weights(configs: Sequence[RunConfig]) -> Iterator[str]:
    """Name each file of weights once, whichever encoders need it."""
    facts: dict[str, dict[str, Any]] = {}
    for config in configs:
        found = described(config)
        if found["weights"] and not found["weights"]["present"]:
            facts.setdefault(found["weights"]["file"], found)
    for file, found in facts.items():
        size = f" ({megabytes(found['weights']['bytes'])})" if found["weights"]["bytes"] else ""
        yield f"weights of {found['name']}{size}, {file}; `collab-asd encoders fetch {found['name']}` brings them"
