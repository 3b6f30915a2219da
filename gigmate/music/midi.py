"""MIDI files in: a checked score and its beat grid."""

import logging
import os
import stat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from symusic.core import ScoreTick, TrackTick

from gigmate.errors import InputError, printable
from gigmate.music.grid import BeatGrid
from gigmate.music.instruments import instrument_of
from gigmate.music.midi_bytes import clean_midi
from gigmate.music.note_codes import Notes

logger = logging.getLogger(__name__)

MAX_BYTES = 16 << 20
"""Size of a file that is read at all."""

_DEFAULT_MSPQ = 500_000  # microseconds a quarter where a file says nothing


def read_midi(path: str | Path, *, min_notes: int = 1) -> ScoreTick:
    """Parse a MIDI file under limits: 16 MiB, an hour, 200,000 events, 10-500 bpm; oddities are mended and logged.

    Args:
        path: a standard MIDI file of format 0 or 1.
        min_notes: fewer notes are refused.

    Raises:
        InputError: not_regular, io_error, too_large, midi_malformed, midi_division, midi_format, midi_too_long,
            midi_tempo, midi_events, midi_empty.
    """
    cleaned, report = clean_midi(_read_bytes(path), path)
    if report.num_notes < min_notes:
        raise InputError("midi_empty", f"{report.num_notes} notes, at least {min_notes} are needed", path)
    oddities = ", ".join(f"{name} ({count})" for name, count in sorted(report.oddities.items()) if count)
    if oddities:
        logger.info("%s: %s", printable(path), oddities)
    try:
        return ScoreTick.from_midi(cleaned)
    except (RuntimeError, ValueError) as error:
        raise InputError("midi_malformed", printable(error), path, "export the file anew") from error


def grid_of(score: ScoreTick) -> BeatGrid:
    """The beat grid that the tempo map and the time signatures say, over the whole score, at confidence 1.

    A beat is the unit of the signature, three of them in 6/8, 9/8 and 12/8, a quarter under signatures of sixteenths
    and shorter. Every signature opens a bar. Without one it is 4/4.
    """
    quarter, end = score.ticks_per_quarter, max(score.end(), score.ticks_per_quarter)
    signatures = {0: (4, 4)} | {s.time: (s.numerator, s.denominator) for s in score.time_signatures}
    starts = sorted(start for start in signatures if start < end)
    ticks: list[NDArray[np.int64]] = []
    downbeats: list[NDArray[np.bool_]] = []
    bars: dict[int, int] = {}  # beats a bar -> how many beats are in such bars
    for start, stop in zip(starts, [*starts[1:], end + 1], strict=True):
        beat, beats_per_bar = _beat_of(*signatures[start], quarter)
        ticks.append(np.arange(start, stop, beat, dtype=np.int64))
        downbeats.append(np.arange(len(ticks[-1])) % beats_per_bar == 0)
        bars[beats_per_bar] = bars.get(beats_per_bar, 0) + len(ticks[-1])
    all_ticks, all_downbeats = np.concatenate(ticks), np.concatenate(downbeats)
    if len(all_ticks) < 2:
        beat, _ = _beat_of(*signatures[starts[-1]], quarter)
        all_ticks, all_downbeats = np.append(all_ticks, all_ticks[-1] + beat), np.append(all_downbeats, False)
    return BeatGrid(seconds_of(score, all_ticks), all_downbeats, max(bars, key=lambda n: bars[n]))


def seconds_of(score: ScoreTick, ticks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Seconds at `ticks`, by the tempo map."""
    changes = {0: _DEFAULT_MSPQ} | {tempo.time: tempo.mspq for tempo in score.tempos}
    at = np.array(sorted(changes), np.int64)
    per_tick = np.array([changes[int(t)] for t in at]) / score.ticks_per_quarter / 1e6
    before = np.concatenate([[0.0], np.cumsum(np.diff(at) * per_tick[:-1])])
    current = np.searchsorted(at, ticks, side="right") - 1
    return before[current] + (ticks - at[current]) * per_tick[current]


def notes_of(score: ScoreTick) -> dict[str, Notes]:
    """The notes of every instrument that has any."""
    found: dict[str, list[Notes]] = {}
    for track in score.tracks:
        if len(track.notes):
            found.setdefault(instrument_of(track.program, track.is_drum), []).append(track_notes(score, track))
    return {instrument: np.concatenate(tracks) for instrument, tracks in found.items()}


def track_notes(score: ScoreTick, track: TrackTick) -> Notes:
    """The notes of one of the score's tracks."""
    fields = track.notes.numpy()
    start = fields["time"].astype(np.int64)
    edges = [seconds_of(score, ticks) for ticks in (start, start + fields["duration"])]
    return np.stack([*edges, fields["pitch"].astype(np.float64)], axis=1)


def _beat_of(numerator: int, denominator: int, quarter: int) -> tuple[int, int]:
    """Ticks a beat and beats a bar of a time signature."""
    if denominator > 8:
        return quarter, max(1, round(4 * numerator / denominator))
    unit = max(1, 4 * quarter // denominator)
    is_compound = denominator == 8 and numerator > 3 and numerator % 3 == 0
    return (3 * unit, numerator // 3) if is_compound else (unit, numerator)


def _read_bytes(path: str | Path) -> bytes:
    try:
        info = os.stat(path)
        if not stat.S_ISREG(info.st_mode):
            raise InputError("not_regular", "not a regular file", path, "pass a MIDI file")
        if info.st_size > MAX_BYTES:
            raise InputError("too_large", f"{info.st_size} bytes, at most {MAX_BYTES} are taken", path)
        return Path(path).read_bytes()
    except OSError as error:
        what = error.strerror or str(error)
        raise InputError("io_error", what, path, "pass a file that can be read") from error
