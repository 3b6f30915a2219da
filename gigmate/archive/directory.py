"""The table of contents of a zip file, judged whole before anything is unpacked.

    entry 0 | entry 1 | ... | central directory | end record       nothing before, between or behind

Read by our own code: Python's zipfile takes an archive with junk in front, entries that share bytes and names cut at
a NUL, and says nothing. Here the central directory, the local heads and the layout must tell one story.
"""

import stat
import struct
from dataclasses import dataclass

from gigmate.audio.source import Source
from gigmate.errors import InputError

_END, _CENTRAL, _LOCAL = b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04"
_DESCRIPTOR_BYTES = 16
_RATIO_FROM_BYTES = 1 << 20
_MAX_DIRECTORY_BYTES = 32 << 20
STORED, DEFLATED = 0, 8


@dataclass(frozen=True)
class Entry:
    """One entry; `raw_name` as stored, `start` where its packed bytes begin."""

    raw_name: bytes
    is_utf8: bool
    method: int
    crc: int
    packed_bytes: int
    num_bytes: int
    start: int


@dataclass(frozen=True)
class Limits:
    """What an archive may hold; `max_ratio` is unpacked over packed size, for entries above 1 MiB."""

    max_entries: int = 20_000
    max_bytes: int = 8 << 30
    max_ratio: float = 200.0


def read_directory(source: Source, limits: Limits) -> list[Entry]:
    """All entries, in the order in which they lie in the file.

    Raises:
        InputError: `not_zip`, `polyglot`, `entries`, `encrypted`, `method`, `link`, `ratio`, `too_large`, `overlap`,
            `size_lie`.
    """
    count, directory_start, directory = _read_end(source, limits)
    entries: list[tuple[int, Entry]] = []
    at = 0
    for _ in range(count):
        head = directory[at : at + 46]
        if len(head) < 46 or head[:4] != _CENTRAL:
            raise _not_zip("its directory is damaged")
        name_bytes, extra_bytes, comment_bytes = struct.unpack("<HHH", head[28:34])
        raw_name = directory[at + 46 : at + 46 + name_bytes]
        entries.append(_judge(source, head, raw_name, limits))
        at += 46 + name_bytes + extra_bytes + comment_bytes
    if at != len(directory):
        raise _not_zip("its directory is damaged")
    entries.sort(key=lambda placed: placed[0])
    _check_layout(entries, directory_start)
    total = sum(entry.num_bytes for _, entry in entries)
    if total > limits.max_bytes:
        what = f"{total} bytes unpacked, the limit is {limits.max_bytes}"
        raise InputError("too_large", what, remedy="split the archive, or raise the limit")
    return [entry for _, entry in entries]


def _not_zip(why: str) -> InputError:
    return InputError("not_zip", f"not a whole zip archive: {why}", remedy="pack or download it again")


def _polyglot(why: str) -> InputError:
    return InputError("polyglot", f"the archive holds more than an archive: {why}", remedy="pack it again")


def _read_end(source: Source, limits: Limits) -> tuple[int, int, bytes]:
    """(number of entries, where the directory starts, its bytes)."""
    tail_start = max(0, source.size - 65_535)
    tail = source.read_at(tail_start, 65_535)
    at = tail.rfind(_END)
    end = tail[at : at + 22]
    if at < 0 or len(end) < 22:
        raise _not_zip(f"no end record, it begins with {source.read_at(0, 16)!r}")
    disk, first_disk, here, count, size, start, comment_bytes = struct.unpack("<HHHHIIH", end[4:])
    if tail_start + at + 22 + comment_bytes != source.size:
        raise _polyglot("bytes behind its end")
    if max(size, start) == 0xFFFFFFFF or 0xFFFF in (here, count):
        raise InputError("entries", "zip64, for more than 4 GiB or 65534 entries, is not taken", remedy="split it")
    if disk or first_disk or here != count or count == 0:
        raise _not_zip("empty, or one part of several")
    if count > limits.max_entries or size > _MAX_DIRECTORY_BYTES:
        what = f"{count} entries in {size} bytes of directory, the limit is {limits.max_entries}"
        raise InputError("entries", what, remedy="split the archive")
    if start + size != tail_start + at or source.read_at(0, 4) != _LOCAL:
        raise _polyglot("bytes in front of it or before its directory")
    directory = b"".join(
        source.read_at(offset, min(1 << 16, start + size - offset)) for offset in range(start, start + size, 1 << 16)
    )
    return count, start, directory


def _judge(source: Source, head: bytes, raw_name: bytes, limits: Limits) -> tuple[int, Entry]:
    """(offset of the local head, entry), judged by itself."""
    flags, method, _, crc, packed, size = struct.unpack("<HHIIII", head[8:28])
    mode, offset = struct.unpack("<II", head[38:46])
    shown = repr(raw_name[:80].decode("utf-8", "replace"))
    if flags & 0x2041:
        raise InputError("encrypted", f"entry {shown} is encrypted", remedy="pack it without a password")
    if method not in (STORED, DEFLATED) or flags & 0x20:
        raise InputError("method", f"entry {shown} is packed by method {method}", remedy="pack it as deflate or store")
    if stat.S_IFMT(mode >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise InputError("link", f"entry {shown} is a link or device", remedy="pack the file itself")
    if size > _RATIO_FROM_BYTES and size > limits.max_ratio * packed:
        what = f"entry {shown} would unpack {packed} bytes to {size}, more than {limits.max_ratio:g} times"
        raise InputError("ratio", what, remedy="raise the limit if it is silence")
    if method == STORED and packed != size:
        raise InputError("size_lie", f"entry {shown} claims {size} bytes, stored in {packed}", remedy="pack it again")
    local = source.read_at(offset, 30)
    if len(local) < 30 or local[:4] != _LOCAL:
        raise _not_zip(f"entry {shown} isn't where the directory says")
    name_bytes, extra_bytes = struct.unpack("<HH", local[26:30])
    same_name = source.read_at(offset + 30, name_bytes) == raw_name
    if not same_name or struct.unpack("<HH", local[6:10]) != (flags, method):
        raise _not_zip(f"entry {shown} calls itself otherwise than the directory does")
    if not flags & 8 and struct.unpack("<III", local[14:26]) != (crc, packed, size):
        raise InputError("size_lie", f"entry {shown} and the directory differ in size or sum", remedy="pack it again")
    start = offset + 30 + name_bytes + extra_bytes
    return offset, Entry(raw_name, bool(flags & 0x800), method, crc, packed, size, start)


def _check_layout(entries: list[tuple[int, Entry]], directory_start: int) -> None:
    """Entries must lie one behind the other from byte 0 on; after each there is room for a data descriptor only."""
    expected = 0
    for offset, entry in entries:
        shown = repr(entry.raw_name[:80].decode("utf-8", "replace"))
        if offset < expected:
            raise InputError("overlap", f"entry {shown} shares bytes with another", remedy="pack it again")
        if offset > expected + (_DESCRIPTOR_BYTES if expected else 0):
            raise _polyglot(f"bytes in front of entry {shown}")
        expected = entry.start + entry.packed_bytes
    if expected > directory_start:
        raise InputError("overlap", "the last entry reaches into the directory", remedy="pack it again")
    if directory_start > expected + _DESCRIPTOR_BYTES:
        raise _polyglot("bytes before its directory")
