"""Does a server that plays for long stay as it was? `python -m experiments.live_soak --minutes 20 --out FOLDER`.

The real server with the weights that ship. Clients come at random, seeded, to as many places as there are; each plays
for some seconds in real time and then says goodbye, closes, hangs without a word (its connection is aborted), or is cut
and resumes. The memory of server and worker is watched, and after the last client has gone what is left of tasks,
places, threads and file descriptors is compared with what there was before the first.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from experiments.live_server import RATE, LiveServer, machine, practice_song, serving, usage
from gigmate.evaluation.tables import Row, markdown
from gigmate.files.atomic import write_bytes
from gigmate.live.client_session import SUBPROTOCOL
from gigmate.live.messages import Goodbye, Hello, Welcome
from gigmate.live.protocol import (
    FRAMES_PER_S,
    MIX,
    PCM16,
    VERSION,
    Audio,
    encode_audio,
    encode_text,
    parse_server_text,
)

CAPACITY, WAYS = 3, ("goodbye", "close", "abort", "resume")
STAY_S, PAUSE_S = (1.0, 20.0), (0.1, 3.0)
SAMPLE_S, SETTLE_S = 2.0, 15.0  # longer than a session is kept for a client that may come back
WARM_UP_SHARE = 0.25
SONG_S = 30.0


@dataclass(frozen=True)
class Moment:
    """What server and worker have."""

    time_s: float
    server_rss_mib: float
    worker_rss_mib: float
    server_threads: int
    worker_threads: int
    server_descriptors: int
    worker_descriptors: int
    tasks: int
    places: int


class Crowd:
    """Clients that come and go.

    Args:
        url: of the live socket.
        seed: of all that they do.
        until_s: when the last of them comes, by the monotonic clock.
    """

    def __init__(self, url: str, seed: int, until_s: float) -> None:
        self._url, self._seed, self._until_s = url, seed, until_s
        wave, _ = practice_song(SONG_S)
        pcm = np.clip(np.round(wave * 32_768), -32_768, 32_767).astype("<i2").tobytes()
        size = 2 * RATE // FRAMES_PER_S
        self._blocks = [pcm[at : at + size] for at in range(0, len(pcm), size)]
        self.ends: Counter[str] = Counter()

    async def run(self) -> None:
        """As many at once as there are places."""
        await asyncio.gather(*(self._come_and_go(random.Random(f"{self._seed} {n}")) for n in range(CAPACITY)))

    async def _come_and_go(self, draw: random.Random) -> None:
        while time.monotonic() < self._until_s:
            way, stay_s = draw.choice(WAYS), draw.uniform(*STAY_S)
            try:
                await self._visit(way, stay_s)
                self.ends[way] += 1
            except InvalidStatus as refused:
                self.ends[f"refused with {refused.response.status_code}"] += 1  # a place may still be kept for another
            except ConnectionClosed as closed:
                self.ends[f"closed with {closed.rcvd.code if closed.rcvd else 1006}"] += 1
            await asyncio.sleep(draw.uniform(*PAUSE_S))

    async def _visit(self, way: str, stay_s: float) -> None:
        token = await self._play(way, stay_s, None, 0)
        if way == "resume":
            await asyncio.sleep(0.5)
            await self._play("goodbye", stay_s, token, round((stay_s + 0.5) * FRAMES_PER_S))

    async def _play(self, way: str, stay_s: float, token: str | None, first: int) -> str:
        """Play from block `first` on, and leave; the token to resume with."""
        offers = [SUBPROTOCOL]
        async with connect(self._url, subprotocols=offers, compression=None) as socket:  # pyright: ignore[reportArgumentType]
            await socket.send(encode_text(Hello(version=VERSION, sample_rate=RATE, instrument="drums", resume=token)))
            welcome = await _welcome(socket)
            reading = asyncio.create_task(_drop_all(socket))
            try:
                await self._send(socket, first, round(stay_s * FRAMES_PER_S))
                if way == "goodbye":
                    await socket.send(encode_text(Goodbye()))
                    await socket.wait_closed()
                elif way in ("abort", "resume"):
                    socket.transport.abort()
            finally:
                reading.cancel()
        return welcome.resume

    async def _send(self, socket: ClientConnection, first: int, num_blocks: int) -> None:
        start_s = time.monotonic()
        for number in range(num_blocks):
            await asyncio.sleep(start_s + (number + 1) / FRAMES_PER_S - time.monotonic())
            samples = self._blocks[number % len(self._blocks)]
            index = (first + number) * RATE // FRAMES_PER_S
            await socket.send(
                encode_audio(Audio(kind=MIX, format=PCM16, seq=number, sample_index=index, samples=samples))
            )


async def _welcome(socket: ClientConnection) -> Welcome:
    """The welcome; what waited for a client that resumes comes before it."""
    while True:
        message = await socket.recv()
        if isinstance(message, str) and isinstance(welcome := parse_server_text(message), Welcome):
            return welcome


async def _drop_all(socket: ClientConnection) -> None:
    async for _ in socket:
        pass


def moment(server: LiveServer, worker_pid: int, start_s: float) -> Moment:
    """Now."""
    own, worker = usage(server.process.pid), usage(worker_pid)
    return Moment(
        time_s=time.monotonic() - start_s,
        server_rss_mib=own.rss_mib,
        worker_rss_mib=worker.rss_mib,
        server_threads=own.threads,
        worker_threads=worker.threads,
        server_descriptors=own.descriptors,
        worker_descriptors=worker.descriptors,
        tasks=round(server.figure("tasks")),
        places=round(server.figure("sessions")),
    )


async def soak(server: LiveServer, minutes: float, seed: int) -> tuple[list[Moment], Counter[str]]:
    """The moments, of which the first is before the first client and the last after the last one, and the ends."""
    start_s, worker_pid = time.monotonic(), server.worker_pid
    until_s = start_s + 60 * minutes
    crowd = Crowd(server.url, seed, until_s)
    await _one_client(server.url)  # what is loaded once is no leak
    await asyncio.sleep(SETTLE_S)
    moments = [await asyncio.to_thread(moment, server, worker_pid, start_s)]
    playing = asyncio.create_task(crowd.run())
    while not playing.done():
        await asyncio.wait([playing], timeout=SAMPLE_S)
        moments.append(await asyncio.to_thread(moment, server, worker_pid, start_s))
    await playing
    await asyncio.sleep(SETTLE_S)
    moments.append(await asyncio.to_thread(moment, server, worker_pid, start_s))
    return moments, crowd.ends


async def _one_client(url: str) -> None:
    await Crowd(url, 0, 0.0)._play("goodbye", STAY_S[0], None, 0)


def slope_mib_per_h(moments: Sequence[Moment], name: str) -> float:
    """Of the memory, by least squares, after the warm-up."""
    kept = moments[round(WARM_UP_SHARE * len(moments)) : -1]
    return float(np.polyfit([m.time_s / 3600 for m in kept], [getattr(m, name) for m in kept], 1)[0])


def rows(moments: Sequence[Moment]) -> list[Row]:
    """Before and after."""
    first, last = asdict(moments[0]), asdict(moments[-1])
    lines = []
    for name in list(first)[1:]:
        is_memory = name.endswith("mib")
        line = {"what": name.replace("_", " "), "before": f"{first[name]:.4g}", "after": f"{last[name]:.4g}"}
        slope = f"{slope_mib_per_h(moments, name):+.1f} MiB/h after the warm-up" if is_memory else ""
        lines.append(line | {"most": f"{max(getattr(m, name) for m in moments):.4g}", "slope": slope})
    return lines


def draw(moments: Sequence[Moment], path: Path) -> None:
    """Memory and places over time, as a picture."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    memory, places = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    minutes = [m.time_s / 60 for m in moments]
    memory.plot(minutes, [m.server_rss_mib for m in moments], label="server")
    memory.plot(minutes, [m.worker_rss_mib for m in moments], label="worker")
    memory.set(ylabel="resident memory, MiB", ylim=(0, None))
    memory.legend()
    places.step(minutes, [m.places for m in moments], where="post")
    places.set(ylabel="places taken", xlabel="minutes")
    figure.savefig(path)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for soak.md, soak.json and soak.png")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with TemporaryDirectory() as folder, serving(Path(folder), CAPACITY) as server:
        moments, ends = asyncio.run(soak(server, args.minutes, args.seed))
    facts = f"{args.minutes:g} minutes, seed {args.seed}, {CAPACITY} places. Clients: {dict(ends)}. {machine()}."
    about = {"facts": facts, "ends": ends, "moments": [asdict(m) for m in moments]}
    args.out.mkdir(parents=True, exist_ok=True)
    write_bytes(args.out / "soak.json", json.dumps(about, indent=1).encode())
    draw(moments, args.out / "soak.png")
    text = f"{markdown(rows(moments))}\n{facts}\n"
    write_bytes(args.out / "soak.md", text.encode())
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
