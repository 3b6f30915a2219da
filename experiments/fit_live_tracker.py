"""Learn what speaks for a beat, the weights in `gigmate.music.live_hypotheses`.

Songs with known beats are heard up to some moments; of the hypotheses that the tracker would have then, the right one
is to get the largest score: logistic regression over the hypotheses of a moment. None of the songs is in the table of
`experiments.live_tracker`.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from experiments.tracker_songs import RATE, Song, is_for_training, midi_songs, mixes, practice_songs
from gigmate.music.evidence import Evidence
from gigmate.music.grid import BeatGrid
from gigmate.music.live_hypotheses import describe, propose
from gigmate.music.live_onsets import OnsetFrame, OnsetStream, heard_of
from gigmate.music.tempo import tempo_scores

_FIRST_SEED = 5_000_000
_MOMENTS_S = (3, 4, 5, 6, 8, 10, 12, 14, 17, 20, 23, 26, 29, 31)
_LONGEST_S = 32
_WINDOW_FRAMES = 1200
_HEARD = {"band", "no drums"}
_DECAY, _STEPS = 1e-2, 400
_PERIOD_OFF, _PHASE_OFF = 0.05, 0.13  # a hypothesis that is no further off is right

Moment = tuple[torch.Tensor, torch.Tensor]
"""Features [H, F] and which hypotheses are right [H]."""


def moment(frames: list[OnsetFrame], stop: int, truth: BeatGrid) -> Moment | None:
    """What the tracker could tell after `stop` frames; None if nothing that it proposes is right."""
    heard = frames[max(0, stop - _WINDOW_FRAMES) : stop]
    evidence = Evidence.of(heard_of(heard, 100.0))
    tempi = tempo_scores(evidence.onsets)
    if tempi.repeats.max() <= 0:
        return None
    beats, now_s = propose(evidence, tempi), (stop - 1) / 100
    period_s = 60 / float(truth.tempo_bpm(now_s - 1))
    phases = truth.beat_phase(now_s - beats.ages / 100)
    is_right = (np.abs(beats.periods / 100 / period_s - 1) < _PERIOD_OFF) & (
        np.abs(phases - np.round(phases)) < _PHASE_OFF
    )
    if not is_right.any():
        return None
    return torch.from_numpy(describe(evidence, tempi, beats)), torch.from_numpy(is_right)


def moments(songs: Iterable[Song]) -> list[Moment]:
    """Those of all songs, with their drums and without."""
    found = []
    for song in songs:
        of_song = mixes(song)
        for name in _HEARD & of_song.keys():
            frames = OnsetStream(RATE).push(of_song[name][: _LONGEST_S * RATE])
            stops = [100 * s for s in _MOMENTS_S if 100 * s <= len(frames)]
            found += [m for stop in stops if (m := moment(frames, stop, song.grid)) is not None]
    return found


def fit(found: list[Moment]) -> torch.Tensor:
    """Weights [F], shrunk towards zero."""
    spread = torch.cat([features for features, _ in found]).std(0) + 1e-3
    features = pad_sequence([features / spread for features, _ in found], batch_first=True)
    is_right = pad_sequence([right for _, right in found], batch_first=True)
    is_there = pad_sequence([torch.ones_like(right) for _, right in found], batch_first=True)
    weights = torch.zeros(len(spread), dtype=spread.dtype, requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=2e-2)
    for _ in range(_STEPS):
        scores = features @ weights
        every, right = (scores.masked_fill(~mask, -torch.inf).logsumexp(1) for mask in (is_there, is_right))
        loss = (every - right).mean() + _DECAY * weights.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (weights / spread).detach()


def main() -> None:
    """Fit, and write the weights as they stand in the module."""
    parser = argparse.ArgumentParser(prog="python -m experiments.fit_live_tracker", description=__doc__)
    parser.add_argument("--practice", type=int, default=60, help="number of practice songs")
    parser.add_argument("--midi", type=Path, help="folder of MIDI files with an index.csv")
    parser.add_argument("--soundfont", type=Path)
    parser.add_argument("--num-midi", type=int, default=56, help="number of bands")
    given = parser.parse_args()
    found = moments(practice_songs(given.practice, _FIRST_SEED))
    if given.midi:
        found += moments(midi_songs(given.midi, given.soundfont, (given.num_midi, 0), is_for_training))
    weights = fit(found)
    sys.stdout.write(f"{len(found)} moments\n{', '.join(f'{w:.2f}' for w in weights.tolist())}\n")


if __name__ == "__main__":
    main()
