import numpy as np
import pytest
from scipy.signal import hilbert

from collab_asd.data.synthetic.signals import speech_like

RATE = 16_000


@pytest.fixture(scope="module")
def voices():
    return [speech_like(10 * RATE, RATE, np.random.default_rng(seed)) for seed in range(4)]


def test_a_voice_is_as_loud_as_is_said_and_comes_again(voices):
    assert [np.sqrt(np.mean(v.astype(np.float64) ** 2)) for v in voices] == pytest.approx([1] * 4, abs=1e-4)
    np.testing.assert_array_equal(voices[0], speech_like(10 * RATE, RATE, np.random.default_rng(0)))
    assert abs(np.corrcoef(voices[0], voices[1])[0, 1]) < 0.1


def test_most_of_it_lies_where_voices_do(voices):
    for voice in voices:
        power = np.abs(np.fft.rfft(voice)) ** 2
        frequency = np.fft.rfftfreq(len(voice), 1 / RATE)
        assert power[(frequency > 80) & (frequency < 4000)].sum() > 0.9 * power.sum()


def test_its_envelope_swells_at_the_rate_of_syllables(voices):
    """Energy of the envelope by frequency: 2 to 8 Hz hold more than 8 to 30 Hz; real speech peaks near 4 Hz."""
    for voice in voices:
        envelope = np.abs(hilbert(voice)).reshape(-1, 160).mean(axis=1)
        power = np.abs(np.fft.rfft(envelope - envelope.mean())) ** 2
        frequency = np.fft.rfftfreq(len(envelope), 0.01)
        slow, fast = (power[(frequency > a) & (frequency < b)].sum() for a, b in ((2, 8), (8, 30)))
        assert slow > fast


def test_a_stretch_shorter_than_a_pause_may_be_silent():
    assert np.isfinite(speech_like(100, RATE, np.random.default_rng(0))).all()
