"""From stems to records: the two kinds of shards."""

from fractions import Fraction
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from gigmate.codec.base import Codec
from gigmate.codec.features import NUM_FEATURES, MixFeatures
from gigmate.data.song import ALL, SongAudio, StemWaves
from gigmate.data.store import AUDIO_HOP, Recipe
from gigmate.music.chords import frame_harmony
from gigmate.music.grid import BEAT_FEATURES
from gigmate.music.note_codes import note_codes, unknown_notes
from gigmate.stopwatch import Stopwatch

AUDIO_SAMPLE_RATE = 24_000
"""Hz of audio shards: that of the compact codec, the one codec that is trained here."""

ACTIVE_DB = -50.0
ACTIVE_HOLD_S = 0.5


class Encoder(Protocol):
    """Turns the conformed stems of a song into the records of its shard."""

    @property
    def recipe(self) -> Recipe:
        """What the records are."""
        ...

    def encode(self, stems: StemWaves, song: SongAudio, stopwatch: Stopwatch) -> NDArray[Any]:
        """Records [T or N] of `recipe.record(len(stems))`, columns in the order of `stems`, which are
        the song's; of the song itself its beats, chords and notes count.
        """
        ...


class AudioEncoder:
    """16-bit samples, and the notes of every stem."""

    recipe = Recipe("audio", AUDIO_SAMPLE_RATE)

    def encode(self, stems: StemWaves, song: SongAudio, stopwatch: Stopwatch) -> NDArray[Any]:
        """See `Encoder`; beats and chords aren't kept."""
        with stopwatch.part("quantize"):
            waves = np.stack(list(stems.values()), axis=1)
            num_frames = -(-len(waves) // AUDIO_HOP)
            records = np.zeros(num_frames, self.recipe.record(len(stems)))
            whole = np.pad(np.rint(waves * 32767), ((0, -len(waves) % AUDIO_HOP), (0, 0)))
            records["stems"] = whole.reshape(num_frames, AUDIO_HOP, -1)
        for i, instrument in enumerate(stems):
            records["notes"][:, i] = _notes(song, instrument, num_frames, self.recipe.frame_rate)
        return records


class TokenEncoder:
    """Codes and notes of every stem and of their sum, power features and activity of every stem, beats and harmony.

    Args:
        codec: of the codes.
        device: where features are computed; one that has float64.

    Raises:
        ValueError: a codec whose codes don't fit 16 bits.
    """

    def __init__(self, codec: Codec, device: torch.device | str = "cpu") -> None:
        spec = codec.spec
        if spec.codebook_size > 1 << 15:
            raise ValueError(f"codec {spec.name} has {spec.codebook_size} codes, shards hold at most {1 << 15}")
        self.codec, self.spec = codec, spec
        self.features, self._device = MixFeatures(spec.sample_rate, spec.hop).to(device), device
        self.recipe = Recipe("tokens", spec.sample_rate, spec, NUM_FEATURES, BEAT_FEATURES)

    def encode(self, stems: StemWaves, song: SongAudio, stopwatch: Stopwatch) -> NDArray[Any]:
        """See `Encoder`."""
        waves = np.stack([*stems.values(), np.sum(list(stems.values()), axis=0)]).astype(np.float32)
        num_frames = self.spec.num_frames(waves.shape[1])
        records = np.zeros(num_frames, self.recipe.record(len(stems)))
        with stopwatch.part("codec"):
            for i, wave in enumerate(waves):  # one at a time: a song is long, and memory is what it was
                records["codes"][:, i] = self._codes(wave)
        with stopwatch.part("features"):
            for i, wave in enumerate(waves[:-1]):
                heard = torch.from_numpy(wave)[None, None].to(self._device)
                power = self.features.analyse(heard)[0].T.cpu().numpy()
                records["power"][:, i] = power.clip(max=np.finfo(np.float16).max)
            frames_s = self.spec.hop / self.spec.sample_rate
            for i, wave in enumerate(waves):
                records["active"][:, i] = active_frames(wave, self.spec.hop, round(ACTIVE_HOLD_S / frames_s))
        if song.grid is not None:
            records["beats"] = song.grid.features(num_frames, self.spec.frame_rate).T
        records["root"], records["tones"] = frame_harmony(song.chords, num_frames, self.spec.frame_rate)
        for i, instrument in enumerate([*stems, ALL]):
            records["notes"][:, i] = _notes(song, instrument, num_frames, self.spec.frame_rate)
        return records

    @torch.inference_mode()
    def _codes(self, wave: NDArray[np.float32]) -> NDArray[np.int64]:
        """[N] -> [T, K]."""
        channels = torch.from_numpy(wave).expand(1, self.spec.channels, -1)
        return self.codec.encode(channels)[0].T.cpu().numpy()


def _notes(song: SongAudio, instrument: str, num_frames: int, frame_rate: Fraction) -> NDArray[np.int16]:
    """[T]; what the whole band plays is written as what its drums play."""
    written = "drums" if instrument == ALL else instrument
    if written not in song.notes:
        return unknown_notes(num_frames)
    return note_codes(song.notes[written], written, num_frames, frame_rate)


def active_frames(wave: NDArray[np.float32], hop: int, hold_frames: int) -> NDArray[np.bool_]:
    """Where a stem plays: [ceil(N / hop)], True within `hold_frames` of a frame louder than ACTIVE_DB.

    The hold bridges the silence between the strokes of a drummer, who is playing all the time.
    """
    frames = np.pad(wave, (0, -len(wave) % hop)).reshape(-1, hop)
    is_loud = np.mean(np.square(frames, dtype=np.float64), axis=1) > 10 ** (ACTIVE_DB / 10)
    reach = np.cumsum(np.pad(is_loud, (hold_frames + 1, hold_frames)))
    return reach[2 * hold_frames + 1 :] > reach[: -2 * hold_frames - 1]
