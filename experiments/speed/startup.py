"""From a command to its first sign of life: `python -m experiments.speed.startup`.

Warm: after a run that isn't counted, so that all files are in memory. Cold: after the system was told to drop all that
it keeps of the files of Python, its packages and GigMate; the disk is read, but a cache of the disk's own is nobody's
to empty. Beside it the imports of the longest command.
"""

import subprocess
import sys
import sysconfig
import time
import wave
from array import array
from collections.abc import Sequence
from math import exp
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from experiments.speed.cold import CAN_FORGET, forget, kept_share
from experiments.speed.figures import Cells, Figure
from experiments.speed.process import REPO

_RUNS, _COLD_RUNS, _SONG_S, _RATE = 5, 3, 4, 24_000
_FOLDERS = (
    *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platlib")),
    *(REPO / name for name in ("gigmate", "conf")),
)


def commands(play: list[str]) -> dict[str, tuple[list[str], str]]:
    """By name: the arguments of Python, and the goal in seconds; `play` are those that play to a song."""
    return {
        "python generate.py --help": (["generate.py", "--help"], "1.5"),
        f"python generate.py with a song of {_SONG_S} s: stem and mix are written": (play, ""),
        "live: first frame decoded, player's warm-up included": (["-m", "experiments.speed.first_frame"], "6"),
        "import torch alone": (["-c", "import torch"], ""),
    }


def write_clicks(path: Path) -> None:
    """A song that this process can make without importing what is to be cold: a click each half second."""
    noise = Random(0)
    click = [int(20_000 * exp(-i / 600) * noise.uniform(-1, 1)) for i in range(_RATE // 2)]
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, _RATE, 0, "NONE", ""))
        file.writeframes(array("h", click * (2 * _SONG_S)).tobytes())


def seconds(command: Sequence[str], runs: int, *, is_cold: bool = False) -> list[float]:
    """Wall times of a Python process.

    Raises:
        CalledProcessError: it failed.
    """
    taken = []
    for _ in range(runs):
        if is_cold:
            forget(_FOLDERS)
        start = time.perf_counter()
        subprocess.run([sys.executable, *command], cwd=REPO, check=True, capture_output=True)
        taken.append(time.perf_counter() - start)
    return taken


def row(name: str, command: Sequence[str], goal: str) -> Cells:
    """A line of the table."""
    cold = Figure.over(seconds(command, _COLD_RUNS, is_cold=True), ".2f") if CAN_FORGET else "can't be had here"
    warm = Figure.over(seconds(command, _RUNS + 1)[1:], ".2f")
    return {"from the command to": name, "warm, s": warm, "cold, s": cold, "goal, s": goal}


def main() -> None:
    """Measure, print and keep."""
    with TemporaryDirectory() as folder:
        song = Path(folder, "clicks.wav")
        write_clicks(song)
        play = ["generate.py", f"input={song}", f"out={folder}/out", "instrument=drums", "force=true"]
        facts: dict[str, int | str] = {"runs": _RUNS, "cold_runs": _COLD_RUNS}
        if CAN_FORGET:
            forget(_FOLDERS)
            facts["kept_by_others_when_cold"] = f"{kept_share(_FOLDERS):.1%}"
        rows = [row(name, *about) for name, about in commands(play).items()]
        # imported last: this process must not hold torch's libraries while others are to read them from the disk
        from experiments.speed.import_times import heaviest, told
        from experiments.speed.report import write

        more = {"Imports of generate.py with a song, warm, own time of each package": heaviest(told(play))}
        sys.stdout.write(write("startup", rows, more=more, **facts))


if __name__ == "__main__":
    main()
