"""One step made in every way that there is: `python -m experiments.speed.variants [--sizes nano,tiny]`.

The model alone, one row, full window. All ways take the same steps from an empty past until the window is full, which
shows by how much their logits differ; then they take turns. What can't be had says why. onnxruntime: `make bench-onnx`.
"""

import argparse
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from experiments.speed.figures import Cells, Figure
from experiments.speed.onnx_step import onnx_step
from experiments.speed.own import conditions_of, model_of
from experiments.speed.peers import Shape
from experiments.speed.report import write
from experiments.speed.rounds import ratio, take_turns
from gigmate.accompanist import SHIPPED
from gigmate.checkpoint import load_lm
from gigmate.generation.guidance import Guidance
from gigmate.model.conditions import StepConditions
from gigmate.model.graph_stepper import GraphStepper
from gigmate.model.lm import AccompanimentLM
from gigmate.model.stepper import Stepper
from gigmate.model.stepping import SingleSteps

_LOG = logging.getLogger(__name__)
_SHAPES = {"tiny": Shape("tiny", 384, 8, 6), "small": Shape("small", 1024, 24, 16)}
_WINDOW, _ROUNDS, _STEPS = 512, 5, 60

Way = Callable[[Tensor, StepConditions], Tensor]
"""The step before [1, K] and what is heard -> logits [1, K, V]; remembers its past."""


def ways_of(model: AccompanimentLM, folder: Path) -> dict[str, Callable[[], Way]]:
    """By name, what makes each."""
    return {
        "plain float32": lambda: _plain(model),
        "float32 (gigmate.model.stepper)": lambda: _stepped(model, Stepper(model, "float32")),
        "int8 (gigmate.model.stepper), the default": lambda: _stepped(model, Stepper(model, "int8")),
        "int8, operator by operator": lambda: _stepped(model, Stepper(model, "int8", is_traced=False)),
        "torch.compile": lambda: _stepped(model, GraphStepper(model, torch.float32, torch.compile)),
        "onnxruntime float32": lambda: onnx_step(model, folder, is_int8=False, threads=torch.get_num_threads()),
        "onnxruntime int8": lambda: onnx_step(model, folder, is_int8=True, threads=torch.get_num_threads()),
    }


def _plain(model: AccompanimentLM) -> Way:
    cache = model.new_cache(1)
    return lambda previous, now: model(previous[:, :, None], now, cache)[:, :, 0]


def _stepped(model: AccompanimentLM, steps: SingleSteps) -> Way:
    cache, guidance = model.new_cache(1), Guidance()
    return lambda previous, now: steps.logits(previous, now, guidance, cache, None)


def measure(name: str, model: AccompanimentLM) -> list[Cells]:
    """A row a way."""
    torch.manual_seed(0)
    config, now = model.config, conditions_of(model, 1)
    steps = torch.randint(0, config.codebook_size, (config.window_steps + 8, 1, config.num_streams))
    rows: dict[str, dict[str, str | int | Figure]] = {}
    ways: dict[str, Way] = {}
    expected: Tensor | None = None
    with TemporaryDirectory() as folder:
        for kind, make in ways_of(model, Path(folder)).items():
            start = time.perf_counter()
            try:
                way = make()
                first = way(steps[0], now)
            except Exception as error:  # a compiler or a package that isn't there: its row says so
                _LOG.warning("%s can't be had: %s", kind, error)
                rows[kind] = {"size": name, "way": kind, "first step after, s": f"not shown: {type(error).__name__}"}
                continue
            rows[kind] = {"size": name, "way": kind, "first step after, s": Figure(time.perf_counter() - start, ".2f")}
            logits = torch.stack([first, *(way(step, now) for step in steps[1:])]).clone()
            expected = logits if expected is None else expected
            rows[kind]["logits differ by"] = Figure(float((logits - expected).norm() / expected.norm()), ".1e")
            same = (logits.argmax(-1) == expected.argmax(-1)).float().mean()
            rows[kind]["same likeliest code"] = Figure(float(same), ".1%")
            ways[kind] = way
        players = {kind: (lambda way=way: way(steps[-1], now)) for kind, way in ways.items()}
        times = take_turns(players, rounds=_ROUNDS, steps=_STEPS)
    for kind, taken in times.items():
        lead = Figure.over(ratio(times["plain float32"], taken), ".1f")
        rows[kind] |= {"ms": Figure.over(taken.rounds, ".2f", 1e3), "times as fast as plain": lead}
    return list(rows.values())


def main() -> None:
    """Measure, print and keep."""
    logging.basicConfig(level=logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="nano,tiny", help="of nano (the weights that ship), tiny, small")
    sizes = parser.parse_args().sizes.split(",")
    torch.set_num_threads(1)
    rows: list[Cells] = []
    with torch.inference_mode():
        for name in sizes:
            shipped = name == "nano"
            model = load_lm(SHIPPED, torch.device("cpu")).model.eval() if shipped else model_of(_SHAPES[name], _WINDOW)
            rows += measure(name, model)
    sys.stdout.write(write("variants", rows, threads=1, rounds=_ROUNDS))


if __name__ == "__main__":
    main()
