"""Reads what `torch.save` wrote without letting it run anything: the only place with `torch.load`.

A `.ckpt` of our trainings is a zip with one pickle and one entry per tensor. Before torch sees it, the zip must be
plain (nothing compressed, so that nothing inflates; no bytes listed twice) and the pickle may name nothing but the few
functions that tensors are made of. `weights_only=True` alone isn't enough: it lets `bytearray(2**40)` take all memory,
and it inflates a compressed entry without asking.
"""

import io
import os
import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

from gigmate.errors import CheckpointError, printable

MAX_ENTRIES = 100_000
MAX_PICKLE_BYTES = 64 << 20
_REMEDY = "pass a .ckpt that GigMate saved, or a .safetensors that it exported"
# fmt: off
_STORAGES = (
    "FloatStorage", "HalfStorage", "BFloat16Storage", "DoubleStorage", "LongStorage", "IntStorage", "ShortStorage",
    "CharStorage", "ByteStorage", "BoolStorage",
)
# fmt: on
_GLOBALS = frozenset({"collections OrderedDict", "torch._utils _rebuild_tensor_v2", *(f"torch {s}" for s in _STORAGES)})


def load_values(file: BinaryIO, path: Path | str) -> Any:
    """The content of a file that `torch.save` wrote, on the CPU: primitives and tensors.

    Args:
        file: opened by `weights_file.open_regular`; read from its start.
        path: for messages.

    Raises:
        CheckpointError: `not_checkpoint`, `truncated`, `inflates` or `runs_code`.
    """
    _judge_zip(file, path)
    file.seek(0)
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, TypeError, KeyError, EOFError, AttributeError) as error:
        what = f"not a checkpoint: {printable(error, 120)}"
        raise CheckpointError("not_checkpoint", what, path, _REMEDY) from None


def load_ckpt(file: BinaryIO, path: Path | str) -> dict[str, Any]:
    """The content of a training checkpoint.

    Raises:
        CheckpointError: see `load_values`; or there is no `state_dict` in it.
    """
    content = load_values(file, path)
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict):
        raise CheckpointError("not_checkpoint", "a torch file, but no training checkpoint", path, _REMEDY)
    return content


def _judge_zip(file: BinaryIO, path: Path | str) -> None:
    size = os.fstat(file.fileno()).st_size
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            # a comment could hold a second directory, which torch would read instead of this one
            if archive.comment or len(entries) > MAX_ENTRIES:
                raise CheckpointError("not_checkpoint", "a zip, but none that torch writes", path, _REMEDY)
            plain = all(e.compress_type == zipfile.ZIP_STORED and e.compress_size == e.file_size for e in entries)
            if not plain or sum(entry.file_size for entry in entries) > size:
                what = (
                    f"{sum(e.file_size for e in entries)} bytes are packed into {size}: a checkpoint isn't compressed"
                )
                raise CheckpointError("inflates", what, path, _REMEDY)
            pickles = [entry for entry in entries if entry.filename.endswith(".pkl")]
            if len(pickles) != 1 or pickles[0].file_size > MAX_PICKLE_BYTES:
                raise CheckpointError("not_checkpoint", "a zip, but no checkpoint", path, _REMEDY)
            _judge_pickle(archive.read(pickles[0]), path)
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, ValueError, EOFError) as error:
        what = f"not a checkpoint, or cut off: {printable(error, 80)}"
        raise CheckpointError("truncated", what, path, _REMEDY) from None


def _judge_pickle(content: bytes, path: Path | str) -> None:
    """Refuse a pickle that names anything but the makers of tensors; it is scanned, not executed."""
    for opcode, argument, _ in pickletools.genops(io.BytesIO(content)):
        if opcode.name == "GLOBAL" and argument in _GLOBALS:
            continue
        if opcode.name in {"GLOBAL", "STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}:
            what = f"it wants to use {printable(argument or opcode.name, 80)!r}; a checkpoint holds values only"
            raise CheckpointError("runs_code", what, path, "don't trust its source")
