import re
from html.parser import HTMLParser

import numpy as np
import pytest

from collab_asd.core.errors import InputError
from collab_asd.report.contents import ClipPortrait, Embeddings, Heat, Sound
from collab_asd.report.few_shot import CURVES
from collab_asd.report.page import run_names, write_report
from collab_asd.report.reading import read_run

NASTY = "<script>alert('$x$')</script>"
RATE = 16000
VOID = {"meta", "link", "br", "img"}


class Page(HTMLParser):
    """Tags with their attributes, and the text; raises where a tag is closed that is not open."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(path.read_text(encoding="utf-8"))
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def noise(seed):
    return Sound(np.random.default_rng(seed).normal(0, 0.1, RATE).astype(np.float32), RATE)


def portrait(clip="fan/00_3.wav"):
    heat = Heat(np.array([[1.0, -1.0]]), np.array([0.0, 8000.0]), np.array([0.0, 0.5, 1.0]))
    return ClipPortrait(clip, "fan/00", 0, 4.5, 2.5, noise(0), "fan/t00.wav", noise(1), heat)


def embeddings(machine, after=True):
    rng = np.random.default_rng(0)
    kinds = ["normal"] * 5 + ["test normal", "test anomaly", "test"]
    points = rng.normal(size=(8, 6)).astype(np.float32)
    return Embeddings(machine, "fan", kinds, points, points[:, :4] if after else None)


def test_a_page_has_all_its_parts(make_folder):
    folder = make_folder()
    maps = [embeddings("fan/00"), embeddings("fan/01")]
    path = write_report(folder, [read_run(folder)], embeddings=maps, mistakes=[portrait()], alarms=[portrait()])
    page = Page(path)
    assert path == folder / "report.html"
    assert page.all("html") == [{"lang": "en"}]
    for landmark in ("header", "main", "footer", "h1"):
        assert len(page.all(landmark)) == 1
    for words in ("75 of 100", "Worst mistakes", "Loudest alarms", "collab-asd run --supernodes 2", "Manifest"):
        assert words in page.text
    # bars, a histogram and a ROC curve per machine, the map before and after, two clips beside normal ones, curves
    assert len(page.all("svg")) == 1 + 2 * 2 + 2 + 2 * 2 + len(CURVES)
    assert len(list((folder / "figures").glob("*.png"))) == len(page.all("svg")) - 2 * 2  # spectrograms have no file
    assert len(page.all("audio")) == 4
    assert {f.name for f in (folder / "tables").glob("*.tex")} == {
        *("auc.tex", "decisions.tex", "traffic.tex", "phases.tex", "seconds.tex", "configuration.tex"),
    }


def test_a_page_needs_nothing_from_outside(make_folder):
    folder = make_folder()
    path = write_report(folder, [read_run(folder)], embeddings=[embeddings("fan/00")], mistakes=[portrait()])
    page = Page(path)
    assert not page.all("script")
    sources = [v for _, attributes in page.tags for k, v in attributes.items() if k in ("src", "href", "xlink:href")]
    assert sources
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert not re.search(r"url\((?!#)|@import|https?:", re.sub(r"data:[^\"]*", "", path.read_text(encoding="utf-8")))


def test_ids_are_unique_and_all_that_is_referred_to_is_there(make_folder):
    folder = make_folder()
    page = Page(write_report(folder, [read_run(folder)], mistakes=[portrait(), portrait()]))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = {a["xlink:href"][1:] for _, a in page.tags if a.get("xlink:href", "").startswith("#")}
    used |= {a["aria-labelledby"] for _, a in page.tags if "aria-labelledby" in a}
    used |= {m for _, a in page.tags for v in a.values() for m in re.findall(r"url\(#([^)]*)", v or "")}
    assert used
    assert used <= set(ids)


def test_every_figure_and_player_has_words(make_folder):
    folder = make_folder()
    page = Page(write_report(folder, [read_run(folder)], alarms=[portrait()]))
    labelled = page.all("svg") + page.all("audio")
    assert len(labelled) == 9 + len(CURVES)
    assert all(len(attributes["aria-label"]) > 10 for attributes in labelled)
    assert all(attributes["role"] == "img" for attributes in page.all("svg"))


def test_names_are_text_and_nothing_else(make_folder):
    folder = make_folder(machines=((NASTY, "0 & 1"),), encoder_note=NASTY)
    page = Page(write_report(folder, [read_run(folder)], mistakes=[portrait(NASTY)], note=NASTY))
    assert not page.all("script")
    assert page.text.count(NASTY) > 5
    assert page.all("article")


def test_figures_take_their_colours_from_the_page(make_folder):
    folder = make_folder()
    text = write_report(folder, [read_run(folder)]).read_text(encoding="utf-8")
    colours = re.findall(r"(?:fill|stroke): (#\w+)", "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL)))
    assert "fill: var(--normal)" in text
    assert set(colours) <= {"#000000"}
    assert text.count("--normal:") == 2  # light and dark


def test_without_labels_there_is_no_auc_but_a_page(make_folder):
    folder = make_folder(labels=("", ""))
    page = Page(write_report(folder, [read_run(folder)]))
    assert "cannot be said" in page.text
    assert "no AUC to show" in page.text
    assert len(page.all("svg")) == 2 + len(CURVES)  # the histograms, and how many recordings are enough


def test_without_sounds_there_are_no_players(make_folder):
    folder = make_folder()
    page = Page(write_report(folder, [read_run(folder)], alarms=[portrait()], sounds=False))
    assert not page.all("audio")
    assert "Loudest alarms" in page.text


def test_a_method_without_f_s_has_a_map_before_alone(make_folder):
    folder = make_folder()
    page = Page(write_report(folder, [read_run(folder)], embeddings=[embeddings("fan/00", after=False)]))
    assert "before the ID classifier" in page.text
    assert "after the ID classifier" not in page.text


@pytest.mark.parametrize("count", [1, 8])
def test_one_machine_and_many(make_folder, count):
    machines = [("fan", f"{i:02d}") for i in range(count)]
    folder = make_folder(machines=machines)
    maps = [embeddings(f"fan/{i:02d}") for i in range(count)]
    page = Page(write_report(folder, [read_run(folder)], embeddings=maps))
    assert f"Sound check of {count} machine{'s' if count > 1 else ''}" in page.text
    assert len(page.all("svg")) == 1 + 2 * count + 2 + len(CURVES)


def test_several_runs_share_a_page(make_folder, tmp_path):
    runs = [read_run(make_folder("one")), read_run(make_folder("two", method="local-knn"))]
    page = Page(write_report(tmp_path / "both", runs))
    assert "2 runs compared" in page.text
    assert [a for a in page.all("details") if a.get("class") == "run"] == [{"class": "run"}] * 2
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert (tmp_path / "both" / "tables" / "auc_by_run.csv").read_text() == (
        "machine,embedding-sharing,local-knn,local-knn: difference,note\n"
        'fan/00,0.750,0.750,"+0.000 [+0.000, +0.000]",*\n'
        'fan/01,0.750,0.750,"+0.000 [+0.000, +0.000]",*\n'
        'mean,0.750,0.750,"+0.000 [+0.000, +0.000]",*\n'
    )
    # pAUC: at 10 % false alarms the area is 0.25 * 0.1, which is (1 + (0.025 - 0.005) / (0.1 - 0.005)) / 2
    assert (tmp_path / "both" / "tables" / "runs.csv").read_text().splitlines()[1] == (
        "embedding-sharing,0.750,0.605,0.750,0.250,0.750,0.750,5.00,5.00,3,*"
    )


def test_methods_with_a_scorer_of_their_own_are_named_without_it(make_folder):
    own = {"method": "covariance-sharing", "scorer": "mahalanobis"}
    runs = [read_run(make_folder("one")), read_run(make_folder("two", **own))]
    assert run_names(runs) == ["embedding-sharing", "covariance-sharing"]
    third = read_run(make_folder("three", scorer="fusion"))
    assert run_names([*runs, third]) == ["embedding-sharing (knn)", "covariance-sharing", "embedding-sharing (fusion)"]


def test_runs_that_do_not_belong_together_leave_nothing_behind(make_folder, tmp_path):
    runs = [read_run(make_folder("one")), read_run(make_folder("two", clips="b"))]
    with pytest.raises(InputError, match="do not belong on one page"):
        write_report(tmp_path / "both", runs)
    with pytest.raises(InputError, match="at least one"):
        write_report(tmp_path / "both", [])
    assert not (tmp_path / "both").exists()


def test_runs_are_named_by_what_tells_them_apart(make_folder):
    one, two = read_run(make_folder("one")), read_run(make_folder("two", seed=8))
    assert run_names([one]) == ["embedding-sharing (logmel, knn, seed 7)"]
    assert run_names([one, two]) == ["seed 7", "seed 8"]
    assert all(str(run.path) in name for run, name in zip([one, one], run_names([one, one]), strict=True))
