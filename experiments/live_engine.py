"""How long a live step takes, codec included, and what a batch of sessions saves: `python -m experiments.live_engine`.

Batches of 1, 2 and 4 sessions and four sessions alone take turns, call by call, so that what else the machine does
meets all of them alike. The past is 10 s long when counting begins. CPU time is that of the thread; wall time is
what a session waits, with whatever else runs on the machine. The last row is the same few products over and over: what
of the tail is the machine's own.
"""

import argparse
import gc
import sys
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gigmate.accompanist import Accompanist
from gigmate.device import Device
from gigmate.evaluation.tables import Row, markdown
from gigmate.live.engine import Engine
from gigmate.live.frames import FrameRequest, SlotSettings

_BATCHES = (1, 2, 4)
_LOOKAHEAD_FRAMES = -25
_PAST_CALLS = 500
_SHARES = (50, 95, 99)


class Timed:
    """An engine with all slots playing, and how long its steps took.

    Args:
        player: model and codec.
        num_sessions: that share its batch.
    """

    def __init__(self, player: Accompanist, num_sessions: int) -> None:
        self._engine = Engine(player, num_sessions)
        self._slots = [
            self._engine.open(SlotSettings("drums", _LOOKAHEAD_FRAMES, seed)) for seed in range(num_sessions)
        ]
        self._mix = np.random.default_rng(0)
        self.wall_ms: list[float] = []
        self.cpu_ms: list[float] = []

    def step(self) -> None:
        """One call for every session."""
        facts = self._engine.facts
        request = FrameRequest(
            mix=self._mix.normal(scale=0.12, size=facts.hop).astype(np.float32),
            beats=np.ones(facts.beat_features, np.float32),
            lookahead_frames=_LOOKAHEAD_FRAMES,
        )
        requests = dict.fromkeys(self._slots, request)
        wall_s, cpu_s = time.perf_counter(), time.thread_time()
        self._engine.step(requests)
        self.cpu_ms.append(1000 * (time.thread_time() - cpu_s))
        self.wall_ms.append(1000 * (time.perf_counter() - wall_s))


class Products:
    """Work that is the same at every step: 40 products of a row with 256 x 768 weights, 31 MB."""

    def __init__(self) -> None:
        self._row, self._weights = torch.randn(1, 256), torch.randn(40, 256, 768)
        self.wall_ms: list[float] = []
        self.cpu_ms: list[float] = []

    def step(self) -> None:
        """Once."""
        wall_s, cpu_s = time.perf_counter(), time.thread_time()
        for weight in self._weights:
            _ = self._row @ weight
        self.cpu_ms.append(1000 * (time.thread_time() - cpu_s))
        self.wall_ms.append(1000 * (time.perf_counter() - wall_s))


def measure(player: Accompanist, num_calls: int) -> dict[int, "Timed | Products"]:
    """By batch size, timed in turns; 0: the products."""
    timed: dict[int, Timed | Products] = {size: Timed(player, size) for size in _BATCHES}
    timed[0] = Products()
    gc.collect()
    gc.freeze()  # as the live worker does
    for number in range(_PAST_CALLS + num_calls):
        for engine in timed.values():
            engine.step()
        if number == _PAST_CALLS - 1:
            for engine in timed.values():
                engine.wall_ms.clear()
                engine.cpu_ms.clear()
    return timed


def rows(timed: dict[int, "Timed | Products"]) -> list[Row]:
    """A row a batch size."""
    one: NDArray[np.float64] = np.array(timed[1].cpu_ms)
    return [
        {
            "sessions": str(size) if size else "products alone",
            **{f"wall p{share}, ms": f"{np.percentile(engine.wall_ms, share):.2f}" for share in _SHARES},
            **{f"CPU p{share}, ms": f"{np.percentile(engine.cpu_ms, share):.2f}" for share in _SHARES},
            "as many alone to batch": f"{size * np.median(one) / np.median(engine.cpu_ms):.2f}" if size else "",
        }
        for size, engine in timed.items()
    ]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt", type=Path, help="the weights that ship if left out")
    parser.add_argument("--calls", type=int, default=1000, help="that are counted, of 20 ms each")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--weights", choices=("int8", "float32"), default="int8")
    args = parser.parse_args()
    player = Accompanist.load(args.ckpt, device=Device(threads=args.threads, weights=args.weights))
    sys.stdout.write(markdown(rows(measure(player, args.calls))) + "\n")


if __name__ == "__main__":
    main()
