"""The physics in the sound: orders, blows, resonances, faults and the background, against closed forms."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import signal, stats

from collab_asd.data.synthetic.faults import FAULTS, Fault
from collab_asd.data.synthetic.machines import MACHINE_TYPES, Impacts, Machine, Mode, make_machine
from collab_asd.data.synthetic.signals import rms
from collab_asd.data.synthetic.sound import Conditions, components, impact_train, render, ring, shaft_phase

RATE = 16000
QUIET = Conditions(speed=25.0, load=0.5, factory="assembly", snr_db=60.0)


def plain_machine(**changes: object) -> Machine:
    """Build a shaft with ten equal orders in a stiff structure, and nothing else."""
    machine = Machine(
        machine_type="fan",
        machine_id="00",
        speed=25.0,
        jitter=0.0,
        harmonics=(0.2,) * 10,
        teeth=5,
        flow=0.01,
        flow_slope=0.0,
        pulsation=0.0,
        cycle=0.0,
        duty=1.0,
        impacts=(),
        modes=(),
        bearing_order=3.2,
    )
    return replace(machine, **changes)


def amplitude_at(sound: np.ndarray, frequency: float) -> float:
    """Amplitude of one line of the spectrum, which must fall on a bin."""
    return 2 / len(sound) * abs(np.fft.rfft(sound)[round(frequency * len(sound) / RATE)])


@pytest.mark.parametrize("machine_type", MACHINE_TYPES)
@pytest.mark.parametrize("snr_db", [-3.0, 6.0])
def test_the_snr_is_the_stated_one(machine_type, snr_db):
    machine = make_machine(machine_type, "00", seed=1)
    where = Conditions(machine.speed, 0.5, "foundry", snr_db)
    sound, background = components(machine, where, None, np.random.default_rng(0), seconds=2.0)
    measured = 10 * np.log10(np.mean(sound**2) / np.mean(background**2))
    assert measured == pytest.approx(snr_db, abs=0.5)
    together = render(machine, where, None, np.random.default_rng(0), seconds=2.0)
    np.testing.assert_array_equal(together, sound + background)


@pytest.mark.parametrize("kind", [(t, k) for t in FAULTS for k in FAULTS[t]], ids="/".join)
def test_every_fault_changes_the_spectrum_a_trace_of_it_less(kind):
    machine = make_machine(kind[0], "00", seed=2)
    where = replace(QUIET, speed=machine.speed)

    def band_levels(fault: Fault | None) -> np.ndarray:
        sound = render(machine, where, fault, np.random.default_rng(3), seconds=3.0)
        spectra = signal.stft(sound, RATE, nperseg=1024)[2]
        power = np.abs(spectra[: 8 * 64].reshape(64, 8, -1)) ** 2
        decibels = 10 * np.log10(power.mean(1))
        return np.concatenate([decibels.mean(1), decibels.std(1)])

    healthy, trace, plain = (band_levels(f) for f in (None, Fault(kind[1], 0.01), Fault(kind[1], 1.0)))
    assert rms(plain - healthy) > 0.2
    assert rms(trace - healthy) < rms(plain - healthy)


def test_shaft_orders_sit_at_the_stated_speed():
    sound = render(plain_machine(), QUIET, None, np.random.default_rng(0), seconds=2.0)
    spectrum = np.abs(np.fft.rfft(sound))
    peaks = np.sort(np.argsort(spectrum)[-10:]) / 2
    np.testing.assert_array_equal(peaks, 25.0 * np.arange(1, 11))


def test_a_slow_machine_turns_by_its_drag_slower():
    sound = render(plain_machine(drag=0.2), QUIET, None, np.random.default_rng(0), seconds=2.0)
    assert amplitude_at(sound, 10 * 25.0 * 0.8) > 20 * amplitude_at(sound, 10 * 25.0)


def test_jitter_leaves_the_mean_speed():
    phase = shaft_phase(30.0, 0.02, 5 * RATE, RATE, np.random.default_rng(0))
    assert phase[-1] - phase[0] == pytest.approx(30.0 * 5, abs=0.01)
    assert np.std(np.diff(phase)) > 0


def test_a_bearing_fault_makes_blows_at_its_frequency():
    machine, fault = (
        plain_machine(harmonics=(0.0,) * 10, flow=0.2, modes=(Mode(3000.0, 0.03, 5.0),)),
        Fault("bearing", 1.0),
    )
    healthy, broken = (
        render(machine, QUIET, f, np.random.default_rng(0), seconds=4.0).astype(np.float64) for f in (None, fault)
    )
    assert stats.kurtosis(healthy) == pytest.approx(0, abs=0.2)
    assert stats.kurtosis(broken) > 3
    envelope = np.abs(signal.hilbert(broken))
    spectrum = np.abs(np.fft.rfft(envelope - envelope.mean()))
    assert np.argmax(spectrum[: 4 * 120]) / 4 == pytest.approx(3.2 * 25.0, abs=0.5)


def test_impacts_come_at_their_order_with_their_level():
    phase = np.arange(2 * RATE) * (20.0 / RATE) + 0.5 / RATE
    train = impact_train(Impacts(1.5, 0.3, contact=1e-5, slip=0.0, offset=0.5), phase, RATE, np.random.default_rng(0))
    times = np.flatnonzero(train) / RATE
    np.testing.assert_allclose(times, (np.arange(60) + 0.5) / 30, atol=1.5 / RATE)
    assert rms(train) == pytest.approx(0.3, rel=0.05)


def test_a_struck_structure_rings_at_its_resonance():
    strike = np.zeros(RATE, dtype=np.float32)
    strike[0] = 1
    response = np.abs(np.fft.rfft(ring((Mode(1200.0, 0.02, 4.0),), strike, RATE)))
    radiated = 1200 / 1350
    assert np.argmax(response) == pytest.approx(1200, abs=2)
    assert response[1200] == pytest.approx(radiated * 5, rel=0.01)
