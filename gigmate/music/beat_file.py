"""Beat times in a text file: one beat in seconds a line, `d` after a downbeat."""

import os
import stat
from pathlib import Path

from gigmate.errors import InputError

MIN_BPM, MAX_BPM = 10.0, 500.0
"""Tempi that a person's file may hold: outside them it is taken for a mistake."""

_MAX_FILE_BYTES = 4 << 20  # 10 hours of beats at 300 bpm
_REMEDY = "a line is a time in s, then `d` if it is a downbeat; times increase"


def read_beats(path: str | Path) -> tuple[list[float], list[bool]]:
    """Beat times in seconds and whether each is a downbeat; empty lines and what follows a `#` are skipped.

    Raises:
        InputError: unreadable, fewer than two beats, or a line that makes no sense, with its number.
    """
    times_s: list[float] = []
    downbeats: list[bool] = []
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        words = line.split("#", 1)[0].split()
        if words:
            times_s.append(_beat_of_line(words, times_s, f"{path}, line {number}"))
            downbeats.append(len(words) == 2)
    if len(times_s) < 2:
        raise InputError("beats_few", f"{len(times_s)} beats, at least 2 are needed", path, _REMEDY)
    return times_s, downbeats


def write_beats(path: str | Path, times_s: list[float], downbeats: list[bool]) -> None:
    """Write what `read_beats` reads, exactly; `path` appears complete or not at all."""
    lines = [f"{t!r}{' d' if d else ''}\n" for t, d in zip(times_s, downbeats, strict=True)]
    temporary = Path(f"{path}.tmp.{os.getpid()}")
    try:
        temporary.write_text("".join(lines), encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _read_text(path: str | Path) -> str:
    try:
        info = os.stat(path)
        if not stat.S_ISREG(info.st_mode):
            raise InputError("not_regular", "not a regular file", path, "pass a text file of beat times")
        if info.st_size > _MAX_FILE_BYTES:
            raise InputError("beats_size", f"{info.st_size} bytes, at most {_MAX_FILE_BYTES} are taken", path)
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError("beats_line", "not UTF-8 text", path, _REMEDY) from error
    except OSError as error:
        what = error.strerror or str(error)
        raise InputError("io_error", what, path, "pass a file that can be read") from error


def _beat_of_line(words: list[str], before: list[float], where: str) -> float:
    """The time on a line, checked against the beats before it."""
    try:
        time_s = float(words[0])
    except ValueError:
        time_s = float("nan")
    if not abs(time_s) < 1e6 or words[1:] not in ([], ["d"]):
        raise InputError("beats_line", f"{' '.join(words)[:80]!r} is no beat", where, _REMEDY)
    if before and not 60 / MAX_BPM <= time_s - before[-1] <= 60 / MIN_BPM:
        gap = f"{time_s} s comes {time_s - before[-1]:.3f} s after the beat before"
        taken = f"{60 / MAX_BPM} to {60 / MIN_BPM} s are taken ({MIN_BPM:.0f}-{MAX_BPM:.0f} bpm)"
        raise InputError("beats_line", f"{gap}, {taken}", where, _REMEDY)
    return time_s
