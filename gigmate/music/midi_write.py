"""MIDI files out: a song of the band as a file."""

import os
from pathlib import Path

import numpy as np
from symusic.core import NoteTick, ScoreTick, TempoTick, TimeSignatureTick, TrackTick

from gigmate.music.band.song import Song
from gigmate.music.grid import BeatGrid

_TICKS_PER_QUARTER = 960
_PROGRAMS = {"drums": 0, "bass": 33, "keys": 0, "guitar": 25, "lead": 81}


def write_midi(song: Song, path: str | Path) -> None:
    """Write a song of the band: one track a player, the beats of its grid as tempo map; complete or not at all."""
    score = ScoreTick(_TICKS_PER_QUARTER)
    knots_s = np.concatenate([[0.0], song.grid.beat_times_s[song.grid.beat_times_s > 1e-3]])
    phases = song.grid.beat_phase(knots_s)
    knots = np.round((phases - phases[0]) * _TICKS_PER_QUARTER).astype(np.int64)
    mspq = np.round(np.diff(knots_s) / np.diff(knots) * _TICKS_PER_QUARTER * 1e6).astype(np.int64)
    for i in np.flatnonzero(np.diff(mspq, prepend=-1)):
        score.tempos.append(TempoTick(int(knots[i]), mspq=int(mspq[i])))
    first_bar = int(np.searchsorted(knots_s, song.grid.beat_times_s[song.grid.downbeats][0] - 1e-3))
    score.time_signatures.append(TimeSignatureTick(int(knots[first_bar]), song.meter, 4))
    for player, notes in song.notes.items():
        track = TrackTick(player, _PROGRAMS[player], player == "drums")
        for note in notes:
            on, off = _ticks(song.grid, phases[0], (note.onset_s, note.onset_s + note.duration_s))
            track.notes.append(NoteTick(on, max(1, off - on), note.pitch, note.velocity))
        score.tracks.append(track)
    temporary = Path(f"{path}.tmp.{os.getpid()}")
    try:
        temporary.write_bytes(score.dumps_midi())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _ticks(grid: BeatGrid, origin: float, times_s: tuple[float, ...]) -> list[int]:
    return np.maximum(np.round((grid.beat_phase(times_s) - origin) * _TICKS_PER_QUARTER), 0).astype(int).tolist()
