"""A tiny player and how an engine is driven with a song: what the tests of the engine share."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from test_codec_compact import SMALL

from gigmate.accompanist import Accompanist
from gigmate.codec.compact import CompactCodec
from gigmate.live.engine import Engine
from gigmate.live.frames import FrameRequest, SlotSettings
from gigmate.model.config import ModelConfig
from gigmate.model.lm import AccompanimentLM
from gigmate.music.grid import BeatGrid

HOP, RATE = 480, 50
GRID = BeatGrid.from_tempo(120, 4, 30)


def tiny_player(num_layers: int = 2, *, writes_notes: bool = False) -> Accompanist:
    """A random model on a random small codec; the heads tell codes apart."""
    torch.manual_seed(0)
    size = 1024 if writes_notes else 64
    codec = CompactCodec(replace(SMALL, codebook_size=size)).eval()
    codec.quantizer.vectors.copy_(torch.randn_like(codec.quantizer.vectors) * 0.3)
    shape = ModelConfig(32, num_layers, num_heads=2, codebook_size=size, window=32, writes_notes=writes_notes)
    model = AccompanimentLM(shape)
    torch.nn.init.normal_(model.heads.weight, std=0.3)
    return Accompanist(model, codec)


def noise(num_frames: int, seed: int = 0) -> NDArray[np.float32]:
    """[num_frames, HOP], bursts of noise at about the level that a mix is heard at."""
    rng = np.random.default_rng(seed)
    loud = np.repeat(rng.uniform(0, 0.3, -(-num_frames // 10)), 10)[:num_frames, None]
    return (loud * rng.normal(size=(num_frames, HOP))).astype(np.float32)


def calls(mix: NDArray[np.float32], lookahead_frames: int, grid: BeatGrid | None = GRID) -> Iterator[FrameRequest]:
    """The requests of a session that hears `mix` [frames, HOP]: the opening burst, then one a mix frame."""
    num_calls = len(mix) + 3 - lookahead_frames
    beats = np.zeros((10, num_calls), np.float32) if grid is None else grid.features(num_calls, RATE)
    for call in range(num_calls):
        newest = call - 3 + lookahead_frames
        yield FrameRequest(
            mix=mix[newest] if newest >= 0 else None, beats=beats[:, call].copy(), lookahead_frames=lookahead_frames
        )


class Part:
    """What one slot of an engine plays, call by call."""

    def __init__(self, engine: Engine, settings: SlotSettings) -> None:
        self.engine, self.settings, self.slot = engine, settings, engine.open(settings)
        self.frames: list[NDArray[np.int64]] = []
        self.waves: list[NDArray[np.float32]] = []

    def take(self, wave: NDArray[np.float32] | None) -> None:
        codes = self.engine.codes(self.slot)
        assert (codes is None) == (wave is None)
        if codes is not None and wave is not None:
            self.frames.append(codes)
            self.waves.append(wave)

    def play(self, *requests: FrameRequest) -> "Part":
        for request in requests:
            self.take(self.engine.step({self.slot: request})[self.slot])
        return self

    @property
    def codes(self) -> NDArray[np.int64]:
        """[K, T]."""
        return np.stack(self.frames, axis=1)

    @property
    def wave(self) -> NDArray[np.float32]:
        """[N], as it comes, `latency_samples` late."""
        return np.concatenate(self.waves)


def play_together(parts: list[Part], requests: list[Iterator[FrameRequest]]) -> None:
    """Step all parts as one batch, each as long as it has requests."""
    while True:
        due = {part.slot: part for part in parts}
        batch = {}
        for part, own in zip(parts, requests, strict=True):
            if (request := next(own, None)) is not None:
                batch[part.slot] = request
        if not batch:
            return
        for slot, wave in parts[0].engine.step(batch).items():
            due[slot].take(wave)


def state(engine: Engine, slot: int) -> list[torch.Tensor]:
    """All tensors that an engine keeps for a slot."""
    generator, decoder = engine._generator, engine._decoder
    steps, cache, line = generator._decoder, generator._decoder._cache, generator._line
    double, row = slice(2 * slot, 2 * slot + 2), slice(slot, slot + 1)
    parts = [cache.keys[:, double], cache.values[:, double], cache.positions[double], cache.next_position[double]]
    parts += [
        steps._previous[row],
        steps._habits[row],
        *(known[row] for known in steps._ears.known),
        line._held[row],
        line.num_steps[row],
    ]
    parts += [past[row] for past in decoder._past]  # pyright: ignore[reportAttributeAccessIssue]
    return [part.clone() for part in parts]
