"""On an NVIDIA GPU: `python -m experiments.speed.gpu`. There it has never been run: no GPU was at hand.

Steps in bfloat16, replayed as a CUDA graph and operator by operator, beside transformers and audiocraft in the same
run, as rates and as shares of the measured copy bandwidth; training steps as a share of what large products reach
(MFU). Tests run all of it but the capture on a CPU.
"""

import copy
import logging
import sys
from collections.abc import Callable
from functools import partial

import torch

from experiments.speed import peers
from experiments.speed.available import NOT_SHOWN, available
from experiments.speed.figures import Cells, Figure
from experiments.speed.gpu_place import Place, conditions_there, limits, timed
from experiments.speed.gpu_training import training_row
from experiments.speed.own import model_of, traffic
from experiments.speed.peers import TOP_K, Shape, Step
from experiments.speed.report import write
from experiments.speed.rounds import ratio
from gigmate.config.cli import guarded
from gigmate.device import captured, check_accelerator
from gigmate.generation.frame_generator import FrameGenerator
from gigmate.generation.sampler import TopK, row_generators
from gigmate.model.graph_stepper import GraphStepper
from gigmate.model.lm import AccompanimentLM

_SIZES = {"tiny": (384, 8, 6), "small": (1024, 24, 16), "medium": (1536, 36, 24)}
_BATCHES, _WINDOW = (1, 8, 64), 512
_TRAIN_BATCH, _TRAIN_STEPS, _COPIED, _PRODUCT = 16, 512, 1 << 28, 8192
_GOALS = "graph: 5 times transformers at 1 row, small 1,500 steps a second; MFU 45 %"
_PEERS = {"transformers": peers.hf_loop, "audiocraft": peers.audiocraft}
"""moshi names its device where it is made, and there it is a CPU."""


def player(model: AccompanimentLM, batch: int, place: Place, *, graph: bool) -> Step:
    """One frame a call, conditions and sampling included; the model is left as it is."""
    model = copy.copy(model)
    model.stepper = GraphStepper(model, torch.bfloat16, place.capture) if graph else None
    generator, draws = FrameGenerator(model, TopK(TOP_K), batch=batch), row_generators(0, batch)
    now = conditions_there(model, batch, place)

    def step() -> object:
        with torch.autocast(place.device.type, torch.bfloat16):
            return generator.step(now, draws)

    return step


def peer(make: Callable[[Shape], Step], shape: Shape, place: Place) -> Step:
    """A peer, all in bfloat16."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with place.device:
            return make(shape)
    finally:
        torch.set_default_dtype(before)


def decode_row(shape: Shape, copy_rate: float, place: Place) -> Cells:
    """A line of the first table."""
    model = model_of(shape, _WINDOW).to(place.device)
    steps = available({name: partial(peer, make, shape, place) for name, make in _PEERS.items()})
    steps["operator by operator"] = player(model, shape.batch, place, graph=False)
    steps["graph"] = player(model, shape.batch, place, graph=True)
    times = {name: timed(step, place, place.steps) for name, step in steps.items()}
    rates = {
        f"{name}, steps/s": Figure.over([1 / taken for taken in times[name].rounds], ".0f")
        if name in times
        else NOT_SHOWN
        for name in (*_PEERS, "operator by operator", "graph")
    }
    leads = {
        f"graph: times {name}": Figure.over(ratio(times[name], times["graph"]), ".1f") if name in times else NOT_SHOWN
        for name in _PEERS
    }
    read = traffic(shape, "float32") / 2  # bfloat16
    share = Figure(read / times["graph"].median_s / copy_rate, ".0%")
    about = {"size": shape.name, "rows": shape.batch}
    return {**about, **rates, **leads, f"graph: share of {copy_rate / 1e9:.0f} GB/s": share}


def _run() -> None:
    check_accelerator("cuda", "experiments.speed.gpu")
    logging.basicConfig(level=logging.WARNING)
    place = Place(torch.device("cuda"), torch.cuda.synchronize, captured)
    copy_rate, peak = limits(place, _COPIED, _PRODUCT)
    shapes = [Shape(name, *_SIZES[name], batch=batch) for name in ("tiny", "small") for batch in _BATCHES]
    with torch.inference_mode():
        rows = [decode_row(shape, copy_rate, place) for shape in shapes]
    trained = [Shape(name, *_SIZES[name], batch=_TRAIN_BATCH) for name in ("small", "medium")]
    rows_trained = [training_row(shape, _TRAIN_STEPS, peak, place, _WINDOW) for shape in trained]
    facts = {"gpu": torch.cuda.get_device_name(), "goals": _GOALS, "batch_trained": _TRAIN_BATCH}
    sys.stdout.write(write("gpu", rows, more={f"Training, {_TRAIN_STEPS} steps a row": rows_trained}, **facts))


if __name__ == "__main__":
    sys.exit(guarded(_run))
