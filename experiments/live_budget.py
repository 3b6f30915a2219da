"""Where a session's time goes, and what sessions cost others: `python -m experiments.live_budget --out FOLDER`.

The real server with the weights that ship, clients on the same machine. One session is recorded: what its calls waited
and took is in the record, what the client saw is in its outcome. Then the event loop's lateness over the last minute of
no, 1 and 4 sessions, and how soon a client is refused by a full server. Sessions are those of a client that asks for
nothing: the beat is tracked. The codec is timed by itself in this process, on the same weights.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from experiments.live_server import RATE, LiveServer, machine, practice_song, serving
from gigmate.accompanist import Accompanist
from gigmate.device import Device
from gigmate.evaluation.tables import Row, markdown
from gigmate.files.atomic import write_bytes
from gigmate.live.client_outcome import Outcome
from gigmate.live.client_session import SUBPROTOCOL, ClientSession
from gigmate.live.decoding import slot_decoder
from gigmate.live.load import play_all
from gigmate.live.messages import Hello
from gigmate.live.protocol import VERSION
from gigmate.live.record import EVENTS
from gigmate.pitch import NUM_NOTE_CODES

CAPACITY, BUFFER_MS, FRAME_MS = 4, 60, 20.0
LEARNT_S = 10.0
_SHARES = (50, 95, 99)
_REFUSALS, _NUM_DECODED = 50, 1000

Refusals = dict[str, list[float]]
"""Seconds that each client waited, by how they came."""


@dataclass(frozen=True)
class Part:
    """A part of the path, in ms.

    Args:
        name: what it is.
        how: it was measured.
        ms: p50, p95, p99.
        is_summed: it stands in the sum.
    """

    name: str
    how: str
    ms: tuple[float, float, float]
    is_summed: bool = True


def part(name: str, how: str, seconds: Sequence[float] | NDArray[np.float64], *, is_summed: bool = True) -> Part:
    """Of measurements in seconds."""
    p50, p95, p99 = (1000 * float(np.percentile(seconds, share)) for share in _SHARES)
    return Part(name, how, (p50, p95, p99), is_summed)


def fixed(name: str, how: str, ms: float) -> Part:
    """What is always the same."""
    return Part(name, how, (ms, ms, ms))


def parts(outcome: Outcome, events: Sequence[dict[str, object]], codec_s: Sequence[float]) -> list[Part]:
    """The path of a session, from the microphone to the loudspeaker.

    Args:
        outcome: of the client.
        events: of the session's record.
        codec_s: decoding of a frame by itself.
    """
    facts = next(event["facts"] for event in events if event["type"] == "open")
    assert isinstance(facts, dict)
    calls = [event for event in events if event["type"] == "call" and event["waited_s"] is not None]
    steps_s, waits_s, hears_s = (
        np.array([float(str(call[name])) for call in calls]) for name in ("step_s", "waited_s", "hear_s")
    )
    slack_s, due_s = np.array(outcome.slack_s), np.array(outcome.starts) / RATE
    path_s = -outcome.plans[-1].lookahead_ms / 1000 - slack_s[due_s >= LEARNT_S]
    return [
        fixed("capture", "a frame, sent when its last sample is there", FRAME_MS),
        part("network", "pings of the client, both ways", outcome.rtt_s),
        part("queue", "record: from a message to its call, less beats", np.maximum(0.0, waits_s - hears_s)),
        part("beats", "record: level and tracker, which looks anew each tenth frame", hears_s),
        part("codec", "a frame's decoding, by itself", codec_s),
        part("model", "record: the call, less the codec's median", np.maximum(0.0, steps_s - np.median(codec_s))),
        fixed("codec's window", "samples that it looks ahead", 1000 * facts["latency_samples"] / facts["sample_rate"]),
        fixed("buffer", "as the client asks for", BUFFER_MS),
        part("whole path without buffer", "lookahead less slack", path_s, is_summed=False),
    ]


def rows(measured: Sequence[Part], lookahead_ms: float) -> list[Row]:
    """The table, with the sum."""

    def line(name: str, how: str, ms: Sequence[float]) -> Row:
        return {
            "part": name,
            "how": how,
            **{f"p{share}, ms": f"{value:.1f}" for share, value in zip(_SHARES, ms, strict=True)},
        }

    sums = [sum(part.ms[i] for part in measured if part.is_summed) for i in range(len(_SHARES))]
    return [
        *(line(part.name, part.how, part.ms) for part in measured),
        line("sum", "of all but the whole path", sums),
        line("lookahead", "the last plan", [lookahead_ms] * len(_SHARES)),
    ]


@torch.inference_mode()
def codec_times() -> list[float]:
    """Decoding of single frames as a session of its own has them decoded, in seconds."""
    codec = Accompanist.load(None, device=Device(threads=1)).codec
    decoder, spec, times_s = slot_decoder(codec, 1), codec.spec, list[float]()
    for codes in torch.randint(spec.codebook_size, (_NUM_DECODED, 1, spec.num_codebooks)):
        notes = torch.randint(NUM_NOTE_CODES, (1,))
        start_s = time.perf_counter()
        decoder.decode([0], codes, notes)
        times_s.append(time.perf_counter() - start_s)
    return times_s


async def refusal(url: str) -> float:
    """How long a client waits to hear that there is no place, in seconds."""
    start_s = time.perf_counter()
    try:
        async with connect(url, subprotocols=[SUBPROTOCOL], compression=None):  # pyright: ignore[reportArgumentType]
            raise RuntimeError("a full server took one more")
    except InvalidStatus as refused:
        if refused.response.status_code != 503:
            raise
        return time.perf_counter() - start_s


async def refusals(url: str) -> Refusals:
    """Of clients who come one after the other, and of as many who come together."""
    return {
        "one after the other": [await refusal(url) for _ in range(_REFUSALS)],
        "at once": list(await asyncio.gather(*(refusal(url) for _ in range(_REFUSALS)))),
    }


async def measure(server: LiveServer, seconds: float) -> tuple[Outcome, dict[int, float], Refusals]:
    """The recorded session, the loop's lateness p99 in seconds by number of sessions, and the refusals' times."""
    song, _ = practice_song(seconds)
    hello = Hello(version=VERSION, sample_rate=RATE, instrument="drums", buffer_ms=BUFFER_MS, record=True)

    async def lag() -> float:
        return await asyncio.to_thread(server.figure, "loop_lag_p99_seconds")

    await asyncio.sleep(seconds)
    lags = {0: await lag()}
    outcome = await ClientSession(server.url, hello, song).run()
    lags[1] = await lag()
    playing = asyncio.create_task(play_all(server.url, replace(hello, record=False), song, CAPACITY))
    await asyncio.sleep(seconds - 2)  # before the first of them ends
    lags[CAPACITY] = await lag()
    refused_s = await refusals(server.url)
    await playing
    return outcome, lags, refused_s


def report(measured: Sequence[Part], outcome: Outcome, lags: dict[int, float], refused_s: Refusals) -> str:
    """The page without its facts."""
    figures = outcome.figures()
    lines = [
        {
            "sessions": str(number),
            "event loop late p99, ms": f"{1000 * lag_s:.1f}",
            "more than idle, ms (goal: 15)": f"{1000 * (lag_s - lags[0]):.1f}",
        }
        for number, lag_s in lags.items()
    ]
    waits = [
        {f"{len(times_s)} clients too many, refused after": how}
        | {f"p{share}, ms": f"{1000 * np.percentile(times_s, share):.1f}" for share in _SHARES}
        for how, times_s in refused_s.items()
    ]
    return "\n".join(
        [
            markdown(rows(measured, -figures.lookahead_ms)),
            f"In time: {100 * figures.in_time:.2f} %, {figures.underruns} underruns, mode {figures.mode}.\n",
            markdown(lines),
            markdown(waits),
        ]
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for budget.md and budget.json")
    parser.add_argument("--seconds", type=float, default=65.0, help="of each session; a minute fills the probe")
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        with serving(Path(folder), CAPACITY) as server:
            outcome, lags, refused_s = asyncio.run(measure(server, args.seconds))
        (record,) = server.records.iterdir()
        events = [json.loads(line) for line in (record / EVENTS).read_text(encoding="utf-8").splitlines()]
    measured = parts(outcome, events, codec_times())
    about = {
        "machine": machine(),
        "seconds": args.seconds,
        "parts": [vars(part) for part in measured],
        "lookahead_ms": outcome.plans[-1].lookahead_ms,
        "loop_lag_p99_s": lags,
        "refused_s": refused_s,
    }
    text = f"{report(measured, outcome, lags, refused_s)}\nSessions of {args.seconds:g} s. {machine()}.\n"
    args.out.mkdir(parents=True, exist_ok=True)
    write_bytes(args.out / "budget.json", json.dumps(about, indent=1).encode())
    write_bytes(args.out / "budget.md", text.encode())
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
