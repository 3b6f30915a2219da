"""The metrics on cases whose answer is known."""

import numpy as np
import pytest

from gigmate.evaluation.metrics import (
    chroma,
    chroma_correlation,
    log_mel_distance,
    onset_f1,
    onset_times_s,
    si_sdr_db,
)

RATE = 24_000


def tone(hz: float, seconds: float = 2.0) -> np.ndarray:
    t = np.arange(int(RATE * seconds)) / RATE
    return (0.3 * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def clicks(times_s: list[float], seconds: float = 4.0) -> np.ndarray:
    wave = np.zeros(int(RATE * seconds), np.float32)
    burst = np.random.default_rng(0).normal(size=1200) * np.exp(-np.arange(1200) / 200)
    for t in times_s:
        wave[int(t * RATE) : int(t * RATE) + 1200] += 0.3 * burst
    return wave


def test_identical_waves_reach_the_best_of_each_metric():
    wave = clicks([0.5, 1.0, 1.75, 3.0]) + tone(220, 4.0)
    assert log_mel_distance(wave, wave, RATE) == 0
    assert si_sdr_db(wave, wave) > 60
    assert onset_f1(wave, wave, RATE) == 1
    assert chroma_correlation(wave, wave, RATE) == pytest.approx(1)


def test_si_sdr_of_noise_at_a_tenth_is_20_db():
    wave, noise = tone(440), np.random.default_rng(0).normal(size=2 * RATE).astype(np.float32)
    noisy = wave + noise * (np.sqrt((wave**2).mean()) / 10)
    assert si_sdr_db(wave, noisy) == pytest.approx(20, abs=0.2)


def test_onsets_are_found_where_they_are():
    times = [0.5, 1.0, 1.75, 3.0]
    assert onset_times_s(clicks(times), RATE) == pytest.approx(times, abs=0.02)


def test_onset_f1_counts_what_is_missed_and_what_is_late():
    true = clicks([0.5, 1.0, 1.5, 2.0])
    assert onset_f1(true, clicks([0.5, 1.5]), RATE) == pytest.approx(2 / 3, abs=1e-6)
    assert onset_f1(true, clicks([0.6, 1.1, 1.6, 2.1]), RATE) == 0
    assert onset_f1(true, np.zeros_like(true), RATE) == 0


@pytest.mark.parametrize(("hz", "pitch_class"), [(261.63, 0), (440.0, 9), (110.0, 9), (369.99, 6)])
def test_chroma_names_the_pitch_class(hz: float, pitch_class: int):
    assert chroma(tone(hz), RATE)[:, 20].argmax() == pitch_class


def test_chroma_correlation_tells_another_pitch_from_another_timbre():
    rich = tone(220) + 0.5 * tone(440)
    assert chroma_correlation(tone(220), rich, RATE) > 0.9
    assert chroma_correlation(tone(220), tone(311.13), RATE) < 0.2
    assert np.isnan(chroma_correlation(np.zeros(RATE, np.float32), tone(220, 1.0), RATE))


def test_log_mel_distance_grows_with_the_distortion():
    wave = clicks([0.5, 1.0, 2.0]) + tone(220, 4.0)
    noise = np.random.default_rng(1).normal(size=len(wave)).astype(np.float32)
    little, much = (log_mel_distance(wave, wave + a * noise, RATE) for a in (1e-3, 1e-1))
    assert 0 < little < much
