"""Does it play the right notes? Shares and correlations on chroma and on the bass's pitch; higher is better."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gigmate.evaluation.adherence.part import CHROMA_RATE, Part
from gigmate.music.band.song import Chord
from gigmate.music.grid import BeatGrid

_SILENT_SHARE = 1e-3  # of the loudest span: below it nothing sounds
_FIFTH = 7
_BASS_PITCHES = range(28, 56)  # E1 to G3
_NUM_HARMONICS = 6


def chord_tones(stem: Part, chords: Sequence[Chord]) -> float:
    """Share of the stem's energy on the notes of the chord that sounds: the mean over the chords; nan in silence."""
    spans = [(chord.start_s, chord.end_s) for chord in chords]
    return _energy_share(stem, spans, [chord.pitch_classes for chord in chords])


def scale_tones(stem: Part, scale: Iterable[int], seconds: float) -> float:
    """Share of the stem's energy on the notes of the key; nan in silence."""
    starts = np.arange(0, seconds, 1.0)
    return _energy_share(stem, [(s, s + 1.0) for s in starts], [tuple(scale)] * len(starts))


def chroma_r(stem: Part, mix: Part, grid: BeatGrid, seconds: float) -> float:
    """Pearson's r of the pitch classes of stem and mix: the mean over the beats on which both sound; nan if none."""
    beats = _beats(grid, seconds)
    pairs = [_span_chroma(part.chroma, list(pairwise(beats))) for part in (stem, mix)]
    sounds = np.all([_sounds(pair) for pair in pairs], axis=0)
    if not sounds.any():
        return float("nan")
    a, b = (pair[sounds] - pair[sounds].mean(axis=1, keepdims=True) for pair in map(np.sqrt, pairs))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(axis=1) / np.maximum(norms, 1e-12)).mean())


def root_fifth(stem: Part, chords: Sequence[Chord], grid: BeatGrid, seconds: float) -> float:
    """Share of the beats whose bass note is the root or the fifth of the chord; nan if there is never one."""
    beats = _beats(grid, seconds)
    found = []
    for start, end in pairwise(beats):
        chord = next((chord for chord in chords if chord.start_s <= (start + end) / 2 < chord.end_s), None)
        note = bass_pitch(stem, start, end)
        if chord is not None and note is not None:
            found.append((note - chord.root_pc) % 12 in (0, _FIFTH))
    return float(np.mean(found)) if found else float("nan")


def bass_pitch(stem: Part, start_s: float, end_s: float) -> int | None:
    """MIDI pitch between E1 and G3 whose harmonics hold most of the spectrum; None where it is 50 dB below its peak.

    Source: harmonic summation (Hermes 1988), with weights .84 ** (h - 1).
    """
    rate = stem.sample_rate
    piece = stem.wave[max(0, round(start_s * rate)) : round(end_s * rate)]
    if len(piece) < rate // 20 or np.abs(piece).max() < 3e-3 * max(np.abs(stem.wave).max(), 1e-3):
        return None
    num_fft = 4 * 2 ** int(np.ceil(np.log2(len(piece))))
    spectrum = np.sqrt(np.abs(np.fft.rfft(piece * np.hanning(len(piece)), num_fft)))
    hz = np.array([440 * 2 ** ((pitch - 69) / 12) for pitch in _BASS_PITCHES])
    order = np.arange(1, _NUM_HARMONICS + 1)
    bins = np.round(hz[:, None] * order * num_fft / rate).astype(int)
    return _BASS_PITCHES[int((spectrum[bins] * 0.84 ** (order - 1)).sum(axis=1).argmax())]


def _beats(grid: BeatGrid, seconds: float) -> NDArray[np.float64]:
    return grid.beat_times_s[(grid.beat_times_s >= 0) & (grid.beat_times_s <= seconds)]


def _span_chroma(chroma: NDArray[np.float32], spans: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    """[spans, 12]: power per pitch class in each span."""
    edges = [(max(0, round(start * CHROMA_RATE)), max(0, round(end * CHROMA_RATE))) for start, end in spans]
    return np.array([chroma[:, first : max(last, first + 1)].sum(axis=1) for first, last in edges]).reshape(-1, 12)


def _sounds(spans: NDArray[np.float64]) -> NDArray[np.bool_]:
    energy = spans.sum(axis=1)
    return energy > _SILENT_SHARE * energy.max(initial=0.0) + 1e-6


def _energy_share(stem: Part, spans: Sequence[tuple[float, float]], allowed: Sequence[tuple[int, ...]]) -> float:
    energy = _span_chroma(stem.chroma, spans)
    sounds = _sounds(energy)
    shares = [
        row[list(classes)].sum() / row.sum()
        for row, classes, is_heard in zip(energy, allowed, sounds, strict=True)
        if is_heard
    ]
    return float(np.mean(shares)) if shares else float("nan")
