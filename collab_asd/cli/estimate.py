"""What ``collab-asd compare --dry-run`` says below the cells: bytes, hours, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from collab_asd.cli.encoders import described, megabytes
from collab_asd.experiments.cost import GPU, Encoding, Forecast, Speed, encodings, forecast, measured_speed
from collab_asd.experiments.experiment import Cell, Experiment
from collab_asd.experiments.holdings import recordings

PLAIN: dict[str, Any] = {"box": None, "padding": (0, 2, 0, 0)}
SHORT_HOURS, LONG_HOURS = 1 / 60, 48.0


@dataclass(frozen=True)
class Estimate:
    """What is still to be run.

    Parameters
    ----------
    recordings : str
        What it would be run on.
    speed : Speed
        Of this machine, measured a moment ago.
    runs : list of Forecast
    encodings : list of Encoding
    missing : list of str
        What there is to do first.
    """

    recordings: str
    speed: Speed
    runs: list[Forecast]
    encodings: list[Encoding]
    missing: list[str]

    @classmethod
    def of(cls, experiment: Experiment, cells: Sequence[Cell]) -> Estimate:
        """Measure this machine, and estimate.

        Raises
        ------
        InputError
            The recordings are not fit to be dealt, or cannot be read.
        """
        found = recordings(experiment.data_dir, cells[0].config.channel, experiment.machines)
        speed, todo = measured_speed(), [cell for cell in cells if cell.state != "finished"]
        missing = [*_data(experiment), *_weights(todo)]
        return cls(found.words, speed, forecast(cells, found, speed), encodings(cells, found, speed), missing)

    def as_json(self) -> dict[str, Any]:
        """Return all of it."""
        return {
            "recordings": self.recordings,
            "gmac_per_second": self.speed.gmacs,
            "gpu_gmac_per_second_assumed": GPU.gmacs,
            "runs": [asdict(run) for run in self.runs],
            "encoding": [asdict(encoding) for encoding in self.encodings],
            "missing": self.missing,
        }

    def show(self, console: Console) -> None:
        """Print tables of the methods and of the encoders, and what the figures rest on."""
        console.print(f"\n{self.recordings}", soft_wrap=True)
        console.print(self._runs())
        console.print(self._encodings())
        console.print(
            "MB of one run, all clients together. Times are of all runs on one core of this machine "
            f"({self.speed.gmacs:.0f} GMAC/s in a matrix product), right within a factor of about two; --jobs divides "
            "them. A GPU (--set device=cuda) trains f_s of embedding-sharing and centralized and nothing else; assumed "
            f"are {GPU.gmacs:.0f} GMAC/s, as of a small data-centre card.",
            soft_wrap=True,
        )
        for line in self.missing:
            console.print(f"missing: {line}", style="yellow", soft_wrap=True)

    def _runs(self) -> Table:
        table = Table(**PLAIN)
        for heading in ("method", "encoder"):
            table.add_column(heading, overflow="fold")
        for heading in ("runs", "MB up", "MB down", "time", "with a GPU"):
            table.add_column(heading, justify="right")
        for run in self.runs:
            megabytes = ("–" if size is None else f"{size / 1e6:,.1f}" for size in (run.bytes_up, run.bytes_down))
            table.add_row(run.method, run.encoder, str(run.runs), *megabytes, _time(run.hours), _time(run.hours_gpu))
        embedding = sum(encoding.hours for encoding in self.encodings)
        totals = (embedding + sum(getattr(run, name) or 0.0 for run in self.runs) for name in ("hours", "hours_gpu"))
        table.add_row("all, with encoding", "", str(sum(run.runs for run in self.runs)), "", "", *map(_time, totals))
        return table

    def _encodings(self) -> Table:
        table = Table("encoding, unless it is cached", **PLAIN)
        table.add_column("times", justify="right")
        table.add_column("time", justify="right")
        for encoding in self.encodings:
            table.add_row(encoding.encoder, str(encoding.times), _time(encoding.hours))
        return table


def _data(experiment: Experiment) -> Iterator[str]:
    if not experiment.data_dir and not experiment.machines:
        yield "recordings; `collab-asd data download dcase2020 DIR` brings the benchmark, then --data DIR"


def _weights(cells: Sequence[Cell]) -> Iterator[str]:
    """Name each file of weights once, whichever encoders need it."""
    facts: dict[str, dict[str, Any]] = {}
    for cell in cells:
        found = described(cell.config)
        if found["weights"] and not found["weights"]["present"]:
            facts.setdefault(found["weights"]["file"], found)
    for file, found in facts.items():
        size = f" ({megabytes(found['weights']['bytes'])})" if found["weights"]["bytes"] else ""
        yield f"weights of {found['name']}{size}, {file}; `collab-asd encoders fetch {found['name']}` brings them"


def _time(hours: float | None) -> str:
    """Return a time in the unit that suits it."""
    if hours is None:
        return "–"
    if hours >= LONG_HOURS:
        return f"{hours / 24:.1f} days"
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.0f} min" if hours >= SHORT_HOURS else "< 1 min"
