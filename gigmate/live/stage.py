"""All sessions of an engine: each in its slot, all calls that are due made as one batch."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gigmate.live.beat_source import BeatSource
from gigmate.live.frames import FrameEngine, SlotSettings
from gigmate.live.protocol import ProtocolError
from gigmate.live.record import SessionRecord
from gigmate.live.session import LiveSession
from gigmate.live.settings import SessionSettings

log = logging.getLogger(__name__)

MAX_ROUNDS = 8
"""Batches of a turn: then messages are read again. A session has one call in a batch, so none waits for another's."""


@dataclass
class _Place:
    """Where a session plays."""

    session: LiveSession
    slot: int
    settings: SlotSettings
    """Those that the slot has."""


class Stage:
    """Sessions and their slots.

    Args:
        engine: plays.
        clock: monotonic seconds.
        records: folder for the sessions that are to be recorded; None: none is.
    """

    def __init__(self, engine: FrameEngine, clock: Callable[[], float], records: Path | None = None) -> None:
        self._engine, self._clock, self._records = engine, clock, records
        self._places: dict[int, _Place] = {}

    @property
    def sessions(self) -> Mapping[int, LiveSession]:
        """The open sessions by id."""
        return {session_id: place.session for session_id, place in self._places.items()}

    def open(
        self,
        session_id: int,
        settings: SessionSettings,
        *,
        is_recorded: bool = False,
        beats: BeatSource | None = None,
    ) -> LiveSession:
        """Begin a session; its opening calls are made in the next turns.

        Args:
            session_id: a new one.
            settings: how it is played.
            is_recorded: keep a record, if there is a folder for records.
            beats: source of its grid; None: the one that `settings` name.

        Raises:
            SlotsFull: the engine has no free slot.
            UsageError: an instrument or a lookahead that the model doesn't know.
            MachineError: the record can't be made.
            ValueError: the id is in use, or the sample rate doesn't hold whole frames.
        """
        if session_id in self._places:
            raise ValueError(f"session {session_id} is open already")
        facts = self._engine.facts
        slot = self._engine.open(settings.slot(facts.min_lookahead_frames))
        try:
            record = self._record(session_id, settings) if is_recorded else None
            session = LiveSession(settings, facts, self._clock, beats=beats, record=record)
        except BaseException:
            self._engine.close(slot)
            raise
        self._places[session_id] = _Place(session, slot, settings.slot(facts.min_lookahead_frames))
        return session

    def close(self, session_id: int, reason: str = "") -> None:
        """End a session; its slot is free. One that isn't open is no fault."""
        place = self._places.pop(session_id, None)
        if place is not None:
            self._engine.close(place.slot)
            place.session.close(reason)

    def turn(self) -> list[tuple[int, ProtocolError]]:
        """Make the calls that are due, batch by batch, up to `MAX_ROUNDS`; the sessions that ended by a fault."""
        ended: list[tuple[int, ProtocolError]] = []
        for session_id, place in list(self._places.items()):
            try:
                place.session.review()
            except ProtocolError as fault:
                self.close(session_id, fault.reason)
                ended.append((session_id, fault))
        for _ in range(MAX_ROUNDS):
            if not self._make_calls(ended):
                break
        return ended

    def _make_calls(self, ended: list[tuple[int, ProtocolError]]) -> bool:
        """One batch; whether there was anything to do. A session that fails ends alone."""
        due = {}
        for session_id, place in list(self._places.items()):
            try:
                request = place.session.next_request()
            except Exception:
                log.exception("a bug ends session %d", session_id)
                self.close(session_id, "a bug of the server")
                ended.append((session_id, ProtocolError(1011, "that is a bug of the server")))
                continue
            if request is None:
                continue
            due[place.slot] = (place.session, request)
            # what a slot keeps of L is a default: every request has its own
            wanted = replace(place.session.slot_settings, lookahead_frames=place.settings.lookahead_frames)
            if wanted != place.settings:
                self._engine.set(place.slot, wanted)
                place.settings = wanted
        if not due:
            return False
        start_s = self._clock()
        waves = self._engine.step({slot: request for slot, (_, request) in due.items()})
        step_s = self._clock() - start_s
        for slot, (session, _) in due.items():
            session.take(waves[slot], self._engine.codes(slot), step_s=step_s, num_rows=max(due) + 1)
        return True

    def _record(self, session_id: int, settings: SessionSettings) -> SessionRecord | None:
        if self._records is None:
            return None
        number = 1
        while (folder := self._records / f"session-{session_id:04d}-{number}").exists():
            number += 1
        return SessionRecord(folder, settings.sample_rate, is_pcm16=settings.is_pcm16)
