"""Train the network that hears beats, `gigmate/weights/beats.safetensors`: `python -m experiments.fit_beat_net --help`.

Practice songs of seeds that nothing else uses, MIDI files of the train split that the table of
`experiments.offline_tracker` leaves alone, and plain beats. Songs are heard once and kept in `--cache`; the run goes on
from its last checkpoint there.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils.fusion import fuse_conv_bn_eval

from experiments.beat_net_songs import Heard, midi_songs, plain_songs, practice_songs
from experiments.fitting import fit, random_song
from gigmate.files.atomic import write_bytes
from gigmate.music.beat_net import CHROMA_SCALE, KERNEL, NUM_INPUTS, SHIPPED, STRIDE

_FRAMES = (1200, 2400, 4800)  # a window of the live tracker, up to most of a song
_BATCH_FRAMES = 38_400
_RATE, _DECAY, _WARM_UP = 3e-3, 1e-2, 200
_DROPOUT = 0.1
_SHARES = (0.4, 0.4, 0.1, 0.1)  # of bands, practice songs, drummers, plain beats
_STRETCH = 1.25
_GAIN_DB, _EQ_DB = (-18.0, 12.0), 6.0
_NOISE = (1e-5, 3e-3)
_WIDTH = 2.0  # frames of the ear: how far from the beat its target falls to .6


class Windows:
    """Random windows of random songs, as other people would play and record them.

    Args:
        kinds: songs of each kind.
        shares: of the windows that are of each kind.
        seed: of the draws.
    """

    def __init__(self, kinds: list[list[Heard]], shares: Sequence[float], seed: int) -> None:
        self._kinds, self._shares, self._rng = kinds, shares, np.random.default_rng(seed)

    def batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """Levels [B, 40, F], chroma [B, 12, F], targets [B, 2, F // STRIDE]."""
        frames = int(self._rng.choice(_FRAMES))
        features, targets = zip(*(self._window(frames) for _ in range(_BATCH_FRAMES // frames)), strict=True)
        heard = torch.from_numpy(np.stack(features))
        return heard[:, :-12], heard[:, -12:], torch.from_numpy(np.stack(targets))

    def _window(self, num_frames: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        rng = self._rng
        song = random_song(self._kinds, self._shares, rng)
        mix = song.features[int(rng.integers(len(song.features)))]
        stretch = _STRETCH ** rng.uniform(-1, 1)
        start = rng.uniform(0, max(1.0, mix.shape[1] - num_frames * stretch))
        frames = start + stretch * np.arange(num_frames)
        low = np.minimum(frames.astype(int), mix.shape[1] - 1)
        high, share = np.minimum(low + 1, mix.shape[1] - 1), (frames - np.floor(frames)).astype(np.float32)
        heard = mix[:, low] * (1 - share) + mix[:, high] * share
        heard = self._recorded(heard.astype(np.float32))
        heard[:, frames > mix.shape[1]] = 0
        places = STRIDE * np.arange(num_frames // STRIDE) + 0.5
        targets = [_bumps((100 * times - start) / stretch, places) for times in (song.beats_s, song.downbeats_s)]
        return heard, np.stack(targets).astype(np.float32)

    def _recorded(self, heard: NDArray[np.float32]) -> NDArray[np.float32]:
        """Louder or softer, through an equaliser, with noise."""
        rng = self._rng
        gain = 10 ** (rng.uniform(*_GAIN_DB) / 20)
        knots = rng.uniform(-_EQ_DB, _EQ_DB, 5)
        shape = 10 ** (np.interp(np.linspace(0, 4, 40), np.arange(5), knots) / 20)
        amplitude = np.expm1(heard[:-12]) * (gain * shape[:, None])
        if rng.uniform() < 0.3:
            noise = 1e3 * np.exp(rng.uniform(*np.log(_NOISE)))
            amplitude += noise * np.abs(rng.standard_normal(amplitude.shape))
        return np.concatenate([np.log1p(amplitude), gain * heard[-12:]]).astype(np.float32)


def _bumps(at: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """[F // STRIDE]: 1 at the places nearest to a beat, falling off beside it."""
    known = np.concatenate([[-np.inf], at, [np.inf]])
    after = np.searchsorted(known, places)
    apart = np.minimum(known[after] - places, places - known[after - 1])
    return np.exp(-0.5 * np.square(apart / _WIDTH))


class BeatNet(nn.Module):
    """`gigmate.music.beat_net` in torch, to be trained.

    Args:
        width: channels.
        num_blocks: of them.
    """

    def __init__(self, width: int = 48, num_blocks: int = 10) -> None:
        super().__init__()
        self.enter = nn.Conv1d(NUM_INPUTS, width, 2 * STRIDE, stride=STRIDE, padding=STRIDE // 2)
        self.blocks = nn.Sequential(*(_Block(width, 2**i) for i in range(num_blocks)))
        self.leave = nn.Conv1d(width, 2, 1)

    def forward(self, levels: Tensor, chroma: Tensor) -> Tensor:
        """Logits [B, 2, F // STRIDE] of levels [B, 40, F] and chroma [B, 12, F]."""
        heard = torch.cat([levels, torch.log1p(CHROMA_SCALE * chroma)], dim=1)
        return self.leave(self.blocks(self.enter(heard)))

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """As `gigmate.music.beat_net` takes them, the normalisation folded in."""
        found = _matrix("enter", self.enter) | _matrix("leave", self.leave)
        for i, block in enumerate(self.blocks):
            found |= _matrix(f"{i}.near", fuse_conv_bn_eval(block.near, block.norm)) | _matrix(f"{i}.mix", block.mix)
        return found


class _Block(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.near = nn.Conv1d(width, width, KERNEL, padding=dilation * (KERNEL // 2), dilation=dilation)
        self.norm = nn.BatchNorm1d(width)
        self.mix = nn.Conv1d(width, width, 1)
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(self.dropout(self.norm(self.near(x)).relu()))


def _matrix(name: str, layer: nn.Conv1d) -> dict[str, NDArray[np.float32]]:
    """Weight [taps * inputs, outputs] and bias."""
    weight = rearrange(layer.weight.detach(), "o i t -> (t i) o").contiguous()
    return {f"{name}.weight": weight.numpy(), f"{name}.bias": layer.bias.detach().numpy()}


def train(windows: Windows, net: BeatNet, num_steps: int, checkpoint: Path) -> None:
    """AdamW with a warm-up and a cosine; goes on from the checkpoint."""
    optimizer = torch.optim.AdamW(net.parameters(), _RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, step / _WARM_UP) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / num_steps)))
    )

    def loss() -> Tensor:
        levels, chroma, targets = windows.batch()
        return binary_cross_entropy_with_logits(net(levels, chroma), targets)

    fit(net, loss, optimizer, schedule, num_steps, checkpoint)


def main() -> None:
    """Hear, train, write."""
    parser = argparse.ArgumentParser(prog="python -m experiments.fit_beat_net", description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--midi", type=Path, required=True, help="folder of MIDI files with an index.csv")
    parser.add_argument("--soundfont", type=Path, required=True)
    parser.add_argument("--practice", type=int, default=1200, help="number of practice songs")
    parser.add_argument("--drummers", type=int, default=150)
    parser.add_argument("--plain", type=int, default=200)
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    given = parser.parse_args()
    bands, drummers = midi_songs(given.cache, given.midi, given.soundfont, given.drummers)
    kinds = {
        "bands": bands,
        "practice": practice_songs(given.cache, given.practice),
        "drummers": drummers,
        "plain": plain_songs(given.plain),
    }
    sys.stdout.write(", ".join(f"{len(found)} {kind}" for kind, found in kinds.items()) + "\n")
    torch.manual_seed(0)
    net = BeatNet()
    train(Windows(list(kinds.values()), _SHARES, 0), net, given.steps, given.cache / "beat_net.ckpt")
    songs = {kind: len(found) for kind, found in kinds.items()}
    weights = {name: value.astype(np.float16) for name, value in net.eval().weights().items()}
    write_bytes(given.out, save(weights, {"songs": json.dumps(songs), "steps": str(given.steps)}))
    sys.stdout.write(f"{given.out}\n")


if __name__ == "__main__":
    main()
