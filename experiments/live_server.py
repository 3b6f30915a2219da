"""The server as people run it, for experiments: `python serve.py` in a process of its own, watched through /proc."""

import contextlib
import http.client
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gigmate.music.band import compose, render_song

RATE = 24_000
_REPO = Path(__file__).parents[1]
_SONG_SEED, _SONG_S = 4_000_001, 30.0
_READY_S, _END_S = 180.0, 60.0
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(frozen=True)
class Usage:
    """What a process has at a moment."""

    rss_mib: float
    threads: int
    descriptors: int


@dataclass(frozen=True)
class LiveServer:
    """A server that answers.

    Args:
        process: it.
        port: of 127.0.0.1.
        records: where sessions are recorded.
    """

    process: "subprocess.Popen[bytes]"
    port: int
    records: Path

    @property
    def url(self) -> str:
        """Of the live socket."""
        return live_url(self.port)

    def get(self, path: str) -> tuple[int, str]:
        """Status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def figure(self, name: str) -> float:
        """A metric."""
        lines = self.get("/metrics")[1].splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(f"gigmate_{name} "))

    @property
    def worker_pid(self) -> int:
        """Of the process that plays."""
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                parent = int(stat.read_text().rsplit(")", 1)[1].split()[1])
                if parent == self.process.pid and b"worker_main" in stat.with_name("cmdline").read_bytes():
                    return int(stat.parent.name)
        raise RuntimeError("the server has no worker")

    def wait_ready(self) -> None:
        """Until it plays.

        Raises:
            RuntimeError: it ended, or took too long.
        """
        until_s = time.monotonic() + _READY_S
        while time.monotonic() < until_s and self.process.poll() is None:
            with contextlib.suppress(OSError):
                if self.get("/ready")[0] == 200:
                    return
            time.sleep(0.1)
        raise RuntimeError("the server doesn't get ready; look at server.log")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def live_url(port: int) -> str:
    """Of the live socket behind a port of this machine."""
    return f"ws://127.0.0.1:{port}/v1/live"


def usage(pid: int) -> Usage:
    """Of a process now (Linux)."""
    folder = Path("/proc") / str(pid)
    rss_mib = int((folder / "statm").read_text().split()[1]) * _PAGE_MIB
    return Usage(rss_mib, len(list((folder / "task").iterdir())), len(list((folder / "fd").iterdir())))


@contextlib.contextmanager
def serving(folder: Path, capacity: int, other_port: int | None = None) -> Iterator[LiveServer]:
    """The server with the weights and defaults that ship, on the CPU.

    Args:
        folder: for its log, and the records of its sessions.
        capacity: sessions at once.
        other_port: of 127.0.0.1, under which clients reach it too.

    Raises:
        RuntimeError: it doesn't get ready, or doesn't leave in order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    options = [f"port={port}", f"capacity={capacity}", "device=cpu", "connects_per_s=1000", "drain_s=1"]
    if other_port is not None:
        options.append(f"hosts=['127.0.0.1:{other_port}']")
    with open(folder / "server.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "serve.py", *options],
            cwd=_REPO,
            env={**os.environ, "GIGMATE_RUNS": str(folder.resolve())},
            stdout=log,
            stderr=log,
        )
    server = LiveServer(process, port, folder / "live")
    try:
        server.wait_ready()
        yield server
        process.terminate()
        if process.wait(_END_S) != 0:
            raise RuntimeError(f"the server left with {process.returncode}; look at server.log")
    finally:
        process.kill()


def practice_song(seconds: float) -> tuple[NDArray[np.float32], float]:
    """A song of the practice band without drums, mono [N] at `RATE`, again and again, and its tempo in bpm."""
    song = compose(_SONG_SEED, _SONG_S)
    stems = render_song(song, RATE)
    mix = np.sum([wave for name, wave in stems.items() if name != "drums"], axis=0, dtype=np.float32)
    return np.resize(mix, round(seconds * RATE)).astype(np.float32), song.bpm


def machine() -> str:
    """Where figures were taken, in a line; above one per core, others' work took part."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return f"{os.cpu_count()} cores ({platform.machine()}), load {load} (1, 5, 15 min) at the end"
