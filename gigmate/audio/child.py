"""Decoding, and the process that does it for files of strangers.

Run as a script this is the decoder child: no import of ours (it starts in a fraction of a second), the open file as one
descriptor, an anonymous file for the samples as another, limits on memory, time, file size and descriptors (so no
network, no other file) set before the decoder sees a byte. It writes a dot per block to stdout, so that its parent sees
that it lives, then one line of JSON. The parent believes nothing of it but the bytes it wrote.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    import numpy as np
    from typing_extensions import Buffer

BLOCK_SAMPLES = 1 << 15
FAULTS = ("decode_error", "too_long")
# Names of libsndfile for containers that the header names otherwise.
_CONTAINERS = {"WAVEX": "WAV"}


class DecodeError(Exception):
    """Decoding went wrong: `code` is one of `FAULTS` or `decoder_crash`, `what` for people."""

    def __init__(self, code: str, what: str) -> None:
        super().__init__(code, what)
        self.code, self.what = code, what


class ExtentFile:
    """`prefix` and then bytes `start..stop` of an open file, as a file of its own for soundfile to read."""

    def __init__(self, fd: int, start: int, stop: int, prefix: bytes) -> None:
        self._fd, self._prefix, self._shift = fd, prefix, start - len(prefix)
        self._size, self._at = stop - self._shift, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As io.IOBase.seek; before the beginning is the beginning."""
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def tell(self) -> int:
        """Position from the start of the prefix."""
        return self._at

    def readinto(self, buffer: "Buffer") -> int:
        """Fill `buffer` as far as prefix or file go; how many bytes that were."""
        view = memoryview(buffer).cast("B")[: max(0, self._size - self._at)]
        if head := self._prefix[self._at : self._at + len(view)]:
            view[: len(head)] = head
            count = len(head)
        else:
            count = os.preadv(self._fd, [view], self._shift + self._at) if view else 0
        self._at += count
        return count


def decode(
    fd: int,
    extents: Sequence[tuple[int, int, str]],
    kind: tuple[str, str, int, int],
    max_samples: int,
) -> Iterator["np.ndarray"]:
    """Blocks [n, C] float32 of the audio in an open file, counted as they come.

    Args:
        fd: open file.
        extents: (start, stop, prefix in hex), each an audio file of its own, decoded one after the other.
        kind: container, subtype, sample rate and channels found in the header; the decoder must agree.
        max_samples: samples per channel after which `too_long` is raised.

    Raises:
        DecodeError: `decode_error`, `too_long`.
    """
    import soundfile

    total = 0
    for start, stop, prefix_hex in extents:
        done = 0
        try:
            with soundfile.SoundFile(cast("BinaryIO", ExtentFile(fd, start, stop, bytes.fromhex(prefix_hex)))) as file:
                found = (_CONTAINERS.get(file.format, file.format), file.subtype, file.samplerate, file.channels)
                if found != kind:
                    raise DecodeError("decode_error", f"the header says {kind}, the decoder finds {found}")
                while len(block := file.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
                    done += len(block)
                    if total + done > max_samples:
                        raise DecodeError("too_long", f"more than {max_samples / kind[2]:g} s of audio")
                    yield block
                expected = file.frames
        except soundfile.LibsndfileError as error:
            what = f"damaged after sample {total + done} ({error.error_string or 'no reason given'})"
            raise DecodeError("decode_error", what) from error
        if done < expected and kind[0] != "MP3":  # there it is but an estimate
            raise DecodeError("decode_error", f"damaged: {done} of {expected} samples could be decoded")
        total += done


def _limit(name: str, value: int) -> None:
    import resource

    kind = getattr(resource, name)
    _, hard = resource.getrlimit(kind)
    allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
    try:
        resource.setrlimit(kind, (allowed, allowed))
    except (ValueError, OSError):
        if sys.platform != "darwin":  # macOS knows no limit of address space
            raise


def main() -> None:
    """Decode as told by the JSON in the first argument, see `audio_isolation`."""
    task = json.loads(sys.argv[1])
    sys.path[:] = task["path"]
    for name, value in task["limits"].items():
        _limit(name, value)
    import numpy as np
    import soundfile  # noqa: F401 (loaded now, for no file can be opened after the next line)

    _limit("RLIMIT_NOFILE", 0)
    try:
        for block in decode(task["fd"], task["extents"], tuple(task["kind"]), task["max_samples"]):
            data = np.ascontiguousarray(block).data.cast("B")
            while data:
                data = data[os.write(task["output"], data) :]
            os.write(1, b".")
        os.write(1, b"{}")
    except DecodeError as error:
        os.write(1, json.dumps({"code": error.code, "what": error.what}).encode())


if __name__ == "__main__":
    main()
