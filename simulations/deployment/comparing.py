"""Whether a deployment gives the scores of the simulation with the same configuration."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from collab_asd.errors import InputError
from collab_asd.report.reading import read_run
from simulations.deployment.local import client_folders, client_results
from simulations.deployment.run import run_config
from simulations.deployment.settings import NodeSettings, ServerSettings
from simulations.engines import run_inprocess

TOLERANCE = 1e-6


@dataclass(frozen=True)
class Comparison:
    """Scores and thresholds of a deployment's clients against those of a simulation.

    Parameters
    ----------
    clips : int
    largest : float
        Largest difference of two scores or thresholds, as a share of the threshold.
    decisions : int
        Clips that are judged otherwise.
    """

    clips: int
    largest: float
    decisions: int

    @property
    def same(self) -> bool:
        """Whether the scores agree but for rounding, and so all decisions."""
        return self.largest <= TOLERANCE and not self.decisions

    def __str__(self) -> str:
        """Say it in a line."""
        how = "bit for bit" if self.largest == 0 else f"they differ by {self.largest:.0e} of the threshold at most"
        return (
            f"deployment and simulation give {'the same' if self.same else 'OTHER'} scores ({how}): "
            f"{self.clips} clips, {self.decisions} other decisions"
        )


def compare_with_simulation(consortium: Path, data: Path, settings: Mapping[str, Any]) -> Comparison:
    """Run the simulation of what a local consortium has run, with its keys, and compare the clients' scores.

    Raises
    ------
    InputError
        They scored other clips.
    """
    clients, config = client_folders(consortium), run_config(ServerSettings.load(consortium / "server"), settings)
    if config.noise_epsilon:
        raise InputError("noise is drawn from a key of each client's own: no simulation gives the same scores")
    node = NodeSettings.load(clients[0])
    with tempfile.TemporaryDirectory(prefix="collab-asd-") as scratch:
        simulated = replace(
            config,
            data_dir=str(data),
            encoder_key_file=str(node.path("encoder_key_file") or ""),
            rotation_key_file=str(node.path("rotation_key_file") or ""),
            encoder_weights=str(node.path("encoder_weights") or ""),
            results_dir=str(Path(scratch) / "results"),
            cache_dir=str(Path(scratch) / "cache"),
        )
        folder = run_inprocess(simulated, len(clients))
        return compare_scores(client_results(consortium), [folder])


def compare_scores(folders: Iterable[Path], others: Iterable[Path]) -> Comparison:
    """Compare the scores in result folders, clip by clip; clips are known by their content.

    Raises
    ------
    InputError
        They scored other clips.
    """
    ours, theirs = _scores(folders), _scores(others)
    if ours.keys() != theirs.keys():
        raise InputError(f"{len(ours.keys() ^ theirs.keys())} clips were scored on one side alone")
    pairs = [(ours[clip], theirs[clip]) for clip in ours]
    apart = (abs(a - b) / abs(two[1]) for one, two in pairs for a, b in zip(one[:2], two[:2], strict=True))
    return Comparison(len(pairs), max(apart, default=0.0), sum(one[2] != two[2] for one, two in pairs))


def _scores(folders: Iterable[Path]) -> dict[str, tuple[float, float, int]]:
    """Return the content hash of each clip -> score, threshold, decision."""
    found: dict[str, tuple[float, float, int]] = {}
    for run in map(read_run, folders):
        content = {row.clip: row.sha256 for row in run.manifest}
        found |= {content[row.clip]: (row.anomaly_score, row.threshold, row.decision) for row in run.table.rows}
    return found
