"""Names of archive entries: plain relative paths on every operating system, no two of which meet on any."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from gigmate.errors import InputError, printable

NESTED = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".iso", ".cab", ".jar")
MAX_PART_BYTES, MAX_NAME_BYTES = 200, 1_000
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(\.|$)", re.IGNORECASE)
_BIDI = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def plain_name(raw_name: bytes, is_utf8: bool) -> PurePosixPath:
    """The relative path that an entry names.

    Raises:
        InputError: `traversal`, `absolute`, `name`, `nested`.
    """
    try:
        name = raw_name.decode("utf-8")
    except UnicodeDecodeError as error:
        if is_utf8:
            raise _bad("name", raw_name.decode("utf-8", "replace"), "is no valid UTF-8") from error
        name = raw_name.decode("cp437")
    parts = re.split(r"[/\\]", name)
    if ".." in parts:
        raise _bad("traversal", name, "leads out of the archive")
    if parts[0] == "" or re.match(r"[A-Za-z]:", name):
        raise _bad("absolute", name, "is not relative")
    parts = parts[:-1] if parts[-1] == "" else parts
    if "\\" in name or len(raw_name) > MAX_NAME_BYTES:
        raise _bad("name", name, "has a backslash or is too long")
    for part in parts:
        _check_part(name, part)
    if PurePosixPath(name).suffix.lower() in NESTED:
        raise _bad("nested", name, "is an archive itself")
    return PurePosixPath(*parts)


def _check_part(name: str, part: str) -> None:
    if part in ("", ".") or part[-1] in ". " or part[0] == " ":
        raise _bad("name", name, "has a part that is empty or begins or ends in a dot or space")
    if any(unicodedata.category(c) == "Cc" or c in '<>:"|?*' or c in _BIDI for c in part):
        raise _bad("name", name, "has a character that not every system takes")
    if _DEVICE.match(part):
        raise _bad("name", name, "is a device on Windows")
    if len(part.encode()) > MAX_PART_BYTES:
        raise _bad("name", name, f"has a part of more than {MAX_PART_BYTES} bytes")


def check_distinct(files: Iterable[PurePosixPath], folders: Iterable[PurePosixPath]) -> None:
    """No two entries may land on one file, be it where case or the form of accents doesn't count.

    Raises:
        InputError: `duplicate` for one name twice, `collision` else.
    """
    seen: dict[str, PurePosixPath] = {}
    inner: set[str] = set()
    for path in files:
        key = _folded(str(path))
        if (other := seen.setdefault(key, path)) is not path:
            if str(other) == str(path):
                raise _bad("duplicate", str(path), "is there twice")
            raise _bad("collision", str(path), f"is the same file as {printable(other)!r} on some systems")
        inner.update(_folded(str(parent)) for parent in path.parents)
    inner.update(_folded(str(folder)) for folder in folders)
    if clash := seen.keys() & inner:
        raise _bad("collision", str(seen[min(clash)]), "is both a file and a folder")


def _folded(name: str) -> str:
    """Equal for names that a file system may take for equal (case, accents composed or not, invisible characters)."""
    visible = "".join(c for c in name if unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", visible).casefold())


def _bad(code: str, name: str, why: str) -> InputError:
    return InputError(code, f"entry {printable(name, 120)!r} {why}", remedy="rename it and pack again")
