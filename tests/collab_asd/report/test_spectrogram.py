import base64
import io

import numpy as np
import pytest
import soundfile
from matplotlib.backends.backend_agg import FigureCanvasAgg

from collab_asd.report.contents import ClipPortrait, Heat, Sound
from collab_asd.report.figures import players
from collab_asd.report.spectrogram import BANDS, blank_pair, draw_apart, heat_on_pixels, log_mel, side_by_side

RATE = 16000
TIME = np.arange(2 * RATE) / RATE


def tone(hz, level=0.5, rate=RATE):
    return Sound((level * np.sin(2 * np.pi * hz * np.arange(2 * rate) / rate)).astype(np.float32), rate)


def test_a_tone_lies_in_its_mel_band():
    # 1 kHz is at 1000 mel of 2840 at 8 kHz; the centres of 64 filters lie 2840 / 65 mel apart
    assert log_mel(tone(1000)).mean(axis=1).argmax() == round(1000 / (2840 / 65)) - 1


def test_ten_times_the_amplitude_is_20_db():
    difference = log_mel(tone(1000)).max() - log_mel(tone(1000, level=0.05)).max()
    np.testing.assert_allclose(difference, 20, atol=0.01)


def test_a_clip_shorter_than_a_window_is_drawn():
    assert log_mel(Sound(np.ones(10, np.float32), RATE)).shape[0] == BANDS


def test_heat_lies_where_its_edges_say():
    heat = Heat(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.0, 1000.0, 4000.0]), np.array([0.0, 1.0, 2.0]))
    pixels = heat_on_pixels(heat, frames=20, seconds=2.5, rate=RATE)
    assert pixels.shape == (BANDS, 20)
    assert (pixels[0, 0], pixels[0, 8]) == (1.0, 2.0)  # pixel 8 is 1.06 s
    assert (pixels[30, 0], pixels[30, 15]) == (3.0, 4.0)  # band 31 of 65 is 1.6 kHz; pixel 15 is 1.94 s
    assert pixels[30, 16] == 0.0  # 2.06 s, beyond the map
    assert pixels[60, 0] == 0.0  # above 4 kHz


def test_both_pictures_have_one_colour_scale():
    heat = Heat(np.array([[1.0]]), np.array([0.0, 8000.0]), np.array([0.0, 2.0]))
    clip = ClipPortrait("$c$.wav", "fan/00", 1, 3.0, 2.0, tone(500), "n.wav", tone(3000, level=0.001), heat)
    figure, normal_figure = blank_pair()
    draw_apart(clip, figure, normal_figure)
    levels, normal_levels = figure.axes[0].images[0], normal_figure.axes[0].images[0]
    assert levels.get_clim() == normal_levels.get_clim()
    assert len(figure.axes[0].images) == 2
    assert len(normal_figure.axes[0].images) == 1
    assert len(side_by_side(clip).axes) == 2


def test_figures_that_were_drawn_on_before_look_like_new_ones():
    heat = Heat(np.array([[1.0]]), np.array([0.0, 8000.0]), np.array([0.0, 2.0]))
    longer = Sound(np.tile(tone(800).waveform, 2), RATE)
    first = ClipPortrait("a.wav", "fan/00", 1, 3.0, 2.0, longer, "n.wav", tone(3000), heat)
    second = ClipPortrait("b.wav", "fan/00", 1, 3.0, 2.0, tone(500), "m.wav", tone(1000))
    used, new = blank_pair(), blank_pair()
    draw_apart(first, *used)
    for figure in used:
        figure.draw_without_rendering()
    draw_apart(second, *used)
    draw_apart(second, *new)
    for ours, theirs in zip(used, new, strict=True):
        pictures = [FigureCanvasAgg(figure) for figure in (ours, theirs)]
        for picture in pictures:
            picture.draw()
        np.testing.assert_array_equal(*(np.asarray(picture.buffer_rgba()) for picture in pictures))


@pytest.mark.parametrize("score", [3.0, 300.0])
@pytest.mark.parametrize("name", ["n.wav", "Line_4/" + 12 * "a_long_name_" + ".wav", "PRESS_SHOP_" * 9])
def test_no_text_is_cut_off(score, name):
    """Every title lies inside the figure, and that of a picture does not reach into its neighbour."""
    heat = Heat(np.array([[0.01]]), np.array([0.0, 8000.0]), np.array([0.0, 2.0]))
    clip = ClipPortrait(name, "a machine " * 8, 1, score, 2.0, tone(500), name, tone(3000), heat)
    figure = side_by_side(clip)
    figure.draw_without_rendering()
    width, height = figure.bbox.width, figure.bbox.height
    left, right = figure.axes
    texts = [figure._suptitle, left._left_title, right._left_title]
    boxes = [text.get_window_extent() for text in texts]
    assert all(box.x0 >= 0 and box.x1 <= width and box.y0 >= 0 and box.y1 <= height for box in boxes)
    assert boxes[1].x1 <= boxes[2].x0
    assert boxes[1].y1 <= boxes[0].y0


def decoded(uri):
    kind, data = uri.split(",")
    assert kind == "data:audio/flac;base64"
    return soundfile.read(io.BytesIO(base64.b64decode(data)))


def test_players_keep_the_ratio_of_loudness():
    (loud, rate), (quiet, _) = map(decoded, players(tone(500, 0.1), tone(500, 0.01)))
    assert rate == RATE
    np.testing.assert_allclose(np.abs(loud).max(), 0.5, atol=1e-3)
    np.testing.assert_allclose(np.abs(quiet).max(), 0.05, atol=1e-3)


def test_players_are_short_and_at_most_16_khz():
    long = Sound(np.ones(48000 * 11, np.float32), 48000)
    (samples, rate), _ = map(decoded, players(long, tone(500)))
    assert (len(samples), rate) == (10 * 16000, 16000)


def test_silence_is_played_as_silence():
    silence = Sound(np.zeros(RATE, np.float32), RATE)
    assert not decoded(players(silence, silence)[0])[0].any()
