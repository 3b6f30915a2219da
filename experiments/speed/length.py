"""Time and memory against the length of the song: `python -m experiments.speed.length [--longest 3600]`.

Every length is a process of its own, with the shipped weights, without guidance, beat tracker included: song in, stem
out, memory at its peak. Both should be linear: an hour holds an hour's samples.
"""

import argparse
import json
import sys
import time

import numpy as np

from experiments.speed.figures import Cells, Figure
from experiments.speed.process import alone, peak_mib
from experiments.speed.report import FOLDER, write

_LENGTHS_S, _LOOP_S, _SEED, _RATE = (10, 60, 600, 3600), 30.0, 4_000_001, 24_000


def play(seconds: int) -> dict[str, float]:
    """Play along with a loop of the practice band for so long; seconds of work and peak memory in MiB."""
    import torch

    from gigmate.accompanist import Accompanist
    from gigmate.music.band import compose, render_song
    from gigmate.music.tracker import track_beats
    from gigmate.performance import Take

    torch.set_num_threads(1)
    band = render_song(compose(_SEED, _LOOP_S), _RATE)
    loop = np.sum(list(band.values()), axis=0, dtype=np.float32)
    song = np.resize(loop, seconds * _RATE)[None]
    player = Accompanist.load()
    start = time.perf_counter()
    player.accompany(song, _RATE, Take(guidance_scale=1.0), grid=track_beats(song, _RATE))
    taken = time.perf_counter() - start
    return {"song_s": seconds, "taken_s": taken, "peak_mib": peak_mib()}


def draw(runs: list[dict[str, float]]) -> None:
    """Keep both curves as length.png."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), layout="constrained")
    for axes, name, label in zip(
        figure.subplots(1, 2), ("taken_s", "peak_mib"), ("s to play", "peak memory, MiB"), strict=True
    ):
        axes.loglog([run["song_s"] for run in runs], [run[name] for run in runs], marker="o")
        axes.set(xlabel="s of song", ylabel=label)
    figure.savefig(FOLDER / "length.png", dpi=80)


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--longest", type=int, default=_LENGTHS_S[-1], help="leave longer songs out")
    parser.add_argument("--one", type=int, help="a single length, as JSON")
    given = parser.parse_args()
    if given.one is not None:
        sys.stdout.write(json.dumps(play(given.one)))
        return
    runs = [
        alone("experiments.speed.length", "--one", str(seconds)) for seconds in _LENGTHS_S if seconds <= given.longest
    ]
    rows: list[Cells] = [
        {
            "song, s": run["song_s"],
            "s to play": Figure(run["taken_s"], ".1f"),
            "x real time": Figure(run["song_s"] / run["taken_s"], ".1f"),
            "peak memory, MiB": Figure(run["peak_mib"], ".0f"),
        }
        for run in runs
    ]
    draw(runs)
    sys.stdout.write(write("length", rows, threads=1))


if __name__ == "__main__":
    main()
