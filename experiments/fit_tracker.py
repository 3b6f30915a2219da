"""Learn which bars songs have, the weights in `gigmate.music.bar_weights`: `python -m experiments.fit_tracker --help`.

Songs with known bars are heard whole, as five mixes each; of the bars that the offline tracker would choose from, those
with the highest F1 are to get the largest score. None of the songs is in the table of `experiments.offline_tracker`:
other seeds of the band, and MIDI files of the train split in groups that it leaves out.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from experiments.offline_tracker import bar_f1, beat_f1
from experiments.plain_beats import plain_beats
from experiments.tracker_songs import RATE, Song, is_for_training, midi_songs, mixes, practice_songs
from gigmate.files.atomic import write_bytes
from gigmate.music import bars
from gigmate.music.beat_chain import possible_beats
from gigmate.music.evidence import Evidence
from gigmate.music.grid import BeatGrid
from gigmate.music.onsets import hear_all
from gigmate.music.tempo import tempo_scores

_FIRST_SEED = 5_000_000
_BEAT_DECAY, _BAR_DECAY, _STEPS, _RATE = 1e-2, 0.15, 250, 3e-2
_CHANCE_F1 = 0.5  # of the off-beat or of beats at random: worth nothing
_MODULE = Path(bars.__file__).with_name("bar_weights.py")
_HEADER = '''"""What speaks for a bar, in the order of `bars.describe`; written by `experiments.fit_tracker`."""

# Quarters of the beat: low, mid, high, change of chroma. How clearly half a beat, a beat, two beats repeat; octaves
# from 120 bpm, squared; the network's beats: on each quarter, a second. How alike chroma, low, mid are a bar apart;
# triple; the network's downbeats: on the first, on the others, a second. Sixteenths of a bar of 4, then of 3: low, mid,
# high, change of chroma, a line each.
# fmt: off
WEIGHTS = (
'''


class Example(NamedTuple):
    """Features [H, F] of the bars that a mix may have, and what each would be worth [H], 0..1."""

    features: torch.Tensor
    worth: torch.Tensor


def examples(songs: Iterable[Song]) -> list[Example]:
    """One of each mix of each song."""
    found = []
    for song in songs:
        for wave in mixes(song).values():
            evidence = Evidence.of(hear_all(wave, RATE))
            tempi = tempo_scores(evidence.onsets)
            if chains := possible_beats(evidence, tempi):
                features = torch.from_numpy(bars.describe(evidence, tempi, chains)).float()
                worth = [_worth(song, b, evidence.frame_rate) for b in bars.hypotheses(chains)]
                found.append(Example(features, torch.tensor(worth)))
    return found


def _worth(song: Song, found: bars.Bars, frame_rate: float) -> float:
    """Half for the beats, half for the bars, if the beats are right."""
    downbeats = np.arange(len(found.beats)) % found.beats_per_bar == found.first_downbeat
    grid = BeatGrid(found.beats / frame_rate, downbeats, found.beats_per_bar)
    beats, downs = (max(0.0, f1(song, grid) - _CHANCE_F1) / (1 - _CHANCE_F1) for f1 in (beat_f1, bar_f1))
    return 0.5 * beats * (1 + downs)


def fit(found: list[Example]) -> torch.Tensor:
    """Weights [F] for which the expected worth is highest; those of the templates are shrunk towards zero."""
    spread = torch.cat([e.features for e in found]).std(0) + 1e-3
    features = pad_sequence([e.features / spread for e in found], batch_first=True)
    worth = pad_sequence([e.worth for e in found], batch_first=True)
    is_there = pad_sequence([torch.ones_like(e.worth, dtype=torch.bool) for e in found], batch_first=True)
    can_be_told = worth.max(1).values > _CHANCE_F1 / 2
    features, worth, is_there = features[can_be_told], worth[can_be_told], is_there[can_be_told]
    decay = torch.full_like(spread, _BAR_DECAY)
    decay[: bars.NUM_BEAT_FEATURES] = _BEAT_DECAY
    weights = torch.zeros_like(spread, requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=_RATE)
    for _ in range(_STEPS):
        chances = (features @ weights).masked_fill(~is_there, -torch.inf).softmax(1)
        expected = (chances * worth).sum(1).clamp(min=1e-6)
        loss = (decay * weights.square()).sum() - expected.log().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (weights / spread).detach()


def write_weights(weights: torch.Tensor, path: Path) -> None:
    """Write the module: quarters of the beat, what concerns beat and meter, then bars, an envelope a line."""
    values = [f"{weight:.2f}" for weight in weights.tolist()]
    widths = [16, bars.NUM_BEAT_FEATURES - 16, *(meter * bars.PER_BEAT for meter in bars.METERS for _ in range(4))]
    ends = np.cumsum(widths).tolist()
    rows = "".join(f"    {', '.join(values[e - w : e])},\n" for e, w in zip(ends, widths, strict=True))
    write_bytes(path, f"{_HEADER}{rows})\n# fmt: on\n".encode())


def main() -> None:
    """Fit, and write the module."""
    parser = argparse.ArgumentParser(prog="python -m experiments.fit_tracker", description=__doc__)
    parser.add_argument("--practice", type=int, default=150, help="number of practice songs")
    parser.add_argument("--midi", type=Path, required=True, help="folder of MIDI files with an index.csv")
    parser.add_argument("--soundfont", type=Path, required=True)
    parser.add_argument("--num-midi", type=int, default=(160, 150), nargs=2, help="bands, lone drummers")
    parser.add_argument("--plain", type=int, default=240, help="number of plain beats")
    given = parser.parse_args()
    found = examples(practice_songs(given.practice, _FIRST_SEED))
    counts = tuple(given.num_midi)
    found += examples(midi_songs(given.midi, given.soundfont, counts, is_for_training))
    found += examples(plain_beats(given.plain))
    write_weights(fit(found), _MODULE)
    sys.stdout.write(f"{len(found)} mixes: {_MODULE}\n")


if __name__ == "__main__":
    main()
