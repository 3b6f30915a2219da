"""A source and a codec that need no files: songs of sines and clicks whose codes are known."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch

from gigmate.codec.base import CodecSpec
from gigmate.data.encode import TokenEncoder
from gigmate.data.make import Job
from gigmate.data.song import SongAudio, SongEntry
from gigmate.errors import InputError
from gigmate.music.grid import BeatGrid

RATE, HOP, K, V = 8_000, 160, 2, 64
SPEC = CodecSpec("fake", RATE, 1, HOP, K, V, "f" * 64)


class FakeCodec:
    """Code 0 of a frame is its loudness, code 1 the number of its zero crossings."""

    spec = SPEC

    def encode(self, wave: torch.Tensor) -> torch.Tensor:
        assert wave.shape[:2] == (1, 1)
        hop = self.spec.hop
        frames = torch.nn.functional.pad(wave[0, 0], (0, -wave.shape[2] % hop)).reshape(-1, hop)
        loudness = (frames.square().mean(1).sqrt() * (V - 1)).long().clamp(0, V - 1)
        crossings = ((frames[:, 1:] >= 0) != (frames[:, :-1] >= 0)).sum(1).clamp(0, V - 1)
        return torch.stack([loudness, crossings])[None]


@dataclass(frozen=True)
class FakeSource:
    """`num_songs` songs of `seconds`; song `bad` can't be loaded; songs 2n and 2n + 1 are one group.

    Drums click throughout, bass and keys hum, keys only in the second half; the last song is drums alone. When they
    click and how loud they hum is drawn for each song: no song is a copy of another.
    """

    num_songs: int = 6
    seconds: float = 4.0
    bad: tuple[int, ...] = ()
    version: int = 0
    splits: tuple[str, ...] = ()

    def entries(self) -> list[SongEntry]:
        return [
            SongEntry(f"song-{i}", str(i), hashlib.sha256(f"{self.version}:{i}".encode()).hexdigest())
            for i in reversed(range(self.num_songs))
        ]

    def load(self, entry: SongEntry, sample_rate: int) -> SongAudio:
        number = int(entry.reference)
        if number in self.bad:
            raise InputError("decode_error", "planted", entry.reference)
        times = np.arange(int(self.seconds * sample_rate)) / sample_rate
        draw, beat = np.random.default_rng(number), (times / 0.25).astype(int)
        late_s, gain = draw.uniform(0, 0.24, beat[-1] + 1), draw.uniform(0.05, 0.3, (2, beat[-1] + 1))
        late_s[0] = 0
        stems = {"drums": 0.5 * ((times % 0.25 - late_s[beat]) % 1 < 0.01) * np.sin(2 * np.pi * 900 * times)}
        if number < self.num_songs - 1:
            stems["keys"] = gain[0, beat] * np.sin(2 * np.pi * (220 + number) * times) * (times > self.seconds / 2)
            stems["bass"] = gain[1, beat] * np.sin(2 * np.pi * (55 + number) * times)
        grid = BeatGrid.from_tempo(120, 4, self.seconds) if number % 2 == 0 else None
        split = self.splits[number] if self.splits else None
        waves = {name: wave.astype(np.float32) for name, wave in stems.items()}
        return SongAudio(waves, grid, f"group-{number // 2}", split, "CC0")


def audio_job(folder: object, source: FakeSource | None = None) -> Job:
    """A job that needs no codec."""
    return Job(source or FakeSource(), str(folder), "audio", "{}", "cpu")


def token_job(folder: object, source: FakeSource | None = None) -> Job:
    """A job for the fake codec, see the fixture `fake_codec`."""
    return Job(source or FakeSource(), str(folder), "tokens", '{"name": "fake"}', "cpu")


def fake_encoder() -> TokenEncoder:
    """What `token_job` encodes with."""
    return TokenEncoder(FakeCodec())  # pyright: ignore[reportArgumentType]
