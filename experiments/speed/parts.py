"""Where a live frame's time goes with the shipped weights: `python -m experiments.speed.parts`.

The whole frame is a session's own, all but the network: audio in, tracker, features, model, notes, draw, codec, audio
out. Its parts are timed in it. One session, guidance and all else as it is live by default, full ring; the plain model
in float32 and the stepper in float32 stand beside what plays by default. Frames follow each other at once: live there
is a pause between them, and caches are colder.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Literal

from experiments.speed.figures import Cells, Figure
from experiments.speed.inside import Methods, timed_parts
from experiments.speed.live_frame import LiveFrames
from experiments.speed.report import write
from experiments.speed.rounds import calm_of, median_of, timed
from gigmate.accompanist import Accompanist
from gigmate.device import Device, use_threads
from gigmate.generation.controls import RowControls
from gigmate.generation.note_writing import NoteWriting
from gigmate.live.decoding import BatchedDecoder
from gigmate.live.hearing import Hearing
from gigmate.live.mix_in import MixIn
from gigmate.live.session import LiveSession
from gigmate.live.settings import SessionSettings
from gigmate.model.cache import KVCache
from gigmate.model.lm import AccompanimentLM
from gigmate.model.stepper import Stepper
from gigmate.music.live_tracker import LiveTracker

_ROUNDS, _STEPS, _WARM_UP, _PAST = 5, 100, 2, 700
_WHOLE, _REST, _CACHE = "whole frame", "rest", "of the model, cache: places and mask"
PARTS: dict[str, Methods] = {
    "audio in: checks, resampling": [(LiveSession, "push_audio")],
    "live tracker: push": [(LiveTracker, "push")],
    "beat grid and its features": [(MixIn, "beat_features")],
    "hearing: mix features": [(Hearing, "push")],
    "model": [(Stepper, "logits"), (AccompanimentLM, "forward")],
    _CACHE: [(KVCache, "claim"), (KVCache, "append"), (KVCache, "one_step")],
    "notes: weighing": [(NoteWriting, "weigh")],
    "guidance and draw": [(RowControls, "choose")],
    "codec: decode": [(BatchedDecoder, "decode")],
    "audio out: gain, resampling": [(LiveSession, "take")],
}
"""In the order of a frame. In int8 keys and values are stored and attended to within the model's traced program, so the
cache's row is what lies outside of it."""

_KINDS: dict[str, tuple[Literal["int8", "float32"] | None, str]] = {
    "plain float32, drums": (None, "drums"),
    "float32, drums": ("float32", "drums"),
    "int8, drums": ("int8", "drums"),
    "int8, bass": ("int8", "bass"),
}
"""Weights and instrument of each column; the last two are what plays by default."""


def turn(frame: Callable[[], object], seconds: dict[str, float], steps: int) -> dict[str, float]:
    """Median seconds of a frame's parts over one turn; what none of them holds is the rest."""
    frames: list[dict[str, float]] = []
    taken = []
    for _ in range(_WARM_UP + steps):
        seconds.update(dict.fromkeys(seconds, 0.0))
        taken.append(timed(frame))
        whole, known = taken[-1][0], sum(value for part, value in seconds.items() if part != _CACHE)
        frames.append({_WHOLE: whole, **seconds, _REST: whole - known})
    calm = calm_of(taken[_WARM_UP:])
    return {part: median_of([each[part] for each in frames[_WARM_UP:]], calm) for part in frames[0]}


def measure(frames: Mapping[str, Callable[[], object]], rounds: int, steps: int) -> dict[str, list[dict[str, float]]]:
    """By kind, what each round's `turn` found; kinds take turns, and the first round isn't counted."""
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in frames}
    with timed_parts(PARTS) as seconds:
        for _ in range(rounds + 1):
            for kind, frame in frames.items():
                found[kind].append(turn(frame, seconds, steps))
    return {kind: turns[1:] for kind, turns in found.items()}


def table(found: Mapping[str, list[dict[str, float]]]) -> list[Cells]:
    """A row a part; the last says how many frames a second that makes."""
    rows: list[Cells] = []
    for part in (_WHOLE, *PARTS, _REST):
        figures = {kind: Figure.over([each[part] for each in turns], ".3f", 1e3) for kind, turns in found.items()}
        rows.append({"part": part, "unit": "ms", **figures})
    rates = {kind: Figure.over([1 / each[_WHOLE] for each in turns], ".0f") for kind, turns in found.items()}
    return [*rows, {"part": "frames", "unit": "1/s", **rates}]


def main() -> None:
    """Measure, print and keep."""
    use_threads(Device(threads=1))
    frames = {
        kind: LiveFrames(Accompanist.load(device=Device(threads=1, weights=weights)), instrument)
        for kind, (weights, instrument) in _KINDS.items()
    }
    for frame in frames.values():
        for _ in range(_PAST):
            frame()
    rows = table(measure(frames, _ROUNDS, _STEPS))
    guidance = SessionSettings(0).guidance
    sys.stdout.write(write("parts", rows, threads=1, rounds=_ROUNDS, frames=_STEPS, guidance=guidance))


if __name__ == "__main__":
    main()
