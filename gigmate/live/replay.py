"""Plays a recorded session again, offline: `python -m gigmate.live.replay FOLDER`.

The record's events are given to the same session code in their order, each with the audio that its call had heard. At
an equal batch layout the codes are the same, token for token; a session that shared its batches with others may differ
where a draw falls on a rounding error.
"""

import argparse
import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gigmate.audio import read_audio
from gigmate.errors import GigmateError, InputError
from gigmate.live.frames import FrameEngine
from gigmate.live.record import EVENTS, FORMAT, MIX
from gigmate.live.scheduler import Schedule
from gigmate.live.session import LiveSession
from gigmate.live.settings import SessionSettings

MAX_SECONDS = 6 * 3600.0
_JUMP_S = 1000.0


@dataclass(frozen=True)
class Outcome:
    """How a replay compares.

    Args:
        num_calls: that were made again.
        num_shared: of these, made in a batch with rows of other sessions when they were recorded.
        first_frame: the first stem frame whose codes differ; None: all are equal.
        recorded: its codes in the record.
        replayed: its codes now.
    """

    num_calls: int
    num_shared: int
    first_frame: int | None = None
    recorded: tuple[int, ...] = ()
    replayed: tuple[int, ...] = ()

    def __str__(self) -> str:
        shared = f" ({self.num_shared} of them shared a batch)" if self.num_shared else ""
        if self.first_frame is None:
            return f"equal: {self.num_calls} calls{shared}, token for token"
        told = f"frame {self.first_frame}: recorded {self.recorded}, now {self.replayed}"
        return f"different from {told}; {self.num_calls} calls{shared} were equal before"


class _Replay:
    """One run over a record's events."""

    def __init__(self, folder: Path, engine: FrameEngine) -> None:
        self._events = _events(folder / EVENTS)
        opened = next(self._events, {})
        if opened.get("type") != "open" or opened.get("format") != FORMAT:
            raise InputError("record", "this is no record of a session", folder / EVENTS, "give a session's folder")
        audio = read_audio(folder / MIX, max_seconds=MAX_SECONDS)
        self._mix, self._num_pushed, self._seq = audio.wave[0], 0, 0
        self._engine, self._time_s = engine, 0.0
        settings = SessionSettings(**opened["settings"])
        self._session = LiveSession(settings, engine.facts, self._clock)
        self._slot = engine.open(self._session.slot_settings)

    def run(self) -> Outcome:
        """Until the record ends or differs."""
        num_calls = num_shared = 0
        try:
            for event in self._events:
                if event["type"] != "call":
                    self._apply(event)
                    continue
                codes = self._call(event)
                if codes != event["codes"]:
                    told = (tuple(event["codes"] or ()), tuple(codes or ()))
                    return Outcome(num_calls, num_shared, event["frame"], *told)
                num_calls += 1
                num_shared += event["rows"] > 1
        finally:
            self._engine.close(self._slot)
        return Outcome(num_calls, num_shared)

    def _apply(self, event: dict[str, Any]) -> None:
        session, kind = self._session, event.pop("type")
        match kind:
            case "schedule":
                session.set_schedule(Schedule(**event))
            case "turn":
                session.turn(event["values"])
                self._engine.set(self._slot, session.slot_settings)
            case "skip":
                session.skip(event["num_frames"])
            case "tap" | "tick" | "nudge":
                getattr(session, kind)(**event)
            case _:  # resume and close change nothing that is played
                pass

    def _call(self, event: dict[str, Any]) -> list[int] | None:
        session = self._session
        while not session.calls.num_owed:
            size = session.frames.frame_samples
            part = self._mix[self._num_pushed : self._num_pushed + size]
            if len(part) < size:
                raise InputError("record", f"the mix ends before frame {event['frame']}", MIX, "it was cut")
            session.push_audio(self._seq, self._num_pushed, np.ascontiguousarray(part, np.float32))
            self._num_pushed, self._seq = self._num_pushed + size, self._seq + 1
        request = session.next_request()
        if request is None or session.calls.next_frame != event["frame"]:
            raise InputError("record", f"frame {event['frame']} can't follow here", EVENTS, "it was altered")
        wave = self._engine.step({self._slot: request})[self._slot]
        codes = self._engine.codes(self._slot)
        session.take(wave, codes)
        session.outgoing()
        return None if codes is None else codes.tolist()

    def _clock(self) -> float:
        """Time that runs so fast that nothing ever comes too early."""
        self._time_s += _JUMP_S
        return self._time_s


def replay(folder: Path, engine: FrameEngine) -> Outcome:
    """Play a record again.

    Args:
        folder: of the record.
        engine: with a free slot, on the model that played it.

    Raises:
        InputError: no record, or one that was cut or altered.
    """
    try:
        return _Replay(folder, engine).run()
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("record", f"an event makes no sense ({error})", folder / EVENTS, "it was altered") from error


def _events(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a record; a last line that was cut is left out."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("record", f"it can't be read ({error})", path, "give the folder of a session") from error
    for line in lines[:-1]:
        event = json.loads(line)
        if not isinstance(event, dict):
            raise ValueError("no object")
        yield event


def main(argv: list[str] | None = None) -> int:
    """The command; its exit code: 0 equal, 1 different, else of the error."""
    parser = argparse.ArgumentParser(prog="python -m gigmate.live.replay", description="Play a session again.")
    parser.add_argument("folder", type=Path, help="folder of a recorded session")
    parser.add_argument("--ckpt", type=Path, help="the model that played it; the one that ships if left out")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        from gigmate.accompanist import Accompanist
        from gigmate.live.engine import Engine

        outcome = replay(args.folder, Engine(Accompanist.load(args.ckpt), 1))
    except GigmateError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(f"{outcome}\n")
    return 0 if outcome.first_frame is None else 1


if __name__ == "__main__":
    sys.exit(main())
