"""The SoundFont synthesizer behind a process boundary: a hang or a crash costs one track, not the run."""

import os
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gigmate.errors import InputError


class SynthesizerProcess:
    """A synthesizer in a child process that starts when needed and is killed when it doesn't answer in time.

    Args:
        soundfont: .sf2 or .sf3 file.
        sample_rate: Hz.
        quality: interpolation, 0 (fast) to 4 (fine); symusic answers higher values with silence.
        limit_s: seconds that one answer may take.
    """

    def __init__(self, soundfont: str | Path, sample_rate: int, quality: int, limit_s: float) -> None:
        self._arguments = [str(soundfont), str(sample_rate), str(quality)]
        self._limit_s = limit_s
        self._child: subprocess.Popen[bytes] | None = None

    def render(self, midi: bytes, name: str) -> NDArray[np.float32]:
        """Mono samples [N] of a MIDI file; `name` is for errors.

        Raises:
            InputError: render_timeout, render_failed. The next call starts a fresh child.
        """
        child = self._child = self._child or self._start()
        is_late = threading.Event()

        def give_up() -> None:
            is_late.set()
            child.kill()

        timer = threading.Timer(self._limit_s, give_up)
        timer.start()
        try:
            samples = _exchange(child, midi)
        finally:
            timer.cancel()
        if samples is None:
            self.close()
            where, remedy = f"track {name[:80]!r}", "leave this file out"
            if is_late.is_set():
                raise InputError("render_timeout", f"no sound within {self._limit_s:g} s", where, remedy)
            raise InputError("render_failed", "the synthesizer died", where, f"check the SoundFont, or {remedy}")
        return samples

    def close(self) -> None:
        """End the child, if there is one."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "gigmate.music.synthesizer_child", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )


def _exchange(child: subprocess.Popen[bytes], midi: bytes) -> NDArray[np.float32] | None:
    """Send a file and read its samples; None if the child is gone before the last one."""
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(struct.pack("<q", len(midi)) + midi)
        child.stdin.flush()
    except BrokenPipeError:
        return None
    head = child.stdout.read(8)
    size = struct.unpack("<q", head)[0] if len(head) == 8 else 0
    content = child.stdout.read(size)
    return np.frombuffer(content, "<f4").astype(np.float32) if len(head) == 8 and len(content) == size else None
