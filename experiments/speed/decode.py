"""Decoding beside the peers, in one run: `python -m experiments.speed.decode [--rounds 5] [--threads 1]`."""

import argparse
import gc
import logging
import sys
from collections.abc import Mapping

import torch

from experiments.speed import peers
from experiments.speed.own import model_of, player, traffic
from experiments.speed.peers import Shape, Step
from experiments.speed.report import write
from experiments.speed.rounds import Times, copy_bytes_per_s, ratio, take_turns
from gigmate.evaluation.tables import Row, markdown
from gigmate.model.step_function import Weights

_LOG = logging.getLogger(__name__)
_TINY, _SMALL = ("tiny", 384, 8, 6), ("small", 1024, 24, 16)
_CASES: tuple[tuple[Shape, float], ...] = (
    (Shape(*_TINY), 3.0),
    (Shape(*_TINY, context=500), 3.0),
    (Shape(*_TINY, context=1500), 3.0),
    (Shape(*_TINY, is_guided=True), 3.5),
    (Shape(*_TINY, batch=8), 2.0),
    (Shape(*_SMALL), 3.0),
)
"""Each with its goal: how many times as fast as the best peer."""
_PEERS = {"transformers": peers.hf_loop, "audiocraft": peers.audiocraft, "moshi": peers.moshi}
_OWN_WINDOW = 512
_GENERATED = 60


def players_of(shape: Shape) -> dict[str, Step]:
    """All that can be had: a peer that can't is left out."""
    steps: dict[str, Step] = {}
    for name, make in _PEERS.items():
        try:
            steps[name] = make(shape)
            steps[name]()
        except Exception as error:  # whatever a foreign package trips over: its goal is not shown
            steps.pop(name, None)
            _LOG.warning("%s can't be had: %s: %s", name, type(error).__name__, error)
    model = model_of(shape)
    steps["plain float32"] = player(shape, None, model)
    steps["float32"], steps["int8"] = player(shape, "float32", model), player(shape, "int8", model)
    if shape.context > _OWN_WINDOW:
        steps[f"int8, window {_OWN_WINDOW}"] = player(shape, "int8", model_of(shape, _OWN_WINDOW))
    return steps


def row_of(shape: Shape, goal: float, times: Mapping[str, Times], copy_rate: float) -> Row:
    """A line of the table: milliseconds, the ratio to the best peer, and the share of the copy bandwidth."""
    row = {
        "case": f"{shape.name}, {shape.batch} row{'s' * (shape.batch > 1)}{', guided' * shape.is_guided}",
        "context": str(shape.context),
        **{f"{name}, ms": f"{1e3 * value.median_s:.2f}" for name, value in times.items()},
    }
    best = min((times[name] for name in _PEERS if name in times), key=lambda value: value.median_s, default=None)
    kinds: tuple[Weights, ...] = ("float32", "int8")
    for name in kinds:
        shown = "not shown"
        if best is not None:
            middle, least, most = ratio(best, times[name])
            shown = f"{middle:.1f} ({least:.1f} to {most:.1f})"
        row[f"{name}: times the best peer"] = shown
        share = traffic(shape, name) / times[name].median_s / copy_rate
        row[f"{name}: share of {copy_rate / 1e9:.1f} GB/s"] = f"{share:.0%}"
    return {**row, "goal": f"{goal:g}", "steps kept": f"{min(value.kept for value in times.values()):.0%}"}


def generated(rounds: int, *, is_one_thread: bool) -> Row:
    """A line for transformers' `generate` beside the loop and GigMate, all for the same number of steps at tiny."""
    shape = Shape(*_TINY)

    def repeated(step: Step) -> Step:
        return lambda: [step() for _ in range(_GENERATED)]

    whole = {
        "transformers": repeated(peers.hf_loop(shape)),
        "transformers generate": peers.hf_generate(shape, _GENERATED),
        "int8": repeated(player(shape, "int8", model_of(shape))),
    }
    times = take_turns(whole, rounds=rounds, steps=1, warm_up=0, is_one_thread=is_one_thread)
    cells = {f"{name}, ms": f"{1e3 * value.median_s / _GENERATED:.2f}" for name, value in times.items()}
    return {"case": f"tiny, {_GENERATED} steps in one", "context": "0", **cells}


def main() -> None:
    """Measure all cases, print and keep the table."""
    logging.basicConfig(level=logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="cases of one size")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows, copy_rate = [], copy_bytes_per_s()
    for shape, goal in _CASES:
        if given.only not in ("", shape.name):
            continue
        steps = 6 if shape.name == "small" else 30
        with torch.inference_mode():
            times = take_turns(players_of(shape), rounds=given.rounds, steps=steps, is_one_thread=given.threads == 1)
        rows.append(row_of(shape, goal, times, copy_rate))
        sys.stderr.write(markdown(rows[-1:]))
        gc.collect()
    if given.only in ("", "tiny"):
        with torch.inference_mode():
            rows.append(generated(given.rounds, is_one_thread=given.threads == 1))
    write(f"decode_{given.threads}_thread{'s' * (given.threads > 1)}", rows, threads=given.threads, rounds=given.rounds)
    sys.stdout.write(markdown(rows))


if __name__ == "__main__":
    main()
