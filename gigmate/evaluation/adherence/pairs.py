"""What is judged: excerpts of songs as (mix, stem) pairs, with what is known of their beats and harmony."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gigmate.audio import EXTENSIONS, read_audio, resample, to_channels
from gigmate.data.meta import read_meta
from gigmate.data.song import SongEntry, SongSource
from gigmate.data.sources import PracticeSource
from gigmate.errors import InputError
from gigmate.evaluation.held_out import held_out_songs
from gigmate.music.band import compose
from gigmate.music.band.song import Chord
from gigmate.music.band.theory import MODES
from gigmate.music.grid import BeatGrid
from gigmate.music.instruments import INSTRUMENTS
from gigmate.music.tracker import track_beats

Mono = NDArray[np.float32]

_STEP_S = 2.0
_SOUNDS_DB = -50.0
_PLAYING_SHARE = 0.6


@dataclass(frozen=True, eq=False)
class Pair:
    """A stem with the mix of its companions, which is without it.

    Args:
        song: name.
        group: songs that share material share it.
        instrument: of the stem.
        sample_rate: Hz.
        mix: [N] float32.
        true: [N] the stem that belongs there; None if nobody knows it.
        grid: the true beats.
        chords: the harmony, as far as known.
        scale: pitch classes of the key, if known.
    """

    song: str
    group: str
    instrument: str
    sample_rate: int
    mix: Mono
    true: Mono | None
    grid: BeatGrid
    chords: tuple[Chord, ...] = ()
    scale: frozenset[int] | None = None

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.mix) / self.sample_rate


def pairs_of_source(
    source: SongSource, instruments: Sequence[str], seconds: float, limit: int, sample_rate: int
) -> list[Pair]:
    """One pair for every instrument that plays in each of the first `limit` held-out songs.

    Raises:
        InputError: no song is held out, or none has such a pair.
    """
    pairs: list[Pair] = []
    for entry, audio in held_out_songs(source, limit, sample_rate):
        grid = audio.grid or track_beats(np.sum(list(audio.stems.values()), axis=0), sample_rate)
        harmony = _harmony(source, entry)
        for instrument in (name for name in instruments if name in audio.stems):
            companions = [wave for name, wave in audio.stems.items() if name != instrument]
            if companions:
                mix = np.sum(companions, axis=0).astype(np.float32)
                whole = Pair(
                    entry.song_id, audio.group, instrument, sample_rate, mix, audio.stems[instrument], grid, *harmony
                )
                pairs += _liveliest(whole, seconds)
    if not pairs:
        what = f"no held-out song has {' or '.join(instruments)} together with others for {seconds:g} s"
        raise InputError("no_pairs", what, "data.source", "take more songs, other instruments or fewer seconds")
    return pairs


def pairs_of_folder(folder: Path, sample_rate: int) -> list[tuple[Pair, Mono]]:
    """Somebody's stems: every folder below that holds `mix` and `stem` (and, if known, `true`) as audio files.

    Beside them may lie `beats.txt`, else the mix is tracked, and `meta.json` with `group`. The folder's name, or that
    of the one above, tells the instrument if it is one (`song-1/drums/mix.wav`), else it is `other`.

    Returns:
        Pairs with the stem to be judged.

    Raises:
        InputError: no such folder in it, or a file that can't be read.
    """
    found = []
    for place in sorted(path for path in [folder, *folder.rglob("*")] if path.is_dir()):
        files = {path.stem: path for path in sorted(place.iterdir()) if path.suffix.lower() in EXTENSIONS}
        if not {"mix", "stem"} <= set(files):
            continue
        waves = {name: _mono(path, sample_rate) for name, path in files.items() if name in ("mix", "stem", "true")}
        length = min(map(len, waves.values()))
        waves = {name: wave[:length] for name, wave in waves.items()}
        beats = place / "beats.txt"
        grid = BeatGrid.from_file(beats) if beats.is_file() else track_beats(waves["mix"], sample_rate)
        name = place.relative_to(folder.parent).as_posix()
        instrument = next((part for part in reversed(place.parts[-2:]) if part in INSTRUMENTS), "other")
        pair = Pair(
            name, read_meta(place).group or name, instrument, sample_rate, waves["mix"], waves.get("true"), grid
        )
        found.append((pair, waves["stem"]))
    if not found:
        what = "no folder in it holds an audio file called mix and one called stem"
        raise InputError("no_pairs", what, folder, "see pairs_of_folder in gigmate/evaluation/adherence/pairs.py")
    return found


def _mono(path: Path, sample_rate: int) -> Mono:
    audio = read_audio(path)
    return resample(to_channels(audio.wave, 1), audio.sample_rate, sample_rate)[0].astype(np.float32)


def _harmony(source: SongSource, entry: SongEntry) -> tuple[tuple[Chord, ...], frozenset[int] | None]:
    if not isinstance(source, PracticeSource):
        return (), None
    song = compose(int(entry.reference), source.seconds)
    return song.chords, frozenset((song.key + step) % 12 for step in MODES[song.mode])


def _liveliest(whole: Pair, seconds: float) -> Iterator[Pair]:
    """The excerpt in which stem and mix play most; none if they hardly ever do, or the song is shorter."""
    assert whole.true is not None  # of a source it is always known
    step = round(_STEP_S * whole.sample_rate)
    blocks = len(whole.mix) // step
    sounding = [
        10 * np.log10(np.square(wave[: blocks * step].reshape(blocks, step)).mean(axis=1) + 1e-12) > _SOUNDS_DB
        for wave in (whole.mix, whole.true)
    ]
    length = round(seconds / _STEP_S)
    if blocks < length:
        return
    shares = np.convolve(sounding[0] & sounding[1], np.ones(length) / length, mode="valid")
    if shares.max() >= _PLAYING_SHARE:
        yield cut(whole, int(shares.argmax()) * _STEP_S, seconds)


def cut(pair: Pair, start_s: float, seconds: float) -> Pair:
    """A piece of a pair, on a clock of its own."""
    first, length = round(start_s * pair.sample_rate), round(seconds * pair.sample_rate)
    chords = tuple(
        chord._replace(start_s=chord.start_s - start_s, end_s=chord.end_s - start_s)
        for chord in pair.chords
        if chord.end_s > start_s and chord.start_s < start_s + seconds
    )
    return replace(
        pair,
        mix=np.ascontiguousarray(pair.mix[first : first + length]),
        true=None if pair.true is None else np.ascontiguousarray(pair.true[first : first + length]),
        grid=pair.grid.shift(-start_s),
        chords=chords,
    )


def strangers(pair: Pair, stems: Sequence[tuple[Pair, Mono]], count: int) -> list[Mono]:
    """A random pairing: stems of the instrument from other groups, as long as the pair; the same at every call.

    Args:
        pair: the song.
        stems: those of all songs.
        count: how many are drawn.
    """
    others = [wave for p, wave in stems if p.instrument == pair.instrument and p.group != pair.group]
    rng = np.random.default_rng([len(others), *pair.song.encode()])
    chosen = rng.permutation(len(others))[:count]
    return [np.resize(others[i], len(pair.mix)) for i in chosen]


def true_stems(pairs: Sequence[Pair]) -> list[tuple[Pair, Mono]]:
    """The pairs whose true stem is known, with it."""
    return [(pair, pair.true) for pair in pairs if pair.true is not None]


def by_instrument(pairs: Sequence[Pair]) -> Mapping[str, list[Pair]]:
    """Pairs of each instrument, in the order of `INSTRUMENTS`."""
    names = [name for name in INSTRUMENTS if any(pair.instrument == name for pair in pairs)]
    return {name: [pair for pair in pairs if pair.instrument == name] for name in names}
