"""Where a session's beats come from: heard, tapped, from a MIDI clock, or counted in at a given tempo."""

import numpy as np
from numpy.typing import NDArray

from gigmate.live.beat_source import BeatSource, SourceName
from gigmate.live.counted_beats import ClockBeats, TapBeats
from gigmate.music.beat_line import BeatLine
from gigmate.music.live_tracker import LiveTracker

_DEFAULT_BPM = 120.0


class TempoBeats(BeatSource):
    """A steady tempo from sample 0 on, which opens a bar: the count-in."""

    name = "tempo"

    def __init__(self, bpm: float = _DEFAULT_BPM, beats_per_bar: int = 4) -> None:
        super().__init__()
        self._beat.follow(BeatLine(0.0, 60.0 / bpm, beats_per_bar), 0.0)

    @property
    def confidence(self) -> float:
        """1: it is given."""
        return 1.0


class TrackerBeats(BeatSource):
    """Beats that are heard in the mix, until somebody taps them: two taps, and the beat is theirs from then on.

    Who taps while the band listens has heard that it is wrong, and knows better than it.

    Args:
        sample_rate: of the indices that `tap` is given.
        codec_rate: Hz of the frames that `push` is given.
        beats_per_bar: of the grid.
    """

    name = "tracker"

    def __init__(self, sample_rate: int, codec_rate: int, beats_per_bar: int = 4) -> None:
        super().__init__()
        self._codec_rate = codec_rate
        self._tracker = LiveTracker(codec_rate, beats_per_bar)
        self._taps = TapBeats(sample_rate, beats_per_bar, self._beat)
        self._num_samples, self._nudged_beats = 0, 0.0

    @property
    def confidence(self) -> float:
        """How clearly the beat stands out, 0 before there is one; once it is tapped, that of the taps."""
        return self._taps.confidence if self._is_tapped else self._tracker.confidence

    def nudge(self, beats: float) -> None:
        """As of every source; what is followed from now on is moved likewise, until it locks or counts anew."""
        if self._is_tapped:
            self._taps.nudge(beats)
            return
        super().nudge(beats)
        self._nudged_beats += beats

    def tap(self, sample_index: int) -> None:
        """A beat at this sample; see `TapBeats.tap`."""
        self._taps.tap(sample_index)
        if self._taps.num_taps > 1:
            self.name = "tap"

    def push(self, wave: NDArray[np.float32], frame_index: int) -> None:
        """The next frame of the mix, [hop]; frames left out count as silence. Nobody listens once the beat is tapped.

        Raises:
            ValueError: a frame that was pushed already.
        """
        if self._is_tapped:
            return
        missing_samples = frame_index * len(wave) - self._num_samples
        if missing_samples < 0:
            raise ValueError(f"frame {frame_index} was pushed already")
        if missing_samples:
            self._tracker.push(np.zeros(missing_samples, np.float32))
        self._tracker.push(wave)
        self._num_samples += missing_samples + len(wave)
        line, relocks = self._tracker.line, self._beat.num_relocks
        if line is not None:
            self._beat.follow(line.later(self._nudged_beats), self._num_samples / self._codec_rate)
            if self._beat.num_relocks > relocks and self._nudged_beats:
                self._nudged_beats = 0.0  # the player mended a lock that is given up

    @property
    def _is_tapped(self) -> bool:
        return self.name == "tap"


def beat_source(
    name: SourceName, *, sample_rate: int, codec_rate: int, bpm: float | None = None, beats_per_bar: int = 4
) -> BeatSource:
    """The source of this name, as a client asks for it.

    Args:
        name: which.
        sample_rate: of the client's samples, for taps and ticks.
        codec_rate: Hz of the frames, for the tracker.
        bpm: for "tempo"; None: 120.
        beats_per_bar: of the grid.
    """
    match name:
        case "tempo":
            return TempoBeats(_DEFAULT_BPM if bpm is None else bpm, beats_per_bar)
        case "tap":
            return TapBeats(sample_rate, beats_per_bar)
        case "clock":
            return ClockBeats(sample_rate, beats_per_bar)
        case "tracker":
            return TrackerBeats(sample_rate, codec_rate, beats_per_bar)
