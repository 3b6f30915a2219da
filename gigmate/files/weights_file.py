"""Opens weights that nobody has vouched for: regular files only, and sizes judged before memory is taken."""

import json
import math
import os
import stat
import struct
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

from gigmate.errors import CheckpointError, printable

MAX_FILE_BYTES = 16 << 30
MAX_HEADER_BYTES = 4 << 20
_REMEDY = "pass a .safetensors file that GigMate exported"
# fmt: off
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64,
}
# fmt: on


def open_regular(path: Path | str) -> BufferedReader:
    """Open `path` for reading without ever blocking.

    Raises:
        CheckpointError: `missing`, `not_regular`, `io_error`, `empty` or `too_large`.
    """
    try:
        # O_NONBLOCK: opening a FIFO without a writer would wait for ever
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except FileNotFoundError:
        raise CheckpointError("missing", "there is no such checkpoint", path, "check the path") from None
    except IsADirectoryError:
        raise CheckpointError("not_regular", "a folder", path, "name the file in it") from None
    except (OSError, ValueError) as error:
        raise CheckpointError("io_error", f"can't be opened: {error}", path, "check permissions") from error
    try:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError("not_regular", "no regular file", path, "pass a file")
        if status.st_size == 0:
            raise CheckpointError("empty", "the file is empty", path, "fetch or export it again")
        if status.st_size > MAX_FILE_BYTES:
            what = f"{status.st_size} bytes, at most {MAX_FILE_BYTES} are read"
            raise CheckpointError("too_large", what, path, "pass a smaller one")
    except CheckpointError:
        file.close()
        raise
    return file


@dataclass(frozen=True)
class Header:
    """What the head of a safetensors file says, after its sizes were found to fit the file."""

    metadata: dict[str, str]
    num_values: int
    file_bytes: int


def read_header(file: BinaryIO, path: Path | str) -> Header:
    """Read and judge the header of a safetensors file; nothing is taken from it on trust.

    Raises:
        CheckpointError: `not_checkpoint` or `truncated`.
    """
    size = os.fstat(file.fileno()).st_size
    head = file.read(8)
    length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
    if not 2 <= length <= MAX_HEADER_BYTES:
        what = f"not a checkpoint: it begins with {head[:8]!r}"
        raise CheckpointError("not_checkpoint", what, path, _REMEDY)
    if 8 + length > size:
        what = f"the header alone needs {8 + length} bytes, the file has {size}"
        raise CheckpointError("truncated", what, path, "fetch it again")
    try:
        entries = json.loads(file.read(length))
        metadata = entries.pop("__metadata__", {})
        values = [_judge(entry) for entry in entries.values()]
        end = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
        if not all(isinstance(v, str) for v in metadata.values()):
            raise TypeError("metadata that is no text")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        what = f"not a checkpoint: its header can't be read ({printable(error, 80)})"
        raise CheckpointError("not_checkpoint", what, path, _REMEDY) from None
    if 8 + length + end != size:
        what = f"the tensors need {8 + length + end} bytes, the file has {size}"
        raise CheckpointError("truncated", what, path, "fetch it again")
    return Header(metadata, sum(values), size)


def _judge(entry: dict[str, Any]) -> int:
    """Number of values of a tensor whose shape fits its bytes."""
    start, end = entry["data_offsets"]
    shape = entry["shape"]
    if not all(isinstance(n, int) and n >= 0 for n in [start, end, *shape]):
        raise ValueError("a size that is no count")
    if (end - start) * 8 != math.prod(shape) * _BITS[entry["dtype"]]:
        raise ValueError("a shape that doesn't fit its bytes")
    return math.prod(shape)
