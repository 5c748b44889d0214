"""What the terminal shows of names that no programmer would give a machine."""

import io
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile as sf
from rich.table import Table

from collab_asd.core.terminal import PlainConsole, prepare_streams

ODD = ("fan [old]", "[/red]", ":fire: $x^", "機械 🎛", "a\x1b[31mb", "a\nb")
LOCALES = {
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
}


@pytest.fixture
def stdout(monkeypatch):
    """Puts a stream of some encoding in place of stdout; returns what was written to it, decoded."""

    def of(encoding):
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding=encoding, write_through=True, newline="\n")
        monkeypatch.setattr(sys, "stdout", stream)
        prepare_streams()
        return lambda: raw.getvalue().decode(encoding)

    return of


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_text_is_printed_as_it_is_where_the_terminal_can_show_it(stdout, encoding):
    written = stdout(encoding)
    PlainConsole(soft_wrap=True).print("fan [old] [/red] :fire: [link=x]y")
    assert written() == "fan [old] [/red] :fire: [link=x]y\n"


@pytest.mark.parametrize(
    ("encoding", "text", "shown"),
    [
        ("utf-8", "機械 ±1 –", "機械 ±1 –"),
        ("cp1252", "é ±1 – −2 機", r"é ±1 – -2 \u6a5f"),
        ("ascii", "é ±1 – −2 … 🎛", r"\xe9 +/-1 - -2 ... \U0001f39b"),
        ("utf-8", "\x1b[2Jcaf\udce9", r"\x1b[2Jcaf\udce9"),
    ],
)
def test_what_it_cannot_show_is_replaced(stdout, encoding, text, shown):
    written = stdout(encoding)
    PlainConsole(soft_wrap=True).print(text)
    print(text.replace("\x1b", "\\x1b"))
    assert written() == f"{shown}\n" * 2


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_columns_stay_aligned(stdout, encoding):
    written = stdout(encoding)
    table = Table("machine", "AUC", box=None)
    for name in ("x", "é ±", "機", "\x1b[31m", "[old]"):
        table.add_row(name, "|")
    PlainConsole(width=60).print(table)
    ends = {len(line.split("|")[0].replace("機", "__")) for line in written().splitlines()[1:]}
    assert len(ends) == 1


@pytest.fixture(scope="module")
def odd_machines(machines, tmp_path_factory):
    """Two machines of each of some types with odd names; what a folder cannot be called stands in a table."""
    folder = tmp_path_factory.mktemp("odd")
    lines = ["path,machine_type,machine_id,split,label"]
    for name in ODD:
        for path in sorted((machines / "fan").rglob("*_id_0[01]_*.wav")):
            split, (label, _, machine_id, _) = path.parent.name, path.stem.split("_")
            copy = folder / f"{ODD.index(name)}-{split}-{path.name}"
            sound, rate = sf.read(path)  # no two machines may hold the same recording
            noise = np.random.default_rng(len(lines)).normal(
                0, sound.std(), len(sound)
            )  # each machine sounds differently
            sf.write(copy, 0.5 * (sound + noise), rate)
            lines.append(f'{copy.name},"{name.replace("/", "")}",{machine_id},{split},{int(label == "anomaly")}')
    (folder / "clips.csv").write_text("\n".join(lines), encoding="utf-8", newline="\n")
    return folder / "clips.csv"


def collab_asd(*arguments, **environment):
    command = [sys.executable, "-m", "collab_asd.cli.main", *map(str, arguments)]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("locale", LOCALES)
def test_a_run_is_printed_in_any_locale(odd_machines, cache, tmp_path, locale):
    settings = [f"cache-dir={cache}", "epochs=1", "report=false"]
    chosen = [word for setting in settings for word in ("--set", setting)]
    out = tmp_path / "機 [b]"
    done = collab_asd(
        "run", "--data", odd_machines, "--encoder", "logmel", *chosen, "--out", out, COLUMNS="160", **LOCALES[locale]
    )
    shown = done.stdout.decode(LOCALES[locale].get("PYTHONIOENCODING", "ascii"))
    assert done.returncode == 0, done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
    for name in ("fan [old]/00", "[red]/01", ":fire: $x^/00", r"\u6a5f\u68b0 \U0001f39b/01", r"a\x1b[31mb/00"):
        assert re.search(rf"^\W?{re.escape(name)} +\|?[\d.]+ ", shown, re.MULTILINE), shown
    assert set(json.loads((out / "summary.json").read_text())["auc"]["by_type"]) == {n.replace("/", "") for n in ODD}
    scored = collab_asd("score", out / "detectors" / "fan %5Bold%5D_id_00", odd_machines.parent, **LOCALES[locale])
    assert scored.returncode == 0, scored.stderr
    assert b"fan [old]/00: " in scored.stderr
    checked = collab_asd("data", "check", odd_machines, COLUMNS="200", **LOCALES[locale])
    assert b"fan [old]/00 " in checked.stdout
