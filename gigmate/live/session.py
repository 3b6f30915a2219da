"""One player's session: audio in, the engine's calls, stem out, all on the session's sample clock.

    push_audio ─ MixIn ─┐                         ┌─ StemOut ─ outgoing
                        next_request ─ engine ─ take              one call a frame, when `Calls` owes it

A call writes stem frame c from mix frame c - lag, and is owed as soon as that one is whole; before the first come the
calls that no mix is needed for (the opening). What a call is made from depends on the audio up to its mix frame and on
the messages before it, never on when it is made: so a record can be played again.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigmate.live.assembly import IntakeCounts
from gigmate.live.beat_source import BeatSource
from gigmate.live.calls import Calls
from gigmate.live.clock import FrameClock
from gigmate.live.frames import EngineFacts, FrameRequest, SlotSettings
from gigmate.live.gain import AutoGain
from gigmate.live.mix_in import MixIn, metered
from gigmate.live.path_meter import PathMeter
from gigmate.live.record import FORMAT, SessionRecord
from gigmate.live.scheduler import Schedule, Scheduler
from gigmate.live.settings import SessionSettings
from gigmate.live.stem_out import StemAudio, StemOut
from gigmate.music.grid import BeatGrid

Wave = NDArray[np.float32]

_REVIEW_S = 0.25


class LiveSession:
    """One session; numpy alone, no threads, time only from `clock`.

    Args:
        settings: how it is played.
        facts: of the engine.
        clock: monotonic seconds.
        beats: source of the grid; None: the one that `settings` name.
        record: where to keep it; None: nowhere.

    Raises:
        ValueError: a sample rate that doesn't hold whole frames.
    """

    def __init__(
        self,
        settings: SessionSettings,
        facts: EngineFacts,
        clock: Callable[[], float],
        *,
        beats: BeatSource | None = None,
        record: SessionRecord | None = None,
    ) -> None:
        self.settings, self.facts, self._clock, self._record = settings, facts, clock, record
        self.frames = FrameClock(settings.sample_rate, facts.sample_rate, facts.hop)
        self._gain = AutoGain(self.frames.frame_s, settings.gain)
        self.beats = beats or settings.beat_source(facts.sample_rate)
        self._mix = MixIn(self.frames, is_pcm16=settings.is_pcm16, gain=self._gain, beats=self.beats, record=record)
        self._stem = StemOut(self.frames, facts.latency_samples)
        self.meter = PathMeter(settings.sample_rate, self._stem.lag_s + self._mix.lag_s)
        lookaheads = (facts.min_lookahead_frames, min(-1, facts.max_lookahead_frames))
        self._scheduler = Scheduler(lookaheads, 1 / self.frames.frame_s)
        self.calls = Calls(self.frames, facts.max_delay, self._best(None, clock()))
        self._reviewed_s = clock()
        self._num_silent_calls = 0
        self._came_s: float | None = None
        self._hear_s = 0.0
        self.num_dropped = self.num_faults = 0
        self.power_out = 0.0
        self._out: list[StemAudio] = []
        self._note("open", format=FORMAT, settings=asdict(settings), facts=asdict(facts))
        self._note("schedule", **asdict(self.schedule))

    @property
    def counts(self) -> IntakeCounts:
        """Repairs of what came in."""
        return self._mix.counts

    @property
    def grid(self) -> BeatGrid | None:
        """The beats as they were believed in at the last call."""
        return self._mix.grid

    @property
    def power_in(self) -> float:
        """Of the mix, for a level meter."""
        return self._mix.power

    @property
    def schedule(self) -> Schedule:
        """By which the next call is made."""
        return self.calls.schedule

    @property
    def slot_settings(self) -> SlotSettings:
        """How the engine is to make the next call."""
        return self.settings.slot(self.schedule.lookahead_frames)

    @property
    def now_s(self) -> float:
        """The session's present on its sample clock: the length of what came in."""
        return self._mix.num_samples / self.settings.sample_rate

    def push_audio(self, seq: int, sample_index: int, pcm: Wave) -> None:
        """Take a message of the mix.

        Args:
            seq: rises by 1 from message to message.
            sample_index: of its first sample.
            pcm: [n] float32.

        Raises:
            ProtocolError: see `Intake.push`; the session can't go on.
        """
        now_s, num_before = self._clock(), self.calls.num_mix_frames
        num_whole = self._mix.push(seq, sample_index, pcm, now_s)
        stop = self._mix.num_samples
        self.calls.came(num_whole, now_s)
        wait_samples = stop - self.frames.sample_of(num_before + 1) if num_whole else None
        self.meter.arrived(stop, wait_samples, now_s)

    def turn(self, values: dict[str, Any]) -> None:
        """Turn controls: fields of `SessionSettings`. They count from the next call on."""
        self.settings = replace(self.settings, **values)
        self._note("turn", values=values)

    def tap(self, sample_index: int) -> None:
        """The player tapped a beat."""
        self.beats.tap(sample_index)
        self._note("tap", sample_index=sample_index)

    def tick(self, sample_index: int) -> None:
        """A tick of the player's MIDI clock."""
        self.beats.tick(sample_index)
        self._note("tick", sample_index=sample_index)

    def nudge(self, beats: float) -> None:
        """The player moves the beat."""
        self.beats.nudge(beats)
        self._note("nudge", beats=beats)

    def resume(self) -> None:
        """The client is back after a cut; its sample clock ran on, its sequence may begin anew."""
        self._mix.resume()
        self._note("resume")

    def review(self) -> Schedule | None:
        """See whether session and schedule still fit; the new schedule if there is one. Call it before the calls.

        Raises:
            ProtocolError: 1008, the client sends faster than real time and doesn't stop.
        """
        now_s = self._clock()
        if num_frames := self.calls.num_hopeless(now_s):
            self.skip(num_frames)
        if now_s - self._reviewed_s < _REVIEW_S:
            return None
        self._reviewed_s = now_s
        best = self._best(self.schedule, now_s)
        if best == self.schedule:
            return None
        self.set_schedule(best)
        return best

    def set_schedule(self, schedule: Schedule) -> None:
        """Play by another schedule from the next call on."""
        self.calls.set_schedule(schedule)
        self._note("schedule", **asdict(schedule))

    def skip(self, num_frames: int) -> None:
        """Leave out frames of the stem: the next call writes one so much later."""
        self.calls.next_frame += num_frames
        self.num_dropped += num_frames
        self._note("skip", num_frames=num_frames)

    def next_request(self) -> FrameRequest | None:
        """The next call if one is due; `take` must follow before the next is asked for."""
        calls = self.calls
        if not calls.num_owed or not calls.may_make(self._clock()):
            return None
        start_s = self._clock()
        mix, self._came_s = self._mix.hear(calls.heard + 1)
        beats = self._mix.beat_features(calls.next_frame + self.facts.max_delay, self.facts.beat_features)
        self._hear_s = self._clock() - start_s
        self._num_silent_calls = self._num_silent_calls + 1 if self.settings.is_laid_out else 0
        return FrameRequest(
            mix=mix,
            beats=beats,
            lookahead_frames=self.schedule.lookahead_frames,
            is_laid_out=self.settings.is_laid_out,
            hears_mix=not self.settings.is_solo,
        )

    def take(
        self, wave: Wave | None, codes: NDArray[np.int64] | None = None, *, step_s: float = 0.0, num_rows: int = 1
    ) -> None:
        """What came of the call.

        Args:
            wave: [hop] at the codec's rate, that which comes with the frame; None: none came yet.
            codes: [K] of the frame, for the record.
            step_s: how long the engine took.
            num_rows: rows of the engine's batch, for the record.
        """
        now_s, frame = self._clock(), self.calls.made()
        since_mix_s = None if self._came_s is None else now_s - self._came_s
        self.meter.stepped(step_s, since_mix_s, now_s)
        told = None if codes is None else codes.tolist()
        waited_s = None if since_mix_s is None else round(max(0.0, since_mix_s - step_s), 5)
        latencies = {
            "t": round(now_s, 4),
            "step_s": round(step_s, 5),
            "waited_s": waited_s,
            "hear_s": round(self._hear_s, 5),  # a part of waiting: level and beats, which need no engine
        }
        self._note("call", frame=frame, codes=told, rows=num_rows, **latencies)
        if wave is not None:
            self._play(frame, wave, now_s)

    def outgoing(self) -> list[StemAudio]:
        """Stem audio since the last time."""
        out, self._out = self._out, []
        return out

    def close(self, reason: str) -> None:
        """The end; the record is closed."""
        self._note("close", reason=reason, counts=asdict(self.counts), num_dropped=self.num_dropped)
        if self._record is not None:
            self._record.close()

    def _play(self, frame: int, wave: Wave, now_s: float) -> None:
        if not np.isfinite(wave).all():
            self.num_faults += 1
            wave = np.zeros_like(wave)
        wave = self._gain.undo(wave)
        self.power_out = metered(self.power_out, wave)
        held_frames = self.facts.max_delay - self.facts.latency_samples // -self.facts.hop
        is_laid_out = self._num_silent_calls > held_frames
        chunk_frames = self.schedule.chunk_frames
        for audio in self._stem.push(frame, wave, chunk_frames=chunk_frames, is_laid_out=is_laid_out):
            margin_s = (self.settings.buffer_ms + self.settings.device_delay_ms) / 1000
            self.meter.sent(audio.sample_index, audio.num_frames, margin_s, now_s)
            if self._record is not None:
                self._record.stem(audio.sample_index, audio.wave)
            self._out.append(audio)

    def _best(self, current: Schedule | None, now_s: float) -> Schedule:
        settings = self.settings
        if settings.lookahead_ms is not None:
            return self._scheduler.asked_for(settings.lookahead_ms)
        budget = self.meter.budget(settings.buffer_ms / 1000, settings.device_delay_ms / 1000)
        return self._scheduler.review(current, budget, self._mix.bar_s, now_s)

    def _note(self, kind: str, **facts: Any) -> None:
        if self._record is not None:
            self._record.event(kind, **facts)
