import numpy as np

from collab_asd.encoders.logmel import LogMel


def tone(hertz: float, seconds: float = 1.0, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(int(16_000 * seconds)) / 16_000)).astype(np.float32)


def mel(hertz):
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


def test_a_tone_fills_the_bands_around_it_with_its_power():
    """A tone on bin 128 has the Hann window's power spectrum A^2 N^2 / 16 there and a quarter of it beside."""
    hertz, edges = 2000.0, 700 * (10 ** (np.linspace(0, mel(8000.0), 130) / 2595) - 1)
    bins = np.array([127, 128, 129]) * 16_000 / 1024
    power = 0.5**2 * 1024**2 / 16 * np.array([0.25, 1.0, 0.25])
    rising = (bins - edges[:-2, None]) / (edges[1:-1, None] - edges[:-2, None])
    falling = (edges[2:, None] - bins) / (edges[2:, None] - edges[1:-1, None])
    expected = (np.maximum(0, np.minimum(rising, falling)) * power).sum(axis=1)
    loud = expected > 1
    frames = LogMel()(tone(hertz))
    np.testing.assert_allclose(frames[5][loud], 10 * np.log10(expected[loud]), atol=0.01)
    assert frames[:, ~loud].max() < -20


def test_twice_the_amplitude_is_six_decibels():
    noise = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    np.testing.assert_allclose(LogMel()(2 * noise) - LogMel()(noise), 20 * np.log10(2), atol=1e-3)


def test_digital_silence_is_the_floor():
    np.testing.assert_array_equal(LogMel()(np.zeros(4096, np.float32)), -100.0)


def test_frame_counts():
    encoder = LogMel()
    assert [encoder.frames(n) for n in (0, 1023, 1024, 1535, 1536, 160_000)] == [0, 0, 1, 1, 2, 311]
    assert encoder(tone(500, 1.0)).shape == (encoder.frames(16_000), 128)


def test_a_frame_sees_its_window_and_no_more():
    encoder = LogMel()
    noise = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    start = 3 * encoder.spec.hop
    np.testing.assert_allclose(encoder(noise[start : start + encoder.spec.window]), encoder(noise)[3:4], atol=1e-4)
