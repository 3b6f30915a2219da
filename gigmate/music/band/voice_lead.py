"""The lead: one oscillator that glides from note to note with vibrato, through a wavetable without aliases."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gigmate.music.band.dsp import Sound, band, pitch_hz, saturate, smooth
from gigmate.music.band.song import Note

_TABLE = 2048


@dataclass(frozen=True)
class _Lead:
    """A voice: harmonics fall as k**-slope (even ones times `even`) above `bright_hz` faster; times in seconds."""

    slope: float
    even: float
    bright_hz: float
    attack_s: float
    release_s: float
    glide_s: float
    vibrato: float
    breath: float
    drive: float


_LEADS = {
    "saw": _Lead(1.0, 1.0, 2600.0, 0.008, 0.06, 0.012, 0.15, 0.0, 0.5),
    "square": _Lead(1.0, 0.0, 2400.0, 0.006, 0.05, 0.010, 0.12, 0.0, 0.5),
    "driven_lead": _Lead(0.9, 0.8, 2200.0, 0.004, 0.05, 0.015, 0.25, 0.0, 4.0),
    "flute": _Lead(2.0, 0.7, 1500.0, 0.035, 0.07, 0.008, 0.18, 0.05, 0.2),
    "whistle": _Lead(3.0, 0.3, 2000.0, 0.03, 0.06, 0.02, 0.25, 0.02, 0.2),
    "reed": _Lead(0.8, 0.35, 1700.0, 0.02, 0.05, 0.010, 0.14, 0.02, 0.8),
    "brass": _Lead(0.7, 1.0, 1500.0, 0.03, 0.06, 0.012, 0.10, 0.01, 1.0),
    "fiddle": _Lead(0.9, 0.9, 3000.0, 0.045, 0.08, 0.018, 0.28, 0.01, 0.4),
}


def sound_lead(notes: Sequence[Note], tone: str, rng: np.random.Generator, num_samples: int, sample_rate: int) -> Sound:
    """Render the lead, one note at a time, as one unbroken oscillator."""
    spread = rng.uniform(0.85, 1.18, 9)
    voice = _Lead(*(value * s for value, s in zip(vars(_LEADS[tone]).values(), spread, strict=True)))
    starts = np.array([round(note.onset_s * sample_rate) for note in notes])
    lengths = np.diff(np.append(starts, num_samples))
    pitches = np.array([note.pitch for note in notes], np.float64)
    held = np.repeat(pitches, lengths)
    age_s = (np.arange(len(held)) - np.repeat(starts - starts[0], lengths)) / sample_rate
    t = np.arange(len(held)) / sample_rate
    depth = voice.vibrato * np.clip((age_s - 0.18) / 0.25, 0.0, 1.0)
    bent = smooth(held, voice.glide_s, sample_rate) + depth * np.sin(2 * np.pi * rng.uniform(4.8, 6.3) * t)
    phase = np.cumsum(pitch_hz(bent)) / sample_rate % 1.0
    tables, levels = _tables(voice, sorted(set(pitches.tolist())), rng, sample_rate)
    rows = np.repeat([levels[pitch] for pitch in pitches.tolist()], lengths)
    sound = tables[rows, (phase * _TABLE).astype(np.int64) % _TABLE]
    if voice.breath > 0.0:
        sound += voice.breath * band(rng.standard_normal(len(sound)), sample_rate, 700.0, 6000.0, order=1)
    sound *= _loudness(notes, starts, len(held), voice, sample_rate)
    track = np.zeros(num_samples, np.float32)
    track[starts[0] :] = sound
    return band(saturate(track, voice.drive), sample_rate, 150.0, 9000.0)


def _tables(
    voice: _Lead, pitches: list[float], rng: np.random.Generator, sample_rate: int
) -> tuple[NDArray[np.float32], dict[float, int]]:
    """A period of the wave for every pitch, with the harmonics that fit under the Nyquist frequency."""
    colour = rng.uniform(0.7, 1.3, 64)
    position = 2 * np.pi * np.arange(_TABLE) / _TABLE
    waves = []
    for pitch in pitches:
        hz = float(pitch_hz(pitch))
        k = np.arange(1, min(64, int(0.42 * sample_rate / hz)) + 1)
        level = colour[: len(k)] / k**voice.slope / (1.0 + (k * hz / voice.bright_hz) ** 2)
        level = np.where(k % 2 == 0, min(voice.even, 1.0) * level, level)
        waves.append((level[:, None] * np.sin(np.outer(k, position))).sum(0) / np.sqrt((level**2).sum()))
    return np.array(waves, np.float32), {pitch: row for row, pitch in enumerate(pitches)}


def _loudness(
    notes: Sequence[Note], starts: NDArray[np.int_], num: int, voice: _Lead, sample_rate: int
) -> NDArray[np.float32]:
    """The envelope of the whole track: rises and falls of every note, smoothed so that nothing clicks."""
    gate = np.zeros(num)
    for note, start in zip(notes, (starts - starts[0]).tolist(), strict=True):
        stop = start + int(note.duration_s * sample_rate)
        fall = np.exp(-np.arange(len(gate[start:stop])) / (1.5 * sample_rate))
        gate[start:stop] = 0.4 * (note.velocity / 100) ** 1.6 * (0.75 + 0.25 * fall)
        # a new note is articulated: the breath or bow stops for a moment before it
        gate[max(stop - int(0.012 * sample_rate), start) : stop] *= 0.25
    is_rising = np.diff(gate, prepend=0.0) >= 0.0
    quick, slow = smooth(gate, voice.attack_s / 2.5, sample_rate), smooth(gate, voice.release_s / 3, sample_rate)
    return np.where(is_rising & (gate > 0), quick, slow).astype(np.float32)
