"""Files that are whole or not there: written beside their place, flushed to the disk, then renamed.

A kill at any instant leaves the old file or the new one. The temporary file lies in the target's own folder (a
rename across file systems is a copy, which can be cut in half) and bears the pid of its writer, so that what a dead
writer left can be told from what a living one is writing.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from gigmate.errors import MachineError


def disk_error(error: OSError, path: Path) -> MachineError:
    """What the disk refused, as an error with a remedy."""
    remedies = {
        errno.ENOSPC: "free some space",
        errno.EDQUOT: "free some space of your quota",
        errno.EACCES: "change its permissions or choose another folder",
        errno.EROFS: "choose a folder that can be written",
    }
    remedy = remedies.get(error.errno or 0, "check the disk or choose another folder")
    return MachineError("disk", f"can't write: {error.strerror or error}", path, remedy)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_file(path: Path | str) -> Iterator[BinaryIO]:
    """A binary file that appears under `path` when the block ends well, and not at all when it doesn't.

    Missing folders are made.

    Raises:
        MachineError: the disk is full, can't be written or failed; what lay under `path` before is untouched.
    """
    path = Path(path)
    temporary = path.with_name(f"{path.name}.tmp.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise disk_error(error, path) from error
    finally:
        with suppress(OSError):  # whatever kept it from being written may keep it from being looked for
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path | str, content: bytes) -> None:
    """Put `content` under `path`, whole or not at all.

    Raises:
        MachineError: see `atomic_file`.
    """
    with atomic_file(path) as file:
        file.write(content)


@contextmanager
def atomic_results(folder: Path) -> Iterator[Path]:
    """A place to write files into that appear in `folder` together, in the order in which they were written, when the
    block ends well; when it doesn't, `folder` is as it was.

    Raises:
        MachineError: see `atomic_file`.
    """
    is_new, staging = not folder.exists(), folder / f"results.tmp.{os.getpid()}"
    try:
        staging.mkdir(parents=True, exist_ok=True)
        yield staging
        for path in sorted(staging.iterdir(), key=lambda path: path.stat().st_mtime_ns):
            os.replace(path, folder / path.name)
        sync_folder(folder)
    except OSError as error:
        raise disk_error(error, folder) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if is_new:
            with suppress(OSError):  # there is something in it, or nothing to remove
                folder.rmdir()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def remove_leftovers(folder: Path | str) -> list[Path]:
    """Delete the temporary files of writers that are dead; returns them.

    Our own pid counts as dead: another writer had it before (in containers pids repeat), we aren't writing yet.
    """
    removed = []
    for path in sorted(Path(folder).glob("*.tmp.*")):
        pid = path.name.rpartition(".")[2]
        if path.is_file() and pid.isdecimal() and (int(pid) == os.getpid() or not _is_alive(int(pid))):
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed
