"""Finished result folders that no run has made, with scores that are known."""

import json

import pytest

from collab_asd.config import RunConfig
from collab_asd.data.manifest import ManifestRow, manifest_sha256, write_manifest
from collab_asd.report.reading import BEFORE_P_VALUES

# Per machine. At the threshold: one false alarm of four, one miss of four; 12 of 16 pairs are in order.
NORMALS, FAULTS, THRESHOLD = (0.0, 1.0, 2.0, 4.5), (1.5, 3.0, 4.0, 5.0), 2.5


@pytest.fixture
def make_folder(tmp_path):
    """Write a result folder of machines with these labels per clip; ``clips`` makes their content hashes."""

    def make(
        name="run",
        machines=(("fan", "00"), ("fan", "01")),
        labels=("0", "1"),
        clips="a",
        faults=FAULTS,
        threshold=THRESHOLD,
        **changes,
    ):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        manifest, scores = [], []
        for client, (machine_type, machine_id) in enumerate(machines):
            known = (str(client), machine_type, machine_id)
            manifest.append(ManifestRow(*known, "train", "0", f"{machine_type}/t{machine_id}.wav", f"{clips}{client}"))
            tests = [(label, s) for label, s in zip(labels, (NORMALS, faults), strict=True) for s in s]
            for i, (label, score) in enumerate(tests):
                clip = f"{machine_type}/{machine_id}_{i}.wav"
                manifest.append(ManifestRow(*known, "test", label, clip, f"{clips}{client}-{i}"))
                run = ("embedding-sharing", "logmel", "knn", 7)
                scores.append([*run, *known, clip, label, score, threshold, int(score > threshold)])
        write_manifest(folder / "manifest.csv", manifest)
        lines = [",".join(BEFORE_P_VALUES), *(",".join(f'"{cell}"' for cell in row) for row in scores)]
        (folder / "scores.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        accuracy = [{"machine_type": t, "machine_id": i, "id_accuracy": 0.75} for t, i in machines]
        clients = {str(client): 2_500_000 for client in range(len(machines))}
        summary = {
            "method": "embedding-sharing",
            "encoder": "logmel",
            "scorer": "knn",
            "seed": 7,
            "engine": "inprocess",
            "bytes_up": clients,
            "bytes_down": clients,
            "seconds": {"embed": 1.25, "total": 3.0},
            "peak_rss_mb": 512.0,
            "excluded": {},
            "machines": accuracy,
            "manifest_sha256": manifest_sha256(manifest),
            "config": RunConfig().to_mapping(),
        }
        (folder / "summary.json").write_text(json.dumps(summary | changes), encoding="utf-8")
        return folder

    return make


@pytest.fixture
def make_comparison(make_folder, tmp_path):
    """Write a comparison of embedding sharing with two seeds and a local method with one; return its folder.

    Embedding sharing has the AUC 12/16 with seed 0 and 1 with seed 1, the local one 12/16.
    """

    def make(**of_last):
        lines = ["method,encoder,scorer,seed,state,folder"]
        cells = (("embedding-sharing", "knn", 0, {}), ("embedding-sharing", "knn", 1, {"faults": (5.0, 6.0, 7.0, 8.0)}))
        for method, scorer, seed, changes in (*cells, ("local-knn", "knn", 0, of_last)):
            name = f"{method}-logmel-{scorer}-{seed}"
            make_folder(f"compared/cells/{name}", **changes)
            lines.append(f"{method},logmel,{scorer},{seed},finished,/elsewhere/cells/{name}")
        lines.append("local-knn,logmel,knn,1,failed,/elsewhere/cells/local-knn-logmel-knn-1")
        (tmp_path / "compared" / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return tmp_path / "compared"

    return make
