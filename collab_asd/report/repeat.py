"""The command that repeats a run."""

from __future__ import annotations

import shlex

from collab_asd.config import RunConfig
from collab_asd.report.contents import Run

OPTIONS = {
    "data-dir": "--data",
    "method": "--method",
    "encoder": "--encoder",
    "encoder-weights": "--weights",
    "seed": "--seed",
}
# Where results and embeddings lie changes no figure, and a finished folder cannot be written again.
WHERE_ONLY = ("results-dir", "cache-dir")


def command(run: Run) -> str:
    """Return a shell command with every setting of the run that differs from the default."""
    config, defaults = run.summary["config"], RunConfig().to_mapping()
    words = ["collab-asd", "run"]
    changed = {k: v for k, v in config.items() if k not in WHERE_ONLY and (k not in defaults or defaults[k] != v)}
    for key, option in OPTIONS.items():
        if key in changed:
            words += [option, str(changed[key])]
    if not config.get("data-dir"):  # synthetic machines, one per SuperNode
        words += ["--supernodes", str(len({(row.machine_type, row.machine_id) for row in run.manifest}))]
    if (engine := run.summary["engine"]) != "inprocess":
        words += ["--engine", engine]
    for key, value in changed.items():
        if key not in OPTIONS:
            words += ["--set", f"{key}={value}"]
    return shlex.join(words)
