"""Tasks for processes that start quickly: no torch in here."""

import os
import signal
from pathlib import Path


def square_or_die(number: int) -> int:
    """Squares; 13 kills its process every time."""
    if number == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


def die_once(marker: str) -> str:
    """Kills its process when asked for the first time."""
    path = Path(marker)
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return path.name
