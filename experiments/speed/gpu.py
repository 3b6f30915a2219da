"""On an NVIDIA GPU: `python -m experiments.speed.gpu`. It has never been run: no GPU was at hand.

Steps in bfloat16, replayed as a CUDA graph and operator by operator, beside transformers in the same run, as rates and
as shares of the measured copy bandwidth; training steps as a share of what large products reach (MFU).
"""

import sys
import time
from collections.abc import Callable

import torch
from torch import nn

from experiments.speed.own import conditions_of, model_of, traffic
from experiments.speed.peers import NUM_CODEBOOKS, NUM_CODES, TOP_K, Shape, Step, hf_loop
from experiments.speed.report import write
from experiments.speed.rounds import Times, ratio
from gigmate.config.cli import guarded
from gigmate.device import captured, check_accelerator
from gigmate.evaluation.tables import Row, markdown
from gigmate.generation.frame_generator import FrameGenerator
from gigmate.generation.sampler import TopK, row_generators
from gigmate.model.conditions import StepConditions
from gigmate.model.graph_stepper import GraphStepper
from gigmate.model.lm import AccompanimentLM

_SIZES = {"tiny": (384, 8, 6), "small": (1024, 24, 16), "medium": (1536, 36, 24)}
_BATCHES, _WINDOW, _ROUNDS, _STEPS = (1, 8, 64), 512, 5, 100
_TRAIN_BATCH, _TRAIN_STEPS, _PRODUCT = 16, 512, 8192
_GOALS = "graph: 5 times transformers at 1 row, small 1,500 steps a second; MFU 45 %"


def timed(step: Step, steps: int, rounds: int = _ROUNDS) -> Times:
    """Seconds of a step, from rounds of many; the first round isn't counted."""
    seconds = []
    for _ in range(rounds + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(steps):
            step()
        torch.cuda.synchronize()
        seconds.append((time.perf_counter() - start) / steps)
    return Times(tuple(seconds[1:]), 1.0)


def player(model: AccompanimentLM, batch: int, *, graph: bool) -> Step:
    """One frame a call, conditions and sampling included."""
    model.stepper = GraphStepper(model, torch.bfloat16, captured) if graph else None
    generator, draws = FrameGenerator(model, TopK(TOP_K), batch=batch), row_generators(0, batch)
    now = StepConditions(*(value.cuda() for value in vars(conditions_of(model, batch)).values()))

    def step() -> object:
        with torch.autocast("cuda", torch.bfloat16):
            return generator.step(now, draws)

    return step


def peer(shape: Shape) -> Step:
    """transformers, all in bfloat16 on the GPU."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda"):
            return hf_loop(shape)
    finally:
        torch.set_default_dtype(before)


def decode_row(name: str, batch: int, copy_rate: float) -> Row:
    """A line of the first table."""
    shape = Shape(name, *_SIZES[name], batch=batch)
    model = model_of(shape, _WINDOW).cuda()
    times = {
        "transformers": timed(peer(shape), _STEPS),
        "operator by operator": timed(player(model, batch, graph=False), _STEPS),
        "graph": timed(player(model, batch, graph=True), _STEPS),
    }
    middle, least, most = ratio(times["transformers"], times["graph"])
    read = traffic(shape, "float32") / 2  # bfloat16
    return {
        "size": name,
        "rows": str(batch),
        **{f"{kind}, steps/s": f"{1 / taken.median_s:.0f}" for kind, taken in times.items()},
        "graph: times transformers": f"{middle:.1f} ({least:.1f} to {most:.1f})",
        f"graph: share of {copy_rate / 1e9:.0f} GB/s": f"{read / times['graph'].median_s / copy_rate:.0%}",
    }


def training_row(name: str, peak: float) -> Row:
    """A line of the second table: six operations a weight and code step, and twelve a pair of attention."""
    model = model_of(Shape(name, *_SIZES[name]), _WINDOW).cuda().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    now = StepConditions(*(value.cuda() for value in vars(conditions_of(model, _TRAIN_BATCH)).values()))
    conditions = now.at(torch.zeros(_TRAIN_STEPS, dtype=torch.int64, device="cuda"))
    codes = torch.randint(0, NUM_CODES, (_TRAIN_BATCH, NUM_CODEBOOKS, _TRAIN_STEPS), device="cuda")

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            logits = model(codes, conditions)
            loss = nn.functional.cross_entropy(logits.flatten(0, 2).float(), codes.flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    seconds = timed(step, 5).median_s
    weights = sum(part.weight.numel() for part in model.modules() if isinstance(part, nn.Linear))
    dim, num_layers, _ = _SIZES[name]
    work = _TRAIN_BATCH * _TRAIN_STEPS * (6 * weights + 12 * num_layers * dim * _TRAIN_STEPS / 2)
    return {
        "size": name,
        "s a step": f"{seconds:.3f}",
        f"MFU of {peak / 1e12:.0f} TFLOP/s": f"{work / seconds / peak:.0%}",
    }


def limits() -> tuple[float, float]:
    """Bytes a second of a copy, operations a second of a large product in bfloat16."""
    source = torch.ones(1 << 28, device="cuda")
    target, square = torch.empty_like(source), torch.randn(_PRODUCT, _PRODUCT, device="cuda", dtype=torch.bfloat16)
    copy: Callable[[], object] = lambda: target.copy_(source)  # noqa: E731
    return 2 * source.nbytes / timed(copy, 10).median_s, 2 * _PRODUCT**3 / timed(lambda: square @ square, 10).median_s


def _run() -> None:
    check_accelerator("cuda", "experiments.speed.gpu")
    copy_rate, peak = limits()
    with torch.inference_mode():
        rows = [decode_row(name, batch, copy_rate) for name in ("tiny", "small") for batch in _BATCHES]
    trained = [training_row(name, peak) for name in ("small", "medium")]
    write("gpu", rows, gpu=torch.cuda.get_device_name(), goals=_GOALS)
    write("gpu_training", trained, gpu=torch.cuda.get_device_name(), batch=_TRAIN_BATCH, steps=_TRAIN_STEPS)
    sys.stdout.write(markdown(rows) + "\n" + markdown(trained))


if __name__ == "__main__":
    sys.exit(guarded(_run))
