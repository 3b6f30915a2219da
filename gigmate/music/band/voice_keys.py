"""Keyboards: piano, electric piano, organ, clavinet, pad and bells, all of them sums of partials."""

from collections.abc import Callable, Sequence

import numpy as np

from gigmate.music.band.dsp import Sound, attack, band, partials, pitch_hz, place_notes, saturate
from gigmate.music.band.song import Note

_RELEASE_S = {"piano": 0.12, "epiano": 0.1, "organ": 0.03, "clav": 0.03, "pad": 0.3, "bells": 0.6}
Recipe = Callable[[float, int], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""(hz, layer) -> frequencies, decays per second and levels of the partials."""


def sound_keys(notes: Sequence[Note], tone: str, rng: np.random.Generator, num_samples: int, sample_rate: int) -> Sound:
    """Render the keyboard `tone`."""
    recipe = _RECIPES[tone](rng)
    attack_s = {"pad": float(rng.uniform(0.03, 0.12)), "organ": 0.006}.get(tone, 0.0015)
    thump = {"piano": 0.03, "clav": 0.05, "organ": 0.02}.get(tone, 0.0)

    def sound_of(pitch: int, layer: int, _variant: int, num: int) -> Sound:
        freqs, decays, levels = recipe(float(pitch_hz(pitch)), layer)
        levels = 0.35 * levels / np.sqrt((levels**2).sum())
        tone_part = partials(freqs, decays, levels, num, sample_rate, rng.uniform(0, 6.28, len(freqs)))
        knock = rng.standard_normal(num) * np.exp(-np.arange(num) / (0.005 * sample_rate)) * thump
        return attack(tone_part + knock, attack_s, sample_rate)

    track = place_notes(notes, sound_of, num_samples, sample_rate, _RELEASE_S[tone])
    track = _tremolo(track, tone, rng, sample_rate)
    return band(saturate(track, float(rng.uniform(0.2, 0.8))), sample_rate, 70.0, float(rng.uniform(5000.0, 9500.0)))


def _tremolo(track: Sound, tone: str, rng: np.random.Generator, sample_rate: int) -> Sound:
    """The slow beating of electric pianos and bells, the faster one of an organ's rotating speaker."""
    rate_hz = float(rng.uniform(5.5, 6.8) if tone == "organ" else rng.uniform(2.0, 5.5))
    depth = float(rng.uniform(0.0, 0.3)) if tone in {"epiano", "bells", "organ"} else 0.0
    t = np.arange(len(track)) / sample_rate
    return track * (1.0 + depth * np.sin(2 * np.pi * rate_hz * t)).astype(np.float32) if depth else track


def _piano(rng: np.random.Generator) -> Recipe:
    """Stiff strings in pairs: one that dies soon, one a little off that sings on."""
    stiffness, hardness = float(rng.uniform(2e-4, 5e-4)), float(rng.uniform(0.8, 1.3))
    detune = float(rng.uniform(0.0003, 0.0012))

    def recipe(hz: float, layer: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        k = np.arange(1, max(3, min(24, int(9000.0 / hz))) + 1)
        freqs = k * hz * np.sqrt(1 + stiffness * k**2)
        bright = hardness * (700.0, 1100.0, 1700.0)[layer]
        level = np.exp(-freqs / bright) + 0.08 * np.exp(-freqs / (4 * bright))
        slow = 0.35 + 0.6 * (hz / 440.0) ** 0.7 + freqs / 2600.0
        return (
            np.concatenate([freqs, freqs * (1 + detune)]),
            np.concatenate([5.0 * slow, slow]),
            np.concatenate([0.7 * level, level]),
        )

    return recipe


def _epiano(rng: np.random.Generator) -> Recipe:
    """A tine: a pure tone, a bark that grows with the touch, a bell that fades at once."""
    bark, bell = float(rng.uniform(0.15, 0.5)), float(rng.uniform(0.05, 0.25))

    def recipe(hz: float, layer: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        touch = bark * (0.4, 0.8, 1.4)[layer]
        levels = np.array([1.0, touch, 0.5 * touch**1.5, 0.3 * touch**2, bell, 0.6 * bell])
        return np.array([1, 2, 3, 4, 7.11, 14.3]) * hz, np.array([0.9, 1.5, 2.5, 4.0, 9.0, 18.0]), levels

    return recipe


def _organ(rng: np.random.Generator) -> Recipe:
    """Drawbars."""
    ratios = np.array([0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0])
    bars = rng.uniform(0.0, 1.0, 9) * np.array([0.8, 1.0, 0.7, 0.8, 0.6, 0.5, 0.3, 0.3, 0.3])
    bars[1] = 1.0

    def recipe(hz: float, _layer: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return ratios * hz, np.full(9, 0.02), bars

    return recipe


def _clav(rng: np.random.Generator) -> Recipe:
    """A struck string under a pickup near its end: bright, hollow, short."""
    place = float(rng.uniform(0.06, 0.2))

    def recipe(hz: float, layer: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        k = np.arange(1, max(4, min(36, int(8000.0 / hz))) + 1)
        level = np.abs(np.sin(np.pi * k * place)) / k**0.7 * np.exp(-k * hz / (1500.0, 2600.0, 4200.0)[layer])
        return k * hz, 2.0 + k * hz / 700.0, level

    return recipe


def _pad(rng: np.random.Generator) -> Recipe:
    """Three sawtooths out of tune behind a filter."""
    cutoff_hz, width = float(rng.uniform(700.0, 2500.0)), float(rng.uniform(0.002, 0.006))

    def recipe(hz: float, _layer: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        k = np.arange(1, max(3, min(24, int(7000.0 / hz))) + 1)
        level = 1.0 / k / (1.0 + (k * hz / cutoff_hz) ** 2)
        freqs = np.concatenate([k * hz * (1 + d) for d in (-width, 0.0, 0.8 * width)])
        return freqs, np.full(len(freqs), 0.05), np.tile(level, 3)

    return recipe


def _bells(rng: np.random.Generator) -> Recipe:
    """Bars of a vibraphone or celesta."""
    long = float(rng.uniform(0.8, 2.5))

    def recipe(hz: float, layer: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        levels = np.array([1.0, (0.1, 0.2, 0.35)[layer], 0.12, 0.05])
        return np.array([1.0, 3.98, 9.2, 2.0]) * hz, np.array([1.0, 4.0, 12.0, 2.0]) * long, levels

    return recipe


_RECIPES: dict[str, Callable[[np.random.Generator], Recipe]] = {
    "piano": _piano,
    "epiano": _epiano,
    "organ": _organ,
    "clav": _clav,
    "pad": _pad,
    "bells": _bells,
}
