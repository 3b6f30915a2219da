"""`python serve.py` as people run it: shipped weights, its own processes, songs over HTTP, a live session."""

import asyncio
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from reporting import Report
from server_fakes import HEADER, STEM, RunningServer, audio, form, hello, song_bytes
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from experiments.live_server import RATE, practice_song
from gigmate.accompanist import Accompanist
from gigmate.audio import read_audio, write_wav
from gigmate.live import client
from gigmate.live.admission import MOST
from gigmate.live.engine import Engine
from gigmate.live.record import EVENTS
from gigmate.live.replay import replay

AFTER_GAP, MOST_S = 2, 10.0
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("real")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "TMPDIR": str(folder), "GIGMATE_RUNS": str(folder / "runs"), "OMP_NUM_THREADS": "1"}
    log = folder / "server.log"
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, "serve.py", f"port={port}", "device=cpu", "drain_s=0.2"],
            cwd=repo,
            env=environment,
            stdout=file,
            stderr=file,
        )
    running = RunningServer(process, port, log, folder)
    try:
        running.wait_ready(120.0)
        yield running
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
    assert process.returncode == 0, log.read_text()
    assert "Traceback" not in log.read_text(), log.read_text()


def children(server: RunningServer, module: str) -> list[int]:
    """Processes of the server that run a module of ours."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent, command = int(stat.read_text().rsplit(")", 1)[1].split()[1]), stat.with_name("cmdline").read_bytes()
        except OSError:
            continue
        if parent == server.process.pid and module.encode() in command:
            found.append(int(stat.parent.name))
    return found


def test_the_address_is_printed(server: RunningServer) -> None:
    assert f"http://127.0.0.1:{server.port}/" in server.log.read_text()


def test_it_lets_in_as_many_as_it_has_found_that_it_holds(server: RunningServer, report: Report) -> None:
    ready = json.loads(server.request("GET", "/ready")[2])
    report("p1_sessions_let_in", ready["capacity"], "by the time of a step, on this machine now")
    assert 1 <= ready["capacity"] <= MOST
    assert server.figure("gigmate_capacity") == ready["capacity"]


def test_a_song_is_played_to(server: RunningServer) -> None:
    song = server.request("GET", "/practice.wav?seconds=5&without=drums")
    assert (song[0], song[1]["content-type"]) == (200, "audio/wav")
    body, headers = form(song[2])
    answers = [server.request("POST", f"/predict?seconds=1&seed={seed}", body, headers) for seed in (1, 1, 2)]
    assert [status for status, _, _ in answers] == [200] * 3
    stems = [np.frombuffer(wave[44:], "<i2") for _, _, wave in answers]
    assert all(len(stem) == 24_000 and np.abs(stem).max() > 100 for stem in stems)
    assert (stems[0] == stems[1]).all()
    assert (stems[0] != stems[2]).any()


@pytest.mark.timeout(1_200)
def test_curl_plays_to_every_recording(
    server: RunningServer, shared_data: Path, tmp_path: Path, report: Report
) -> None:
    """The beginning of each, or the whole; the stem has the recording's rate and length to the sample."""
    songs = sorted((shared_data / "audio" / "recordings").iterdir())
    start_s, played_s = time.monotonic(), 0.0
    for song in songs:
        audio = read_audio(song)
        longest = audio.duration_s > MOST_S
        address = f"http://127.0.0.1:{server.port}/predict" + f"?seconds={MOST_S}" * longest
        out = tmp_path / "out.wav"
        command = ["curl", "--fail", "-sS", "-X", "POST", address, "-F", f"request=@{song}", "--output", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"{song.name}: {done.stderr}"
        stem = read_audio(out)
        num_samples = round(MOST_S * audio.sample_rate) if longest else audio.wave.shape[1]
        assert (stem.sample_rate, stem.wave.shape[1]) == (audio.sample_rate, num_samples), song.name
        assert np.isfinite(stem.wave).all()
        played_s += stem.duration_s
    assert len(songs) == 14
    report("http_recordings_played", len(songs), "of 14")
    report(
        "http_recordings_real_time_factor",
        round(played_s / (time.monotonic() - start_s), 2),
        "with tracking and transfer",
    )


async def play(server: RunningServer, seconds: float) -> tuple[list[tuple[int, int, int]], set[str]]:
    """Play a sine in real time; (sample index, samples, flags) of what came back, and the types of the texts."""
    sine = np.frombuffer(song_bytes(seconds)[44:], "<i2")
    pieces, types = [], set()
    async with connect(server.live_url, compression=None, proxy=None, max_queue=None) as client:
        await client.send(hello(beats="tempo", bpm=120.0))
        types.add(json.loads(await client.recv())["type"])

        async def listen() -> None:
            async for message in client:
                if isinstance(message, bytes):
                    _, kind, _, flags, _, index, length, _ = HEADER.unpack(message[:24])
                    assert kind == STEM
                    pieces.append((index, length, flags))
                else:
                    types.add(json.loads(message)["type"])

        listening = asyncio.create_task(listen())
        start_s = time.monotonic()
        for seq in range(len(sine) // 480):
            await asyncio.sleep(max(0.0, start_s + 0.02 * seq - time.monotonic()))
            await client.send(audio(seq, sine[480 * seq : 480 * seq + 480]))
        await client.send('{"type": "goodbye"}')
        await listening
    return pieces, types


def test_a_session_is_played_with(server: RunningServer, report: Report) -> None:
    pieces, types = asyncio.run(play(server, 5.0))
    assert types >= {"welcome", "stats", "beat"}
    assert pieces[0][0] == 0
    for (before, length, _), (index, _, flags) in itertools.pairwise(pieces):
        assert index == before + length or (index > before + length and flags & AFTER_GAP)
    text = server.request("GET", "/metrics")[2].decode()
    lag = re.search(r"^gigmate_loop_lag_p99_seconds (\S+)$", text, re.MULTILINE)
    assert lag is not None
    report("p1_loop_lag_p99", round(1e3 * float(lag[1]), 1), "ms with a session of the real engine")


def test_a_clients_session_is_recorded_and_played_again_token_for_token(
    server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], report: Report
) -> None:
    """With the tracker, and as far ahead as the path needs: what is chosen while it plays is in the record."""
    write_wav(tmp_path / "song.wav", practice_song(5.0)[0][None], RATE)
    assert client.main([server.live_url, str(tmp_path / "song.wav"), "--record", "--seed", "3", "--json"]) == 0
    (figures,) = json.loads(capsys.readouterr().out)
    (folder,) = (server.folder / "runs" / "live").glob(f"session-{figures['session']:04d}-*")
    outcome = replay(folder, Engine(Accompanist.load(None), 1))
    report("p16_client_replayed_calls", outcome.num_calls, "equal, of 5 s over a socket")
    assert str(outcome).startswith("equal: ")
    assert (outcome.num_shared, figures["staleness_ms"] > 0) == (0, True)
    events = [json.loads(line) for line in (folder / EVENTS).read_text().splitlines()]
    calls = [event for event in events if event["type"] == "call"]
    assert outcome.num_calls == len(calls) > 50  # on a busy machine frames are left out
    assert max(call["hear_s"] for call in calls) > 0
    assert all(call["waited_s"] is None or call["hear_s"] <= call["waited_s"] + 1e-3 for call in calls)


def test_a_killed_worker_comes_back(server: RunningServer, report: Report) -> None:
    async def lose() -> int | None:
        async with connect(server.live_url, compression=None, proxy=None, max_queue=None) as client:
            await client.send(hello())
            await client.recv()
            (worker,) = children(server, "worker_main")
            os.kill(worker, signal.SIGKILL)
            try:
                async with asyncio.timeout(60):
                    while True:
                        await client.recv()
            except ConnectionClosed:
                return client.close_code

    assert asyncio.run(lose()) == 1012
    start_s = time.monotonic()
    assert server.request("GET", "/ready")[0] == 503
    server.wait_ready(120.0)
    report("p1_real_worker_back_after", round(time.monotonic() - start_s, 1), "s, warm-up included")
    assert len(children(server, "worker_main")) == 1
