"""How far ahead a session plays, and in what portions: chosen from what was measured, and again when that moves.

Stem frame c = m - L is made when mix frame m is complete, L < 0, and must be with the player before it is due:

    mix     |--m--|                                                     -L frames from m to c
                  ^ complete                  due v
    stem             capture, way here, compute F, way back, codec, buffer, device    |--c--|

    (-L - 1) / frame_rate >= capture wait + network + stalls + queue + compute p95 of F calls + (F - 1) / frame_rate
                             + codec window + playback buffer + device delay

and the engine must keep up: F / frame_rate >= compute p95 of F frames. The delay pattern costs no time here: L counts
from the frame that is completed, and what its codebooks were written from is older still. Among the F that keep up the
one with the smallest -L is taken: the less the model plays ahead, the better it fits.

Where no trained L suffices the mix is heard whole bars late, as players of Ninjam hear each other: frame m then stands
for the one `bars` later, and L pays for what is left. Rare stalls alone are no reason for that: with the largest L few
frames are late by them, while bars are felt all the time.

Source: StreamMUSE states the feasibility of requests every I ticks for G ticks as ceil(RTT95) <= I <= G - ceil(RTT95),
with the least feasible I best. Here requests are free (every mix frame is one) and the second half of it remains.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

MAX_CHUNK_FRAMES = 4
ASKED_FOR = "as asked for"
_CALMER_FRAMES = 2  # less lookahead than this isn't worth a change
_CALM_S = 8.0  # and only if it would have done for so long
_MAX_BARS = 8
_OFF_BAR_SHARE = 1 / 16  # the tempo has moved away from the delay that was chosen in mode `bars`


@dataclass(frozen=True)
class Budget:
    """What the path costs, in seconds, measured.

    Args:
        capture_s: from a frame's last sample to the end of the message that brings it.
        network_s: both ways, p95.
        stalls_s: by which the network is slower at its worst.
        queue_s: p95, from a message to the call that hears it.
        compute_p95_s: of 1, 2, ... calls in a row.
        codec_s: by which stem samples come after their frame: the codec's latency and the resampler's.
        buffer_s: of the client's playback.
        device_s: of the client's microphone and loudspeaker together.
    """

    capture_s: float
    network_s: float
    stalls_s: float
    queue_s: float
    compute_p95_s: tuple[float, ...]
    codec_s: float
    buffer_s: float
    device_s: float

    def need_s(self, chunk_frames: int, frame_rate: float) -> float:
        """The right side of the inequality, and the frame itself."""
        way_s = self.capture_s + self.network_s + self.stalls_s + self.queue_s
        made_s = self.compute_p95_s[chunk_frames - 1] + chunk_frames / frame_rate + self.codec_s
        return way_s + made_s + self.buffer_s + self.device_s


@dataclass(frozen=True)
class Schedule:
    """What was chosen.

    Args:
        lookahead_frames: L, negative.
        chunk_frames: F, frames of a message.
        mode: `ahead`, or `bars` late.
        bars: by how many; 0 in mode `ahead`.
        delay_frames: the same in frames.
        reason: a few words for the player.
    """

    lookahead_frames: int
    chunk_frames: int = 1
    mode: Literal["ahead", "bars"] = "ahead"
    bars: int = 0
    delay_frames: int = 0
    reason: str = ""

    @property
    def lag_frames(self) -> int:
        """From the newest mix frame that is heard to the stem frame that is made from it."""
        return self.delay_frames - self.lookahead_frames


def choose(budget: Budget, lookahead_range: tuple[int, int], frame_rate: float, bar_s: float = 2.0) -> Schedule:
    """The least lookahead that is in time.

    Args:
        budget: what the path costs.
        lookahead_range: least and largest L that the checkpoint was trained for, in frames.
        frame_rate: frames/s.
        bar_s: length of a bar, for the mode `bars`.
    """
    chunks = range(1, min(MAX_CHUNK_FRAMES, len(budget.compute_p95_s)) + 1)
    keeping_up = [f for f in chunks if budget.compute_p95_s[f - 1] <= f / frame_rate]
    chunk = min(keeping_up or [chunks[-1]], key=lambda f: budget.need_s(f, frame_rate))
    need_s = budget.need_s(chunk, frame_rate)
    need, nearest = _frames(need_s, frame_rate), -min(-1, lookahead_range[1])
    reason = f"the path takes {need_s * 1000:.0f} ms"
    if not keeping_up:
        reason += "; this machine is too slow for it"
    if need <= -lookahead_range[0]:
        return Schedule(-max(need, nearest), chunk, reason=reason)
    reason += f", more than the {-lookahead_range[0] / frame_rate * 1000:.0f} ms that can be played ahead"
    if _frames(need_s - budget.stalls_s, frame_rate) <= -lookahead_range[0]:
        return Schedule(lookahead_range[0], chunk, reason=reason)
    bar = bar_s * frame_rate
    bars = min(_MAX_BARS, math.ceil((need + lookahead_range[0]) / bar))
    delay = round(bars * bar)
    lookahead = min(max(need - delay, nearest), -lookahead_range[0])
    return Schedule(-lookahead, chunk, "bars", bars, delay, reason)


def _frames(seconds: float, frame_rate: float) -> int:
    """Whole frames that last at least so long."""
    return math.ceil(seconds * frame_rate - 1e-9)


class Scheduler:
    """Keeps to a schedule until it must change: at once if it is too short, if it is too long not before it is calm.

    Args:
        lookahead_range: see `choose`.
        frame_rate: frames/s.
    """

    def __init__(self, lookahead_range: tuple[int, int], frame_rate: float) -> None:
        self._range, self._frame_rate = lookahead_range, frame_rate
        self._calm_since_s: float | None = None

    def asked_for(self, lookahead_ms: float) -> Schedule:
        """The schedule with a lookahead that somebody wants, or with the trained one next to it."""
        low, high = self._range
        frames = round(lookahead_ms / 1000 * self._frame_rate)
        return Schedule(min(max(frames, low), high), reason=ASKED_FOR)

    def review(self, current: Schedule | None, budget: Budget, bar_s: float, now_s: float) -> Schedule:
        """The schedule from now on: `current` itself if nothing changes, the best one if there was none of ours."""
        best = choose(budget, self._range, self._frame_rate, bar_s)
        if current is not None and current.reason == ASKED_FOR:
            current = None
        if current is None or replace(best, reason=current.reason) == current:
            self._calm_since_s = None
            return current or best
        need = budget.need_s(current.chunk_frames, self._frame_rate) * self._frame_rate
        off_bar = abs(current.delay_frames - current.bars * bar_s * self._frame_rate)
        if need > current.lag_frames + 1e-9 or off_bar > _OFF_BAR_SHARE * bar_s * self._frame_rate:
            self._calm_since_s = None
            return best
        if best.lag_frames > current.lag_frames - _CALMER_FRAMES:
            self._calm_since_s = None
            return current
        self._calm_since_s = now_s if self._calm_since_s is None else self._calm_since_s
        if now_s - self._calm_since_s < _CALM_S:
            return current
        self._calm_since_s = None
        return best
