"""Excerpts of held-out songs, with the mixes and grids that are to deceive a model that listens.

song     |--------------------------------------------------------|
stem                |==== WINDOW_S ====|
mix                 |==== WINDOW_S ====+ ahead |
shifted       |==== WINDOW_S ====+ ahead |          by .3 to .7 beats, either way
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigmate.data.windows import StoredSong, notes_ahead
from gigmate.errors import InputError
from gigmate.evaluation.hearing.transpose import transpose_power
from gigmate.music.instruments import INSTRUMENTS

WINDOW_S = 6.0
WINDOWS_PER_SONG = 3
MIN_SHIFT_BEATS, MAX_SHIFT_BEATS = 0.3, 0.7
MAX_TRANSPOSITION = 6

_MAX_SHIFT_S = 1.2  # .7 beats at 35 bpm: how much of the song must lie around a window
_ATTEMPTS = 48
_PLAYING_SHARE = 0.6
_TEMPO_ROW = 8  # of `BeatGrid.features`: log2 of the tempo over 120 bpm

Power = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class HeardWindow:
    """A stem and what may be heard beside it.

    Args:
        song: its id.
        group: songs that share material share it.
        instrument: of the stem.
        codes: [K, T] int64 of the stem.
        notes: [T] int64, the note code of each following frame; V where unknown.
        mixes: power [D, T + ahead] of all companions: `true`, `swapped`, `shifted` (with a grid only), `transposed`
            (with a pitched companion only).
        grids: beat features [G, T + ahead]: `true` and `shifted`; none if the song's beats aren't known.
    """

    song: str
    group: str
    instrument: str
    codes: NDArray[np.int64]
    notes: NDArray[np.int64]
    mixes: dict[str, Power]
    grids: dict[str, NDArray[np.float32]] = field(default_factory=dict)


def draw_windows(songs: Sequence[StoredSong], ahead_frames: int, limit: int, seed: int) -> list[HeardWindow]:
    """Up to `WINDOWS_PER_SONG` windows of each of up to `limit` songs, every one of another instrument.

    Args:
        songs: held-out songs of one recipe.
        ahead_frames: how far beyond the stem's end the mix goes on.
        limit: songs.
        seed: which windows, and how their mixes are falsified.

    Raises:
        InputError: `too_short`, no song holds a window; `one_group`, nothing to swap mixes with.
    """
    rng = np.random.default_rng(seed)
    windows: list[HeardWindow] = []
    found = 0
    for index in rng.permutation(len(songs)):
        drawn = list(_windows_of(songs[index], ahead_frames, rng))
        windows += drawn
        found += bool(drawn)
        if found == limit:
            break
    if not windows:
        what = f"none of {len(songs)} songs has two instruments that play together for {WINDOW_S:g} s"
        raise InputError("too_short", what, remedy="prepare longer songs")
    if len({window.group for window in windows}) < 2:
        what = "all held-out songs are of one group, so there is no other song's mix"
        raise InputError("one_group", what, remedy="prepare more songs")
    for window in windows:
        window.mixes["swapped"] = _mix_of_another(window, windows, rng)
    return windows


def _windows_of(song: StoredSong, ahead_frames: int, rng: np.random.Generator) -> Iterator[HeardWindow]:
    frame_rate = float(song.recipe.codec.frame_rate) if song.recipe.codec is not None else 1.0
    num_frames, margin = round(WINDOW_S * frame_rate), round(_MAX_SHIFT_S * frame_rate)
    last_start = song.card.num_records - num_frames - ahead_frames - margin
    if last_start < margin or len(song.card.instruments) < 2:
        return
    records = song.open()
    stems = rng.permutation(len(song.card.instruments))
    num_drawn = 0
    for stem in stems.tolist():
        start = _place(records["active"][:, :-1], stem, num_frames, (margin, last_start), rng)
        if start is None:
            continue
        piece = records[start - margin : start + num_frames + ahead_frames + margin]
        yield _window(song, stem, piece, margin, num_frames, rng)
        num_drawn += 1
        if num_drawn == WINDOWS_PER_SONG:
            return


def _place(
    active: NDArray[np.uint8], stem: int, num_frames: int, starts: tuple[int, int], rng: np.random.Generator
) -> int | None:
    """Where the stem plays most of the time together with another one; None if that isn't found."""
    for start in rng.integers(starts[0], starts[1] + 1, size=_ATTEMPTS).tolist():
        share = active[start : start + num_frames].mean(axis=0)
        if share[stem] >= _PLAYING_SHARE and np.delete(share, stem).max() >= _PLAYING_SHARE:
            return start
    return None


def _window(
    song: StoredSong, stem: int, piece: NDArray[Any], margin: int, num_frames: int, rng: np.random.Generator
) -> HeardWindow:
    codec = song.recipe.codec
    assert codec is not None  # tokens have one
    names = song.card.instruments
    companions = [i for i in range(len(names)) if i != stem]
    pitched = [i for i in companions if names[i] != "drums"]
    sums = {i: piece["power"][:, i].astype(np.float32).T for i in companions}
    mix = np.sum(list(sums.values()), axis=0)
    inside = slice(margin, len(piece) - margin)
    mixes: dict[str, Power] = {"true": mix[:, inside]}
    grids: dict[str, NDArray[np.float32]] = {}
    if pitched:
        interval = int(rng.integers(1, MAX_TRANSPOSITION + 1)) * int(rng.choice((-1, 1)))
        tuned = np.sum([sums[i] for i in pitched], axis=0)
        mixes["transposed"] = (mix - tuned + transpose_power(tuned, interval))[:, inside].clip(min=0)
    if song.card.has_grid:
        beats = piece["beats"].T
        period_frames = 60 / (120 * 2 ** float(beats[_TEMPO_ROW].mean())) * float(codec.frame_rate)
        shift = round(rng.uniform(MIN_SHIFT_BEATS, MAX_SHIFT_BEATS) * period_frames)
        shift = min(shift, margin) * int(rng.choice((-1, 1)))
        moved = slice(margin + shift, len(piece) - margin + shift)
        mixes["shifted"] = mix[:, moved]
        grids = {"true": beats[:, inside], "shifted": beats[:, moved]}
    codes = piece["codes"][margin : margin + num_frames, stem].T.astype(np.int64)
    notes = notes_ahead(piece["notes"][margin:, stem], num_frames, codec.codebook_size)
    return HeardWindow(song.card.song_id, song.card.group, names[stem], codes, notes, mixes, grids)


def _mix_of_another(window: HeardWindow, windows: Sequence[HeardWindow], rng: np.random.Generator) -> Power:
    """The true mix of a window of another group, at the power of this one's: loudness alone shall give nothing away."""
    others = [other for other in windows if other.group != window.group]
    other = others[int(rng.integers(len(others)))].mixes["true"]
    own = window.mixes["true"]
    return (other * (own.mean() / max(float(other.mean()), 1e-12))).astype(np.float32)


def is_pitched(instrument: str) -> bool:
    """Whether transposing means something to it."""
    return instrument in INSTRUMENTS and instrument != "drums"
