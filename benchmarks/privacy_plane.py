"""The utility-privacy plane: how well detection goes against how far attacks get, for each defence and strength.

    python benchmarks/privacy_plane.py OUT --data toycar --own toycar_tune [--figure plane.png]

Two sets: recordings (`--data`, attacked with the sounds of `--own`), and synthetic machines, of which factory and load
are known. Each point is a run that is recorded and attacked, and one more with the shared space alone. What attacks
reach is a lower bound; that of rotations is known to be far too low (docs/privacy.md). A point is kept
as a file in OUT/points, so that what was interrupted is taken up again; OUT/plane.json and plane.csv hold all of them.
Keys are those of this file: secret to none but the attacks.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from collab_asd.audit import inversion as retrieval
from collab_asd.audit import probes as probe
from collab_asd.audit import threat_models as knowledge
from collab_asd.audit.findings import FULL, guessed, hear, own_codec, synthetic_sounds
from collab_asd.audit.observations import through
from collab_asd.audit.run import AuditedRun
from collab_asd.audit.threat_models import ARCHITECTURE, KNOWS, ThreatModel
from collab_asd.config import RunConfig
from collab_asd.core.runtime import pin_threads
from collab_asd.federation.engines import run_inprocess
from collab_asd.report.privacy import INSIDER, OUTSIDER
from collab_asd.report.theme import LIGHT, MARKERS, SERIES, drawing, panels, save_png

SCOPE, CLIENTS = replace(FULL, keys=1), 4
REIDENTIFIED = "re-identified"
ALONE, METHOD = "nothing shared", "local-mahalanobis"
DEFAULT = RunConfig.codec


@dataclass(frozen=True)
class Point:
    """One defence at one strength."""

    family: str
    label: str
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.family}-{self.label}".replace(" ", "_").replace(",", "")


def points(keys: Path, tags: bool) -> list[Point]:
    """List all that is measured; `tags` where there is an attribute to erase."""
    rotation, own_key = {"rotation_key_file": str(keys / "rotation")}, {"encoder_key_file": str(keys / "encoder")}
    noise = {"noise_key_file": str(keys / "noise")}
    coded = ("fp32", "pool:8+int8", "pool:32+int8", "pool:8+pca:16+int8", "pool:8+pca:4+int8")
    listed = [Point(ALONE, METHOD, {"method": METHOD})]
    listed += [Point("codec", short(text), {"codec": text}) for text in (*coded, DEFAULT)]
    listed += [Point("secret key", short(text), {"codec": text, **own_key}) for text in ("fp32", DEFAULT)]
    listed += [Point("rotation", short(text), {"codec": text, **rotation}) for text in ("fp32", DEFAULT)]
    epsilons = (10.0, 1e3, 1e4, 1e5)
    listed += [Point("noise", f"epsilon {epsilon:,.0f}", {"noise_epsilon": epsilon, **noise}) for epsilon in epsilons]
    listed.append(
        Point("key, rotation, noise", "epsilon 10,000", {"noise_epsilon": 1e4, **noise, **rotation, **own_key})
    )
    return listed + [Point("erasure", tag, {"erase": tag}) for tag in ("factory", "load") if tags]


def short(codec: str) -> str:
    """Name a codec in a figure."""
    return "default" if codec == DEFAULT else codec.removesuffix("+int8")


def measure(point: Point, config: RunConfig, own: Path | None, scratch: Path) -> dict[str, Any]:
    """Run and attack one point; `own` is the folder of the adversary's sounds."""
    config = replace(config, **point.settings)
    shutil.rmtree(scratch, ignore_errors=True)
    found: dict[str, Any] = {"family": point.family, "label": point.label, "auc": {}}
    runs: dict[str, dict[str, Any]] = {"fusion": {"record_view": True}, "shared": {"scorer": config.shared_scorer}}
    for name, changes in runs.items():
        results = run_inprocess(replace(config, results_dir=str(scratch / name), **changes), CLIENTS)
        summary = json.loads((results / "summary.json").read_text())
        found["auc"][name] = summary["auc"]["total"]
        if point.family == ALONE:
            return found | {"auc": dict.fromkeys(("fusion", "shared"), summary["auc"]["total"]), "attacks": []}
    found["note"] = summary["encoder_note"]
    run = AuditedRun.open(scratch / "fusion")
    found["attacks"] = [
        {"adversary": adversary, **asdict(finding)}
        for adversary, level in levels(run, own or synthetic_sounds(config))
        for finding in (retrieval.judge(level, retrieval.reconstruct(level))[-1], *probed(level))
    ]
    shutil.rmtree(scratch)
    return found


def levels(run: AuditedRun, data: Path) -> Iterator[tuple[str, ThreatModel]]:
    """Make the adversaries: one with all that a member knows, and those that miss what is secret."""
    own = hear(run, data, SCOPE)
    attacked = [clip for clips in run.trained_on(SCOPE.per_client).values() for clip in clips]
    yield INSIDER, ThreatModel(KNOWS, own, attacked)
    bands, codec = run.key_bands, own_codec(run, own, guessed(run, 0))
    banded = knowledge.by_band(through(own, run.ear, guessed(run, 0), codec), codec, bands)
    yield OUTSIDER, ThreatModel(ARCHITECTURE, banded, knowledge.by_band(attacked, run.codec, bands))
    if run.defences.rotation is not None:
        believed = guessed(run, 0) if run.config.encoder_key_file else run.encoder
        codec = own_codec(run, own, believed)
        unturned = through(own, run.ear, believed, codec)
        yield OUTSIDER, knowledge.by_length(unturned, codec, attacked, run.codec)
        yield OUTSIDER, knowledge.by_axes(unturned, attacked)
        yield OUTSIDER, knowledge.by_closest_points(unturned, codec, attacked, run.codec)


def probed(level: ThreatModel) -> Iterator[Any]:
    """Read each tag that is known of the attacked clips."""
    for tag in level.attacked[0].tags:
        if finding := probe.probe(level, tag):
            yield finding


def success(point: dict[str, Any], adversary: str, measure_: str) -> tuple[float, float, float] | None:
    """Return what the best attack of an adversary reaches, and its interval."""
    found = [a for a in point["attacks"] if a["adversary"] == adversary and a["measure"].startswith(measure_)]
    best = max(found, key=lambda attack: attack["value"], default=None)
    return None if best is None else (best["value"], best["low"], best["high"])


def draw(path: Path, plane: dict[str, list[dict[str, Any]]]) -> None:
    """Draw AUC against the success of attacks."""
    shown = [
        ("recordings", REIDENTIFIED, "fusion"),
        ("recordings", REIDENTIFIED, "shared"),
        ("synthetic", "accuracy, factory", "shared"),
        ("synthetic", "accuracy, load", "shared"),
    ]
    shown = [one for one in shown if plane.get(one[0])]
    with drawing():
        figure, axes = panels(len(shown), 3.4, most_columns=2, share_y=False)
        for panel, (where, measure_, auc) in zip(axes, shown, strict=True):
            draw_panel(panel, [point for point in plane[where] if point["family"] != ALONE], measure_, auc)
            panel.axhline(plane[where][0]["auc"][auc], color=LIGHT["soft"], ls="--", lw=0.8, label=ALONE)
            panel.set_title(f"{where}: attack, {measure_} (dotted: chance)")
            panel.margins(x=0.08, y=0.08)
            panel.set_ylabel(f"AUC, {'fusion' if auc == 'fusion' else 'shared space alone'}")
        for fill, adversary in ((LIGHT["soft"], INSIDER), ("none", OUTSIDER)):
            axes[0].plot([], [], "o", mec=LIGHT["soft"], mfc=fill, ms=5, label=adversary)
        named = {
            label: handle for panel in axes for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
        }
        figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=5, fontsize=7)
        save_png(figure, path)


def draw_panel(panel: Axes, found: Sequence[dict[str, Any]], measure_: str, auc: str) -> None:
    """Draw the points of one set: full for an insider, hollow for an outsider, a line between the two."""
    families = list(dict.fromkeys(point["family"] for point in found))
    for family, colour, marker in zip(families, SERIES, MARKERS, strict=False):
        for i, point in enumerate(p for p in found if p["family"] == family):
            sides = [success(point, adversary, measure_) for adversary in (INSIDER, OUTSIDER)]
            (inside, outside), y = [side[0] if side else float("nan") for side in sides], point["auc"][auc]
            panel.plot([outside, inside], [y, y], color=colour, lw=0.6, alpha=0.6)
            panel.plot(inside, y, marker, color=colour, ms=5, label=family if i == 0 else None)
            panel.plot(outside, y, marker, mec=colour, mfc="none", ms=5)
            middle = ((inside + outside) / 2, y)
            panel.annotate(point["label"], middle, fontsize=5.5, ha="center", xytext=(0, 2), textcoords="offset points")
    chance = next(a["chance"] for a in found[0]["attacks"] if a["measure"].startswith(measure_))
    panel.axvline(chance, color=LIGHT["soft"], ls=":", lw=0.8)


def table(plane: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Write all figures as CSV."""
    columns = ("re-identified", "accuracy, factory", "accuracy, load")
    head = ["set", "defence", "strength", "AUC fusion", "AUC shared"]
    head += [
        f"{name}, {side}{end}" for name in columns for side in ("insider", "outsider") for end in ("", " low", " high")
    ]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        for where, found in plane.items():
            for point in found:
                cells: list[Any] = [where, point["family"], point["label"], *point["auc"].values()]
                for name in columns:
                    for adversary in (INSIDER, OUTSIDER):
                        cells += success(point, adversary, name) or (None, None, None)
                writer.writerow([f"{cell:.3f}" if isinstance(cell, float) else cell for cell in cells])


def write_keys(folder: Path) -> Path:
    """Write the keys of this benchmark."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("encoder", "rotation", "noise"):
        (folder / name).write_bytes(f"key of the plane, for {name}".encode() * 2)
    return folder


def main() -> None:
    """Measure what is missing, and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", default="", help="recordings; without, synthetic machines alone")
    parser.add_argument("--own", type=Path, help="the adversary's recordings; without, synthetic ones")
    parser.add_argument("--cache-dir", default="")
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--only", nargs="+", default=[], help="families or files of points (recordings-codec-default)")
    args = parser.parse_args()
    pin_threads(RunConfig.threads)
    logging.disable(logging.INFO)
    keys = write_keys(args.out.absolute() / "keys")
    plane: dict[str, list[dict[str, Any]]] = {"recordings": [], "synthetic": []}
    for where, data, own in (("recordings", args.data, args.own), ("synthetic", "", None)):
        if where == "recordings" and not data:
            continue
        config = RunConfig(data_dir=data, cache_dir=args.cache_dir, report=False)
        for point in points(keys, tags=where == "synthetic"):
            file = args.out / "points" / f"{where}-{point.name}.json"
            if not file.exists():
                if args.only and not {point.family, file.stem} & set(args.only):
                    continue
                found = measure(point, config, own, args.out.absolute() / "run")
                file.parent.mkdir(exist_ok=True)
                file.write_text(json.dumps(found, indent=1))
                print(
                    where,
                    point.name,
                    found["auc"],
                    [success(found, a, REIDENTIFIED) for a in (INSIDER, OUTSIDER)],
                    flush=True,
                )
            plane[where].append(json.loads(file.read_text()))
    (args.out / "plane.json").write_text(json.dumps(plane, indent=1))
    table(plane, args.out / "plane.csv")
    draw(args.figure or args.out / "plane.png", plane)


if __name__ == "__main__":
    main()
