"""The bench's own ways to make a step are the model's step, or what they are timed with means nothing."""

import torch
from tiny_models import random_steps, tiny_model

from experiments.speed.onnx_step import PureStep, RingStep
from gigmate.model.lm import shift_steps


@torch.inference_mode()
def test_the_step_that_is_exported_is_the_models() -> None:
    """Over a window that is passed four times; onnxruntime is left out: the graph is torch's own export."""
    model = tiny_model(window=9, dim=64)
    steps, conditions = random_steps(model, 1, 40)
    previous, cache = shift_steps(steps, model.config.special_id), model.new_cache(1)
    pure = PureStep(model)
    way = RingStep(model, lambda arrays: [out.numpy() for out in pure(*map(torch.from_numpy, arrays))])
    for s in range(40):
        now = conditions.at(slice(s, s + 1))
        expected = model(previous[:, :, s : s + 1], now, cache)[:, :, 0]
        torch.testing.assert_close(way(previous[:, :, s], now), expected, rtol=1e-4, atol=1e-5)
