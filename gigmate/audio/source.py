"""Opening a file that a stranger may have named or made, and reading parts of it, without ever blocking."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gigmate.errors import InputError

_CACHE_BYTES = 1 << 16


class Source:
    """Random access to an open regular file of known size; reads past the end come back short.

    Attributes:
        fd: the open file descriptor (its position is never used).
        size: bytes when the file was opened.
    """

    def __init__(self, fd: int, size: int) -> None:
        self.fd, self.size = fd, size
        self._cached, self._cached_from = b"", 0

    def read_at(self, offset: int, num_bytes: int) -> bytes:
        """At most `num_bytes` (no more than 64 KiB) from `offset`, through a small cache for walks in small steps."""
        if offset >= self.size:  # also keeps offsets that no file can have from the system
            return b""
        start = offset - self._cached_from
        if start < 0 or start + num_bytes > len(self._cached):
            self._cached, self._cached_from, start = os.pread(self.fd, _CACHE_BYTES, offset), offset, 0
        return self._cached[start : start + num_bytes]


@contextmanager
def open_source(path: Path, root: Path | None = None) -> Iterator[Source]:
    """The regular file at `path`, open for reading; a check on leaving tells whether it was altered meanwhile.

    Args:
        path: file to open; links are followed.
        root: when given, the file must lie inside this folder after all links are followed.

    Raises:
        InputError: `not_regular` (folder, pipe, device), `symlink` (leads out of `root`), `io_error`, `changed`.
    """
    try:
        _check_place(path, root)
        # O_NONBLOCK: should the file be swapped for a pipe after the check, opening it must not wait for a writer.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError("io_error", f"can't open it ({reason})", path, "check path and permissions") from error
    try:
        before = os.fstat(fd)
        _require_regular(before.st_mode, path)
        yield Source(fd, before.st_size)
        after = os.fstat(fd)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise InputError("changed", "altered while it was read", path, "wait until it is complete, run again")
    except OSError as error:
        raise InputError("io_error", f"can't read it ({error.strerror})", path, "check the disk") from error
    finally:
        os.close(fd)


def _check_place(path: Path, root: Path | None) -> None:
    _require_regular(os.stat(path).st_mode, path)
    if root is not None and not path.resolve().is_relative_to(root.resolve()):
        raise InputError("symlink", "a link that leads out of its folder", path, f"copy the file into {root}")


def _require_regular(mode: int, path: Path) -> None:
    if not stat.S_ISREG(mode):
        raise InputError("not_regular", "not a regular file", path, "give an audio file")
