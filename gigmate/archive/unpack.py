"""Unpacking a zip file of a stranger: all of it under its own folder, or nothing."""

import hashlib
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from gigmate.archive.directory import DEFLATED, Entry, Limits, read_directory
from gigmate.archive.names import check_distinct, plain_name
from gigmate.audio import EXTENSIONS
from gigmate.audio.source import Source, open_source
from gigmate.errors import GigmateError, InputError, MachineError
from gigmate.files.atomic import disk_error

_BLOCK_BYTES = 1 << 16
_NESTED_MAGIC = (b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c", b"Rar!", b"\x1f\x8b", b"BZh", b"\xfd7zXZ")
_JUNK_NAMES = (".DS_Store", "Thumbs.db", "desktop.ini")


def extract(
    path: str | Path,
    target: str | Path,
    *,
    limits: Limits | None = None,
    endings: tuple[str, ...] = EXTENSIONS,
) -> Path:
    """Unpack the zip file `path` into a folder of `target` that bears the hash of its bytes.

    Everything is judged before the first byte is written; the folder appears whole at the end or not at all, and one
    that is there already is taken as it is. What systems add by themselves (`__MACOSX`, `.DS_Store`) is left out.

    Args:
        path: the archive; it is never changed.
        target: folder to unpack under, made if it isn't there.
        limits: on entries, bytes and ratio.
        endings: at least one file must end in one of these.

    Returns:
        The folder.

    Raises:
        InputError: with a code of the table of bad archives; `where` is the archive.
        MachineError: no space or no permission; nothing of it is left in `target`.
    """
    path, target = Path(path), Path(target)
    try:
        with open_source(path) as source:
            entries = read_directory(source, limits or Limits())
            files = _judge_names(entries, endings)
            folder = target / _digest(source)
            if not folder.is_dir():
                _unpack_whole(source, files, folder)
        return folder
    except GigmateError as error:
        error.where = error.where or str(path)
        raise


def _judge_names(entries: list[Entry], endings: tuple[str, ...]) -> dict[PurePosixPath, Entry]:
    """The files to write; every name is judged, also of what is left out."""
    named = [(plain_name(entry.raw_name, entry.is_utf8), entry) for entry in entries]
    files = [(name, entry) for name, entry in named if not entry.raw_name.endswith(b"/")]
    check_distinct((name for name, _ in files), (name for name, entry in named if entry.raw_name.endswith(b"/")))
    kept = {
        name: entry
        for name, entry in files
        if name.parts[0] != "__MACOSX" and name.name not in _JUNK_NAMES and not name.name.startswith("._")
    }
    if not any(name.suffix.lower() in endings for name in kept):
        raise InputError("no_audio", f"no file in it ends in {' '.join(endings)}", remedy="pack the songs themselves")
    return kept


def _digest(source: Source) -> str:
    digest = hashlib.sha256()
    for offset in range(0, source.size, _BLOCK_BYTES):
        digest.update(os.pread(source.fd, _BLOCK_BYTES, offset))
    return digest.hexdigest()[:32]


def _unpack_whole(source: Source, files: dict[PurePosixPath, Entry], folder: Path) -> None:
    """Write all files into a staging folder beside `folder`, then rename it."""
    staging: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        need, free = sum(entry.num_bytes for entry in files.values()), shutil.disk_usage(folder.parent).free
        if need > free:
            raise MachineError("disk", f"needs {need} bytes, {free} are free", folder.parent, "free some space")
        staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=folder.parent))
        for name, entry in files.items():
            _write(source, entry, name, staging)
        staging.chmod(0o755)  # mkdtemp makes it for us alone
        try:
            os.rename(staging, folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster with the same archive
                raise
    except OSError as error:
        raise disk_error(error, folder.parent) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)


def _write(source: Source, entry: Entry, name: PurePosixPath, staging: Path) -> None:
    place = staging / name
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "wb") as file:
        for data in _unpacked(source, entry, str(name)):
            file.write(data)


def _unpacked(source: Source, entry: Entry, name: str) -> Iterator[bytes]:
    """The bytes of an entry, never more than it claims; its sum is checked at the end."""
    inflater = zlib.decompressobj(-15) if entry.method == DEFLATED else None
    left, crc = entry.num_bytes, 0
    for offset in range(entry.start, entry.start + entry.packed_bytes, _BLOCK_BYTES):
        packed = source.read_at(offset, min(_BLOCK_BYTES, entry.start + entry.packed_bytes - offset))
        for data in _inflated(inflater, packed, name) if inflater else (packed,):
            left, crc = left - len(data), zlib.crc32(data, crc)
            if left + len(data) == entry.num_bytes and data.startswith(_NESTED_MAGIC):
                raise InputError("nested", f"entry {name!r} is an archive itself", remedy="unpack it first")
            if left < 0:
                raise _lie(name, f"more than {entry.num_bytes} bytes")
            yield data
    if left or (inflater is not None and not inflater.eof):
        raise _lie(name, f"{entry.num_bytes - left} bytes, not {entry.num_bytes}")
    if crc != entry.crc:
        raise InputError("crc", f"entry {name!r} is damaged", remedy="pack or download it again")


def _lie(name: str, what: str) -> InputError:
    return InputError("size_lie", f"entry {name!r} unpacks to {what}", remedy="pack it again")


def _inflated(inflater: "zlib._Decompress", packed: bytes, name: str) -> Iterator[bytes]:
    """What `packed` inflates to, in blocks."""
    try:
        while not inflater.eof:
            data = inflater.decompress(packed, _BLOCK_BYTES)
            packed = inflater.unconsumed_tail or inflater.unused_data
            yield data
            if not packed and len(data) < _BLOCK_BYTES:  # a full block may leave more inside, with no input left
                return
    except zlib.error as error:
        raise InputError("crc", f"entry {name!r} is damaged ({error})", remedy="pack it again") from error
    if packed:
        raise _lie(name, "less than is packed")
