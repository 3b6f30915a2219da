"""How fast the whole chain is on this machine, part by part: `python -m experiments.bench`, one part of `make bench`.

Every part is timed in interleaved rounds, after one round that isn't counted; the table has medians with their range.
The model's weights are those that ship; speed doesn't depend on them.
"""

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from experiments.speed.report import write
from gigmate.accompanist import Accompanist
from gigmate.device import Device
from gigmate.evaluation.tables import Row, markdown
from gigmate.music.band import compose, render_song
from gigmate.music.tracker import track_beats
from gigmate.performance import Take

_SECONDS, _ROUNDS, _SEED, _RATE = 30.0, 5, 4_000_001, 24_000


def parts(player: Accompanist) -> dict[str, Callable[[], object]]:
    """What is timed, each over the same 30 s."""
    band = render_song(compose(_SEED, _SECONDS), _RATE)
    song = np.sum(list(band.values()), axis=0, dtype=np.float32)[None]
    wave = torch.from_numpy(song)[None]
    codes = player.codec.encode(wave)
    grid = track_beats(song, _RATE)
    exact = Accompanist.load(device=Device(weights="float32"))
    plain = Accompanist.load(device=Device(weights=None))
    return {
        "practice band: compose and render 5 stems": lambda: render_song(compose(_SEED, _SECONDS), _RATE),
        "beat tracker": lambda: track_beats(song, _RATE),
        "mix features": lambda: player.features.analyse(wave),
        "codec: encode": lambda: player.codec.encode(wave),
        "codec: decode": lambda: player.codec.decode(codes),
        "song to stem, guidance 3": lambda: player.accompany(song, _RATE, Take(), grid=grid),
        "song to stem, no guidance": lambda: player.accompany(song, _RATE, Take(guidance_scale=1.0), grid=grid),
        "song to stem, guidance 3, float32": lambda: exact.accompany(song, _RATE, Take(), grid=grid),
        "song to stem, guidance 3, plain model": lambda: plain.accompany(song, _RATE, Take(), grid=grid),
    }


def measure(timed: dict[str, Callable[[], object]], rounds: int) -> list[Row]:
    """One row per part: median, fastest and slowest of `rounds` rounds, in x real time."""
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for number in range(rounds + 1):
        for name, run in timed.items():
            start = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return [
        {
            "part": name,
            "x real time": f"{_SECONDS / statistics.median(values):.1f}",
            "slowest to fastest": f"{_SECONDS / max(values):.1f} to {_SECONDS / min(values):.1f}",
        }
        for name, values in seconds.items()
    ]


def main() -> None:
    """Measure, print and keep the table."""
    torch.set_num_threads(1)
    rows = measure(parts(Accompanist.load()), _ROUNDS)
    write("chain", rows, threads=1, rounds=_ROUNDS, seconds=_SECONDS)
    sys.stdout.write(markdown(rows))


if __name__ == "__main__":
    main()
