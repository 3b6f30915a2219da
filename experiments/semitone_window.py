"""How long must the window of the semitone bands be, for chords to be read off them?

    python -m experiments.semitone_window --songs 90

Songs of the practice band without their bass, analysed with windows of several lengths; from each frame a perceptron
names the chord's root and the bass's pitch class. Five songs of six are trained on, the others are asked.
"""

import argparse
import sys
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gigmate.codec import features
from gigmate.model.lm import levels_of
from gigmate.music.band import compose, render_song
from gigmate.music.chords import Chord, frame_harmony
from gigmate.pitch import NO_ROOT, NUM_PITCH_CLASSES

_RATE, _HOP = 24_000, 480
_WINDOWS = (4096, 8192, 16_384, 32_768)
_FIRST_SEED = 9_000_000
_THIN = 3
_EPOCHS = 8


def main() -> int:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--songs", type=int, default=90)
    num_songs = parser.parse_args().songs
    sys.stdout.write("| window | chord's root | bass |\n|---|---|---|\n")
    for window in _WINDOWS:
        features._SEMITONE_WINDOW_S = window / _RATE  # the one setting that differs
        trained, asked = ([], [])
        for number, song in enumerate(songs(num_songs)):
            (asked if number % 6 == 5 else trained).append(song)
        shares = [accuracy(joined(trained, truth), joined(asked, truth)) for truth in (1, 2)]
        sys.stdout.write(f"| {window / _RATE:.2f} s | {shares[0]:.2f} | {shares[1]:.2f} |\n")
        sys.stdout.flush()
    return 0


def songs(count: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Levels [T, bands], root [T] and the bass's pitch class [T] (`NO_ROOT` in its rests) of each song."""
    ears = features.MixFeatures(_RATE, _HOP)
    for number in range(count):
        song = compose(_FIRST_SEED + number, 45.0)
        stems = render_song(song, _RATE)
        mix = np.sum([stem for name, stem in stems.items() if name != "bass"], axis=0)
        power = ears.analyse(torch.from_numpy(mix.astype(np.float32))[None, None])[0, features.NUM_MEL_BANDS :].T
        levels = levels_of(power)
        notes = [Chord(n.onset_s, n.onset_s + n.duration_s, n.pitch % 12, ()) for n in song.notes["bass"]]
        truths = [frame_harmony(chords, len(power), Fraction(_RATE, _HOP))[0] for chords in (song.chords, notes)]
        root, bass = (torch.from_numpy(truth.astype(np.int64)) for truth in truths)
        yield levels[::_THIN], root[::_THIN], bass[::_THIN]


def joined(parts: list[tuple[Tensor, Tensor, Tensor]], truth: int) -> tuple[Tensor, Tensor]:
    """Levels and one of the truths, where it is known."""
    levels, asked = torch.cat([part[0] for part in parts]), torch.cat([part[truth] for part in parts])
    return levels[asked != NO_ROOT], asked[asked != NO_ROOT]


def accuracy(trained: tuple[Tensor, Tensor], asked: tuple[Tensor, Tensor]) -> float:
    """Share of the frames that are named rightly, after the epoch with the least loss on them."""
    torch.manual_seed(0)
    levels, truth = trained
    reader = nn.Sequential(
        nn.Linear(levels.shape[1], 512), nn.SiLU(), nn.Dropout(0.2), nn.Linear(512, NUM_PITCH_CLASSES)
    )
    optimizer = torch.optim.AdamW(reader.parameters(), 1e-3, weight_decay=0.1)
    found: list[tuple[float, float]] = []
    for _ in range(_EPOCHS):
        reader.train()
        for rows in torch.randperm(len(truth)).split(256):
            loss = F.cross_entropy(reader(levels[rows]), truth[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        reader.eval()
        with torch.no_grad():
            logits = reader(asked[0])
        share = float((logits.argmax(dim=1) == asked[1]).float().mean())
        found.append((float(F.cross_entropy(logits, asked[1])), share))
    return min(found)[1]


if __name__ == "__main__":
    sys.exit(main())
