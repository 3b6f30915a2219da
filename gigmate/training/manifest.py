"""Checkpoints of a training on the disk: each under a new name, with a manifest, and only whole ones are used.

    <run>/checkpoints/step-00000500.ckpt    what Lightning saves, all values and tensors
                      step-00000500.json    its manifest, written after it: SHA-256, size, step, format

A file without its manifest was never finished. Over one fixed name a kill between the two would lose the old and the
new; so every save has its own name, and the newest is the valid one with the highest step, whatever the clock says.
"""

import hashlib
import json
import logging
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from gigmate import __version__
from gigmate.errors import CheckpointError
from gigmate.files.weights_file import open_regular

log = logging.getLogger(__name__)
FORMAT = 1
_AUTO = "resume=auto takes the newest that is whole; init_from= starts from its weights alone"


@dataclass(frozen=True)
class Manifest:
    """What was written, to tell whether it is still the same."""

    sha256: str
    bytes: int
    step: int
    format: int = FORMAT
    code: str = __version__


def checkpoint_folder(run_dir: Path | str) -> Path:
    """Where a run keeps its checkpoints."""
    return Path(run_dir) / "checkpoints"


def manifest_path(path: Path | str) -> Path:
    """Where the manifest of a checkpoint lies."""
    return Path(path).with_suffix(".json")


def read_manifest(path: Path | str) -> Manifest:
    """The manifest of the checkpoint `path`.

    Raises:
        CheckpointError: `unfinished` (there is none), `manifest` (damaged) or `newer_format`.
    """
    place = manifest_path(path)
    try:
        with open_regular(place) as file:
            values = json.loads(file.read(1 << 16))
        manifest = Manifest(**values)
        if not isinstance(manifest.step, int) or not isinstance(manifest.format, int):
            raise TypeError("a step that is no number")
    except CheckpointError as error:
        what = f"its manifest {place.name} is {error.code}: the save wasn't finished"
        raise CheckpointError("unfinished", what, path, _AUTO) from None
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError("manifest", f"its manifest {place.name} is damaged: {error}", path, _AUTO) from None
    if manifest.format > FORMAT:
        what = f"made with format {manifest.format}, this program reads up to {FORMAT}"
        raise CheckpointError("newer_format", what, path, "update gigmate")
    return manifest


def open_verified(path: Path | str) -> BufferedReader:
    """The checkpoint, open at its start, after size and SHA-256 of that same open file were found right.

    Raises:
        CheckpointError: `missing`, `truncated`, `corrupt` or as `read_manifest`.
    """
    file = open_regular(path)
    try:
        manifest = read_manifest(path)
        size = file.seek(0, 2)
        if size != manifest.bytes:
            raise CheckpointError("truncated", f"has {size} bytes, {manifest.bytes} were written", path, _AUTO)
        file.seek(0)
        if hashlib.file_digest(file, "sha256").hexdigest() != manifest.sha256:
            raise CheckpointError("corrupt", "the content doesn't match its SHA-256", path, _AUTO)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def saved_steps(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, whole or not, newest first."""
    found = [p for p in folder.glob("step-*.ckpt") if p.stem.removeprefix("step-").isdecimal()]
    return sorted(found, key=lambda path: int(path.stem.removeprefix("step-")), reverse=True)


def newest_valid(folder: Path) -> Path | None:
    """The checkpoint of the highest step that is whole; the ones passed over are named in the log."""
    for path in saved_steps(folder):
        try:
            open_verified(path).close()
        except CheckpointError as error:
            log.warning("passed over: %s", error)
        else:
            return path
    return None


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return folder / f"step-{step:08d}.ckpt"


def superseded(folder: Path, step: int, keep: int) -> list[Path]:
    """Checkpoints that can go, now that the one of `step` is whole: unfinished ones, and all but `keep`.

    Only older ones: those of later steps are of a run that this one was resumed before, and not ours to judge.
    """
    older = [path for path in saved_steps(folder) if int(path.stem.removeprefix("step-")) < step]
    kept = [path for path in older if manifest_path(path).exists()][: keep - 1]
    return [path for path in older if path not in kept]
