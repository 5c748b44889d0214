"""How figures look: one palette for page and figures, light and dark, safe for colour-blind readers.

Figures are drawn in the light colours. In the SVG on the page each colour of the palette becomes a CSS variable, so
that the page's style sheet decides between light, dark and print; the PNG files stay light.
"""

from __future__ import annotations

import io
import math
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import FuncFormatter, LogFormatter

# Name: colour on a light and on a dark ground. Blue against orange and the series follow Okabe and Ito (2008),
# darker or lighter where the ground asks for contrast.
PALETTE = {
    "paper": ("#fdfdfb", "#14181b"),
    "panel": ("#f1f3f1", "#1d2327"),
    "ink": ("#1c2226", "#e8eaeb"),
    "soft": ("#55606a", "#a9b3bb"),
    "line": ("#d0d6da", "#3d464d"),
    "normal": ("#0068a3", "#5cb8ee"),
    "anomaly": ("#bf4a00", "#ff9a57"),
    "green": ("#00775a", "#35c79c"),
    "purple": ("#a04478", "#e69cc6"),
    "ochre": ("#8f6a00", "#e5b93a"),
    "sky": ("#2f8fa8", "#86d5ea"),
}
LIGHT = {name: light for name, (light, _) in PALETTE.items()}
MARKERS = "osD^vP*X<>hp"
SERIES = tuple(LIGHT[name] for name in ("normal", "anomaly", "green", "purple", "ochre", "sky"))

PNG_DPI = 150
NOTEBOOK_WIDTH = 9.2  # inches
CSS_DPI = 96
EDGE = 0.04  # inches between an axis label and the edge of its figure, where margins are fixed
STYLE: dict[Any, Any] = {  # matplotlib's type of its keys is another in every version
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.edgecolor": LIGHT["soft"],
    "axes.labelcolor": LIGHT["soft"],
    "axes.facecolor": "none",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "text.color": LIGHT["ink"],
    "text.parse_math": False,  # a machine may be called $1
    "xtick.color": LIGHT["soft"],
    "ytick.color": LIGHT["soft"],
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "collab-asd",
    "image.composite_image": False,  # images stay at their own size and the browser enlarges them
}


@contextmanager
def drawing() -> Iterator[None]:
    """Draw and save in the page's style; a letter that the PNG's font lacks is no reason to complain."""
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"(?s).*Glyph .* missing")
        yield


def chart(width: float, height: float, margins: tuple[float, float, float, float] | None = None) -> tuple[Figure, Axes]:
    """Return a figure of so many inches with one pair of axes.

    Margins, in inches to the left, below, to the right and above, spare a third of the time to draw: laying out means
    to measure each label twice. They suit a figure whose labels are as long on every page.
    """
    if margins is None:
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots()
    left, below, right, above = margins
    figure = Figure(figsize=(width, height))
    wide, high = width - left - right, height - below - above
    axes = figure.add_axes((left / width, below / height, wide / width, high / height))
    axes.xaxis.set_label_coords(0.5, (EDGE - below) / high)
    axes.yaxis.set_label_coords((EDGE - left) / wide, 0.5)
    axes.xaxis.label.set_verticalalignment("bottom")
    axes.yaxis.label.set_verticalalignment("top")
    return figure, axes


def plain_numbers(axis: Axis) -> None:
    """Write numbers of a logarithmic axis out, in place of powers of ten, which are formulas."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(LogFormatter())


def panels(count: int, height: float, most_columns: int = 4, share_y: bool = True) -> tuple[Figure, list[Axes]]:
    """Return a white figure as wide as a notebook, of so many panels with a height in inches, and the panels."""
    columns = min(count, most_columns)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(NOTEBOOK_WIDTH, rows * height), layout="constrained", facecolor="white")
    axes = figure.subplots(rows, columns, sharey=share_y, squeeze=False).ravel().tolist()
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def add_legend(
    figure: Figure,
    entries: Sequence[Artist | Container],
    place: str = "lower left",
    most_columns: int = 1,
    **style: Any,
) -> None:
    """Add a legend outside of the axes, in as many columns as fit, and make the figure higher by as much.

    A label that is wider than the figure is broken into lines; entries without a name (" ") fill up columns alone.
    """
    draw: Callable[..., Legend] = partial(figure.legend, loc=f"outside {place}", handlelength=1.6, **style)
    for columns in range(most_columns, 0, -1):
        shown = [entry for entry in entries if columns > 1 or str(entry.get_label()).strip()]
        labels = [str(entry.get_label()) for entry in shown]
        legend = draw(shown, labels, ncols=columns)
        if (excess := legend.get_window_extent().width / figure.bbox.width) <= 1:
            break
        legend.remove()
    else:
        longest = max(int(max(map(len, labels)) / excess) - 4, 8)
        legend = draw(shown, [textwrap.fill(label, longest) for label in labels])
    figure.set_figheight(figure.get_figheight() + legend.get_window_extent().height / figure.dpi)


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure on white paper, in its final layout.

    The canvas is asked directly: `Figure.savefig` draws everything twice, and computes the layout anew for each format.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.set(facecolor="white", dpi=PNG_DPI)
    FigureCanvasAgg(figure).print_png(path, pil_kwargs={"compress_level": 1})  # type: ignore[no-untyped-call]
    figure.set_layout_engine("none")


@dataclass(frozen=True)
class Picture:
    """A figure on the page: its words for those who cannot see it, and its SVG."""

    alt: str
    svg: Markup


class Gallery:
    """Turns the figures of one page into inline SVG with ids of their own, and saves them as PNG files."""

    def __init__(self, folder: Path, advance: Callable[[], None]) -> None:
        self._folder, self._advance = folder, advance
        self._names: set[str] = set()
        self._shown = 0

    def hang(self, name: str, alt: str, figure: Figure) -> Picture:
        """Save ``name.png``, numbered if there is one by that name on this page, and return the figure as SVG."""
        stem = slug = re.sub(r"[^\w.-]+", "_", name)
        number = 1
        while stem in self._names:
            number += 1
            stem = f"{slug}_{number}"
        self._names.add(stem)
        save_png(figure, self._folder / f"{stem}.png")
        return self.show(alt, figure)

    def show(self, alt: str, figure: Figure) -> Picture:
        """Return the figure as SVG, for the page alone."""
        self._shown += 1
        self._advance()
        return Picture(alt, _inline_svg(figure, f"f{self._shown}", alt))


def _inline_svg(figure: Figure, prefix: str, alt: str) -> Markup:
    """Keep what is drawn; the opening tag is written anew: its size is the style sheet's to bound."""
    buffer = io.StringIO()
    figure.set_facecolor("none")
    FigureCanvasSVG(figure).print_svg(buffer)  # type: ignore[no-untyped-call]
    opening, drawn = re.search(r"(<svg.*?>)(.*)", buffer.getvalue(), re.DOTALL).groups()  # type: ignore[union-attr]
    view_box = re.search(r'viewBox="[^"]*"', opening)[0]  # type: ignore[index]
    drawn = _own_ids(re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL), prefix)
    for name, colour in LIGHT.items():
        drawn = re.sub(rf"((?:fill|stroke): ?){colour}", rf"\1var(--{name})", drawn)
    width = figure.get_figwidth() * CSS_DPI
    return Markup(f'<svg role="img" aria-label="{escape(alt)}" {view_box} style="width: {width:.0f}px">{drawn}')


def _own_ids(svg: str, prefix: str) -> str:
    """Drop the ids that nothing refers to and give the others a prefix: ids must be unique on a page."""
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", svg)
    return re.sub(r'(url\(#|href="#)([^)"]+)', rf"\g<1>{prefix}-\g<2>", svg)
