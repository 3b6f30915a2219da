"""The folder of a data set in the making: one builder at a time, one recipe, nothing half-made left behind."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from gigmate.data.store import MANIFEST, QUARANTINE, RECIPE, SONGS, Recipe, read_recipe, to_json
from gigmate.errors import MachineError, UsageError
from gigmate.files.atomic import disk_error, remove_leftovers, write_bytes

_LOCK = ".lock"


@contextlib.contextmanager
def opened(folder: Path, recipe: Recipe, force: bool) -> Iterator[None]:
    """The folder, ours alone, cleared of half-made things, with its recipe in it.

    Raises:
        UsageError: `occupied` or `other_recipe`.
        MachineError: `locked`, or the disk refused.
    """
    found = read_recipe(folder)
    if found is None and not force and _holds_other_things(folder):
        what = "it isn't empty and holds no data set of this version"
        raise UsageError("occupied", what, folder, "choose another out, or set force=true")
    if found is not None and found != recipe and not force:
        what = f"it holds {_named(found)}, this is {_named(recipe)}"
        raise UsageError("other_recipe", what, folder, "choose another out, or set force=true")
    try:
        (folder / SONGS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, folder) from error
    with _locked(folder):
        if force:
            _clear(folder)
        for place in (folder, folder / SONGS):
            remove_leftovers(place)
        write_bytes(folder / RECIPE, to_json(recipe.to_dict()))
        yield


def _holds_other_things(folder: Path) -> bool:
    """Whether there is anything but what a preparation that was killed at its very start leaves."""
    if not folder.exists():
        return False
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
    return any(name not in (_LOCK, SONGS) and not name.startswith(RECIPE) for name in names)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One builder per folder; the lock goes with the process, however it ends."""
    try:
        descriptor = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise disk_error(error, folder) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            remedy = "wait for it, or choose another out"
            raise MachineError("locked", "another process prepares data here", folder, remedy) from error
        yield
    finally:
        os.close(descriptor)


def _clear(folder: Path) -> None:
    """Remove a data set; files of others stay."""
    for name in (MANIFEST, QUARANTINE, RECIPE):
        (folder / name).unlink(missing_ok=True)
    for path in [*(folder / SONGS).glob("*.npy"), *(folder / SONGS).glob("*.json")]:
        path.unlink()


def _named(recipe: Recipe) -> str:
    if recipe.codec is None:
        return f"{recipe.kind} at {recipe.sample_rate} Hz"
    return f"{recipe.kind} of codec {recipe.codec.name} ({recipe.codec.fingerprint[:12]})"
