"""Tapping the beat on the terminal's keyboard, on the session's sample clock."""

import os
import select
from collections.abc import Callable
from types import TracebackType

from gigmate.errors import MachineError

_READ_BYTES = 64


class TapKey:
    """Any key of the terminal is a tap; a context manager that leaves the terminal as it was.

    Args:
        terminal: its descriptor.
        sample_now: the sample that the session is at.

    Raises:
        MachineError: it is no terminal, or this system has none of this kind.
    """

    def __init__(self, terminal: int, sample_now: Callable[[], int]) -> None:
        if os.name != "posix" or not os.isatty(terminal):
            raise MachineError("no_keyboard", "there is no terminal to tap on", "--tap", "give --bpm instead")
        self._terminal, self._sample_now = terminal, sample_now

    def __enter__(self) -> "TapKey":
        import termios
        import tty

        self._before = termios.tcgetattr(self._terminal)
        tty.setcbreak(self._terminal)  # keys come at once and aren't echoed; Ctrl-C stays what it is
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import termios

        termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._before)

    def take(self) -> list[int]:
        """Where the session is, if a key was pressed since the last time."""
        has_tap = False
        while select.select([self._terminal], [], [], 0)[0] and os.read(self._terminal, _READ_BYTES):
            has_tap = True
        return [self._sample_now()] if has_tap else []
