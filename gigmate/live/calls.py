"""Which calls a session owes the engine, and which it lets go.

stem frame    -3  -2  -1   0   1   2  ...  lag-1 | lag  ...       -3: for a delay pattern of 3
is owed when  |------- at the opening ----------| mix frame 0 is whole, 1, 2, ...
"""

from gigmate.live.clock import FrameClock
from gigmate.live.protocol import ProtocolError
from gigmate.live.scheduler import Schedule

MIN_BACKLOG_FRAMES = 25
"""So many owed calls are always made up for, and as many as the lag has: beyond that the frames sound already, so the
session goes on from the present."""

_BURST_FRAMES = 50.0  # by which a client may be ahead of real time: what a stall of the network held back
_FASTEST = 1.01
_MAX_FAST_FRAMES = 250


class Calls:
    """Counts frames and calls.

    Args:
        clock: length of a frame.
        max_delay: calls before the first frame comes.
        schedule: to begin with.
    """

    def __init__(self, clock: FrameClock, max_delay: int, schedule: Schedule) -> None:
        self._clock = clock
        self.schedule = schedule
        self.num_mix_frames = 0
        """Whole frames that came."""
        self.next_frame = -max_delay
        """The stem frame that the next call completes."""
        self._num_made = self._num_fast = 0
        self._credit = max_delay + schedule.lag_frames
        self._first_s: float | None = None

    @property
    def heard(self) -> int:
        """The mix frame that the next call hears, negative in the opening."""
        return self.next_frame - self.schedule.lag_frames

    @property
    def num_owed(self) -> int:
        """How many calls can be made from what came."""
        return max(0, self.num_mix_frames - self.heard)

    def came(self, num_frames: int, now_s: float) -> None:
        """So many mix frames are whole now."""
        self._first_s = now_s if self._first_s is None else self._first_s
        self.num_mix_frames += num_frames

    def may_make(self, now_s: float) -> bool:
        """Whether the client is no further ahead of real time than a stall of the network can make it."""
        if self._first_s is None:
            return self._num_made < self._credit
        passed = self._clock.frames_in(now_s - self._first_s)
        return self._num_made < self._credit + _BURST_FRAMES + passed * _FASTEST

    def made(self) -> int:
        """The next call was made; the frame that it completed."""
        self._num_made += 1
        self.next_frame += 1
        return self.next_frame - 1

    def set_schedule(self, schedule: Schedule) -> None:
        """From the next call on; a longer lag owes more calls at once, a shorter one none for a while."""
        self._credit += max(0, schedule.lag_frames - self.schedule.lag_frames)
        self.schedule = schedule

    def num_hopeless(self, now_s: float) -> int:
        """How many frames to leave out, because they would come too late or came too early.

        Raises:
            ProtocolError: 1008, five seconds of audio came faster than real time.
        """
        if self._first_s is None or self.num_owed <= max(MIN_BACKLOG_FRAMES, self.schedule.lag_frames):
            return 0
        num_frames = self.num_owed - 1
        if self.num_mix_frames > _BURST_FRAMES + self._clock.frames_in(now_s - self._first_s) * _FASTEST:
            self._num_fast += num_frames
            if self._num_fast > _MAX_FAST_FRAMES:
                raise ProtocolError(1008, "audio comes faster than real time")
        return num_frames
