"""Where a frame's time goes with the shipped weights: `python -m experiments.speed.parts`.

Before is the plain model in float32, after is what plays by default. One session, live settings (guidance 3, top 100),
full ring.
"""

import sys
from collections.abc import Callable

import torch

from experiments.speed.own import conditions_of
from experiments.speed.report import write
from experiments.speed.rounds import take_turns
from gigmate.accompanist import Accompanist
from gigmate.device import Device, use_threads
from gigmate.evaluation.tables import Row, markdown
from gigmate.generation.frame_generator import FrameGenerator
from gigmate.generation.guidance import Guidance
from gigmate.generation.sampler import TopK, draw_uniform, row_generators

_ROUNDS, _STEPS, _PAST = 5, 100, 700


def players(player: Accompanist) -> dict[str, Callable[[], object]]:
    """A whole frame, and its parts alone."""
    model, guidance, sampler = player.model, Guidance(3.0, 3.0), TopK()
    config = model.config
    generator = FrameGenerator(model, sampler, guidance=guidance)
    now, draws = conditions_of(model, 1), row_generators(0, 1)
    for _ in range(_PAST):
        generator.step(now, draws)
    previous, cache = torch.zeros(1, config.num_streams, dtype=torch.int64), model.new_cache(2)
    expanded, doubled = guidance.expand(now), guidance.repeat(previous)
    logits, stream = torch.randn(2, config.num_streams, config.codebook_size), player.codec.stream()
    codes = previous[:, : config.num_codebooks, None]

    def step_model() -> object:
        if model.stepper is None:
            return model(doubled[:, :, None], expanded, cache)
        return model.stepper.logits(doubled, now, guidance, cache, None)

    for _ in range(_PAST):
        step_model()
    return {
        "whole frame": lambda: generator.step(now, draws),
        "model": step_model,
        "guidance and draw": lambda: sampler(guidance.blend(logits), draw_uniform(draws, config.num_streams)),
        "codec: decode a frame": lambda: stream.decode(codes),
    }


def main() -> None:
    """Measure, print and keep."""
    use_threads(Device(threads=1))
    kinds = {"plain float32": None, "float32": "float32", "int8": "int8"}
    timed: dict[str, Callable[[], object]] = {}
    with torch.inference_mode():
        for kind, weights in kinds.items():
            own = players(Accompanist.load(device=Device(threads=1, weights=weights)))  # pyright: ignore[reportArgumentType]
            timed |= {f"{kind}: {name}": step for name, step in own.items()}
        times = take_turns(timed, rounds=_ROUNDS, steps=_STEPS)
    names = ("whole frame", "model", "guidance and draw", "codec: decode a frame")
    rows: list[Row] = []
    for name in names:
        cells = {f"{kind}, ms": f"{1e3 * times[f'{kind}: {name}'].median_s:.2f}" for kind in kinds}
        rows.append({"part": name, **cells})
    frames = {f"{kind}, ms": f"{1 / times[f'{kind}: whole frame'].median_s:.0f} a second" for kind in kinds}
    rows.append({"part": "frames", **frames})
    write("parts", rows, threads=1)
    sys.stdout.write(markdown(rows))


if __name__ == "__main__":
    main()
