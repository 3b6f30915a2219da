"""Drum kits made of sines, modes and noise; each song tunes its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gigmate.music.band.drums import DRUM_KEYS
from gigmate.music.band.dsp import Sound, attack, band, decay, partials, place_notes, saturate, sweep
from gigmate.music.band.song import Note

_DRUMS = {key: drum for drum, key in DRUM_KEYS.items()}
_LAYER_LEVEL = (0.75, 0.9, 1.0)  # soft hits are duller; their loudness comes from the velocity


@dataclass(frozen=True)
class _Kit:
    """Character of a kit: pitch and length of its skins, colour of its snares and metal."""

    kick_hz: float
    kick_drop: float
    kick_s: float
    snare_hz: float
    snare_s: float
    snare_noise: float
    metal_s: float
    metal_hz: float


_KITS = {
    "acoustic": _Kit(54.0, 2.2, 0.16, 190.0, 0.13, 1.0, 0.055, 6200.0),
    "tight": _Kit(62.0, 2.6, 0.10, 225.0, 0.08, 0.9, 0.035, 6800.0),
    "electronic": _Kit(50.0, 4.5, 0.20, 180.0, 0.12, 1.2, 0.04, 7600.0),
    "deep": _Kit(44.0, 3.2, 0.38, 165.0, 0.16, 0.8, 0.03, 7000.0),
    "brushes": _Kit(58.0, 1.8, 0.14, 200.0, 0.10, 0.6, 0.05, 5200.0),
}


def sound_drums(
    notes: Sequence[Note], tone: str, rng: np.random.Generator, num_samples: int, sample_rate: int
) -> Sound:
    """Render the drums with kit `tone`."""
    spread = rng.uniform(0.85, 1.18, 8)
    base = _KITS[tone]
    kit = _Kit(*(value * s for value, s in zip(vars(base).values(), spread.tolist(), strict=True)))
    levels = {drum: float(rng.uniform(0.8, 1.2)) for drum in DRUM_KEYS}

    def sound_of(pitch: int, layer: int, _variant: int, _num: int) -> Sound:
        drum = _DRUMS[pitch]
        hit = _hit(drum, kit, rng, sample_rate, is_brushed=tone == "brushes")
        if layer < 2:
            hit = band(hit, sample_rate, high_hz=(4500.0, 8000.0)[layer], order=1)
        return hit * np.float32(levels[drum] * _LAYER_LEVEL[layer])

    ringing = _ring_out(notes)
    track = place_notes(ringing, sound_of, num_samples, sample_rate, 0.01, num_variants=3)
    return saturate(track, float(rng.uniform(0.5, 1.1)))


def _ring_out(notes: Sequence[Note]) -> list[Note]:
    """Drums ring as long as they like, but an open hi-hat stops where a foot or stick closes it."""
    closings = [n.onset_s for n in notes if n.pitch in {42, 44, 46}]
    times = np.array([*closings, float("inf")])
    ringing = []
    for note in notes:
        until = float(times[np.searchsorted(times, note.onset_s, side="right")]) - note.onset_s
        ringing.append(note._replace(duration_s=min(until, 3.0) if note.pitch == 46 else 3.0))
    return ringing


def _hit(drum: str, kit: _Kit, rng: np.random.Generator, sample_rate: int, *, is_brushed: bool) -> Sound:
    """One stroke of a drum, until it is inaudible."""
    if drum == "kick":
        return _kick(kit, rng, sample_rate)
    if drum == "snare":
        return _brush(rng, sample_rate) if is_brushed else _snare(kit, rng, sample_rate)
    if drum in {"high_tom", "mid_tom", "low_tom"}:
        return _skin({"high_tom": 3.1, "mid_tom": 2.3, "low_tom": 1.65}[drum] * kit.kick_hz, 0.16, rng, sample_rate)
    if drum == "conga":
        return 0.7 * _skin(4.6 * kit.kick_hz, 0.07, rng, sample_rate)
    if drum in {"hat", "pedal", "open_hat", "ride", "crash", "tambourine"}:
        return _metal(drum, kit, rng, sample_rate)
    return _small(drum, rng, sample_rate)


def _noise(rng: np.random.Generator, tau_s: float, sample_rate: int) -> np.ndarray:
    """White noise that decays; 7 tau long."""
    num = int(7 * tau_s * sample_rate)
    return rng.standard_normal(num) * decay(tau_s, num, sample_rate)


def _mix(*sounds: np.ndarray) -> Sound:
    """Sum of sounds that start together."""
    total = np.zeros(max(len(sound) for sound in sounds), np.float32)
    for sound in sounds:
        total[: len(sound)] += sound.astype(np.float32)
    return total


def _kick(kit: _Kit, rng: np.random.Generator, sample_rate: int) -> Sound:
    """A tone that drops, and the click of the beater."""
    num = int(6 * kit.kick_s * sample_rate)
    tone = np.sin(sweep(kit.kick_hz * kit.kick_drop * 1.6, kit.kick_hz, 0.022, num, sample_rate))
    click = band(_noise(rng, 0.004, sample_rate), sample_rate, 1200.0, 5000.0)
    return _mix(1.1 * attack(tone * decay(kit.kick_s, num, sample_rate), 0.001, sample_rate), 0.35 * click)


def _snare(kit: _Kit, rng: np.random.Generator, sample_rate: int) -> Sound:
    """Two modes of the skin, and the wires."""
    num = int(0.4 * sample_rate)
    skin = partials(
        [kit.snare_hz, 1.6 * kit.snare_hz, 2.3 * kit.snare_hz], [22, 30, 45], [0.5, 0.35, 0.15], num, sample_rate
    )
    wires = band(_noise(rng, kit.snare_s, sample_rate), sample_rate, 900.0, 9000.0, order=1)
    return _mix(skin, 0.42 * kit.snare_noise * wires)


def _brush(rng: np.random.Generator, sample_rate: int) -> Sound:
    """A brush on the snare: noise that swells a little first."""
    return 0.5 * attack(band(_noise(rng, 0.09, sample_rate), sample_rate, 1500.0, 8000.0, order=1), 0.012, sample_rate)


def _skin(hz: float, tau_s: float, rng: np.random.Generator, sample_rate: int) -> Sound:
    """A tom or conga."""
    num = int(6 * tau_s * sample_rate)
    tone = np.sin(sweep(1.35 * hz, hz, 0.03, num, sample_rate)) * decay(tau_s, num, sample_rate)
    overtone = np.sin(sweep(2.1 * hz, 1.6 * hz, 0.03, num, sample_rate)) * decay(tau_s / 3, num, sample_rate)
    stick = band(_noise(rng, 0.006, sample_rate), sample_rate, 800.0, 6000.0)
    return _mix(attack(0.75 * tone + 0.3 * overtone, 0.001, sample_rate), 0.2 * stick)


def _metal(drum: str, kit: _Kit, rng: np.random.Generator, sample_rate: int) -> Sound:
    """Cymbals: many unrelated modes that die the sooner the higher they are, in hiss."""
    tau_s, level, low_hz, ping = {
        "hat": (kit.metal_s, 0.34, kit.metal_hz, 0.0),
        "pedal": (0.6 * kit.metal_s, 0.26, 0.8 * kit.metal_hz, 0.0),
        "open_hat": (6.0 * kit.metal_s, 0.3, 0.9 * kit.metal_hz, 0.0),
        "ride": (0.45, 0.17, 0.55 * kit.metal_hz, 0.12),
        "crash": (0.7, 0.36, 0.4 * kit.metal_hz, 0.0),
        "tambourine": (0.06, 0.3, 1.1 * kit.metal_hz, 0.05),
    }[drum]
    hiss = _noise(rng, tau_s, sample_rate)
    freqs = np.sort(rng.uniform(0.5 * low_hz, 10500.0, 40))
    modes = partials(freqs, freqs / 9000.0 / tau_s, 0.16, len(hiss), sample_rate, rng.uniform(0, 6.28, 40))
    bell = partials([kit.metal_hz * 0.47, kit.metal_hz * 0.71], [9.0, 14.0], [ping, 0.7 * ping], len(hiss), sample_rate)
    swell = 0.004 if drum == "crash" else 0.0005
    return _mix(attack(level * band(0.5 * hiss + modes, sample_rate, low_hz), swell, sample_rate), bell)


def _small(drum: str, rng: np.random.Generator, sample_rate: int) -> Sound:
    """Rim, clap, shaker and cowbell."""
    num = int(0.25 * sample_rate)
    if drum == "rim":
        click = partials([1680.0, 480.0, 2450.0], [70.0, 60.0, 120.0], [0.4, 0.3, 0.2], num, sample_rate)
        return _mix(click, 0.2 * band(_noise(rng, 0.003, sample_rate), sample_rate, 1000.0))
    if drum == "cowbell":
        return band(
            partials([562.0, 845.0, 1686.0, 2535.0], [14, 14, 30, 30], 0.14, num, sample_rate), sample_rate, 400.0
        )
    if drum == "shaker":
        return 0.35 * attack(band(_noise(rng, 0.025, sample_rate), sample_rate, 5000.0), 0.012, sample_rate)
    bursts = np.zeros(num)
    for start_s, tau_s in ((0.0, 0.004), (0.011, 0.004), (0.022, 0.06)):
        burst, start = _noise(rng, tau_s, sample_rate), int(start_s * sample_rate)
        bursts[start : start + len(burst)] += burst[: num - start]
    return 0.55 * band(bursts, sample_rate, 800.0, 4500.0)
