"""The process behind `gigmate.live.server.jobs`: tasks come in as lines of JSON, and answers go out.

A prediction may take a minute; live sessions on the same machine go first, so it is made by a nice process.
"""

import json
import logging
import os
import select
import sys
import traceback
from collections import deque
from pathlib import Path
from typing import Any

from gigmate.errors import GigmateError

_NICE = 10


class StoppedError(Exception):
    """Nobody waits for the task any more."""


class Inbox:
    """Tasks from a pipe, and word of those that are no longer wanted."""

    def __init__(self, fd: int) -> None:
        self._fd, self._rest, self._is_open = fd, b"", True
        self._tasks: deque[dict[str, Any]] = deque()
        self._cancelled: set[int] = set()

    def next(self) -> dict[str, Any] | None:
        """The next task, waiting for one; None when there won't be any."""
        while True:
            while self._tasks:
                message = self._tasks.popleft()
                if message["id"] not in self._cancelled:
                    return message
                self._cancelled.discard(message["id"])
            if not self._is_open:
                return None
            self._read()

    def check(self, number: int) -> None:
        """Take in what has come meanwhile.

        Raises:
            StoppedError: task `number` isn't wanted any more, or the server is gone.
        """
        while self._is_open and select.select([self._fd], [], [], 0)[0]:
            self._read()
        if not self._is_open or number in self._cancelled:
            self._cancelled.discard(number)
            raise StoppedError

    def _read(self) -> None:
        data = os.read(self._fd, 1 << 16)
        self._is_open = bool(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "cancel" in message:
                self._cancelled.add(message["cancel"])
            else:
                self._tasks.append(message)


class Worker:
    """Does the tasks.

    Args:
        config: `ckpt`, `codec` and `device` as in `conf/serve.yaml`; without `device` only the band plays.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self._player = None
        if "device" in config:
            from gigmate.accompanist import Accompanist
            from gigmate.device import resolve

            ckpt = None if config["ckpt"] is None else Path(config["ckpt"])
            self._player = Accompanist.load(ckpt, codec=config["codec"], device=resolve(config["device"]))

    def do(self, task: dict[str, Any], inbox: Inbox, number: int) -> dict[str, Any]:
        """One task's result."""
        if task["kind"] == "practice":
            return self._practice(task)
        return self._predict(task, inbox, number)

    def _predict(self, task: dict[str, Any], inbox: Inbox, number: int) -> dict[str, Any]:
        from gigmate.audio import read_audio, write_wav
        from gigmate.music.tracker import track_beats
        from gigmate.performance import Take

        assert self._player is not None
        song = read_audio(Path(task["input"]), max_seconds=task["max_seconds"])
        inbox.check(number)
        grid = track_beats(song.wave, song.sample_rate)
        names = ("instrument", "lookahead_s", "seed", "guidance_scale", "louder_db")
        take = Take(**{name: task[name] for name in names})
        played = self._player.accompany(
            song.wave,
            song.sample_rate,
            take,
            grid=grid,
            seconds=task["seconds"],
            progress=lambda _done, _total: inbox.check(number),
        )
        write_wav(Path(task["output"]), played.mix if task["mix"] else played.stem, played.sample_rate)
        return {**{key: played.report[key] for key in ("seconds", "real_time_factor")}, "notes": song.notes}

    def _practice(self, task: dict[str, Any]) -> dict[str, Any]:
        import numpy as np

        from gigmate.audio import write_wav
        from gigmate.music.band import compose, render_song

        song = compose(task["seed"], task["seconds"])
        stems = render_song(song, task["sample_rate"])
        heard = np.stack([wave for name, wave in stems.items() if name != task["without"]])
        write_wav(Path(task["output"]), heard.sum(axis=0, keepdims=True), task["sample_rate"])
        return {"bpm": song.bpm, "beats_per_bar": song.meter, "first_beat_s": float(song.grid.beat_times_s[0])}


def serve(worker: Worker, inbox: Inbox, out: int) -> None:
    """Do tasks until the pipe is closed."""
    while (message := inbox.next()) is not None:
        number = message["id"]
        try:
            answer = {"id": number, "result": worker.do(message["task"], inbox, number)}
        except StoppedError:
            continue
        except GigmateError as error:
            from gigmate.live.server.answers import refusal_of

            refusal = refusal_of(error)
            answer = {"id": number, "error": _error(refusal.status, refusal.code, refusal.message)}
        except MemoryError:
            answer = {"id": number, "error": _error(503, "memory", "not enough memory for it")}
        except Exception:
            answer = {"id": number, "error": _error(500, "bug", traceback.format_exc())}
        os.write(out, json.dumps(answer).encode() + b"\n")


def _error(status: int, code: str, message: str) -> dict[str, Any]:
    return {"status": status, "code": code, "message": message}


def main() -> None:
    """Read the config from the command line, then tasks from stdin."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    config = json.loads(sys.argv[1])
    if "device" in config:
        os.nice(_NICE)
    out = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    serve(Worker(config), Inbox(0), out)


if __name__ == "__main__":
    main()
