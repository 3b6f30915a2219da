"""Decoding beside the peers, in one run: `python -m experiments.speed.decode [--rounds 5] [--threads 1]`."""

import argparse
import gc
import logging
import sys
from collections.abc import Mapping
from functools import partial

import torch

from experiments.speed import peers
from experiments.speed.available import NOT_SHOWN, available
from experiments.speed.figures import Cells, Figure, shown
from experiments.speed.own import model_of, player, traffic
from experiments.speed.peers import Shape, Step
from experiments.speed.report import write
from experiments.speed.rounds import Times, copy_bytes_per_s, ratio, take_turns
from gigmate.evaluation.tables import markdown
from gigmate.model.step_function import Weights

_TINY, _SMALL = ("tiny", 384, 8, 6), ("small", 1024, 24, 16)
CASES: tuple[tuple[Shape, float], ...] = (
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
_GENERATED, _GENERATED_GOAL = 60, 3.0


def players_of(shape: Shape) -> dict[str, Step]:
    """All that can be had: a peer that can't is left out."""
    steps = available({name: partial(make, shape) for name, make in _PEERS.items()})
    model = model_of(shape)
    steps["plain float32"] = player(shape, None, model)
    steps["float32"], steps["int8"] = player(shape, "float32", model), player(shape, "int8", model)
    if shape.context > _OWN_WINDOW:
        steps[f"int8, window {_OWN_WINDOW}"] = player(shape, "int8", model_of(shape, _OWN_WINDOW))
    return steps


def beside_best(times: Mapping[str, Times], names: tuple[str, ...], kinds: tuple[str, ...]) -> Cells:
    """Which of the peers of these names is the fastest, and how many times as fast as it each kind of ours is."""
    best = min((name for name in names if name in times), key=lambda name: times[name].median_s, default=None)
    leads = {
        f"{kind}: times the best peer": (
            NOT_SHOWN if best is None else Figure.over(ratio(times[best], times[kind]), ".1f")
        )
        for kind in kinds
    }
    return {"best peer": best or NOT_SHOWN, **leads}


def milliseconds(times: Mapping[str, Times], names: tuple[str, ...], scale: float = 1e3) -> Cells:
    """A cell for each player; those of `names` that can't be had aren't shown."""
    missing = {f"{name}, ms": NOT_SHOWN for name in names if name not in times}
    return {**{f"{name}, ms": Figure.over(taken.rounds, ".2f", scale) for name, taken in times.items()}, **missing}


def row_of(shape: Shape, goal: float, times: Mapping[str, Times], copy_rate: float) -> Cells:
    """A line of the table: milliseconds, the ratio to the best peer, and the share of the copy bandwidth."""
    kinds: tuple[Weights, ...] = ("float32", "int8")
    shares = {
        f"{kind}: share of {copy_rate / 1e9:.1f} GB/s": Figure(
            traffic(shape, kind) / times[kind].median_s / copy_rate, ".0%"
        )
        for kind in kinds
    }
    return {
        "case": f"{shape.name}, {shape.batch} row{'s' * (shape.batch > 1)}{', guided' * shape.is_guided}",
        "context": shape.context,
        **milliseconds(times, tuple(_PEERS)),
        **beside_best(times, tuple(_PEERS), kinds),
        **shares,
        "goal": Figure(goal),
        "steps kept": Figure(min(value.kept for value in times.values()), ".0%"),
    }


def generated(shape: Shape, rounds: int, *, is_one_thread: bool) -> Cells:
    """A line for transformers' `generate` beside the loop and GigMate, all for the same number of steps."""

    def repeated(step: Step) -> Step:
        return lambda: [step() for _ in range(_GENERATED)]

    names = ("transformers", "transformers generate")
    makers = (lambda: repeated(peers.hf_loop(shape)), lambda: peers.hf_generate(shape, _GENERATED))
    whole = available(dict(zip(names, makers, strict=True)))
    whole["int8"] = repeated(player(shape, "int8", model_of(shape)))
    times = take_turns(whole, rounds=rounds, steps=1, warm_up=0, is_one_thread=is_one_thread)
    return {
        "case": f"{shape.name}, {_GENERATED} steps in one",
        "context": shape.context,
        **milliseconds(times, names, 1e3 / _GENERATED),
        **beside_best(times, names, ("int8",)),
        "goal": Figure(_GENERATED_GOAL),
    }


def main(argv: list[str] | None = None) -> None:
    """Measure all cases, print and keep the table."""
    logging.basicConfig(level=logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="cases of one size")
    given = parser.parse_args(argv)
    torch.set_num_threads(given.threads)
    rows, copy_rate, is_one_thread = list[Cells](), copy_bytes_per_s(), given.threads == 1
    chosen = [case for case in CASES if given.only in ("", case[0].name)]
    with torch.inference_mode():
        for shape, goal in chosen:
            steps = 6 if shape.name == "small" else 30
            times = take_turns(players_of(shape), rounds=given.rounds, steps=steps, is_one_thread=is_one_thread)
            rows.append(row_of(shape, goal, times, copy_rate))
            sys.stderr.write(markdown(shown(rows[-1:])))
            gc.collect()
        if chosen and chosen[0] == CASES[0]:
            rows.append(generated(CASES[0][0], given.rounds, is_one_thread=is_one_thread))
    name = f"decode_{given.threads}_thread{'s' * (given.threads > 1)}"
    sys.stdout.write(write(name, rows, threads=given.threads, rounds=given.rounds))


if __name__ == "__main__":
    main()
