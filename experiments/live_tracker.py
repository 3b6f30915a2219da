"""How well the live tracker knows the beat half a second ahead: `python -m experiments.live_tracker --help`.

Songs are pushed through in codec frames. After each one the tracker is asked where the beats will be half a second on:
that is what a player with this lookahead gets. The offline tracker and librosa's (`make bench-librosa`), which know the
whole song, stand beside it.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mir_eval.beat import f_measure
from numpy.typing import NDArray

from experiments.peer_beats import librosa_beats
from experiments.tracker_songs import RATE, Song, is_for_the_table, midi_songs, mixes, practice_songs, recorded_songs
from gigmate.evaluation.tables import Row, markdown
from gigmate.music.grid import BeatGrid
from gigmate.music.live_tracker import LiveTracker
from gigmate.music.tracker import track_beats

_HOP = 480
_AHEAD_S = 0.5
_IN_TIME_S = 0.07  # the window of beat F1
_LOCKED_S = 3.0  # in time for so long: locked
_START_S = 5.0  # F1 and errors count from here, as is usual
_HEARD = ("band", "no drums")


@dataclass(frozen=True)
class Score:
    """How one song was tracked; the errors are those of half a second ahead."""

    f1: float
    bar_f1: float
    median_error_ms: float
    share_in_time: float
    lock_s: float
    offline_f1: float
    librosa_f1: float
    compute_ms_per_s: float


def score(wave: NDArray[np.float32], truth: BeatGrid) -> Score:
    """Push a song through frame by frame and compare with its known beats."""
    tracker = LiveTracker(RATE, truth.beats_per_bar)
    start = time.process_time()
    made, made_bars, errors_s = [], [], []
    for frame in range(len(wave) // _HOP):
        tracker.push(wave[frame * _HOP : (frame + 1) * _HOP])
        ahead_s = (frame + 1) * _HOP / RATE + _AHEAD_S
        line = tracker.line
        if line is None:
            errors_s.append(np.inf)
            continue
        positions = line.position(np.array([ahead_s, ahead_s + _HOP / RATE]))
        if np.floor(positions[1]) > np.floor(positions[0]):
            made.append(line.origin_s + line.period_s * np.floor(positions[1]))
            made_bars.append(np.floor(positions[1]) % line.beats_per_bar == 0)
        phase = float(truth.beat_phase(ahead_s)) - positions[0]
        errors_s.append(abs(phase - round(phase)) * 60 / float(truth.tempo_bpm(ahead_s)))
    compute_s = time.process_time() - start
    times_s = np.arange(1, len(errors_s) + 1) * _HOP / RATE
    counted = times_s >= _START_S
    errors = np.array(errors_s)
    beats, bars = np.array(made), np.array(made_bars, np.bool_)
    offline = track_beats(wave, RATE)
    return Score(
        _f1(truth.beat_times_s, beats, len(wave)),
        _f1(truth.beat_times_s[truth.downbeats], beats[bars], len(wave)),
        1e3 * float(np.median(errors[counted])),
        float((errors[counted] < _IN_TIME_S).mean()),
        _lock_time_s(times_s, errors),
        _f1(truth.beat_times_s, offline.beat_times_s, len(wave)),
        _f1(truth.beat_times_s, librosa_beats(wave, RATE), len(wave)),
        1e3 * compute_s * RATE / len(wave),
    )


def _f1(truth_s: NDArray[np.float64], found_s: NDArray[np.float64], num_samples: int) -> float:
    end_s = num_samples / RATE
    truth, found = (times[(times >= _START_S) & (times < end_s)] for times in (truth_s, found_s))
    return f_measure(truth, found)


def _lock_time_s(times_s: NDArray[np.float64], errors_s: NDArray[np.float64]) -> float:
    """The first time from which on the beat is in time for three seconds; the song's length if there is none."""
    run = round(_LOCKED_S * RATE / _HOP)
    in_time = np.convolve(errors_s < _IN_TIME_S, np.ones(run), "valid") >= run - 0.5
    return float(times_s[int(in_time.argmax())] if in_time.any() else times_s[-1])


def table(scores: dict[str, list[Score]]) -> list[Row]:
    """A row per kind of song; means, and medians of the errors and of the time to lock."""
    return [
        {
            "songs": f"{kind} ({len(found)})",
            "beat F1": f"{statistics.mean(s.f1 for s in found):.3f}",
            "F1, offline tracker": f"{statistics.mean(s.offline_f1 for s in found):.3f}",
            "F1, librosa": f"{statistics.mean(s.librosa_f1 for s in found):.3f}",
            "bar F1": f"{statistics.mean(s.bar_f1 for s in found):.3f}",
            "error ms": f"{statistics.median(s.median_error_ms for s in found):.1f}",
            "in time %": f"{100 * statistics.mean(s.share_in_time for s in found):.1f}",
            "lock s": f"{statistics.median(s.lock_s for s in found):.1f}",
            "compute ms/s": f"{statistics.mean(s.compute_ms_per_s for s in found):.1f}",
        }
        for kind, found in scores.items()
    ]


def main() -> None:
    """Score all sources that are given and write the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.live_tracker", description=__doc__)
    parser.add_argument("--practice", type=int, default=20, help="number of practice songs")
    parser.add_argument("--stems", type=Path, help="folder of recorded songs with bpm in meta.json, bar 1 at 0 s")
    parser.add_argument("--midi", type=Path, help="folder of MIDI files with an index.csv")
    parser.add_argument("--soundfont", type=Path)
    parser.add_argument("--num-midi", type=int, default=33, help="number of bands")
    given = parser.parse_args()
    kinds: dict[str, Iterable[Song]] = {"practice": practice_songs(given.practice)}
    if given.stems:
        kinds["recorded"] = recorded_songs(given.stems)
    if given.midi:
        kinds["MIDI"] = midi_songs(given.midi, given.soundfont, (given.num_midi, 0), is_for_the_table)
    scores: dict[str, list[Score]] = {}
    for kind, songs in kinds.items():
        for song in songs:
            for name, wave in mixes(song).items():
                if name in _HEARD:
                    scores.setdefault(f"{kind}, {name}", []).append(score(wave, song.grid))
    sys.stdout.write(markdown(table(scores)))


if __name__ == "__main__":
    main()
