"""How often the offline tracker finds the beat: `python -m experiments.offline_tracker --help`.

Each song is heard as five mixes, because the stem that is to be played is never in them. MIDI files are those of the
validation split and, since those are few, of every seventh group of the train split, which `fit_tracker` leaves out.
"""

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mir_eval.beat import f_measure
from numpy.typing import NDArray

from gigmate.data.song import SongEntry
from gigmate.data.sources import MidiSource, PracticeSource, StemSource, shuffled
from gigmate.errors import InputError
from gigmate.evaluation.tables import Row, markdown
from gigmate.music.grid import BeatGrid
from gigmate.music.tracker import track_beats

RATE = 24_000
_FIRST_SEED = 4_000_000  # of the practice songs that nothing was trained on
_SECONDS = 60.0
_START_S = 5.0  # F1 counts from here, as is usual
_RIGHT_F1 = 0.8
_SILENT = 1e-3
_KEPT_OUT = 7  # one group of MIDI files in so many

Mono = NDArray[np.float32]


class Song(NamedTuple):
    """A minute of drums, bass and all the others [N] each, with its beats."""

    drums: Mono
    bass: Mono
    others: Mono
    grid: BeatGrid

    @property
    def end_s(self) -> float:
        """Where sound or known beats end."""
        return min(len(self.drums) / RATE, float(self.grid.beat_times_s[-1]) + 1.0)


def mixes(song: Song) -> dict[str, Mono]:
    """What somebody may give: all of it, or some of it; what is silent is left out."""
    drums, bass, others, _ = song
    found = {"band": drums + bass + others, "no drums": bass + others, "no bass": drums + others}
    found |= {"neither": others, "drums alone": drums}
    if not bass.any() and not others.any():
        found = {"drums alone": drums}
    return {name: wave for name, wave in found.items() if np.sqrt(np.mean(np.square(wave))) > _SILENT}


def practice_songs(count: int, first_seed: int = _FIRST_SEED) -> Iterator[Song]:
    """Songs of the band."""
    source = PracticeSource(count, first_seed, _SECONDS)
    return _songs(source, source.entries())


def recorded_songs(folder: Path) -> Iterator[Song]:
    """Songs in stems with `bpm` in `meta.json`, bar 1 at 0 s."""
    source = StemSource(str(folder))
    return _songs(source, source.entries())


def midi_songs(
    folder: Path, soundfont: Path, counts: tuple[int, int], is_wanted: Callable[[str, str | None], bool]
) -> Iterator[Song]:
    """So many bands and so many lone drummers of the wanted groups and splits, in an order apart from names."""
    source = MidiSource(str(folder), str(soundfont), min_families=1)
    entries = [entry for entry in shuffled(source.entries(), None) if is_wanted(*source.group(entry))]
    left = dict(zip((True, False), counts, strict=True))
    for song in _songs(source, entries):
        is_band = bool(song.bass.any())
        if left[is_band] and song.drums.any() and (is_band or not song.others.any()):
            left[is_band] -= 1
            yield song
        if not any(left.values()):
            return


def is_kept_out(group: str) -> bool:
    """Whether a group of the train split is for the table, not for the weights."""
    return int(hashlib.sha256(group.removeprefix("midi:").encode()).hexdigest(), 16) % _KEPT_OUT == 0


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
    found: dict[str, list[tuple[float, float, str]]] = {}
    for kind, songs in kinds.items():
        for song in songs:
            for name, wave in mixes(song).items():
                grid = track_beats(wave, RATE)
                score = beat_f1(song, grid), bar_f1(song, grid), mistake(song, grid)
                found.setdefault(f"{kind}, {name}", []).append(score)
    return [_row(f"{name} ({len(scores)})", scores) for name, scores in found.items()]


def _row(name: str, scores: list[tuple[float, float, str]]) -> Row:
    beats, bars, mistakes = zip(*scores, strict=True)
    shares = {kind: mistakes.count(kind) / len(mistakes) for kind in ("right", "off-beat", "half", "double", "other")}
    means = {"songs": name, "beat F1": f"{np.mean(beats):.3f}", "bar F1": f"{np.mean(bars):.3f}"}
    return means | {kind: f"{share:.0%}" for kind, share in shares.items()}


def _songs(source: PracticeSource | MidiSource | StemSource, entries: Iterable[SongEntry]) -> Iterator[Song]:
    for entry in entries:
        try:
            song = source.load(entry, RATE)
        except InputError:
            continue  # files that can't be played are set aside everywhere
        if song.grid is None or not len(song.stems):
            continue
        length = min(max(map(len, song.stems.values())), round(_SECONDS * RATE))
        parts = {name: np.zeros(length, np.float32) for name in ("drums", "bass", "others")}
        for name, wave in song.stems.items():
            piece = wave[:length]
            parts[name if name in parts else "others"][: len(piece)] += piece
        yield Song(parts["drums"], parts["bass"], parts["others"], song.grid)


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
        kinds["MIDI"] = midi_songs(given.midi, given.soundfont, tuple(given.num_midi), _is_for_the_table)
    sys.stdout.write(markdown(table(kinds)))


def _is_for_the_table(group: str, split: str | None) -> bool:
    return split == "valid" or (split == "train" and is_kept_out(group))


if __name__ == "__main__":
    main()
