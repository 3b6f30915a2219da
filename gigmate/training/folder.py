"""The run folder: one training at a time, nothing overwritten, and what `resume` finds in it."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gigmate.errors import CheckpointError, MachineError, UsageError
from gigmate.files.atomic import disk_error
from gigmate.files.weights_file import open_regular
from gigmate.training.manifest import checkpoint_folder, newest_valid, open_verified, saved_steps

log = logging.getLogger(__name__)
_LOCK = ".lock"


@contextmanager
def run_folder(run_dir: Path, *, is_resumed: bool) -> Iterator[None]:
    """Make the folder of a run and hold it for as long as the block takes.

    Raises:
        UsageError: it holds results already and nothing is resumed.
        MachineError: it can't be made or written, or another training holds it.
    """
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        if not is_resumed and any(entry.name != _LOCK for entry in run_dir.iterdir()):
            remedy = "choose another paths.run_dir, or go on with resume=auto"
            raise UsageError("run_folder", "the run folder isn't empty", run_dir, remedy)
        lock = os.open(run_dir / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise disk_error(error, run_dir) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            remedy = "wait for it, or choose another paths.run_dir"
            raise MachineError("locked", "another training writes here", run_dir, remedy) from None
        yield
    finally:
        os.close(lock)


def find_resumed(resume: str | None, run_dir: Path) -> Path | None:
    """The checkpoint to go on from: None to begin anew.

    Args:
        resume: None, `auto` (the newest valid one in `run_dir`, or none if there is nothing) or a path.
        run_dir: folder of the run.

    Raises:
        CheckpointError: the path is refused, or `run_dir` has checkpoints and none is whole.
    """
    if resume is None:
        return None
    if resume != "auto":
        path = Path(resume)
        with open_regular(path) as file:
            if file.read(4) != b"PK\x03\x04":
                what = "no checkpoint of a training: weights alone can't be resumed"
                raise CheckpointError("weights_only", what, path, "init_from= starts from weights")
        open_verified(path).close()
        return path
    folder = checkpoint_folder(run_dir)
    newest = newest_valid(folder)
    if newest is None and saved_steps(folder):
        remedy = "init_from= may take one's weights; or choose another paths.run_dir"
        raise CheckpointError("no_valid", "none of its checkpoints is whole", folder, remedy)
    if newest is None:
        log.info("resume=auto: no checkpoint in %s, starting at step 0", folder)
    else:
        log.info("resume=auto: going on from %s", newest)
    return newest
