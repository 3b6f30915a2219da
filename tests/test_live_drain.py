"""SIGTERM: sessions are told, requests are answered, nothing new begins, and the server leaves in order."""

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path

from server_fakes import SLOW_SEEDS, RunningServer, form, hello, running_server, song_bytes
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

LIMIT_S = 60.0
BODY, HEADERS = form(song_bytes())
Answer = tuple[int, dict[str, str], bytes]


def asked(server: RunningServer, seed: int) -> Callable[[], Answer]:
    """A prediction that runs by the time this returns; the call waits for its answer."""
    answers: list[Answer] = []

    def ask() -> None:
        answers.append(server.request("POST", f"/predict?seed={seed}", BODY, HEADERS))

    thread = threading.Thread(target=ask)
    thread.start()
    while not (server.folder / "steps.txt").exists():
        thread.join(0.02)

    def answer() -> Answer:
        thread.join(LIMIT_S)
        return answers[0]

    return answer


def code_of(answer: Answer) -> tuple[int, str]:
    """Status and code of an error."""
    return answer[0], json.loads(answer[2])["error"]["code"]


def test_what_is_not_done_in_time_is_told_so_and_nothing_new_begins(tmp_path: Path) -> None:
    async def job(server: RunningServer) -> None:
        async with connect(server.live_url, compression=None, proxy=None) as client:
            await client.send(hello())
            await client.recv()
            unfinished = await asyncio.to_thread(asked, server, SLOW_SEEDS[1])
            server.process.terminate()
            assert json.loads(await client.recv()) == {"type": "goodbye", "reason": "draining"}
            refused = await asyncio.to_thread(server.request, "POST", "/predict", BODY, HEADERS)
            assert code_of(refused) == (503, "draining")
            assert code_of(await asyncio.to_thread(server.request, "GET", "/ready")) == (503, "draining")
            try:
                await client.recv()
            except ConnectionClosed:
                assert client.close_code == 1001
            assert code_of(await asyncio.to_thread(unfinished)) == (503, "draining")
            assert await asyncio.to_thread(server.process.wait, LIMIT_S) == 0

    with running_server(tmp_path, drain_s=3.0) as server:  # a traceback in its log raises
        asyncio.run(asyncio.wait_for(job(server), LIMIT_S))


def test_a_request_is_answered_while_there_is_time(tmp_path: Path) -> None:
    with running_server(tmp_path, drain_s=LIMIT_S) as server:
        answer = asked(server, SLOW_SEEDS[0])
        server.process.terminate()
        assert answer()[0] == 200
        assert server.process.wait(LIMIT_S) == 0
