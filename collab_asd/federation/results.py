"""A run's result folder: begun with its configuration and manifest, complete with ``summary.json``.

``dcase/`` has one ``anomaly_score_<type>_id_<id>.csv`` per machine, as in 2020, with a line ``<file name>,<score>`` per
test clip, no header; and beside it ``decision_result_<type>_id_<id>.csv`` with 0 or 1, as in later years. Sections have
``anomaly_score_<type>_section_<NN>_test.csv``, and with the folders of 2021 ``…_source_test.csv`` and
``…_target_test.csv``. A machine whose clips share file names, as in MIMII's folders, has neither: lines could not be
told apart.
"""

from __future__ import annotations

import csv
import json
import logging
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError, reason
from collab_asd.core.files import SECTION, filling, machine_folder_name, replacing
from collab_asd.core.schemas import RESULTS
from collab_asd.core.types import KEPT_BY_CLIENTS, Partition, ScoreRow, ScoreTable
from collab_asd.data.manifest import ManifestRow, difference, manifest_sha256, read_manifest, write_manifest
from collab_asd.data.partitions import calibration_clips
from collab_asd.data.recordings import shorten
from collab_asd.detection.evaluation import DOMAINS_APART, Evaluation
from collab_asd.detection.scorers import SCORERS, looks_at_spectra
from collab_asd.methods import METHODS

log = logging.getLogger(__name__)
HOW_ONLY = {"results-dir", "cache-dir", "min-clients", "timeout", "retries", "on-failure"}  # no score depends on them
DOMAIN_COLUMNS = ("domain",)  # in tables of clips that have one
RUN_COLUMNS = ("method", "encoder", "scorer", "seed")
CLIP_COLUMNS = (
    *("client", "machine_type", "machine_id", "clip", "label"),
    *("anomaly_score", "threshold", "decision", "p_value"),
)


def write_dcase(folder: Path, table: ScoreTable) -> None:
    """Write both files of every machine, lines in the order of file names; scores with all their digits."""
    folder.mkdir(parents=True, exist_ok=True)
    machines: dict[str, list[ScoreRow]] = defaultdict(list)
    for row in table.rows:
        machines[_dcase_name(row)].append(row)
    for machine, rows in machines.items():
        named = sorted(((PurePosixPath(row.clip).name, row) for row in rows), key=lambda pair: pair[0])
        if shared := [name for name, count in Counter(name for name, _ in named).items() if count > 1]:
            log.warning(
                "%s: no DCASE files for %s: several of its test clips are called %s, and those files hold no folder; "
                "scores.csv has all scores", folder, machine, shorten(shared),
            )  # fmt: skip
            continue
        _write(folder / f"anomaly_score_{machine}.csv", ((name, row.anomaly_score) for name, row in named))
        _write(folder / f"decision_result_{machine}.csv", ((name, row.decision) for name, row in named))


def _dcase_name(row: ScoreRow) -> str:
    name = machine_folder_name(row.machine_type, row.machine_id)
    if not SECTION.fullmatch(row.machine_id):
        return name
    above = PurePosixPath(row.clip).parent.name
    return f"{name}_{above if above in DOMAINS_APART else 'test'}"


def _write(path: Path, lines: Iterable[tuple[str, float]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


def default_name(config: RunConfig) -> str:
    """Name a result folder that was not named by the user: time, method, encoder and seed."""
    encoder = re.sub(r"[^\w.-]", "_", config.encoder)
    return f"{datetime.now():%Y%m%d-%H%M%S}-{config.method}-{encoder}-{config.seed}"


@dataclass(frozen=True)
class ResultFolder:
    """Where one run writes.

    Parameters
    ----------
    path : Path
    manifest : sequence of ManifestRow or None
        Clips of the run; None at the server of a deployment, which knows of none.
    """

    path: Path
    config: RunConfig
    manifest: Sequence[ManifestRow] | None

    @classmethod
    def open(cls, path: Path, config: RunConfig, manifest: Sequence[ManifestRow] | None) -> ResultFolder:
        """Begin a result folder, or go on with one that the same run began and did not finish.

        Raises
        ------
        InputError
            The folder is complete, belongs to a run with another configuration or other clips, or holds other files.
        """
        folder = cls(path, config, manifest)
        require_unfinished(path)
        if (path / "config.json").exists():
            folder.require_same_run()
        elif path.exists() and not all(map(_is_beginning, path.iterdir())):
            raise InputError(f"{path}: holds other files; name a new or an empty folder for the results")
        with filling(path):
            folder.begin()
        return folder

    def begin(self) -> None:
        """Write what a run is begun with."""
        self.path.mkdir(parents=True, exist_ok=True)
        if self.manifest is not None:
            write_manifest(self.path / "manifest.csv", self.manifest)
        _write_json(self.path / "config.json", self.config.to_mapping())

    def require_same_run(self) -> None:
        """Refuse to go on with a folder that was begun with another configuration or on other clips."""
        written = json.loads((self.path / "config.json").read_text(encoding="utf-8"))
        began = RunConfig().to_mapping() | written  # a key that is newer than the folder had its default
        now = self.config.to_mapping()
        other = sorted(k for k in began.keys() | now.keys() if k not in HOW_ONLY and began.get(k) != now.get(k))
        if other:
            raise InputError(f"{self.path}: was begun with another {', '.join(other)}; name a new folder")
        if self.manifest is None:
            return
        if clips := difference(read_manifest(self.path / "manifest.csv"), self.manifest):
            raise InputError(f"{self.path}: was begun on other clips ({clips}); restore them or name a new folder")

    def finish(self, table: ScoreTable | None, summary: Mapping[str, Any]) -> None:
        """Write the scores, ours and DCASE's, and last the summary, which says that the folder is complete.

        There is no table where the clients keep their scores.
        """
        if table is not None:
            self._write_scores(table)
            write_dcase(self.path / "dcase", table)
        _write_json(self.path / "summary.json", summary)

    def _write_scores(self, table: ScoreTable) -> None:
        """One row per test clip; numbers in full, so that equal runs give equal files."""
        run = (self.config.method, self.config.encoder, scorer_name(self.config), self.config.seed)
        with (self.path / "scores.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            columns = CLIP_COLUMNS + (DOMAIN_COLUMNS if any(row.domain for row in table.rows) else ())
            writer.writerow(RUN_COLUMNS + columns)
            for row in table.rows:  # csv writes None as an empty field, and floats with all their digits
                writer.writerow([*run, *(getattr(row, column) for column in columns)])


def read_summary(folder: Path) -> dict[str, Any]:
    """Read ``summary.json`` of a finished run.

    Raises
    ------
    InputError
        There is none, it is damaged, or another release's.
    """
    path = folder / "summary.json"
    if not path.is_file():
        raise InputError(f"{folder}: holds no finished run (no summary.json); finish that run or name another folder")
    return RESULTS.read(path)


def read_config(folder: Path) -> RunConfig:
    """Read the configuration of a result folder, finished or not.

    Raises
    ------
    InputError
        There is none, it is damaged, or another release's.
    """
    if (folder / "summary.json").exists():
        read_summary(folder)
    try:
        return RunConfig.from_mapping(json.loads((folder / "config.json").read_bytes()))
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{folder}: not the result folder of a run ({reason(error)}); name one") from error


def require_unfinished(path: Path) -> None:
    """Refuse a folder that holds a complete result."""
    if (path / "summary.json").exists():
        raise InputError(f"{path}: holds a finished run (summary.json); name another folder, nothing was overwritten")


def discard_beginning(path: Path) -> None:
    """Remove the folder of a run that failed before it had anything to go on from."""
    if path.is_dir() and all(file.name == "config.json" or _is_beginning(file) for file in path.iterdir()):
        shutil.rmtree(path)


def _is_beginning(file: Path) -> bool:
    """Whether a file is what a run leaves that was killed before it could write its configuration."""
    return file.name in ("manifest.csv", ".lock") or file.name.startswith(".config.json.")


def scorer_name(config: RunConfig) -> str:
    """Return the scorer that a method really uses: local ones have no shared space to fuse with."""
    return METHODS.find(config.method).scorer or config.scorer


def _run_named(config: RunConfig) -> dict[str, Any]:
    """Return what every ``summary.json`` begins with."""
    return {
        **RESULTS.stamp,
        "method": config.method,
        "encoder": config.encoder,
        "scorer": scorer_name(config),
        "seed": config.seed,
    }


def summarize_kept(config: RunConfig) -> dict[str, Any]:
    """Build that part of ``summary.json`` for a run whose clients keep their scores."""
    return {
        **_run_named(config),
        "scores": KEPT_BY_CLIENTS,
        "config": replace(config, report_scores=False).without_secrets(),
    }


def threshold_clips(config: RunConfig, held: int) -> int:
    """Return how many normal clips set the threshold of a machine that has so many training clips.

    They are those that the method's model had not seen.
    """
    count = min(held, config.train_clips or held)
    # each clip in turn, by a scorer or by the client's own space of a fusion
    held_out = METHODS.find(config.method).scorer in SCORERS or looks_at_spectra(config)
    return count if held_out else calibration_clips(count, config.calibration)


def mark_thresholds(evaluation: Evaluation, config: RunConfig, partitions: Sequence[Partition]) -> Evaluation:
    """Mark the machines whose threshold was set from too few normal clips that the method's model had not seen."""
    from collab_asd.detection.thresholds import is_uncertain

    uncertain = set()
    for partition in partitions:
        normals = Counter(partition.clips[i].machine for i in partition.indices("train"))
        for machine, held in normals.items():
            if is_uncertain(threshold_clips(config, held), config.false_alarm_rate):
                uncertain.add(machine)
    marked = (replace(m, few_threshold_clips=m.machine in uncertain) for m in evaluation.machines)
    return replace(evaluation, machines=tuple(marked))


def mark_misfits(evaluation: Evaluation, misfits: Iterable[str]) -> Evaluation:
    """Mark the machines (``"type/id"``) whom the covariances of the others do not suit."""
    named = set(misfits)
    return replace(evaluation, machines=tuple(replace(m, misfit=m.machine in named) for m in evaluation.machines))


def summarize(config: RunConfig, evaluation: Evaluation, manifest: Sequence[ManifestRow]) -> dict[str, Any]:
    """Build the part of ``summary.json`` that does not depend on how the run went."""
    measures = {
        name: {"total": evaluation.total(name), "by_type": evaluation.by_type(name), "by_id": evaluation.by_id(name)}
        for name in ("auc", "pauc")
    }
    return {
        **_run_named(config),
        **measures,
        "machines": [asdict(machine) for machine in evaluation.machines],
        "id_accuracy": evaluation.total("id_accuracy"),
        "false_alarm_rate": evaluation.total("false_alarm_rate"),
        "recall": evaluation.total("recall"),
        "f1": evaluation.total("f1"),
        "manifest_sha256": manifest_sha256(manifest),
        "config": config.without_secrets(),
        **_summarize_sections(evaluation),
    }


def _summarize_sections(evaluation: Evaluation) -> dict[str, Any]:
    """Build what ``summary.json`` says of sections and domains; nothing where there are none."""
    if not evaluation.sections:
        return {}
    return {
        "sections": [asdict(section) for section in evaluation.sections],
        "official_score": {"total": evaluation.official_score, "by_type": evaluation.official_by_type()},
    }


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with replacing(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())
