"""From the page to hands: swing, a tempo that breathes, and notes that are never quite on time or equally loud."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from gigmate.music.band.scene import Event
from gigmate.music.band.song import Note

MAX_JITTER_S = 0.025
"""No note is further than this from where it is written (a strum spreads later than that)."""


@dataclass(frozen=True)
class Clock:
    """Where beats lie in time.

    Args:
        beat_times_s: [beats] seconds of beat 0, 1, ...; enough of them to cover the song.
        swing: where the off-beat of a pair lies, 0.5 is straight.
        swing_beats: length of the pair in beats.
    """

    beat_times_s: NDArray[np.float64]
    swing: float
    swing_beats: float

    def seconds(self, beats: NDArray[np.float64]) -> NDArray[np.float64]:
        """Times of positions on the straight grid."""
        pairs, place = np.divmod(beats / self.swing_beats, 1.0)
        early = 2 * self.swing * place
        late = self.swing + 2 * (1 - self.swing) * (place - 0.5)
        swung = (pairs + np.where(place < 0.5, early, late)) * self.swing_beats
        return np.interp(swung, np.arange(len(self.beat_times_s)), self.beat_times_s)


@dataclass(frozen=True)
class Feel:
    """How somebody plays.

    Args:
        bias_s: how late (early if negative) on average.
        jitter_s: standard deviation of the timing.
        touch: standard deviation of the loudness in velocity steps.
    """

    bias_s: float
    jitter_s: float
    touch: float


def beat_times(rng: np.random.Generator, bpm: float, start_s: float, end_s: float, drift: float) -> NDArray[np.float64]:
    """Times of beats from `start_s` to past `end_s`; the tempo wanders slowly by about `drift` (0.01 is 1 %)."""
    num_beats = int((end_s - start_s) * bpm / 60.0 * 1.1) + 8
    wander = lfilter([1.0], [1.0, -0.95], rng.standard_normal(num_beats)) * np.sqrt(1 - 0.95**2)
    periods_s = 60.0 / bpm * (1.0 + drift * np.clip(wander, -2.5, 2.5))
    return start_s + np.concatenate([[0.0], np.cumsum(periods_s)])


def perform(
    rng: np.random.Generator, events: list[Event], clock: Clock, feel: Feel, duration_s: float
) -> tuple[Note, ...]:
    """Play written events; notes that would start after `duration_s` are left out.

    Notes struck together (a chord) share their lateness, as one hand plays them.
    """
    if not events:
        return ()
    events = sorted(events)
    beats, lengths, _, loudness, delays = np.array(events, np.float64).T
    moments, moment_of = np.unique(beats, return_inverse=True)
    wobble = rng.standard_normal(len(moments)) * feel.jitter_s
    late = np.clip(feel.bias_s + wobble, -MAX_JITTER_S, MAX_JITTER_S)[moment_of]
    written_s = clock.seconds(beats)
    onsets_s = np.maximum(written_s + late + delays, 0.0)
    durations_s = np.maximum(clock.seconds(beats + lengths) - written_s, 0.02)
    played = np.clip(np.rint(loudness + feel.touch * rng.standard_normal(len(events))), 1, 127)
    notes = (
        Note(float(on), float(min(length, duration_s - on)), event.pitch, int(velocity))
        for on, length, event, velocity in zip(onsets_s, durations_s, events, played, strict=True)
        if on < duration_s - 0.02
    )
    return tuple(sorted(notes))


def one_at_a_time(notes: tuple[Note, ...]) -> tuple[Note, ...]:
    """Notes of an instrument that plays one at a time: each ends where the next begins, the later of twins wins."""
    kept = []
    for i, note in enumerate(notes):
        next_s = notes[i + 1].onset_s if i + 1 < len(notes) else float("inf")
        if next_s - note.onset_s > 0.01:
            kept.append(note._replace(duration_s=min(note.duration_s, next_s - note.onset_s)))
    return tuple(kept)
