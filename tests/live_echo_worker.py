"""A worker whose host plays nothing: `python live_echo_worker.py ABOUT FD`, for tests of the process alone."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from gigmate.errors import CheckpointError
from gigmate.live.frames import EngineFacts
from gigmate.live.worker_main import main

FACTS = EngineFacts(
    capacity=4,
    sample_rate=24_000,
    hop=480,
    max_delay=3,
    latency_samples=720,
    num_codebooks=4,
    beat_features=10,
    min_lookahead_frames=-50,
    max_lookahead_frames=50,
    instruments=("drums", "bass"),
)


class Echo:
    """Says what it is told; `die` and `sleep` are done at once, `pid` answers the process's own."""

    facts = FACTS
    num_sessions = 1

    def __init__(self, about: Mapping[str, Any]) -> None:
        if about.get("is_refused"):
            raise CheckpointError("broken", "it is no checkpoint", "x.ckpt", "pass another")
        if about.get("is_stuck"):
            time.sleep(60)
        self._left = about.get("left")
        self._heard: list[tuple[int, bytes | str]] = []

    def receive(self, session_id: int, payload: bytes | str) -> None:
        if payload == "die":
            os.abort()
        self._heard.append((session_id, str(os.getpid()) if payload == "pid" else payload))

    def turn(self) -> Iterator[tuple[int, bytes | str]]:
        yield from self._heard
        self._heard.clear()

    def stop(self) -> None:
        if self._left:
            with open(self._left, "w", encoding="utf-8") as file:
                file.write("closed")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Echo))
