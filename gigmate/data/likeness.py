"""Which songs are one recording: renamed, encoded again, louder, cut short or resampled.

A song's print says, ten times a second and for 29 bands, whether the band rose more than its neighbour or less. Neither
loudness nor a codec changes that much. Two prints are laid over each other at every lag; how far they agree at the best
one is how alike the songs are: 0 by chance, 1 for the same.

Source: Haitsma and Kalker, "A Highly Robust Audio Fingerprinting System" (2002); the search is by correlation.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gigmate.codec.features import NUM_MEL_BANDS, MixFeatures
from gigmate.data.pool import run_tasks
from gigmate.data.store import Recipe, SongCard, open_shard

LIKE = 0.4
"""Far from both: of 160 practice and 268 MIDI songs no two are above .3, the worst of their copies is at .7."""

_PRINTS_PER_S = 10
_SEMITONES_A_BAND = 2
_FLOOR_DB = 90.0  # below the loudest: what is softer is no music
_LEAST_S, _LEAST_SHARE = 5.0, 0.9  # that two prints lie over each other, or of the shorter song if that is less
_BLOCK_BYTES = 1 << 28

Print = NDArray[np.int8]
"""[T, 29] of -1, 0, 1."""


def print_of(task: tuple[Path, Recipe, SongCard]) -> Print:
    """The print of a song of a data set, from its shard.

    Raises:
        InputError: the shard is damaged.
    """
    folder, recipe, card = task
    records = open_shard(folder, recipe, card)
    if recipe.codec is None:
        mix = records["stems"].sum(axis=2, dtype=np.float32).ravel() / 32_768
        features = MixFeatures(recipe.sample_rate, recipe.sample_rate // _PRINTS_PER_S)
        return print_of_power(features.analyse(torch.from_numpy(mix)[None, None])[0].T.numpy())
    num_frames = max(1, round(float(recipe.codec.frame_rate) / _PRINTS_PER_S))
    starts = np.arange(0, len(records), num_frames)
    return print_of_power(np.add.reduceat(records["power"].sum(axis=1, dtype=np.float32), starts))


def print_of_power(power: NDArray[np.float32]) -> Print:
    """The print of features [T + 1, D], `MixFeatures` at about ten a second: [T, 29]."""
    semitones = power[:, NUM_MEL_BANDS:]
    bands = semitones.reshape(len(power), -1, _SEMITONES_A_BAND).sum(axis=2)
    floor = bands.max(initial=0.0) * 10 ** (-_FLOOR_DB / 10) + np.finfo(np.float32).tiny
    rise = np.diff(np.log(bands + floor), axis=0)
    return np.sign(np.diff(rise, axis=1)).astype(np.int8)


def alike(prints: Mapping[str, Print], others: Mapping[str, Print]) -> Iterator[tuple[str, str, float]]:
    """Pairs of a name of `prints` and one of `others` that are alike, and how far."""
    longest = max((len(print_) for print_ in (*prints.values(), *others.values())), default=0)
    num_fft = 1 << (2 * longest).bit_length()
    names = [name for name in others if others[name].any()]
    block = max(1, _BLOCK_BYTES // (8 * num_fft * 15))  # 29 bands of complex64, half as many bins
    for start in range(0, len(names), block):
        held = names[start : start + block]
        spectra = np.stack([_spectrum(others[name], num_fft) for name in held])
        lengths = np.array([len(others[name]) for name in held])
        for name, print_ in prints.items():
            if print_.any():
                scores = _best(_spectrum(print_, num_fft), len(print_), spectra, lengths, num_fft)
                yield from ((name, held[i], float(scores[i])) for i in np.flatnonzero(scores > LIKE))


def _spectrum(print_: Print, num_fft: int) -> NDArray[np.complex64]:
    """[bands, bins], scaled so that a print laid over itself scores its length."""
    unit = print_.T / np.sqrt(np.square(print_, dtype=np.float32).sum(axis=1).mean())
    return np.fft.rfft(unit, num_fft).astype(np.complex64)


def _best(
    one: NDArray[np.complex64], length: int, many: NDArray[np.complex64], lengths: NDArray[np.int64], num_fft: int
) -> NDArray[np.float32]:
    """How alike one print and each of many are at their best lag: [many]."""
    agreement = np.fft.irfft(np.einsum("bf,mbf->mf", one, many.conj()), num_fft)
    lag = np.fft.fftfreq(num_fft, 1 / num_fft).round()
    overlap = np.minimum(length, lengths[:, None] + lag) - np.maximum(0, lag)
    least = np.minimum(_LEAST_S * _PRINTS_PER_S, _LEAST_SHARE * np.minimum(length, lengths)[:, None])
    return np.where(overlap >= least, agreement / np.maximum(overlap, 1), 0.0).max(axis=1)


def leaks(folder: Path, recipe: Recipe, cards: Sequence[SongCard], workers: int = 1) -> list[tuple[SongCard, SongCard]]:
    """Training songs that are one recording with a song kept from training, each with that one.

    Args:
        folder: of the data set, whose shards are whole.
        recipe: of the shards.
        cards: with their splits.
        workers: processes.

    Raises:
        InputError: a shard is damaged.
    """
    prints: dict[bool, dict[str, Print]] = {True: {}, False: {}}
    for (_, _, card), print_ in run_tasks(print_of, [(folder, recipe, card) for card in cards], workers):
        if print_ is not None:
            prints[card.split == "train"][card.song_id] = print_
    by_id = {card.song_id: card for card in cards}
    found = {one: other for one, other, _ in alike(prints[True], prints[False])}
    return [(by_id[one], by_id[found[one]]) for one in sorted(found)]
