"""Learn what speaks for a beat, the weights in `gigmate.music.live_hypotheses`.

Songs with known beats are heard up to some moments; of the hypotheses that the tracker would have then, the right one
is to get the largest score: logistic regression over the hypotheses of a moment. None of the songs is in the table of
`experiments.live_tracker`: other seeds of the band, and MIDI files after the first `--skip-midi` of a shuffled order.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from experiments.live_tracker import mixes
from gigmate.data.song import SongEntry
from gigmate.data.sources import MidiSource, PracticeSource
from gigmate.errors import InputError
from gigmate.music.evidence import Evidence
from gigmate.music.grid import BeatGrid
from gigmate.music.live_hypotheses import describe, propose
from gigmate.music.live_onsets import OnsetFrame, OnsetStream, heard_of
from gigmate.music.tempo import tempo_scores

_RATE, _FIRST_SEED = 24_000, 5_000_000
_MOMENTS_S = (3, 4, 5, 6, 8, 10, 12, 14, 17, 20, 23, 26, 29, 31)
_WINDOW_FRAMES = 1200
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


def moments(source: PracticeSource | MidiSource, entries: Iterable[SongEntry]) -> list[Moment]:
    """Those of all songs that can be loaded, with their drums and without."""
    found = []
    for entry in entries:
        try:
            song = source.load(entry, _RATE)
        except InputError:
            continue
        if song.grid is None:
            continue
        for wave in mixes(song, _MOMENTS_S[-1] + 1.0).values():
            frames = OnsetStream(_RATE).push(wave)
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
    parser.add_argument("--midi", type=Path, help="folder of MIDI files")
    parser.add_argument("--soundfont", type=Path)
    parser.add_argument("--num-midi", type=int, default=70)
    parser.add_argument("--skip-midi", type=int, default=14, help="so many are for the experiment")
    given = parser.parse_args()
    band = PracticeSource(given.practice, _FIRST_SEED, _MOMENTS_S[-1] + 1.0)
    found = moments(band, band.entries())
    if given.midi:
        folder, sounds = str(given.midi), str(given.soundfont)
        kept = {e.song_id for e in MidiSource(folder, sounds, max_songs=given.skip_midi).entries()}
        source = MidiSource(folder, sounds, max_songs=given.num_midi)
        found += moments(source, [e for e in source.entries() if e.song_id not in kept])
    weights = fit(found)
    sys.stdout.write(f"{len(found)} moments\n{', '.join(f'{w:.2f}' for w in weights.tolist())}\n")


if __name__ == "__main__":
    main()
