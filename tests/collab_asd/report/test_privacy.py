import json

import numpy as np
import pytest
import soundfile

from collab_asd.core.errors import InputError
from collab_asd.report.page import write_report
from collab_asd.report.privacy import (
    INSIDER,
    OUTSIDER,
    AuditResult,
    attack_sheets,
    distillation_panel,
    parties_sheet,
    plane,
    read_audit,
    read_audits,
)
from collab_asd.report.reading import read_run

FINDINGS = [
    {"attack": "raw-data retrieval", "knowledge": "knows f_c", "measure": "distance, dB", "clips": 40}
    | {"value": 2.71, "low": 2.6, "high": 2.8, "chance": 3.66},
    {"attack": "raw-data retrieval", "knowledge": "knows f_c", "measure": "correlation", "clips": 40}
    | {"value": -0.5, "low": -0.6, "high": 0.4, "chance": 0.0},
    {"attack": "raw-data retrieval", "knowledge": "10 clips leaked", "measure": "distance, dB", "clips": 40}
    | {"value": 3.0, "low": 2.9, "high": 3.1, "chance": 3.8},
]
PARTIES = [{"name": "the server", "f_c": False, "f_s": True, "embeddings": True, "complete": False}]


@pytest.fixture
def audited(make_folder):
    """A result folder with an audit, a sound of which is lost."""
    folder = make_folder()
    (folder / "audit" / "sounds").mkdir(parents=True)
    soundfile.write(folder / "audit" / "sounds" / "a.wav", np.ones(1600) / 4, 16_000)
    (folder / "audit" / "reconstructed.png").write_bytes(b"\x89PNG")
    sounds = [{"client": 2, "adversary": "truth", "file": f"sounds/{name}.wav"} for name in "ab"]
    plain = {"findings": FINDINGS, "parties": PARTIES, "missing": ["<all else>"], "sounds": sounds}
    (folder / "audit" / "audit.json").write_text(json.dumps(plain))
    return folder


def test_findings_become_one_table_per_attack():
    (sheet,) = attack_sheets(FINDINGS)
    assert sheet.title == "Raw-data retrieval (n = 40)"
    assert sheet.headings == (*("the adversary", "distance, dB (without: in brackets)", "correlation (without: 0.00)"),)
    assert sheet.rows == (
        ("knows f_c", "2.7 (3.7)", "−0.50 (−0.60–0.40)"),
        ("10 clips leaked", "3.0 (3.8)", "–"),
    )
    assert parties_sheet(PARTIES).rows == (("the server", "no", "yes", "yes", "no"),)


def test_the_page_shows_what_an_adversary_gets(audited):
    page = write_report(audited, [read_run(audited)]).read_text()
    for words in ("What an adversary gets", "2.7 (3.7)", "data:image/png;base64,iVBORw==", "&lt;all else&gt;"):
        assert words in page
    assert page.count("<audio") == 1
    assert (audited / "tables" / "audit_raw_data_retrieval.csv").is_file()
    silent = write_report(audited, [read_run(audited)], sounds=False).read_text()
    assert "<audio" not in silent


def test_a_run_without_an_audit_shows_none(make_folder):
    folder = make_folder()
    assert read_audit(folder) is None
    assert "What an adversary gets" not in write_report(folder, [read_run(folder)]).read_text()


def test_a_damaged_audit_is_named(audited):
    (audited / "audit" / "audit.json").write_text('{"findings": []}')
    with pytest.raises(InputError, match=r"audit\.json: not an audit \('parties'\); repeat collab-asd audit"):
        read_audit(audited)


def test_copies_of_f_s_are_drawn_by_queries(tmp_path):
    plain = {"attack": "model stealing", "low": 0.6, "high": 0.9, "chance": 0.5, "clips": 9}
    names = {
        "f_c, and f_s distilled by 10 queries": 0.7,
        "f_c, and f_s distilled by 30 queries": 0.8,
        "f_c and f_s": 0.85,
    }
    findings = [
        plain | {"knowledge": name, "measure": measure, "value": value}
        for name, value in names.items()
        for measure in ("detection, AUC", "agreement with f_s")
    ]
    detection, _ = distillation_panel(AuditResult(tmp_path, {}, findings, [], [], [])).axes
    drawn = [line.get_xydata().tolist() for line in detection.get_lines()]
    assert [[10, 0.7], [30, 0.8]] in drawn
    assert [[0, 0.85], [1, 0.85]] in drawn


def test_audits_are_read_by_the_names_of_their_runs(audited, tmp_path):
    assert list(read_audits(audited.parent)) == ["run"]
    with pytest.raises(InputError, match="no result folder in it has an audit; run collab-asd audit on some"):
        read_audits(audited)


def test_the_plane_has_a_line_for_nothing_shared_and_two_ends_for_each_defence(tmp_path):
    def attack(adversary, value):
        return {"adversary": adversary, "measure": "re-identified", "value": value, "chance": 0.01}

    attacks = [attack(INSIDER, 0.9), attack(OUTSIDER, 0.1), attack(OUTSIDER, 0.2)]
    points = [
        {"family": "nothing shared", "label": "", "auc": {"fusion": 0.8}, "attacks": []},
        {
            "family": "rotation",
            "label": "fp32",
            "auc": {"fusion": 0.9},
            "attacks": attacks,
        },
    ]
    (tmp_path / "plane.json").write_text(json.dumps({"recordings": points, "synthetic": []}))
    (panel,) = plane(tmp_path / "plane.json").axes
    drawn = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in panel.get_lines()}
    assert drawn["nothing shared"][1] == [0.8, 0.8]
    assert drawn["rotation"] == ([0.9], [0.9])
    assert ([0.2, 0.9], [0.9, 0.9]) in drawn.values()
