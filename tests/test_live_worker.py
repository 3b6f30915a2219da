"""The worker's process: what goes in comes out, in order; its death is told, its end is orderly."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_echo_worker import FACTS
from numpy.typing import NDArray
from omegaconf import OmegaConf

from gigmate.errors import MachineError
from gigmate.live.protocol import FLOAT32, MIX, STEM, Audio, decode_audio, encode_audio
from gigmate.live.server.supervisor import Supervisor
from gigmate.live.wire import HEADER, MAX_PAYLOAD_BYTES, Kind, pack, take_all
from gigmate.live.worker import Worker, WorkerFailed, WorkerLost, worker_command

SCRIPT = Path(__file__).parent / "live_echo_worker.py"


def echo(start_timeout_s: float = 60.0, silence_s: float = 60.0, **about: Any) -> Worker:
    return Worker([sys.executable, str(SCRIPT), json.dumps(about)], start_timeout_s, silence_s)


def run(job: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(60):
            await job

    asyncio.run(limited())


def test_messages_are_taken_whole_however_they_are_cut() -> None:
    messages = [(1, b""), (2**63, "text, \u00e9"), (3, bytes(range(256)) * 20), (0, "")]
    stream = b"".join(pack(*message) for message in messages)
    for size in (1, 7, 13, len(stream)):
        received, taken = bytearray(), []
        for at in range(0, len(stream), size):
            received += stream[at : at + size]
            taken += take_all(received)
        assert taken == messages
        assert received == b""


def test_a_message_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="a message of 1048577 bytes"):
        pack(1, bytes(MAX_PAYLOAD_BYTES + 1))


def test_a_kind_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="77 is not a valid Kind"):
        list(take_all(bytearray(HEADER.pack(77, 1, 0))))


def test_sessions_messages_come_back_in_order_and_an_end_is_orderly(tmp_path: Path) -> None:
    async def job() -> None:
        worker = echo(left=str(tmp_path / "left"))
        assert not worker.is_alive
        await worker.start()
        assert worker.is_alive
        assert worker.facts == FACTS
        messages = [
            (number % 3, bytes([number % 256]) * 4000 if number % 2 else f"text {number}") for number in range(50)
        ]
        for session_id, payload in messages:
            worker.send(session_id, payload)
        assert [await worker.receive() for _ in messages] == messages
        await worker.stop()
        assert not worker.is_alive
        assert worker.num_dropped == 0

    run(job())
    assert (tmp_path / "left").read_text() == "closed"


def test_a_death_is_told_and_another_start_plays() -> None:
    async def job() -> None:
        worker = echo()
        await worker.start()
        worker.send(1, "die")
        with pytest.raises(WorkerLost, match="gone"):
            await worker.receive()
        assert not worker.is_alive
        worker.send(1, "to nobody")
        await worker.stop()
        await worker.start()
        worker.send(2, "again")
        assert await worker.receive() == (2, "again")
        await worker.stop()

    run(job())


def test_signals_to_the_group_do_not_end_it_before_the_server_does() -> None:
    async def job() -> None:
        worker = echo()
        await worker.start()
        worker.send(1, "pid")
        _, text = await worker.receive()
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(int(text), number)
        worker.send(1, "still here")
        assert await worker.receive() == (1, "still here")
        await worker.stop()
        with pytest.raises(ProcessLookupError):
            os.kill(int(text), 0)

    run(job())


def test_why_it_cannot_play_is_said_with_its_exit_code() -> None:
    async def job() -> None:
        worker = echo(is_refused=True)
        with pytest.raises(WorkerFailed, match="it is no checkpoint") as caught:
            await worker.start()
        assert (caught.value.code, caught.value.exit_code, caught.value.where) == ("broken", 4, "x.ckpt")
        assert not worker.is_alive

    run(job())


def test_one_that_is_never_ready_is_given_up_and_killed() -> None:
    async def job() -> None:
        worker = echo(start_timeout_s=0.2, is_stuck=True)
        with pytest.raises(MachineError, match="wasn't ready after 0 s"):
            await worker.start()
        assert not worker.is_alive

    run(job())


def test_one_that_does_not_read_loses_audio_but_no_text() -> None:
    async def job() -> None:
        worker = echo()
        await worker.start()
        worker.send(1, "pid")
        _, text = await worker.receive()
        os.kill(int(text), signal.SIGSTOP)
        for _ in range(100):
            worker.send(1, bytes(60_000))
        worker.send(1, "last")
        assert 50 < worker.num_dropped < 100
        os.kill(int(text), signal.SIGCONT)
        num_audio = 0
        while (message := await worker.receive()) != (1, "last"):
            assert message == (1, bytes(60_000))
            num_audio += 1
        assert num_audio == 100 - worker.num_dropped
        await worker.stop()

    run(job())


def test_a_worker_without_sessions_says_that_it_lives_and_nobody_is_told() -> None:
    async def job() -> None:
        worker = echo()
        await worker.start()
        assert await worker._read() == (Kind.ALIVE, 0, b"")
        assert worker._reader is not None
        worker._reader.feed_data(pack(0, b"", Kind.ALIVE) + pack(1, "news"))
        assert await worker.receive() == (1, "news")
        await worker.stop()

    run(job())


def test_one_that_hangs_is_ended_and_another_plays() -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    lost = asyncio.Event()

    async def job() -> None:
        supervisor = Supervisor(lambda: echo(silence_s=5.0), lambda _, payload: told.put_nowait(str(payload)), lost.set)
        await supervisor.start()
        supervisor.send(1, "pid")
        pid = int(await told.get())
        os.kill(pid, signal.SIGSTOP)
        await lost.wait()
        while not supervisor.is_alive:
            await asyncio.sleep(0.02)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        supervisor.send(2, "pid")
        assert int(await told.get()) != pid
        await supervisor.stop()

    run(job())


def test_the_command_is_data_and_no_shell() -> None:
    command = worker_command({"ckpt": "a b.ckpt; rm x", "codec": None, "device": {"name": "cpu"}}, 3, "records")
    assert command[:3] == [sys.executable, "-m", "gigmate.live.worker_main"]
    assert json.loads(command[3])["ckpt"] == "a b.ckpt; rm x"
    assert json.loads(command[3])["capacity"] == 3


@pytest.mark.slow
def test_the_real_one_plays_for_a_session_that_says_hello(tmp_path: Path, repo: Path) -> None:
    device = OmegaConf.to_container(OmegaConf.load(repo / "conf" / "device" / "cpu.yaml"))
    command = worker_command({"ckpt": None, "codec": None, "device": device}, 2, str(tmp_path))
    hello = {"type": "hello", "version": 1, "sample_rate": 48_000, "instrument": "drums", "lookahead_ms": -400}
    tempo = {"beats": "tempo", "bpm": 120, "record": True, "format": "float32"}

    async def job() -> None:
        async with playing(Worker(command)) as worker:
            assert worker.facts is not None
            assert worker.facts.capacity == 2
            worker.send(7, json.dumps({"type": "open", "hello": {**hello, **tempo}, "resume": "token"}))
            session_id, welcome = await worker.receive()
            assert (session_id, json.loads(welcome)["type"]) == (7, "welcome")
            stem: list[NDArray[np.float32]] = []
            ahead = 17  # of the 20 frames ahead the newest are inside codec and resampler
            await collect(worker, stem, ahead * 960)
            for number in range(30):
                part = np.full(960, 0.1, "<f4").tobytes()
                mix = Audio(kind=MIX, format=FLOAT32, seq=number, sample_index=960 * number, samples=part)
                worker.send(7, encode_audio(mix))
                await collect(worker, stem, (ahead + number + 1) * 960)  # sent all at once, they would be late
            assert np.isfinite(np.concatenate(stem)).all()
            assert np.abs(np.concatenate(stem)).max() > 1e-3
            worker.send(7, json.dumps({"type": "close"}))

    run(job())
    (folder,) = tmp_path.iterdir()
    assert {"mix.wav", "stem.wav"} <= {path.name for path in folder.iterdir()}


@contextlib.asynccontextmanager
async def playing(worker: Worker) -> AsyncIterator[Worker]:
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop()


async def collect(worker: Worker, stem: list[NDArray[np.float32]], num_samples: int) -> None:
    """Add what comes of a stem until it has so many samples; none is missing."""
    while sum(map(len, stem)) < num_samples:
        _, payload = await worker.receive()
        if isinstance(payload, bytes):
            audio = decode_audio(payload, STEM)
            assert audio.sample_index == sum(map(len, stem))
            stem.append(np.frombuffer(audio.samples, "<f4"))
