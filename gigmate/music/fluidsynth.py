"""The FluidSynth program, where somebody has it: slower, but it bends and knows every controller."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gigmate.errors import InputError, MachineError

_PROGRAM = "fluidsynth"


def render(midi: bytes, soundfont_path: str | Path, sample_rate: int, limit_s: float) -> NDArray[np.float32]:
    """One MIDI file as mono samples [N].

    Raises:
        MachineError: the program isn't installed.
        InputError: render_timeout, render_failed.
    """
    if shutil.which(_PROGRAM) is None:
        remedy = "install FluidSynth 2, or use bends=count"
        raise MachineError("no_fluidsynth", f"the program {_PROGRAM} is not on PATH, but bends need it", "", remedy)
    with tempfile.TemporaryDirectory(prefix="gigmate-") as folder:
        source, target = Path(folder, "song.mid"), Path(folder, "song.raw")
        source.write_bytes(midi)
        quiet = ["-n", "-i", "-q", "-g", "1", "-R", "0", "-C", "0"]
        output = ["-r", str(sample_rate), "-O", "float", "-T", "raw", "-F", str(target)]
        command = [_PROGRAM, *quiet, *output, str(soundfont_path), str(source)]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=limit_s)
            stereo = np.fromfile(target, np.float32).reshape(-1, 2)
        except subprocess.TimeoutExpired as error:
            raise InputError("render_timeout", f"no sound within {limit_s:g} s", soundfont_path) from error
        except (subprocess.CalledProcessError, OSError, ValueError) as error:
            raise InputError("render_failed", f"{_PROGRAM} failed", soundfont_path, "check the SoundFont") from error
    return stereo.mean(axis=1)
