"""MIDI files out: notes on a beat grid, of the band or of a model that writes its notes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from symusic.core import NoteTick, ScoreTick, TempoTick, TimeSignatureTick, TrackTick

from gigmate.files.atomic import write_bytes
from gigmate.music.band.song import Note
from gigmate.music.grid import BeatGrid

_TICKS_PER_QUARTER = 960
_PROGRAMS = {"drums": 0, "bass": 33, "keys": 0, "guitar": 25, "lead": 81, "other": 48}


def write_midi(tracks: Mapping[str, Sequence[Note]], grid: BeatGrid, path: str | Path) -> None:
    """Write one track an instrument, the beats of the grid as tempo map; complete or not at all.

    Args:
        tracks: notes by instrument.
        grid: its beats become quarters, its first downbeat opens a bar.
        path: the file.

    Raises:
        MachineError: it can't be written.
    """
    score = ScoreTick(_TICKS_PER_QUARTER)
    knots_s = np.concatenate([[0.0], grid.beat_times_s[grid.beat_times_s > 1e-3]])
    phases = grid.beat_phase(knots_s)
    knots = np.round((phases - phases[0]) * _TICKS_PER_QUARTER).astype(np.int64)
    mspq = np.round(np.diff(knots_s) / np.diff(knots) * _TICKS_PER_QUARTER * 1e6).astype(np.int64)
    for i in np.flatnonzero(np.diff(mspq, prepend=-1)):
        score.tempos.append(TempoTick(int(knots[i]), mspq=int(mspq[i])))
    first_bar = int(np.searchsorted(knots_s, grid.beat_times_s[grid.downbeats][0] - 1e-3))
    score.time_signatures.append(TimeSignatureTick(int(knots[first_bar]), grid.beats_per_bar, 4))
    for instrument, notes in tracks.items():
        track = TrackTick(instrument, _PROGRAMS.get(instrument, 0), instrument == "drums")
        ons = _ticks(grid, phases[0], [note.onset_s for note in notes])
        offs = _ticks(grid, phases[0], [note.onset_s + note.duration_s for note in notes])
        for note, on, off in zip(notes, ons.tolist(), offs.tolist(), strict=True):
            track.notes.append(NoteTick(on, max(1, off - on), note.pitch, note.velocity))
        score.tracks.append(track)
    write_bytes(Path(path), score.dumps_midi())


def _ticks(grid: BeatGrid, origin: float, times_s: Sequence[float]) -> NDArray[np.int64]:
    phases = np.asarray(grid.beat_phase(np.asarray(times_s, np.float64)))
    return np.maximum(np.round((phases - origin) * _TICKS_PER_QUARTER), 0).astype(np.int64)
