"""The player: one session between a sound device and the engine, all in this process.

device callback ── CaptureRing ──> session ── stage, engine ──> StemBuffer ── device callback
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gigmate.errors import MachineError
from gigmate.live.session import LiveSession
from gigmate.live.settings import SessionSettings
from gigmate.live.stage import Stage
from gigmate.play.callback import Deck
from gigmate.play.devices import SoundDevice
from gigmate.play.midi_clock import MidiClock
from gigmate.play.rings import CaptureRing, StemBuffer, Wave
from gigmate.play.tap_key import TapKey

MAX_BLOCK_SAMPLES = 8192
_RING_S, _STEM_S = 4.0, 32.0  # in the mode of whole bars the stem is made many seconds before it sounds
_SESSION = 1


@dataclass(frozen=True)
class State:
    """What there is to show.

    Args:
        seconds: played.
        bpm: of the beat; None: none is known.
        beat_in_bar: 0 is the downbeat.
        beats_per_bar: how many there are.
        beat_confidence: 0..1.
        level_in_db: of what is heard; None: silence.
        level_out_db: of the stem.
        lookahead_ms: how far ahead is played, negative.
        mode: `ahead` or `bars`.
        late_ms: of stem that came too late.
        missing_ms: for which there was no stem: it came too late, or was left out.
        num_underruns: times at which the stem ran out.
        num_xruns: blocks that the device lost.
        dropped_ms: of mix that found no place.
        step_p95_ms: of the engine.
    """

    seconds: float
    bpm: float | None
    beat_in_bar: int
    beats_per_bar: int
    beat_confidence: float
    level_in_db: float | None
    level_out_db: float | None
    lookahead_ms: float
    mode: str
    late_ms: float
    missing_ms: float
    num_underruns: int
    num_xruns: int
    dropped_ms: float
    step_p95_ms: float | None

    @property
    def in_time(self) -> float:
        """Share of the stem so far that was in time."""
        return 1.0 - min(1.0, self.missing_ms / 1000 / self.seconds) if self.seconds else 1.0


class LocalPlayer:
    """Plays to a device until its song is over or somebody stops it.

    Args:
        stage: with a free slot.
        device: to play on.
        settings: of the session, at the device's rate.
        clock: monotonic seconds.
        song: [N] mono at the device's rate, played and heard; None: what the device captures is heard.
        is_recorded: keep a record, if the stage has a folder for them.
    """

    def __init__(
        self,
        stage: Stage,
        device: SoundDevice,
        settings: SessionSettings,
        clock: Callable[[], float],
        *,
        song: Wave | None = None,
        is_recorded: bool = False,
    ) -> None:
        self._stage, self._device, self._clock, self._song = stage, device, clock, song
        self.rate = settings.sample_rate
        ring_samples = round(_RING_S * self.rate)
        self._captured, self.stem = CaptureRing(ring_samples), StemBuffer(round(_STEM_S * self.rate))
        self.deck = Deck(self._captured, self.stem, song, MAX_BLOCK_SAMPLES)
        self.session: LiveSession = stage.open(_SESSION, settings, is_recorded=is_recorded)
        self.session.meter.round_trip(0.0, clock())
        self._seq = self._num_pushed = 0

    @property
    def num_captured(self) -> int:
        """Samples that the device has given: the session's present."""
        return self._captured.num_written

    def run(self, rest: Callable[[], bool], midi: MidiClock | None = None, taps: TapKey | None = None) -> State:
        """Play; the last state.

        Args:
            rest: sleeps for a few milliseconds (and shows what there is to show); False ends it.
            midi: clock that the beat follows.
            taps: key that the beat is tapped on.

        Raises:
            MachineError: the device refuses, or is gone in the middle; what was played until then is recorded.
            ProtocolError: the session can't go on.
        """
        try:
            self._open()
            with self._device.start(self.deck):
                while rest() and not self.deck.is_over:
                    self.turn(midi, taps)
                    if not self._device.is_alive:
                        raise MachineError("device_gone", "the sound device stopped", "", "plug it in and start again")
            return self.state()
        finally:
            self._stage.close(_SESSION, "the player stops")

    def turn(self, midi: MidiClock | None = None, taps: TapKey | None = None) -> None:
        """Bring what was captured to the session, and what came of it to the device."""
        wave = self._captured.read()
        if len(wave):
            self.session.push_audio(self._seq, self._num_pushed, wave)
            self._seq, self._num_pushed = self._seq + 1, self._num_pushed + len(wave)
        for sample_index in midi.take() if midi is not None else ():
            self.session.tick(sample_index)
        for sample_index in taps.take() if taps is not None else ():
            self.session.tap(sample_index)
        for _, fault in self._stage.turn():
            raise fault
        for audio in self.session.outgoing():
            self.stem.write(audio.sample_index, audio.wave)

    def state(self) -> State:
        """What there is to show now."""
        session, grid = self.session, self.session.grid
        now_s = self.num_captured / self.rate
        steps_s = session.meter.steps_s.quantile(0.95)
        bar = 4 if grid is None else grid.beats_per_bar
        return State(
            seconds=now_s,
            bpm=None if grid is None else float(grid.tempo_bpm(now_s)),
            beat_in_bar=0 if grid is None else int(float(grid.bar_phase(now_s)) % 1 * bar),
            beats_per_bar=bar,
            beat_confidence=session.beats.confidence,
            level_in_db=_db(session.power_in),
            level_out_db=_db(session.power_out),
            lookahead_ms=session.schedule.lookahead_frames * session.frames.frame_s * 1000,
            mode=session.schedule.mode,
            late_ms=1000 * self.stem.num_late_samples / self.rate,
            missing_ms=1000 * self.stem.num_missing_samples / self.rate,
            num_underruns=self.stem.num_underruns,
            num_xruns=self.deck.num_xruns,
            dropped_ms=1000 * self._captured.num_dropped / self.rate,
            step_p95_ms=None if steps_s is None else 1000 * steps_s,
        )

    def _open(self) -> None:
        """Make the stem's opening, which needs no mix, and begin where the device's delay puts the loudspeaker."""
        if self._song is None:
            self.stem.start_at(round(self._device.delay_s * self.rate))
        while self.session.calls.heard < 0:
            self.turn()


def _db(power: float) -> float | None:
    return round(10 * math.log10(power), 1) if power > 1e-12 else None


def to_mono(song: np.ndarray) -> Wave:
    """[C, N] -> [N], leaving room for the stem beside it."""
    mono = song.mean(axis=0, dtype=np.float32)
    return (mono * min(1.0, 0.7 / max(float(np.abs(mono).max(initial=0.0)), 1e-9))).astype(np.float32)
