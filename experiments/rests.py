"""How soon players are silent when they rest, true parts and GigMate's: `python -m experiments.rests keys`.

For each practice song that no table judges by, the first 20 s in which the true part never rests for two: the level of
a frame by how long it has rested, and after which rest a frame has to count as silent to give the share of silence that
is heard (`DIES_AWAY_S` of `gigmate.generation.hush`). `--no-hush`: our own parts as they would be without it.
"""

import argparse
import sys
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gigmate.accompanist import Accompanist
from gigmate.data.song import SongAudio
from gigmate.data.sources import PracticeSource
from gigmate.device import Device
from gigmate.evaluation.adherence.part import Part
from gigmate.evaluation.adherence.soundness import silence_share
from gigmate.evaluation.held_out import held_out_songs
from gigmate.evaluation.metrics import Mono
from gigmate.evaluation.tables import Row, markdown
from gigmate.music.grid import BeatGrid
from gigmate.music.note_codes import note_codes
from gigmate.performance import Take
from gigmate.pitch import REST

_FIRST_SEED, _RATE, _HOP, _FRAMES = 5_000_000, 24_000, 480, 1000
_LONGEST_REST = 100
_AFTER = (1, 5, 10, 15, 20, 30, 50)
_COUNTED = (1, 6, 9, 12, 15, 18, 21, 25)
_SILENT_DB = -50.0


class Played(NamedTuple):
    """A part of 20 s: its wave [N], and for how many frames it has rested in each [T]."""

    wave: Mono
    rested: NDArray[np.int64]


def rested(notes: NDArray[np.integer]) -> NDArray[np.int64]:
    """Frames of rest up to each of the note codes [T]."""
    at = np.arange(len(notes))
    last = np.maximum.accumulate(np.where(notes == REST, -1, at))
    return at - last


def excerpt(song: SongAudio, instrument: str) -> tuple[Mono, BeatGrid | None, Played] | None:
    """The mix of its companions, its beats and the true part, where it never rests for long; None if it always does."""
    wave = song.stems[instrument]
    counts = rested(note_codes(song.notes[instrument], instrument, len(wave) // _HOP, Fraction(_RATE, _HOP)))
    for start in range(0, len(counts) - _FRAMES + 1, _FRAMES // 4):
        frames = slice(start, start + _FRAMES)
        if counts[frames].max() <= _LONGEST_REST:
            samples = slice(start * _HOP, (start + _FRAMES) * _HOP)
            mix = np.sum([each[samples] for name, each in song.stems.items() if name != instrument], axis=0)
            grid = None if song.grid is None else song.grid.shift(-start * _HOP / _RATE)
            return mix.astype(np.float32), grid, Played(wave[samples].astype(np.float32), counts[frames])
    return None


def row(name: str, parts: list[Played]) -> Row:
    """Median level after so many frames of rest, and how far the share of long rests is off the share of silence."""
    levels, counts = [], np.concatenate([part.rested for part in parts])
    for part in parts:
        power = np.square(part.wave.reshape(-1, _HOP)).mean(axis=1)
        loudest = np.square(part.wave.reshape(-1, 5 * _HOP)).mean(axis=1).max()
        levels.append(10 * np.log10(power / loudest + 1e-12))
    level_db = np.concatenate(levels)
    silence = np.array([silence_share(Part(part.wave, _RATE)) for part in parts])
    off = {n: np.array([(part.rested >= n).mean() for part in parts]) - silence for n in _COUNTED}
    best = min(_COUNTED, key=lambda n: np.abs(off[n]).mean())
    by_length = {n: level_db[counts == n] for n in _AFTER}
    return {
        "": name,
        "rest; silence": f"{(counts > 0).mean():.2f}; {silence.mean():.2f}",
        **{
            f"after {n}": f"{np.median(own):.0f} dB, {(own < _SILENT_DB).mean():.2f}" if len(own) else ""
            for n, own in by_length.items()
        },
        "silent after": f"{best} frames: off by {np.abs(off[best]).mean():.3f} (after 1: {np.abs(off[1]).mean():.3f})",
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("instrument", choices=("bass", "keys", "guitar", "lead"))
    parser.add_argument("--songs", type=int, default=24)
    parser.add_argument("--lookahead", type=float, default=1.0, help="seconds")
    parser.add_argument("--no-hush", action="store_true", help="play without steadiness, and so without the hush")
    given = parser.parse_args()
    player = Accompanist.load(None, device=Device(threads=1, weights="int8"))
    take = Take(given.instrument, lookahead_s=given.lookahead, num_candidates=1, fader=False)
    if given.no_hush:
        take = replace(take, taste=replace(take.taste, steadiness=0.0))
    true, own = [], []
    for _, song in held_out_songs(PracticeSource(1200, _FIRST_SEED), given.songs, _RATE):
        found = excerpt(song, given.instrument) if given.instrument in song.stems else None
        if found is not None:
            mix, grid, part = found
            played = player.accompany(mix[None], _RATE, take, grid=grid)
            assert played.notes is not None
            true.append(part)
            own.append(Played(played.stem[0], rested(played.notes[:_FRAMES])))
    sys.stdout.write(f"{len(true)} songs\n\n{markdown([row('true parts', true), row('GigMate', own)])}\n")


if __name__ == "__main__":
    main()
