"""The pieces of music that are judged: the liveliest ten seconds of stems, mixes and recordings."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gigmate.audio import list_audio, read_audio, resample, to_channels
from gigmate.errors import InputError
from gigmate.evaluation.metrics import Mono
from gigmate.music.instruments import INSTRUMENTS

SECONDS = 10.0
_SILENT = 1e-3


@dataclass(frozen=True)
class Excerpt:
    """A piece of mono music.

    Args:
        origin: the set it belongs to.
        name: of the song or file.
        instrument: one of `INSTRUMENTS`, or `recording` for a finished mix.
        wave: [N] float32.
    """

    origin: str
    name: str
    instrument: str
    wave: Mono


def liveliest(wave: Mono, sample_rate: int, seconds: float = SECONDS) -> Mono | None:
    """The loudest stretch of that length, in steps of a second; None for silence. A shorter wave is taken whole."""
    length, step = round(seconds * sample_rate), sample_rate
    starts = range(0, max(1, len(wave) - length + 1), step)
    best = max(starts, key=lambda start: float(np.square(wave[start : start + length]).sum()))
    chosen = np.ascontiguousarray(wave[best : best + length], np.float32)
    return chosen if float(np.sqrt(np.square(chosen).mean())) > _SILENT else None


def mix_of(stems: Mapping[str, Mono]) -> Mono:
    """The sum of the stems, as long as the longest."""
    mix = np.zeros(max(len(wave) for wave in stems.values()), np.float32)
    for wave in stems.values():
        mix[: len(wave)] += wave
    return mix


def excerpts_of_stems(origin: str, name: str, stems: Mapping[str, Mono], sample_rate: int) -> Iterator[Excerpt]:
    """One excerpt per sounding stem, and one of their sum."""
    for instrument, wave in {**stems, "all": mix_of(stems)}.items():
        chosen = liveliest(wave, sample_rate)
        if chosen is not None:
            yield Excerpt(origin, name, instrument, chosen)


def excerpts_of_folder(folder: Path, sample_rate: int, limit: int) -> Iterator[Excerpt]:
    """One excerpt per audio file under `folder`, at most `limit` a subfolder.

    A file named like an instrument (`drums.ogg`) counts as its stem, any other as a recording.

    Raises:
        InputError: no audio there.
    """
    if not folder.is_dir():
        raise InputError("missing", "there is no such folder", folder, "check input=")
    folders = [path for path in [folder, *sorted(folder.rglob("*"))] if path.is_dir()]
    found = False
    for place in folders:
        try:
            files = list_audio(place)[:limit]
        except InputError:
            continue  # a folder of folders
        for path in files:
            audio = read_audio(path)
            mono = resample(to_channels(audio.wave, 1), audio.sample_rate, sample_rate)[0]
            chosen = liveliest(mono, sample_rate)
            if chosen is not None:
                found = True
                instrument = path.stem if path.stem in INSTRUMENTS else "recording"
                yield Excerpt(str(place.relative_to(folder.parent)), path.stem, instrument, chosen)
    if not found:
        raise InputError("no_audio", "no audio file that sounds", folder, "name a folder with audio files")
