"""Decoding in a child process that can crash, hang or run out of memory without harm to us."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gigmate.audio.child import BLOCK_SAMPLES, FAULTS, DecodeError
from gigmate.errors import MachineError

CHILD = Path(__file__).with_name("child.py")
STALL_S = 10.0
MEMORY_BYTES = 256 << 20
_MAX_REPLY_BYTES = 1 << 20
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH")


def decode_isolated(
    fd: int, extents: Sequence[tuple[int, int, str]], kind: tuple[str, str, int, int], max_samples: int
) -> np.ndarray:
    """Decode in a child process; see `child.decode` for the arguments.

    The child writes into an anonymous file that it can't grow beyond `max_samples`, and is killed after `STALL_S`
    seconds without progress.

    Returns:
        [C, N] float32; its values are as little to be trusted as the file.

    Raises:
        DecodeError: of the child, or `decoder_crash` when it died or stalled.
        MachineError: no process or memory for it.
    """
    try:
        with _anonymous_file() as output:
            task = {
                "path": sys.path,
                "fd": fd,
                "output": output.fileno(),
                "extents": extents,
                "kind": kind,
                "max_samples": max_samples,
                "limits": _limits(kind, max_samples),
            }
            # Limits on processor time alone would let a child sleep for ever between two signs of life.
            _run(task, (fd, output.fileno()), wall_s=10.0 * task["limits"]["RLIMIT_CPU"])
            num_samples = min(os.fstat(output.fileno()).st_size // (kind[3] * 4), max_samples)
            return assemble(_blocks(output.fileno(), num_samples, kind[3]), num_samples, kind[3])
    except OSError as error:
        what = f"can't run the decoder process ({error.strerror})"
        raise MachineError("decoder", what, remedy="close other programs, or free some memory") from error


def _limits(kind: tuple[str, str, int, int], max_samples: int) -> dict[str, int]:
    """What the child may use, by the names of the system's limits."""
    _, _, sample_rate, channels = kind
    return {
        "RLIMIT_AS": MEMORY_BYTES,
        "RLIMIT_CPU": 20 + max_samples // sample_rate // 20,  # no decoder is slower than 20 times real time
        "RLIMIT_FSIZE": min((max_samples + BLOCK_SAMPLES) * channels * 4, 1 << 62),
        "RLIMIT_CORE": 0,
    }


def assemble(blocks: Iterable[np.ndarray], num_samples: int, channels: int) -> np.ndarray:
    """[C, N] from blocks [n, C] that hold `num_samples` together."""
    wave = np.empty((channels, num_samples), np.float32)
    start = 0
    for block in blocks:
        wave[:, start : start + len(block)] = block.T
        start += len(block)
    return wave


def _anonymous_file() -> BinaryIO:
    """A file without a name: in memory where the system can, else on disk."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("gigmate-decoded"), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


def _run(task: dict[str, Any], descriptors: tuple[int, ...], wall_s: float) -> None:
    """Run the child to its end; its fault, or its death, as a DecodeError."""
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", str(CHILD), json.dumps(task)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=descriptors,
        env=environment | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )
    assert child.stdout is not None
    try:
        reply = _listen(child.stdout.fileno(), time.monotonic() + wall_s)
        if child.wait(STALL_S) != 0:
            how = signal.strsignal(-child.returncode) if child.returncode < 0 else "an error"
            raise DecodeError("decoder_crash", f"the decoder died on it ({how})")
    except subprocess.TimeoutExpired as error:
        raise DecodeError("decoder_crash", f"the decoder hung for {STALL_S:g} s on it") from error
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    _judge(reply.lstrip(b"."))


def _judge(reply: bytes) -> None:
    """What the child answered: `{}` when all went well, else its fault; anything else is none of its answers."""
    try:
        answer = json.loads(reply)
    except (ValueError, RecursionError) as error:
        raise DecodeError("decoder_crash", "the decoder gave no answer on it") from error
    if answer == {}:
        return
    if not isinstance(answer, dict) or answer.get("code") not in FAULTS:
        raise DecodeError("decoder_crash", "the decoder gave no sensible answer on it")
    raise DecodeError(answer["code"], str(answer.get("what")))


def _listen(pipe: int, until_s: float) -> bytes:
    """All that comes through the pipe until its end, as long as something comes every `STALL_S` seconds."""
    reply = b""
    while True:
        ready, _, _ = select.select([pipe], [], [], STALL_S)
        if not ready or len(reply) > _MAX_REPLY_BYTES or time.monotonic() > until_s:
            raise DecodeError("decoder_crash", f"the decoder hung for {STALL_S:g} s on it")
        data = os.read(pipe, 1 << 16)
        if not data:
            return reply
        reply += data


def _blocks(fd: int, num_samples: int, channels: int) -> Iterator[np.ndarray]:
    for start in range(0, num_samples, BLOCK_SAMPLES):
        count = min(BLOCK_SAMPLES, num_samples - start)
        data = os.pread(fd, count * channels * 4, start * channels * 4)
        yield np.frombuffer(data, np.float32).reshape(count, channels)
