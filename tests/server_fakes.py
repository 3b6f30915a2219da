"""A real server in a process of its own, with a worker and a job process that need no model.

The fake engine answers every message with audio by the same samples as a stem, so that what a client gets shows whose
it is. `python server_fakes.py serve '{"settings": {...}, ...}'` is the server, `... jobs '{}'` its job process.
"""

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__)
HEADER = struct.Struct("<BBBBIQII")
MIX, STEM, PCM16 = 1, 2, 0
KILLED_SEED, SLOW_SEEDS, CAPACITY = 666, (100, 100_000), 3


def audio(seq: int, samples: np.ndarray, sample_index: int | None = None, kind: int = MIX) -> bytes:
    """A message with audio, made without the project's protocol."""
    index = seq * len(samples) if sample_index is None else sample_index
    return HEADER.pack(1, kind, PCM16, 0, seq, index, len(samples), 0) + samples.astype("<i2").tobytes()


def hello(**changes: Any) -> str:
    """A hello that any server takes."""
    values = {"type": "hello", "version": 1, "sample_rate": 24_000, "instrument": "drums", "temperature": 1.0}
    return json.dumps(values | changes)


class FakeWorker:
    """Plays back what it hears; `instrument: "lead"` in a hello is a canary that kills it (as a crash would)."""

    def __init__(self) -> None:
        self._out: asyncio.Queue[tuple[int, bytes | str] | None] = asyncio.Queue()
        self._tokens: dict[int, str] = {}
        self.is_alive, self.capacity = False, CAPACITY

    async def start(self) -> None:
        await asyncio.sleep(0.05)
        self.is_alive = True

    async def stop(self, drain_s: float = 0.0) -> None:
        self.is_alive = False

    def send(self, session_id: int, payload: bytes | str) -> None:
        if isinstance(payload, bytes):
            self._out.put_nowait((session_id, payload[:1] + bytes([STEM]) + payload[2:]))
            return
        message = json.loads(payload)
        if message["type"] == "open":
            self._tokens[session_id] = message["resume"]
            self._welcome(session_id)
        elif message["type"] == "resume":
            self._welcome(session_id)
        elif message["type"] == "control" and message.get("instrument") == "lead":
            self.is_alive = False
            self._out.put_nowait(None)
        elif message["type"] == "control" and message.get("instrument") == "other":
            self._out.put_nowait((session_id, json.dumps({"type": "close", "code": 4410, "reason": "told to"})))

    async def receive(self) -> tuple[int, bytes | str]:
        if (item := await self._out.get()) is None:
            raise ConnectionError("the fake worker was killed")
        return item

    def _welcome(self, session_id: int) -> None:
        welcome = {"type": "welcome", "session": session_id, "resume": self._tokens[session_id]}
        self._out.put_nowait((session_id, json.dumps(welcome)))


class FakePlayer:
    """Reads the song as the real one does, and answers with it, after as many steps of 10 ms as a slow seed says."""

    def do(self, task: dict[str, Any], inbox: Any, number: int) -> dict[str, Any]:
        from gigmate.audio import read_audio, write_wav

        if task["kind"] == "practice":
            write_wav(Path(task["output"]), np.zeros((1, 24_000), np.float32), task["sample_rate"])
            return {"bpm": 120.0}
        song = read_audio(Path(task["input"]), max_seconds=task["max_seconds"])
        if task["seed"] == KILLED_SEED:
            os.kill(os.getpid(), signal.SIGKILL)
        trace = Path(task["input"]).parent.parent / "steps.txt"
        for step in range(task["seed"] if task["seed"] in SLOW_SEEDS else 0):
            inbox.check(number)
            trace.write_text(str(step))
            time.sleep(0.01)
        write_wav(Path(task["output"]), song.wave, song.sample_rate)
        return {"seconds": song.duration_s, "real_time_factor": 1.0, "notes": song.notes}


class RunningServer:
    """A server that answers."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, log: Path, folder: Path) -> None:
        self.process, self.port, self.log, self.folder = process, port, log, folder

    @property
    def live_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/live"

    @property
    def rss_bytes(self) -> int:
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def figure(self, name: str) -> float:
        """A metric's value, summed over its labels."""
        lines = self.request("GET", "/metrics")[2].decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.split("{")[0].split(" ")[0] == name)

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            with contextlib.suppress(OSError):
                if self.request("GET", "/ready")[0] == 200:
                    return
            time.sleep(0.02)
        raise AssertionError(f"not ready: {self.log.read_text()}")


@contextlib.contextmanager
def running_server(folder: Path, **settings: Any) -> Iterator[RunningServer]:
    """A server with these settings; at the end it must leave in order, without a traceback in its log."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "server.log"
    task = {"settings": {"port": port, "connects_per_s": 10_000.0, "drain_s": 0.2, **settings}}
    environment = {
        **os.environ,
        "TMPDIR": str(folder),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")]),
    }
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, str(HERE), "serve", json.dumps(task)], stdout=file, stderr=file, env=environment
        )
    server = RunningServer(process, port, log, folder)
    try:
        server.wait_ready()
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
    assert process.returncode == 0, log.read_text()
    assert "Traceback" not in log.read_text(), log.read_text()


def song_bytes(seconds: float = 1.0, rate: int = 24_000) -> bytes:
    """A WAV file with a sine."""
    samples = (8_000 * np.sin(np.arange(round(seconds * rate)) * 0.05)).astype("<i2").tobytes()
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(samples), b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate,
                       2, 16, b"data", len(samples))  # fmt: skip
    return head + samples


def form(content: bytes, name: str = "request", boundary: str = "edge") -> tuple[bytes, dict[str, str]]:
    """A multipart body with one file, and its headers."""
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="in.wav"\r\n\r\n'
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def serve(task: dict[str, Any]) -> None:
    """Be the server."""
    import logging

    from gigmate.live.server.jobs import Jobs
    from gigmate.live.server.run import bound
    from gigmate.live.server.serving import run_server
    from gigmate.live.server.settings import ServeSettings

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings = ServeSettings(**task["settings"])
    jobs = [Jobs({}, settings.predict_queue, (sys.executable, str(HERE), "jobs")) for _ in range(2)]
    with bound(settings.host, settings.port) as listener:
        run_server(settings, listener, FakeWorker, *jobs)


def main() -> None:
    mode, argument = sys.argv[1:]
    if mode == "serve":
        serve(json.loads(argument))
        return
    from gigmate.live.server.job_child import Inbox
    from gigmate.live.server.job_child import serve as do_jobs

    do_jobs(FakePlayer(), Inbox(0), os.dup(1))  # pyright: ignore[reportArgumentType]


if __name__ == "__main__":
    main()
