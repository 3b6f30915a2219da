"""Does the page play in time? `python -m experiments.live_page [SONG_OR_FOLDER ...] [--seconds 60] [--out FOLDER]`.

The real server with the weights that ship, the page in headless Chromium, a song at its fake microphone. What the
playback worklet put out is brought back from the page and compared with what the server sent, and its beats with the
song's, beside the song's own drums, those of other songs, and a metronome on the true beats.

Without songs: held-out songs of the practice band, whose beats and drums are known. In other songs the beats are
tracked, and nobody knows the drums that belong there. Needs Chromium and the package playwright.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile
from scipy.signal import fftconvolve

from experiments.live_browser import INSTRUMENT, Taken, browsing, play
from experiments.live_server import LiveServer, machine, serving
from gigmate.audio import EXTENSIONS, read_audio, resample, to_channels
from gigmate.config.cli import guarded
from gigmate.data.sources import PracticeSource
from gigmate.errors import InputError
from gigmate.evaluation.adherence.anchors import NUM_STRANGERS, RANDOM, TRUE, metronome
from gigmate.evaluation.adherence.pairs import Pair, cut, pairs_of_source, strangers, true_stems
from gigmate.evaluation.adherence.part import Part
from gigmate.evaluation.adherence.rhythm import beat_f1, eighth_grid
from gigmate.evaluation.metrics import Mono
from gigmate.evaluation.tables import Row, markdown
from gigmate.files.atomic import write_bytes
from gigmate.music.tracker import track_beats

PAGE, METRONOME = "the page", "metronome"

_METRICS = {"beat_f1": "beat F1", "eighth_grid": "onsets on eighths"}
_RATE = 24_000
_FIRST_SEED, _NUM_SEEDS, _NUM_SONGS = 7_000_020, 400, 5
_LEAD_S = 15.0  # the fake microphone runs while the page still opens its connection
_PIECE_S = 5.0


@dataclass(frozen=True)
class Result:
    """A song's figures; `jump_ms`: by how much the microphone's song moved at most, `scores`: by player and metric."""

    song: str
    seconds: float
    underruns: int
    in_time: float
    num_compared: int
    num_differing: int
    lookahead_ms: float
    mode: str
    jump_ms: float
    scores: dict[str, dict[str, float]]


def heard_at_s(mix: Mono, song: Mono) -> tuple[float, float]:
    """Where in the song [M] the microphone's recording [N] begins, and by how much that moves within it; `_RATE`."""
    size = round(_PIECE_S * _RATE)
    starts = [
        int(np.argmax(fftconvolve(song, mix[at : at + size][::-1]))) - size + 1 - at
        for at in range(0, len(mix) - size + 1, size)
    ]
    return float(np.median(starts)) / _RATE, float(np.ptp(starts)) / _RATE


def judge(pair: Pair, pairs: Sequence[Pair], taken: Taken) -> Result:
    """The figures of a session; `pairs`: all songs, to take strangers from.

    Raises:
        TimeoutError: the song was over before the session was.
    """
    mix, stem = (resample(track[None], taken.rate, _RATE)[0] for track in (taken.mix, taken.stem))
    start_s, jump_s = heard_at_s(mix, pair.mix)
    seconds = len(stem) / _RATE
    if not 0 <= start_s <= pair.seconds - seconds:
        raise TimeoutError(f"the session began {start_s:.1f} s into its song, which is too late to hear it whole")
    own = cut(pair, start_s, seconds)
    others = strangers(own, true_stems(pairs), NUM_STRANGERS)
    waves = {
        PAGE: [stem],
        TRUE: [] if own.true is None else [own.true],
        RANDOM: others,
        METRONOME: [metronome(own, own.grid)],
    }
    scores = {name: _score(own, [Part(wave, _RATE) for wave in some]) for name, some in waves.items() if some}
    figures = asdict(taken)
    del figures["rate"], figures["mix"], figures["stem"]
    return Result(song=pair.song, seconds=round(seconds, 2), jump_ms=1000 * jump_s, scores=scores, **figures)


def _score(pair: Pair, parts: Sequence[Part]) -> dict[str, float]:
    return {
        "beat_f1": float(np.mean([beat_f1(part, pair.grid, pair.seconds) for part in parts])),
        "eighth_grid": float(np.mean([eighth_grid(part, pair.grid) for part in parts])),
    }


def songs_of(paths: Sequence[Path], seconds: float) -> list[Pair]:
    """The songs to play to: the practice band's without paths.

    Raises:
        InputError: no song, or one that can't be read or is too short.
    """
    seconds += _LEAD_S
    if not paths:
        source = PracticeSource(_NUM_SEEDS, _FIRST_SEED, 2 * seconds)
        return pairs_of_source(source, [INSTRUMENT], seconds, _NUM_SONGS, _RATE)
    files = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    pairs = [_given(file, seconds) for file in files if file.suffix.lower() in EXTENSIONS]
    if not pairs:
        raise InputError("no_songs", "no audio files", " ".join(map(str, paths)), "give songs or folders of songs")
    return pairs


def _given(path: Path, seconds: float) -> Pair:
    audio = read_audio(path)
    wave = resample(to_channels(audio.wave, 1), audio.sample_rate, _RATE)[0].astype(np.float32)
    if len(wave) < seconds * _RATE:
        raise InputError(
            "short", f"{len(wave) / _RATE:.0f} s, of which {seconds:.0f} are needed", path, "fewer --seconds"
        )
    return cut(Pair(path.name, path.name, INSTRUMENT, _RATE, wave, None, track_beats(wave, _RATE)), 0.0, seconds)


def measure(server: LiveServer, pair: Pair, seconds: float, folder: Path) -> Taken:
    """One session of the page."""
    song = folder / "song.wav"
    soundfile.write(song, pair.mix / max(1.0, float(np.abs(pair.mix).max())), _RATE, subtype="PCM_16")
    with browsing(song) as browser:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.port}/")
        return play(page, seconds)


def row(result: Result) -> Row:
    """A song's line in the table."""
    return {
        "song": result.song,
        "underruns": str(result.underruns),
        "in time": f"{100 * result.in_time:.2f} %",
        "samples compared": f"{result.num_compared:,}",
        "differing": str(result.num_differing),
        "plays ahead, ms": f"{-result.lookahead_ms:.0f}" if result.mode == "ahead" else "bars behind",
    } | {_column(*key): f"{value:.2f}" for key, value in _by_player(result).items()}


def mean_row(results: Sequence[Result]) -> Row:
    """The last line: sums, and means over the songs."""
    scores = [_by_player(result) for result in results]
    return {
        "song": "all",
        "underruns": str(sum(result.underruns for result in results)),
        "in time": f"{100 * np.mean([result.in_time for result in results]):.2f} %",
        "samples compared": f"{sum(result.num_compared for result in results):,}",
        "differing": str(sum(result.num_differing for result in results)),
    } | {_column(*key): f"{np.mean([score[key] for score in scores]):.2f}" for key in scores[0]}


def verdict(results: Sequence[Result]) -> str:
    """Whether it held, in a line: no gap in any song, and beats that are those of the song rather than of any other."""
    underruns = sum(result.underruns for result in results)
    said, held = [f"{underruns} underruns"], [underruns == 0]
    f1s = [[result.scores[name]["beat_f1"] for name in (PAGE, RANDOM)] for result in results if RANDOM in result.scores]
    if f1s:
        page, random = np.mean(f1s, axis=0)
        said.append(f"beat F1 {page:.2f} beside {random:.2f} of other songs' drums")
        held.append(page > random)
    return f"{'Held' if all(held) else 'Failed'}: {', '.join(said)}."


def _by_player(result: Result) -> dict[tuple[str, str], float]:
    return {(metric, player): result.scores[player][metric] for metric in _METRICS for player in result.scores}


def _column(metric: str, player: str) -> str:
    return f"{_METRICS[metric]}: {player}"


def _run(args: argparse.Namespace) -> None:
    pairs = songs_of(args.songs, args.seconds)
    results = []
    with TemporaryDirectory() as name, serving(Path(name), capacity=1) as server:
        for pair in pairs[: args.limit]:
            results.append(judge(pair, pairs, measure(server, pair, args.seconds, Path(name))))
            sys.stderr.write(f"{results[-1]}\n")
    facts = f"Sessions of {args.seconds:g} s. {machine()}."
    args.out.mkdir(parents=True, exist_ok=True)
    about = {"seconds": args.seconds, "machine": machine(), "songs": [asdict(result) for result in results]}
    write_bytes(args.out / "page.json", json.dumps(about, indent=1).encode())
    text = f"{markdown([*map(row, results), mean_row(results)])}\n{verdict(results)}\n\n{facts}\n"
    write_bytes(args.out / "page.md", text.encode())
    sys.stdout.write(text)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", nargs="*", type=Path, help="audio files, or folders of them")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each session")
    parser.add_argument("--limit", type=int, default=_NUM_SONGS, help="songs at most")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "012_live", help="for page.md and page.json"
    )
    args = parser.parse_args()
    sys.exit(guarded(lambda: _run(args)))


if __name__ == "__main__":
    main()
