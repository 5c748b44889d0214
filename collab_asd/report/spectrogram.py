"""Log-mel pictures of two clips on one colour scale, and a heat map over the first."""

from __future__ import annotations

import textwrap

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from collab_asd.core.torch_audio import torchaudio
from collab_asd.core.types import ScoreArray
from collab_asd.report.contents import ClipPortrait, Heat, Sound
from collab_asd.report.theme import chart, drawing
from collab_asd.report.words import heat_words, portrait_words

BANDS, MOST_FRAMES = 64, 200
WINDOW_S = 0.064
DARKEST, BRIGHTEST = 2, 99.8  # percentiles of the levels in both pictures
TICKS_HZ = (500, 1000, 2000, 4000, 8000, 16000)
WIDE, NARROW = 105, 40  # characters of the figure's title, and of one picture's, that surely fit into a line
LINE_INCHES = 0.17
HEAT = "#ff8a1f"  # over black and white in light and dark alike


def blank_pair() -> tuple[Figure, Figure]:
    """Return a figure for a clip and one for its normal one, which `draw_apart` fills."""
    first, second = (chart(3.6, 2.2, (0.52, 0.45, 0.12, 0.09))[0] for _ in range(2))
    return first, second


def draw_apart(clip: ClipPortrait, figure: Figure, normal_figure: Figure) -> None:
    """Draw a clip, with its heat map, and its normal one in a figure each; white is loud, and equally loud in both.

    They take the place of what was drawn there before: axes and labels take longer to make than pictures.
    """
    (axes,), (normal_axes,) = figure.axes, normal_figure.axes
    for artist in [*axes.images, *axes.collections, *normal_axes.images]:
        artist.remove()
    _draw_pair(clip, axes, normal_axes)


def side_by_side(clip: ClipPortrait, normal_words: str = "a similar normal one") -> Figure:
    """Draw a clip, with its heat map, beside its normal one in one figure on white paper."""
    title = _wrapped(f"{clip.machine}. {portrait_words(clip)}\n{heat_words(clip)}".rstrip(), WIDE)
    names = [_wrapped(n, NARROW) for n in (f"this recording:\n{clip.clip}", f"{normal_words}:\n{clip.normal_name}")]
    lines = title.count("\n") + max(name.count("\n") for name in names)
    with drawing():
        figure = Figure(figsize=(8.4, 2.9 + LINE_INCHES * lines), layout="constrained", facecolor="white")
        axes, normal_axes = figure.subplots(1, 2)
        _draw_pair(clip, axes, normal_axes)
        axes.set_title(names[0], loc="left")
        normal_axes.set_title(names[1], loc="left")
        figure.suptitle(title, x=0.01, ha="left", fontsize=9)
    return figure


def _wrapped(text: str, width: int) -> str:
    """Break lines that are too long, names too."""
    return "\n".join(textwrap.fill(line, width, break_on_hyphens=False) for line in text.splitlines())


def log_mel(sound: Sound) -> ScoreArray:
    """Level in dB of `BANDS` mel bands from 0 Hz to half the sample rate, ``[bands, frames]`` with about 200 frames."""
    window = 2 ** round(np.log2(sound.rate * WINDOW_S))
    mel = torchaudio.transforms.MelSpectrogram(
        sound.rate,
        n_fft=window,
        hop_length=max(window // 4, len(sound.waveform) // MOST_FRAMES),
        n_mels=BANDS,
        pad_mode="constant",
    )
    power: NDArray[np.float32] = mel(torch.from_numpy(sound.waveform)).numpy()
    return 10 * np.log10(np.maximum(power.astype(np.float64), 1e-10))


def heat_on_pixels(heat: Heat, frames: int, seconds: float, rate: int) -> ScoreArray:
    """Heat ``[bands, frames]`` of each pixel of a log-mel picture; 0 where the heat map does not reach."""
    times = (np.arange(frames) + 0.5) * seconds / frames
    row = np.searchsorted(heat.edges_hz, _band_centres(rate), side="right") - 1
    column = np.searchsorted(heat.edges_s, times, side="right") - 1
    bands, steps = heat.values.shape
    values = heat.values[row.clip(0, bands - 1)][:, column.clip(0, steps - 1)]
    reached = ((row >= 0) & (row < bands))[:, None] & ((column >= 0) & (column < steps))
    return np.where(reached, values, 0.0)


def _draw_pair(clip: ClipPortrait, axes: Axes, normal_axes: Axes) -> None:
    levels, normal_levels = log_mel(clip.sound), log_mel(clip.normal)
    low, high = np.percentile(np.concatenate([levels, normal_levels], axis=None), [DARKEST, BRIGHTEST])
    _draw(axes, levels, clip.sound, (low, high))
    _draw(normal_axes, normal_levels, clip.normal, (low, high))
    if clip.heat is not None:
        _draw_heat(axes, heat_on_pixels(clip.heat, levels.shape[1], _seconds(clip.sound), clip.sound.rate))


def _draw(axes: Axes, levels: ScoreArray, sound: Sound, shown_db: tuple[float, float]) -> None:
    extent = (0.0, _seconds(sound), 0.0, _mel(sound.rate / 2))
    low, high = shown_db
    axes.imshow(
        levels, cmap="gray", vmin=low, vmax=high, extent=extent, origin="lower", aspect="auto", interpolation="none"
    )
    ticks = [hz for hz in TICKS_HZ if hz <= sound.rate / 2]
    axes.set_yticks([_mel(hz) for hz in ticks], [f"{hz / 1000:g}" for hz in ticks])
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set(xlabel="seconds", ylabel="kHz")


def _draw_heat(axes: Axes, values: ScoreArray) -> None:
    """Colour what made the clip anomalous, and outline where it did so at least half as much as at the most."""
    highest = values.max()
    if highest <= 0:
        return
    colours = np.empty((*values.shape, 4))
    colours[..., :3] = to_rgb(HEAT)
    colours[..., 3] = 0.65 * values.clip(min=0) / highest
    extent = axes.images[0].get_extent()
    axes.imshow(colours, extent=extent, origin="lower", aspect="auto", interpolation="none")
    axes.contour(values, [highest / 2], colors=[HEAT], linewidths=1, extent=extent, origin="lower")


def _seconds(sound: Sound) -> float:
    return len(sound.waveform) / sound.rate


def _band_centres(rate: int) -> ScoreArray:
    """Hz of each mel band; the filters' centres lie evenly on the mel scale."""
    mels = _mel(rate / 2) * np.arange(1, BANDS + 1) / (BANDS + 1)
    return 700 * (10 ** (mels / 2595) - 1)


def _mel(hz: float) -> float:
    """Frequency on the mel scale of O'Shaughnessy, which torchaudio uses, too."""
    return float(2595 * np.log10(1 + hz / 700))
