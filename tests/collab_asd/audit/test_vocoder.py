import numpy as np

from collab_asd.audit.inversion import as_spectra
from collab_asd.audit.spectra import Timing, sound_of, spectra_of_rows


def test_a_tone_is_heard_at_its_pitch_again():
    tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000).astype(np.float32)
    spectra = as_spectra(spectra_of_rows(tone, Timing(256, 512), rows=100))
    sound = sound_of(spectra, hop=512)
    assert len(sound) == (len(spectra) - 1) * 512
    norm_ratio = np.argmax(np.abs(np.fft.rfft(sound))) * 16_000 / len(sound)
    assert abs(norm_ratio - 1000) < 40  # half a mel band there
    np.testing.assert_array_equal(sound, sound_of(spectra, hop=512))
