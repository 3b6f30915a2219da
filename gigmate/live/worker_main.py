"""The worker's process: `python -m gigmate.live.worker_main ABOUT FD`, started by `gigmate.live.worker.Worker`.

    read all that has come ── host.receive ── host.turn ── write what it says ── and again, until the server hangs up

Nothing here waits for a client: what has come is taken before each turn, and between turns the process sleeps.
"""

import gc
import json
import logging
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from gigmate.errors import GigmateError
from gigmate.live.frames import EngineFacts
from gigmate.live.wire import BEAT_S, Kind, pack, take_all

log = logging.getLogger(__name__)

_POLL_S = 0.005  # a quarter of a frame: what a host does by its clock is late by no more
_IDLE_S = 0.5
_READ_BYTES = 1 << 18


class Host(Protocol):
    """What plays: payloads of sessions in, payloads of sessions out."""

    @property
    def facts(self) -> EngineFacts:
        """What its engine can do."""
        ...

    @property
    def num_sessions(self) -> int:
        """Sessions that are open: without any it needs no turns."""
        ...

    def receive(self, session_id: int, payload: bytes | str) -> None:
        """Take a message."""
        ...

    def turn(self) -> Iterable[tuple[int, bytes | str]]:
        """Do what is due, for a bounded time; what is to be sent."""
        ...

    def stop(self) -> None:
        """Close all sessions, and their recordings."""
        ...


def main(argv: Sequence[str], make_host: Callable[[Mapping[str, Any]], Host]) -> int:
    """Run until the server hangs up; the exit code.

    Args:
        argv: what to play with as JSON, then the descriptor of the socket to the server.
        make_host: from the former to a host that is warm.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # they go to the whole group: when to end is the server's to say
    with socket.socket(fileno=int(argv[-1])) as channel:
        try:
            host = make_host(json.loads(argv[0]))
        except GigmateError as error:
            about = {"code": error.code, "what": error.what, "where": error.where, "remedy": error.remedy}
            channel.sendall(pack(0, json.dumps({**about, "exit_code": error.exit_code}), Kind.FAILED))
            return error.exit_code
        try:
            channel.sendall(pack(0, json.dumps(asdict(host.facts)), Kind.READY))
            run(channel, host)
        except ConnectionError:
            log.info("the server is gone")
        finally:
            host.stop()
    return 0


def run(channel: socket.socket, host: Host) -> None:
    """Take turns until the other end of `channel` is closed.

    Raises:
        ConnectionError: it was closed while something was being written.
    """
    received, is_open, was_busy, beat_s = bytearray(), True, False, time.monotonic()
    while is_open:
        wait_s = 0.0 if was_busy else _POLL_S if host.num_sessions else _IDLE_S
        is_open = _read(channel, received, wait_s)
        for session_id, payload in take_all(received):
            host.receive(session_id, payload)
        was_busy = False
        for session_id, payload in host.turn():
            was_busy = True
            channel.sendall(pack(session_id, payload))
        if time.monotonic() - beat_s >= BEAT_S:
            channel.sendall(pack(0, b"", Kind.ALIVE))
            beat_s = time.monotonic()


def _read(channel: socket.socket, received: bytearray, wait_s: float) -> bool:
    """Add to `received` what comes within `wait_s` and all that is there already; False at the end."""
    while select.select([channel], [], [], wait_s)[0]:
        part = channel.recv(_READ_BYTES)
        if not part:
            return False
        received += part
        wait_s = 0.0
    return True


def load_host(about: Mapping[str, Any]) -> Host:
    """The stage on a model, warm; see `gigmate.live.worker.worker_command` for what `about` holds.

    Raises:
        GigmateError: the checkpoint is refused, the device isn't there, or the model can't play live.
    """
    from gigmate.accompanist import Accompanist
    from gigmate.device import resolve
    from gigmate.live.admission import MOST, sessions_held
    from gigmate.live.engine import warm_engine
    from gigmate.live.host import StageHost

    ckpt, records = (None if about[name] is None else Path(about[name]) for name in ("ckpt", "records"))
    player = Accompanist.load(ckpt, codec=about["codec"], device=resolve(about["device"]))
    engine = warm_engine(player, about["capacity"] or MOST)
    if about["capacity"] is None and (held := sessions_held(engine)) < MOST:
        log.info("this machine holds %d sessions", held)
        engine = warm_engine(player, held)
    gc.collect()
    gc.freeze()  # or each collection walks all that torch brought along, in the middle of a song
    return StageHost(engine, time.monotonic, records)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], load_host))
