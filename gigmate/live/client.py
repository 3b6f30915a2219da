"""The reference client: plays a song into a live server in real time, and writes down what comes back.

    python -m gigmate.live.client ws://127.0.0.1:8765/v1/live song.wav --instrument drums --out runs/live
    python -m gigmate.live.client ws://127.0.0.1:8765/v1/live song.wav --sessions 20 --seconds 60 --json

`out` gets mix.wav (the song as it was sent), stem.wav (what was in time, silence where it wasn't) and both.wav, aligned
to the sample. `--record` has the server keep what `python -m gigmate.live.replay` plays again. With more than one
session it is a load generator: they start a moment apart, send at an even pace whatever comes back, and are shown
together.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gigmate.audio import read_audio, resample, to_channels, write_wav
from gigmate.errors import GigmateError, UsageError
from gigmate.live.client_outcome import Outcome
from gigmate.live.load import play_all, table
from gigmate.live.messages import RATES, Hello
from gigmate.live.protocol import VERSION, ProtocolError, encode_text, parse_client_text

_USUAL_RATE = 48_000
_RECORDS = "live/ of its runs folder"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit code: 0, or 5 if a session didn't end in order, or that of the error that is printed.
    """
    arguments = _parser().parse_args(argv)
    try:
        _judge(arguments)
        song, rate = _song(arguments.song, arguments.seconds)
        hello = _hello(arguments, rate)
        outcomes = asyncio.run(play_all(arguments.url, hello, song, arguments.sessions, token=arguments.token))
        if arguments.out is not None:
            _write(arguments.out, song, outcomes[0])
    except GigmateError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    sys.stdout.write(_told(arguments, outcomes) + "\n")
    return 0 if all(outcome.close_code == 1000 for outcome in outcomes) else 5


def _told(arguments: argparse.Namespace, outcomes: Sequence[Outcome]) -> str:
    figures = [outcome.figures() for outcome in outcomes]
    if arguments.json:
        return json.dumps([asdict(one) for one in figures])
    records = ", ".join(f"session-{one.session:04d}-*" for one in figures if one.session)
    told = f"\nrecorded by the server as {records} in {_RECORDS}" if arguments.record and records else ""
    return table(outcomes) + told


def _judge(arguments: argparse.Namespace) -> None:
    if not 1 <= arguments.sessions <= 1000:
        raise UsageError("option", f"--sessions {arguments.sessions}, but 1..1000 are possible")
    if arguments.seconds is not None and not 0.1 <= arguments.seconds <= 86_400:
        raise UsageError("option", f"--seconds {arguments.seconds}, but 0.1..86400 are possible")


def _hello(arguments: argparse.Namespace, rate: int) -> Hello:
    hello = Hello(
        version=VERSION,
        sample_rate=rate,
        instrument=arguments.instrument,
        seed=arguments.seed,
        lookahead_ms=arguments.lookahead_ms,
        beats="tracker" if arguments.bpm is None else "tempo",
        bpm=arguments.bpm,
        buffer_ms=arguments.buffer_ms,
        guidance=arguments.guidance,
        record=arguments.record,
    )
    try:
        parse_client_text(encode_text(hello))
    except (ProtocolError, ValueError) as error:
        raise UsageError("option", str(error), "", "see --help") from error
    return hello


def _song(path: Path, seconds: float | None) -> tuple[NDArray[np.float32], int]:
    """The song, mono [N], at a rate that the protocol knows."""
    audio = read_audio(path)
    rate = audio.sample_rate if audio.sample_rate in RATES else _USUAL_RATE
    mono = resample(to_channels(audio.wave, 1), audio.sample_rate, rate)[0]
    if seconds is not None:
        mono = np.resize(mono, round(seconds * rate))  # a song that is too short is played again
    return mono.astype(np.float32), rate


def _write(out: Path, song: NDArray[np.float32], outcome: Outcome) -> None:
    both = np.clip(song + outcome.stem, -1, 1)
    for name, wave in (("mix", song), ("stem", outcome.stem), ("both", both)):
        write_wav(out / f"{name}.wav", wave[None], outcome.sample_rate)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gigmate.live.client", description="Plays a song into a live server, in real time."
    )
    parser.add_argument("url", help="ws://127.0.0.1:8765/v1/live")
    parser.add_argument("song", type=Path, help="an audio file")
    parser.add_argument("--instrument", default="drums")
    parser.add_argument("--out", type=Path, help="folder for mix.wav, stem.wav and both.wav of the first session")
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--seconds", type=float, help="how long; left out: as long as the song")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lookahead-ms", type=int, help="negative; left out: the server chooses")
    parser.add_argument("--bpm", type=float, help="tempo, the first beat at the start; left out: a tracker listens")
    parser.add_argument("--buffer-ms", type=float, default=60.0, help="that the player needs, for the server's plan")
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument(
        "--record",
        action="store_true",
        help=f"the server keeps each session's record in {_RECORDS} (GIGMATE_RUNS, or runs where it was started): "
        "a folder for `python -m gigmate.live.replay FOLDER`",
    )
    parser.add_argument("--token", help="of the server, if it wants one")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
