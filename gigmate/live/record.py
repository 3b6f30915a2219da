"""The record of a session: what came in, what was decided, what was played; enough to play it again.

    FOLDER/session.jsonl   one event a line, in the order in which they counted; the first opens the session
           mix.wav         what was heard, on the session's sample clock: gaps are silence
           stem.wav        what was played, aligned with it to the sample

The files are whole after every second: however a session ends, what there is can be played and replayed.
"""

import json
import logging
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigmate.files.atomic import disk_error

Wave = NDArray[np.float32]

log = logging.getLogger(__name__)

EVENTS, MIX, STEM = "session.jsonl", "mix.wav", "stem.wav"
FORMAT = 1
_MAX_BYTES = (1 << 32) - 64  # of samples in a WAV file
_HEADER = "<4sI4s4sIHHIIHH4sI"


class GrowingWav:
    """A mono WAV file that is playable while it grows.

    Args:
        path: a new file.
        rate: Hz.
        is_pcm16: 16-bit samples; else float32.

    Raises:
        OSError: it can't be made.
    """

    def __init__(self, path: Path, rate: int, *, is_pcm16: bool) -> None:
        self._rate, self._is_pcm16, self._width = rate, is_pcm16, 2 if is_pcm16 else 4
        self._file = open(path, "xb")  # noqa: SIM115 (it stays open as long as the session)
        self.num_samples = self._num_flushed = 0
        self.flush()

    def write(self, wave: Wave) -> None:
        """Go on with [n] samples; beyond 4 GiB they are dropped."""
        room = _MAX_BYTES // self._width - self.num_samples
        wave = wave[:room]
        if self._is_pcm16:
            content = np.clip(np.round(wave * 32_768), -32_768, 32_767).astype("<i2").tobytes()
        else:
            content = wave.astype("<f4").tobytes()
        self._file.write(content)
        self.num_samples += len(wave)
        if self.num_samples - self._num_flushed >= self._rate:
            self.flush()

    def flush(self) -> None:
        """Bring the header up to what there is."""
        tag, size = (1 if self._is_pcm16 else 3), self.num_samples * self._width
        header = struct.pack(
            _HEADER, b"RIFF", size + 36, b"WAVE", b"fmt ", 16, tag, 1, self._rate,
            self._rate * self._width, self._width, self._width * 8, b"data", size,
        )  # fmt: skip
        self._file.seek(0)
        self._file.write(header)
        self._file.seek(0, 2)
        self._file.flush()
        self._num_flushed = self.num_samples

    def close(self) -> None:
        """The last flush."""
        if not self._file.closed:
            self.flush()
            self._file.close()


class SessionRecord:
    """Writes the folder of a session. A disk that fails ends the record, not the session.

    Args:
        folder: that doesn't exist yet.
        rate: Hz of the client.
        is_pcm16: the client's samples have 16 bits, and so have the files.

    Raises:
        MachineError: the folder can't be made.
    """

    def __init__(self, folder: Path, rate: int, *, is_pcm16: bool) -> None:
        self.folder, self._rate = folder, rate
        try:
            folder.mkdir(parents=True)
            self._mix, self._stem = (GrowingWav(folder / name, rate, is_pcm16=is_pcm16) for name in (MIX, STEM))
            self._events = open(folder / EVENTS, "x", encoding="utf-8")  # noqa: SIM115 (as above)
        except OSError as error:
            raise disk_error(error, folder) from error
        self._is_open = True

    def event(self, kind: str, **facts: Any) -> None:
        """Something that happened, in primitives."""
        self._guarded(lambda: self._events.write(json.dumps({"type": kind, **facts}, allow_nan=False) + "\n"))

    def mix(self, wave: Wave) -> None:
        """The next samples that were heard."""
        self._guarded(lambda: self._mix.write(wave))
        if self._mix.num_samples % self._rate < len(wave):
            self._guarded(self._events.flush)

    def stem(self, sample_index: int, wave: Wave) -> None:
        """Samples that were played; silence where none were."""
        missing = max(0, sample_index - self._stem.num_samples)
        if missing:
            self._guarded(lambda: self._stem.write(np.zeros(missing, np.float32)))
        self._guarded(lambda: self._stem.write(wave))

    def close(self) -> None:
        """End the record; what comes after is dropped."""
        self._guarded(self._close_files)
        self._is_open = False

    def _close_files(self) -> None:
        for file in (self._mix, self._stem, self._events):
            file.close()

    def _guarded(self, action: Any) -> None:
        if not self._is_open:
            return
        try:
            action()
        except OSError as error:
            self._is_open = False
            for file in (self._mix, self._stem, self._events):
                with suppress(OSError):
                    file.close()
            log.warning("the record of a session ends: %s", disk_error(error, self.folder))
