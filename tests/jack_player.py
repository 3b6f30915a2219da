"""Run by test_play.py beside a JACK server of its own: plays with a fast fake engine and says how the callback did.

usage: python jack_player.py SECONDS NUM_STALLS
"""

import json
import sys
import time

import numpy as np
from live_fakes import FakeEngine

from gigmate.live.settings import SessionSettings
from gigmate.live.stage import Stage
from gigmate.play.callback import Block, Deck
from gigmate.play.devices import Callback, PortAudioDevice, Wanted
from gigmate.play.player import LocalPlayer

RATE, BLOCK, STALL_S = 48_000, 960, 0.06


class TimedDevice(PortAudioDevice):
    """Times each callback and holds some of them up."""

    def __init__(self, wanted: Wanted, stalls: set[int]) -> None:
        super().__init__(wanted)
        self.took_s: list[float] = []
        self._stalls = stalls

    def start(self, callback: Callback):
        def timed(heard: Block | None, out: Block, is_xrun: bool) -> None:
            start = time.perf_counter()
            callback(heard, out, is_xrun)
            self.took_s.append(time.perf_counter() - start)
            if len(self.took_s) in self._stalls:
                time.sleep(STALL_S)

        return super().start(timed)


def main() -> None:
    seconds, num_stalls = float(sys.argv[1]), int(sys.argv[2])
    blocks = round(seconds * RATE / BLOCK)
    stalls = {round((i + 1) * blocks / (num_stalls + 1)) for i in range(num_stalls)}
    device = TimedDevice(Wanted(False, None, RATE, BLOCK), stalls)
    settings = SessionSettings(RATE, is_pcm16=False, lookahead_ms=-400.0, beats="tempo", gain=1.0)
    song = np.zeros(round(seconds * RATE), np.float32)
    player = LocalPlayer(Stage(FakeEngine(), time.monotonic), device, settings, time.monotonic, song=song)
    end_s = time.monotonic() + 2 * seconds

    def rest() -> bool:
        time.sleep(0.003)
        return time.monotonic() < end_s

    state = player.run(rest)
    deck: Deck = player.deck
    told = {
        "calls": deck.num_calls,
        "xruns": deck.num_xruns,
        "share_p99": float(np.quantile(device.took_s, 0.99)) * RATE / BLOCK,
        "underruns": state.num_underruns,
        "late_ms": state.late_ms,
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
