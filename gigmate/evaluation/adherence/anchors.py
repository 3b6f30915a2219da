"""Trivial players: what they reach is no merit of a model."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gigmate.evaluation.adherence.pairs import Pair, strangers
from gigmate.evaluation.metrics import Mono
from gigmate.music.grid import BeatGrid

TRUE, RANDOM = "true stem", "random pairing"
NUM_STRANGERS = 3
"""Stems of other songs that each song is paired with; their scores are averaged."""

_CLICK_S, _CLICK_HZ = 0.05, 1_000.0
_BASS_LOWEST = 28  # E1
_LEVEL = 0.2


def anchors(pair: Pair, stems: Sequence[tuple[Pair, Mono]], tracked: BeatGrid) -> list[tuple[str, Mono]]:
    """Every anchor's stem [N] by name; random pairings come `NUM_STRANGERS` times.

    Args:
        pair: the song; the true stem is left out where nobody knows it.
        stems: of all songs, to take the strangers from.
        tracked: beats found in the mix, on which metronome and root notes play.
    """
    found = [] if pair.true is None else [(TRUE, pair.true)]
    found += [(RANDOM, stem) for stem in strangers(pair, stems, NUM_STRANGERS)]
    found += [("silence", np.zeros_like(pair.mix)), ("mix copied", pair.mix), ("metronome", metronome(pair, tracked))]
    if pair.instrument == "bass" and pair.chords:
        found.append(("root notes", root_notes(pair, tracked)))
    return found


def metronome(pair: Pair, tracked: BeatGrid) -> Mono:
    """A click on every tracked beat."""
    times = np.arange(round(_CLICK_S * pair.sample_rate)) / pair.sample_rate
    click = np.sin(2 * np.pi * _CLICK_HZ * times) * np.exp(-times / (_CLICK_S / 5))
    return _played(pair, [(beat_s, click) for beat_s in _beats_s(pair, tracked)])


def root_notes(pair: Pair, tracked: BeatGrid) -> Mono:
    """The root of the true chord on every tracked beat, held for the beat."""
    beats = _beats_s(pair, tracked)
    notes = []
    for start_s, end_s in zip(beats, [*beats[1:], pair.seconds], strict=True):
        chord = next((c for c in pair.chords if c.start_s <= start_s + 0.05 < c.end_s), None)
        if chord is not None:
            pitch = _BASS_LOWEST + (chord.root_pc - _BASS_LOWEST) % 12
            notes.append((start_s, _tone(440 * 2 ** ((pitch - 69) / 12), end_s - start_s, pair.sample_rate)))
    return _played(pair, notes)


def _tone(hz: float, seconds: float, sample_rate: int) -> NDArray[np.float64]:
    times = np.arange(round(seconds * sample_rate)) / sample_rate
    wave = sum(np.sin(2 * np.pi * hz * n * times) / n for n in range(1, 7))
    fade = np.minimum(1.0, np.minimum(times, times[::-1]) / 0.005) if len(times) else times
    return np.asarray(wave * np.exp(-times / 0.5) * fade)


def _beats_s(pair: Pair, tracked: BeatGrid) -> list[float]:
    return [time for time in tracked.beat_times_s.tolist() if 0 <= time < pair.seconds]


def _played(pair: Pair, sounds: Sequence[tuple[float, NDArray[np.float64]]]) -> Mono:
    wave = np.zeros(len(pair.mix), np.float64)
    for start_s, sound in sounds:
        first = round(start_s * pair.sample_rate)
        piece = sound[: len(wave) - first]
        wave[first : first + len(piece)] += _LEVEL * piece
    return wave.astype(np.float32)
