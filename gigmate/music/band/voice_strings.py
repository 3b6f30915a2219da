"""Bass and guitar: plucked strings as the modes of their loop, with pickups, pedals and boxes after them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gigmate.music.band.dsp import Sound, attack, band, partials, pitch_hz, place_notes, saturate, sweep
from gigmate.music.band.song import Note

_MAX_PARTIALS = 60
_CHOKED_S = 0.06
"""Shorter notes are scratches: the left hand lies on the strings."""


@dataclass(frozen=True)
class _String:
    """A way to sound: `pluck` is where along the string (0..0.5), `slope` the fall of the harmonics' levels."""

    pluck: float
    slope: float
    bright_hz: float
    ring_s: float
    damping: float
    click: float
    release_s: float
    drive: float
    low_hz: float
    high_hz: float


_BASSES = {
    "finger": _String(0.22, 1.0, 900.0, 1.6, 1.6, 0.05, 0.05, 1.2, 35.0, 3000.0),
    "pick": _String(0.10, 0.8, 1700.0, 1.4, 1.3, 0.12, 0.04, 1.6, 40.0, 4500.0),
    "upright": _String(0.28, 1.2, 650.0, 0.7, 2.2, 0.06, 0.08, 0.8, 40.0, 2600.0),
    "drive": _String(0.12, 0.8, 1500.0, 1.6, 1.3, 0.10, 0.04, 6.0, 45.0, 3800.0),
}
_GUITARS = {
    "clean": _String(0.16, 0.7, 2600.0, 1.3, 1.0, 0.04, 0.05, 0.8, 90.0, 6500.0),
    "muted": _String(0.12, 0.7, 2000.0, 0.16, 0.8, 0.08, 0.03, 0.8, 90.0, 5000.0),
    "acoustic": _String(0.21, 0.9, 3600.0, 0.9, 1.2, 0.08, 0.08, 0.6, 80.0, 9000.0),
    "crunch": _String(0.14, 0.7, 2400.0, 1.8, 0.9, 0.05, 0.04, 5.0, 90.0, 4800.0),
    "driven": _String(0.12, 0.7, 2600.0, 2.6, 0.8, 0.05, 0.035, 22.0, 85.0, 4200.0),
}


def sound_bass(notes: Sequence[Note], tone: str, rng: np.random.Generator, num_samples: int, sample_rate: int) -> Sound:
    """Render the bass: a string, `synth` or `sub`."""
    if tone in {"synth", "sub"}:
        return _sound_synth_bass(notes, tone, rng, num_samples, sample_rate)
    return _sound_strings(notes, _BASSES[tone], rng, num_samples, sample_rate)


def sound_guitar(
    notes: Sequence[Note], tone: str, rng: np.random.Generator, num_samples: int, sample_rate: int
) -> Sound:
    """Render the guitar."""
    return _sound_strings(notes, _GUITARS[tone], rng, num_samples, sample_rate)


def _sound_strings(
    notes: Sequence[Note], base: _String, rng: np.random.Generator, num_samples: int, sample_rate: int
) -> Sound:
    """Render a stringed instrument whose character is spread around `base`."""
    s = _String(*(value * w for value, w in zip(vars(base).values(), rng.uniform(0.85, 1.18, 10), strict=True)))

    def ringing(pitch: int, layer: int, _variant: int, num: int) -> Sound:
        return _pluck(float(pitch_hz(pitch)), layer, s, rng, num, sample_rate)

    def choked(pitch: int, layer: int, _variant: int, num: int) -> Sound:
        return _pluck(float(pitch_hz(pitch)), layer, s, rng, num, sample_rate, extra_loss=40.0)

    long = [note for note in notes if note.duration_s >= _CHOKED_S]
    short = [note for note in notes if note.duration_s < _CHOKED_S]
    track = place_notes(long, ringing, num_samples, sample_rate, s.release_s, num_variants=2)
    track += place_notes(short, choked, num_samples, sample_rate, s.release_s, num_variants=2)
    return band(saturate(track, s.drive), sample_rate, s.low_hz, s.high_hz)


def _pluck(
    hz: float,
    layer: int,
    s: _String,
    rng: np.random.Generator,
    num: int,
    sample_rate: int,
    extra_loss: float = 0.0,
) -> Sound:
    """A plucked string.

    Source: Karplus and Strong 1983. Their loop (a burst of noise that circulates through a delay and an averaging
    filter) is linear, so its output is a sum of decaying harmonics; they are added up directly, which is faster than
    the loop and in tune at any pitch. The burst becomes the harmonics' random levels.
    """
    k = np.arange(1, max(2, min(_MAX_PARTIALS, int(0.45 * sample_rate / hz)) + 1))
    bright_hz = s.bright_hz * (0.5, 0.8, 1.25)[layer]
    level = np.abs(np.sin(np.pi * k * s.pluck)) / k**s.slope / np.sqrt(1.0 + (k * hz / bright_hz) ** 2)
    level *= rng.uniform(0.8, 1.2, len(k))
    loss = (1.0 / s.ring_s) * (hz / 110.0) ** 0.35 + s.damping * (k * hz / 1000.0) ** 1.3 + extra_loss
    freqs = k * hz * np.sqrt(1.0 + 6e-5 * k**2)
    string = partials(
        freqs, loss, 0.5 * level / np.sqrt((level**2).sum()), num, sample_rate, rng.uniform(0, 6.28, len(k))
    )
    click = rng.standard_normal(num) * np.exp(-np.arange(num) / (0.004 * sample_rate)) * s.click
    return attack(string + click, 0.0015, sample_rate)


def _sound_synth_bass(
    notes: Sequence[Note], tone: str, rng: np.random.Generator, num_samples: int, sample_rate: int
) -> Sound:
    """A sawtooth whose filter closes after each attack, or a sine with a knock."""
    cutoff_hz, close_per_s = float(rng.uniform(250.0, 700.0)), float(rng.uniform(3.0, 12.0))
    parity = float(rng.choice([0.0, 1.0]))  # 1: only odd harmonics, a square wave

    def saw(pitch: int, layer: int, _variant: int, num: int) -> Sound:
        k = np.arange(1, max(2, int(3500.0 / pitch_hz(pitch))) + 1)
        freqs = k * float(pitch_hz(pitch))
        level = np.where((k % 2 == 0) & (parity > 0), 0.0, 1.0 / k)
        held = level / (1.0 + (freqs / cutoff_hz) ** 3)
        opened = level / (1.0 + (freqs / (cutoff_hz * (2.0, 3.0, 4.5)[layer])) ** 3) - held
        both = partials([*freqs, *freqs], [*(0.25 + 0 * k), *(close_per_s + 0 * k)], [*held, *opened], num, sample_rate)
        return attack(0.6 * both, 0.003, sample_rate)

    def sub(pitch: int, layer: int, _variant: int, num: int) -> Sound:
        hz = float(pitch_hz(pitch))
        body = np.sin(sweep(1.5 * hz, hz, 0.012, num, sample_rate)) * np.exp(-0.5 * np.arange(num) / sample_rate)
        upper = partials([2 * hz, 3 * hz, 4 * hz], [2.0, 5.0, 8.0], [0.2, 0.1, 0.03 + 0.03 * layer], num, sample_rate)
        return attack(0.6 * (body + upper), 0.004, sample_rate)

    track = place_notes(notes, saw if tone == "synth" else sub, num_samples, sample_rate, 0.03)
    return band(saturate(track, float(rng.uniform(0.8, 2.0))), sample_rate, 30.0, 5000.0)
