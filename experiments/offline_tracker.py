"""How often the offline tracker finds the beat: `python -m experiments.offline_tracker --help`.

Each song is heard as five mixes, because the stem that is to be played is never in them. librosa's tracker
(`make bench-librosa`) stands beside it.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mir_eval.beat import f_measure
from numpy.typing import NDArray

from experiments.peer_beats import librosa_beats
from experiments.tracker_songs import RATE, Song, is_for_the_table, midi_songs, mixes, practice_songs, recorded_songs
from gigmate.evaluation.tables import Row, markdown
from gigmate.music.grid import BeatGrid
from gigmate.music.tracker import track_beats

_START_S = 5.0  # F1 counts from here, as is usual
_RIGHT_F1 = 0.8


class Score(NamedTuple):
    """How one mix was tracked."""

    beat_f1: float
    bar_f1: float
    librosa_f1: float
    mistake: str


def beat_f1(song: Song, found: BeatGrid) -> float:
    """F1 of the beats, 70 ms. Source: Davies et al. 2009, as in mir_eval."""
    return _f1(song, song.grid.beat_times_s, found.beat_times_s)


def bar_f1(song: Song, found: BeatGrid) -> float:
    """The same of the downbeats."""
    return _f1(song, song.grid.beat_times_s[song.grid.downbeats], found.beat_times_s[found.downbeats])


def mistake(song: Song, found: BeatGrid) -> str:
    """Which beats were taken for the beat."""
    beats = song.grid.beat_times_s
    between = (beats[:-1] + beats[1:]) / 2
    levels = {
        "right": [beats],
        "half": [beats[::2], beats[1::2]],
        "double": [np.sort(np.concatenate([beats, between]))],
        "off-beat": [between],
    }
    scores = {name: max(_f1(song, times, found.beat_times_s) for times in known) for name, known in levels.items()}
    return next((name for name, score in scores.items() if score >= _RIGHT_F1), "other")


def table(kinds: dict[str, Iterable[Song]]) -> list[Row]:
    """A row per kind of song and mix."""
    found: dict[str, list[Score]] = {}
    for kind, songs in kinds.items():
        for song in songs:
            for name, wave in mixes(song).items():
                grid = track_beats(wave, RATE)
                peer_f1 = _f1(song, song.grid.beat_times_s, librosa_beats(wave, RATE))
                score = Score(beat_f1(song, grid), bar_f1(song, grid), peer_f1, mistake(song, grid))
                found.setdefault(f"{kind}, {name}", []).append(score)
    return [_row(f"{name} ({len(scores)})", scores) for name, scores in found.items()]


def _row(name: str, scores: list[Score]) -> Row:
    beats, bars, peers, mistakes = zip(*scores, strict=True)
    shares = {kind: mistakes.count(kind) / len(mistakes) for kind in ("right", "off-beat", "half", "double", "other")}
    means = {"songs": name, "beat F1": f"{np.mean(beats):.3f}", "bar F1": f"{np.mean(bars):.3f}"}
    means["F1, librosa"] = f"{np.mean(peers):.3f}"
    return means | {kind: f"{share:.0%}" for kind, share in shares.items()}


def _f1(song: Song, truth_s: NDArray[np.float64], found_s: NDArray[np.float64]) -> float:
    truth, found = (times[(times >= _START_S) & (times < song.end_s)] for times in (truth_s, found_s))
    return f_measure(truth, found) if len(truth) and len(found) else 0.0


def main() -> None:
    """Score all sources that are given and write the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.offline_tracker", description=__doc__)
    parser.add_argument("--practice", type=int, default=48, help="number of practice songs")
    parser.add_argument("--stems", type=Path, help="folder of recorded songs with bpm in meta.json, bar 1 at 0 s")
    parser.add_argument("--midi", type=Path, help="folder of MIDI files with an index.csv")
    parser.add_argument("--soundfont", type=Path)
    parser.add_argument("--num-midi", type=int, default=(33, 20), nargs=2, help="bands, lone drummers")
    given = parser.parse_args()
    kinds: dict[str, Iterable[Song]] = {"practice": practice_songs(given.practice)}
    if given.stems:
        kinds["recorded"] = recorded_songs(given.stems)
    if given.midi:
        kinds["MIDI"] = midi_songs(given.midi, given.soundfont, tuple(given.num_midi), is_for_the_table)
    sys.stdout.write(markdown(table(kinds)))


if __name__ == "__main__":
    main()
