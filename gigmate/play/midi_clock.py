"""MIDI clock in: ticks that a drum machine or a sequencer sends, on the session's sample clock."""

from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any

from gigmate.errors import MachineError


class MidiClock:
    """Collects ticks from a MIDI input until they are taken.

    Args:
        port: its name, or a part of it.
        sample_now: the sample that the session is at.

    Raises:
        MachineError: no MIDI on this machine, or no such port; with the list of those that are there.
    """

    def __init__(self, port: str, sample_now: Callable[[], int]) -> None:
        try:
            import mido

            names: list[str] = mido.get_input_names()  # pyright: ignore[reportAttributeAccessIssue]
        except (ImportError, OSError) as error:
            remedy = "pip install 'gigmate[player,midi]'"
            raise MachineError("no_midi", f"MIDI can't be reached ({error})", "", remedy) from error
        found = [name for name in names if port.lower() in name.lower()]
        if not found:
            here = f"MIDI inputs here: {', '.join(names) or 'none'}"
            raise MachineError("no_midi_port", f"no MIDI input {port!r}", here, "choose one with --midi-clock")
        self._ticks: deque[int] = deque()
        self._sample_now = sample_now
        self._port: Any = mido.open_input(found[0], callback=self._receive)  # pyright: ignore[reportAttributeAccessIssue]

    def __enter__(self) -> "MidiClock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._port.close()

    def take(self) -> list[int]:
        """Sample indices of the ticks since the last time."""
        return [self._ticks.popleft() for _ in range(len(self._ticks))]

    def _receive(self, message: Any) -> None:
        if message.type == "clock":
            self._ticks.append(self._sample_now())
