"""The reference client, against a small server in the same process that answers as the protocol says."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import soundfile
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Response

from gigmate.errors import MachineError, UsageError
from gigmate.live.client import main
from gigmate.live.client_outcome import Outcome, SongClock
from gigmate.live.client_session import ClientSession
from gigmate.live.load import play_all, table
from gigmate.live.messages import Goodbye, Hello, Ping, Pong, Stats, Welcome
from gigmate.live.network_proxy import NetworkProxy
from gigmate.live.protocol import MIX, PCM16, STEM, Audio, decode_audio, encode_audio, encode_text, parse_client_text

T = TypeVar("T")
RATE = 16_000
HELLO = Hello(version=1, sample_rate=RATE, instrument="drums")
SONG = np.sin(np.arange(RATE) / 9).astype(np.float32) * 0.5
WELCOME = Welcome(
    version=1,
    session=7,
    resume="token",
    sample_rate=RATE,
    codec_rate=24_000,
    frame_samples=480,
    lookahead_ms=-200,
    chunk_frames=1,
    mode="ahead",
    max_message_bytes=65_536,
)


async def echo_early(socket: ServerConnection) -> None:
    """Welcomes, and sends every block back as the stem of 400 ms later; says goodbye when the client does."""
    assert isinstance(parse_client_text(str(await socket.recv())), Hello)
    await socket.send(encode_text(WELCOME))
    await socket.send(encode_text(Stats(step_p50_ms=6.0, staleness_ms=240.0)))
    async for message in socket:
        if isinstance(message, bytes):
            mix = decode_audio(message, MIX)
            index = mix.sample_index + RATE * 2 // 5
            stem = Audio(kind=STEM, format=PCM16, seq=mix.seq, sample_index=index, samples=mix.samples)
            await socket.send(encode_audio(stem))
        else:
            said = parse_client_text(message)
            if isinstance(said, Ping):
                await socket.send(encode_text(Pong(id=said.id, sent_ms=said.sent_ms, server_ms=0.0)))
            elif isinstance(said, Goodbye):
                await socket.close(1000, "goodbye")


async def echo_late(socket: ServerConnection) -> None:
    """Welcomes, and sends stem that was due a second ago."""
    await socket.recv()
    await socket.send(encode_text(WELCOME))
    async for message in socket:
        if isinstance(message, bytes):
            mix = decode_audio(message, MIX)
            if mix.sample_index >= RATE // 2:
                samples = bytes(2 * 320)
                stem = Audio(kind=STEM, format=PCM16, seq=mix.seq, sample_index=mix.sample_index % 320, samples=samples)
                await socket.send(encode_audio(stem))
        elif isinstance(parse_client_text(message), Goodbye):
            await socket.close(1000)


async def full(socket: ServerConnection) -> None:
    await socket.recv()
    await socket.close(1013, "full")


async def nonsense(socket: ServerConnection) -> None:
    await socket.recv()
    await socket.send('{"type":"welcome"}')
    await socket.wait_closed()


def against(
    handler: Callable[[ServerConnection], Awaitable[None]], job: Callable[[str], Awaitable[T]], **options: object
) -> T:
    """What `job` gives, with the address of a server that handles its connections so."""

    async def run() -> T:
        async with serve(handler, "127.0.0.1", 0, compression=None, **options) as server:  # pyright: ignore[reportArgumentType]
            port = next(iter(server.sockets)).getsockname()[1]
            return await job(f"ws://127.0.0.1:{port}/v1/live")

    return asyncio.run(run())


def session_against(handler: Callable[[ServerConnection], Awaitable[None]]) -> Outcome:
    return against(handler, lambda url: ClientSession(url, HELLO, SONG).run())


def test_what_is_late_is_left_out_and_counted() -> None:
    outcome = Outcome(1000, np.zeros(100, np.float32), np.zeros(100, bool))
    ones = np.ones(20, np.float32)
    outcome.take(0, ones, None)  # before the song begins nothing is late
    outcome.take(20, ones, 10)
    outcome.take(40, ones, 50)  # half of it
    outcome.take(60, ones, 90)  # all of it
    outcome.take(90, ones, 90)  # beyond the song's end
    outcome.num_sent = 100
    there = np.r_[np.ones(40), np.zeros(10), np.ones(10), np.zeros(30), np.ones(10)]
    np.testing.assert_array_equal(outcome.stem, there)
    np.testing.assert_array_equal(outcome.is_there, there > 0)
    figures = outcome.figures()
    assert (figures.in_time, figures.late_ms, figures.underruns) == (pytest.approx(0.6), 30, 2)
    assert figures.late_share[0] == pytest.approx(2 / 4)  # of slacks of 10, -10, -30 and 0 ms
    assert figures.late_share[20] == 1


def test_the_song_goes_on_from_its_first_start() -> None:
    seconds = iter([5.0, 5.5, 6.0])
    clock = SongClock(1000, lambda: next(seconds))
    assert clock.now is None
    clock.start()
    clock.start()
    assert clock.now == 500
    assert clock.until_s(1200) == pytest.approx(0.2)


def test_the_stem_lies_where_its_indices_say() -> None:
    outcome = session_against(echo_early)
    shift = RATE * 2 // 5
    assert outcome.close_code == 1000
    there = outcome.is_there.copy()
    there[:shift] = False
    assert there[shift:].mean() > 0.5  # how much was in time is the machine's affair
    np.testing.assert_allclose(outcome.stem[there], np.roll(SONG, shift)[there], atol=2 / 32_768)
    assert not outcome.stem[:shift].any()
    figures = outcome.figures()
    assert figures.seconds == pytest.approx(1.0)
    assert figures.rtt_p50_ms > 0
    assert figures.lookahead_ms == -200
    assert (figures.step_p50_ms, figures.staleness_ms) == (6, 240)
    title, line = table([outcome]).splitlines()[:2]
    assert title.endswith("staleness ms  closed")
    assert line.split()[-3:] == ["240", "1000", "goodbye"]


def test_late_stem_is_counted_and_not_played() -> None:
    outcome = session_against(echo_late)
    assert outcome.figures().late_ms > 100
    assert outcome.figures().slack_p50_ms < 0
    assert not outcome.is_there.any()


def test_a_refusal_after_the_handshake_is_told() -> None:
    outcome = session_against(full)
    assert (outcome.close_code, outcome.reason, outcome.num_sent) == (1013, "full", 0)


def test_a_server_that_speaks_otherwise_is_told_in_one_line() -> None:
    with pytest.raises(MachineError, match="welcome needs version"):
        session_against(nonsense)


def test_a_refusal_before_the_handshake_is_told() -> None:
    def refuse(connection: ServerConnection, _: object) -> Response:
        return connection.respond(503, '{"error": {"code": "full", "message": "all 4 places are taken"}}')

    with pytest.raises(MachineError, match="HTTP 503: all 4 places are taken"):
        against(echo_early, lambda url: ClientSession(url, HELLO, SONG).run(), process_request=refuse)


def test_of_many_sessions_the_refused_ones_are_told_beside_the_others() -> None:
    waiting = iter([True, False])

    def refuse_second(connection: ServerConnection, _: object) -> Response | None:
        return None if next(waiting) else connection.respond(503, "{}")

    def job(url: str) -> Awaitable[list[Outcome]]:
        return play_all(url, HELLO, SONG[: RATE // 2], 2)

    outcomes = against(echo_early, job, process_request=refuse_second)
    assert [outcome.close_code for outcome in outcomes] == [1000, 503]
    assert "without a reason" in outcomes[1].reason
    assert len(table(outcomes).splitlines()) == 1 + 2 + 1


def test_a_session_that_was_cut_goes_on_where_the_song_is() -> None:
    heard: list[tuple[str | None, int]] = []
    numbers: list[int] = []

    async def keep(socket: ServerConnection) -> None:
        hello = parse_client_text(str(await socket.recv()))
        assert isinstance(hello, Hello)
        await socket.send(encode_text(replace(WELCOME, resume=f"token {len(heard)}")))
        async for message in socket:
            if isinstance(message, bytes):
                audio = decode_audio(message, MIX)
                heard.append((hello.resume, audio.sample_index))
                numbers.append(audio.seq)
            elif isinstance(parse_client_text(message), Goodbye):
                await socket.close(1000)

    async def job(url: str) -> Outcome:
        async with NetworkProxy(int(url.split(":")[2].split("/", maxsplit=1)[0])) as proxy:
            session = ClientSession(f"ws://127.0.0.1:{proxy.port}/v1/live", HELLO, SONG)
            running = asyncio.create_task(session.run())
            while len(heard) < 10:
                await asyncio.sleep(0.01)
            proxy.cut()
            return await running

    outcome = against(keep, job)
    assert outcome.close_code == 1000
    assert outcome.figures().resumes == 1
    before = [index for token, index in heard if token is None]
    after = [index for token, index in heard if token == "token 0"]
    assert len(before) + len(after) == len(heard)
    block = RATE // 50
    assert after[0] >= before[-1] + 0.15 * RATE  # what would have been played meanwhile is left out
    assert after == list(range(after[0], RATE, block))
    assert numbers == sorted(set(numbers))
    assert numbers[len(before) :] == list(range(numbers[len(before)], numbers[len(before)] + len(after)))


def test_no_server_and_no_address_are_one_line_each() -> None:
    with pytest.raises(MachineError, match=r"python serve\.py"):
        asyncio.run(ClientSession("ws://127.0.0.1:1/v1/live", HELLO, SONG).run())
    with pytest.raises(UsageError, match="is no address"):
        asyncio.run(ClientSession("http://127.0.0.1/", HELLO, SONG).run())


def test_the_command_writes_aligned_files_and_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(tmp_path / "song.wav", SONG, RATE)

    async def job(url: str) -> int:
        arguments = [url, str(tmp_path / "song.wav"), "--out", str(tmp_path / "out"), "--sessions", "2", "--json"]
        return await asyncio.to_thread(main, arguments)

    assert against(echo_early, job) == 0
    figures = json.loads(capsys.readouterr().out)
    assert [session["close_code"] for session in figures] == [1000, 1000]
    waves = {name: soundfile.read(tmp_path / "out" / f"{name}.wav")[0] for name in ("mix", "stem", "both")}
    np.testing.assert_allclose(waves["mix"], SONG, atol=1e-4)
    np.testing.assert_allclose(waves["both"], np.clip(waves["mix"] + waves["stem"], -1, 1), atol=1e-4)


@pytest.mark.parametrize("is_recorded", [True, False])
def test_a_record_is_asked_for_and_its_name_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], is_recorded: bool
) -> None:
    soundfile.write(tmp_path / "song.wav", SONG[: RATE // 5], RATE)
    asked: list[bool] = []

    async def note(socket: ServerConnection) -> None:
        hello = parse_client_text(str(await socket.recv()))
        assert isinstance(hello, Hello)
        asked.append(hello.record)
        await socket.send(encode_text(WELCOME))
        async for message in socket:
            if isinstance(message, str) and isinstance(parse_client_text(message), Goodbye):
                await socket.close(1000)

    arguments = [str(tmp_path / "song.wav"), *["--record"] * is_recorded]
    assert against(note, lambda url: asyncio.to_thread(main, [url, *arguments])) == 0
    assert asked == [is_recorded]
    assert ("session-0007-" in capsys.readouterr().out) == is_recorded


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ws://127.0.0.1:1/v1/live", str(tmp_path / "missing.wav")]) == 3
    assert capsys.readouterr().err.startswith("error[GM-")
    soundfile.write(tmp_path / "song.wav", SONG, RATE)
    for option in (("--sessions", "0"), ("--seconds", "nan"), ("--lookahead-ms", "5"), ("--guidance", "nan")):
        assert main(["ws://127.0.0.1:1/v1/live", str(tmp_path / "song.wav"), *option]) == 2, option
        assert capsys.readouterr().err.startswith("error[GM-option]")
