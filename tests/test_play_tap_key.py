"""The tap key: a key counts where the session is, and the terminal is left as it was."""

import os
import pty
import select
import termios

import pytest

from gigmate.errors import MachineError, UsageError
from gigmate.play import __main__ as command
from gigmate.play.tap_key import TapKey


def test_a_key_is_a_tap_where_the_session_is() -> None:
    keyboard, terminal = pty.openpty()
    try:
        before = termios.tcgetattr(terminal)
        now = 0
        with TapKey(terminal, lambda: now) as taps:
            assert taps.take() == []
            for now in (480, 960):
                os.write(keyboard, b" ")  # not a whole line
                assert select.select([terminal], [], [], 60)[0]
                assert taps.take() == [now]
                assert taps.take() == []
        assert termios.tcgetattr(terminal) == before
    finally:
        os.close(keyboard)
        os.close(terminal)


def test_without_a_terminal_it_is_refused_in_a_line() -> None:
    with open("/dev/null") as nowhere, pytest.raises(MachineError, match="no terminal"):
        TapKey(nowhere.fileno(), lambda: 0)


def test_the_command_taps_and_takes_one_source_of_the_beat() -> None:
    def beats(*given: str) -> str:
        return command.settings_of(command.parser().parse_args(given), 48_000).beats

    assert [beats(), beats("--tap"), beats("--bpm", "90")] == ["tracker", "tap", "tempo"]
    assert beats("--midi-clock", "drum machine") == "clock"
    with pytest.raises(UsageError, match="give one of them"):
        beats("--tap", "--bpm", "90")
