"""Warm-ups from the practice band: each player's part in a song that nobody else hears."""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from gigmate.codec.base import Codec
from gigmate.codec.features import NUM_MEL_BANDS, MixFeatures
from gigmate.generation.warm_up import WarmUp
from gigmate.model.conditions import FrameConditions
from gigmate.model.config import ModelConfig
from gigmate.model.streams import streams_of
from gigmate.music.band import compose, render_song
from gigmate.music.band.render import Sound
from gigmate.music.band.song import Song, as_array
from gigmate.music.instruments import INSTRUMENTS
from gigmate.music.note_codes import note_codes
from gigmate.performance import hearing_gain

_SONG_S, _FROM_S, _TO_S = 12.0, 6.0, 8.0
_SEEDS = {"drums": 9_000_039, "bass": 9_000_029, "keys": 9_000_018, "guitar": 9_000_029, "lead": 9_000_029}
"""Songs of the practice band, neither trained on nor judged by, in which the player plays in these two seconds as
much as is usual, drums with kick, snare and hats: what it has just played decides how it goes on.
"""

USUAL_DB = {"drums": -18.0, "bass": -20.0, "keys": -17.5, "guitar": -18.5, "lead": -20.5}
"""Level in mel bands of the warm-up, for a song that is heard at `HEARD_DB`: such that what is played then comes near
the medians of practice songs. MIDI files have softer drums, the recorded songs at hand louder ones
(experiments/014_warm_up). Who isn't here doesn't warm up.
"""


def rehearse(
    codec: Codec, features: MixFeatures, config: ModelConfig, instrument: str, louder_db: float = 0.0
) -> WarmUp | None:
    """A player's warm-up; None for one that the band doesn't have.

    Args:
        codec: of the stem.
        features: of the mix, at the codec's rate.
        config: of the model.
        instrument: one of `INSTRUMENTS`.
        louder_db: than usual.
    """
    if instrument not in USUAL_DB:
        return None
    spec = codec.spec
    song, stems = _practice(_SEEDS[instrument], spec.sample_rate)
    mix = np.sum([wave for name, wave in stems.items() if name != instrument], axis=0)
    stem = stems[instrument]
    frames = slice(int(_FROM_S * spec.frame_rate), int(_TO_S * spec.frame_rate))
    off_db = USUAL_DB[instrument] + louder_db - level_db(_power(features, stem)[:, :, frames])
    stem = stem * np.float32(10 ** (off_db / 20))
    with torch.inference_mode():
        codes = codec.encode(torch.from_numpy(stem)[None, None].expand(-1, spec.channels, -1))[:, :, frames]
    num_frames = spec.num_frames(len(stem))
    notes = note_codes(as_array(song.notes[instrument]), instrument, num_frames, spec.frame_rate)
    ahead = torch.from_numpy(notes[frames.start + 1 : frames.stop + 1].astype(np.int64))[None]
    power = _power(features, mix * np.float32(hearing_gain(mix[None])))
    conditions = FrameConditions(
        mix_power=power[:, :, frames],
        mix_present=torch.tensor([True]),
        beats=torch.from_numpy(song.grid.features(num_frames, spec.frame_rate)[:, frames])[None],
        instrument=torch.tensor([INSTRUMENTS.index(instrument)]),
        lookahead=torch.tensor([min(max(0, config.min_lookahead_frames), config.max_lookahead_frames)]),
    )
    return WarmUp(streams_of(codes.cpu(), config, ahead if config.writes_notes else None), conditions)


@lru_cache(maxsize=len(_SEEDS))
def _practice(seed: int, sample_rate: int) -> tuple[Song, dict[str, Sound]]:
    song = compose(seed, _SONG_S)
    return song, render_song(song, sample_rate)


def level_db(power: torch.Tensor) -> float:
    """Mean power [1, D, T] of the frames in mel bands, added up, in decibels."""
    return float(10 * power[:, :NUM_MEL_BANDS].sum(dim=1).mean().clamp(min=1e-8).log10())


def _power(features: MixFeatures, wave: NDArray[np.float32]) -> torch.Tensor:
    return features.analyse(torch.from_numpy(np.ascontiguousarray(wave, np.float32))[None, None])
