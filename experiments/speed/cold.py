"""Files as they are after the machine was started: their contents dropped from the system's file cache.

Imports nothing large: what a running process has mapped can't be dropped.
"""

import ctypes
import mmap
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

CAN_FORGET = hasattr(os, "posix_fadvise")
"""Whether this system can be asked."""


def forget(folders: Iterable[Path]) -> None:
    """Have the system drop what it keeps of all files below the folders; it keeps what other processes use."""
    os.sync()  # what isn't written yet can't be dropped
    for path in _files(folders):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def kept_share(folders: Iterable[Path]) -> float:
    """Of the bytes of all files below the folders, the share that is in memory.

    Raises:
        OSError: the system doesn't say.
    """
    kept = total = 0
    for path in _files(folders):
        size = path.stat().st_size
        kept, total = kept + _kept_bytes(path, size), total + size
    return kept / max(total, 1)


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)


def _kept_bytes(path: Path, size: int) -> int:
    pages = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
    libc = ctypes.CDLL(None, use_errno=True)
    # a copy on write, that nobody writes to: ctypes wants a buffer that could be
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY) as view:
        place = ctypes.c_char.from_buffer(view)
        refused = libc.mincore(ctypes.byref(place), ctypes.c_size_t(size), pages)
        del place
    if refused:
        raise OSError(ctypes.get_errno(), "mincore", str(path))
    return min(size, mmap.PAGESIZE * sum(page & 1 for page in pages))
