"""A whole piece at once: the loop around `FrameGenerator`, and the one for patterns that can't be streamed."""

from collections.abc import Callable

import torch

from gigmate.generation.frame_generator import FrameGenerator
from gigmate.generation.guidance import Guidance
from gigmate.generation.sampler import Sampler, row_generators
from gigmate.generation.step_decoder import FREE, StepDecoder
from gigmate.model.conditions import FrameConditions, step_conditions
from gigmate.model.lm import AccompanimentLM
from gigmate.shapes import Codes

Progress = Callable[[int, int], None]
"""Called with what is done and the total."""


def generate(
    model: AccompanimentLM,
    conditions: FrameConditions,
    num_frames: int,
    sampler: Sampler,
    *,
    seed: int = 0,
    guidance_scale: float = 1.0,
    beats_guidance_scale: float | None = None,
    prompt: Codes | None = None,
    progress: Progress | None = None,
) -> Codes:
    """Make a stem.

    Args:
        model: in eval mode.
        conditions: of the whole piece, on any device.
        num_frames: T of the result, the prompt included.
        sampler: how codes are drawn.
        seed: each row of the batch draws from a generator of its own, made from `seed` and its number.
        guidance_scale: how strongly the conditions are followed; 1 as in training.
        beats_guidance_scale: the same for the beat grid, if it is to differ.
        prompt: [B, K, T_past] the stem's own past to go on from, T_past <= num_frames.
        progress: called with frames done and `num_frames`, now and then at the least at the end.

    Returns:
        Codes [B, K, num_frames] on the model's device, the prompt first.

    Raises:
        ValueError: the prompt doesn't fit.
    """
    config, device = model.config, model.heads.weight.device
    shape = (conditions.batch, config.num_codebooks, num_frames)
    past = torch.empty(*shape[:2], 0, dtype=torch.int64) if prompt is None else prompt
    if past.shape[:2] != shape[:2] or past.shape[2] > num_frames:
        raise ValueError(f"the prompt is {tuple(past.shape)}, but codes of {shape} are to be made")
    codes = torch.full(shape, FREE, device=device)
    codes[:, :, : past.shape[2]] = past.to(device)
    guidance = Guidance(guidance_scale, guidance_scale if beats_guidance_scale is None else beats_guidance_scale)
    make = _stream if config.build_pattern().is_streamable else _passes
    report = progress or (lambda done, total: None)
    return make(model, conditions.to(device), codes, past.shape[2], sampler, guidance, seed, report)


def _stream(
    model: AccompanimentLM,
    conditions: FrameConditions,
    codes: Codes,
    num_past: int,
    sampler: Sampler,
    guidance: Guidance,
    seed: int,
    report: Progress,
) -> Codes:
    """Fill `codes` frame by frame, as if live; what is written of frames beyond the end is dropped."""
    batch, _, num_frames = codes.shape
    generators = row_generators(seed, batch)
    generator = FrameGenerator(model, sampler, batch=batch, guidance=guidance)
    period, num_calls = generator.pattern.period, num_frames + generator.max_delay
    steps = step_conditions(conditions, generator.pattern, num_calls * period).at(slice(None, None, period))
    generator.prefill(codes[:, :, :num_past], steps)
    for call in range(num_past, num_calls):
        frame = generator.step(steps.at(slice(call, call + 1)), generators)
        if frame is not None:
            codes[:, :, call - generator.max_delay] = frame
        report(min(call + 1, num_frames), num_frames)
    return codes


def _passes(
    model: AccompanimentLM,
    conditions: FrameConditions,
    codes: Codes,
    num_past: int,
    sampler: Sampler,
    guidance: Guidance,
    seed: int,
    report: Progress,
) -> Codes:
    """Fill `codes` step by step over several passes, all at the end."""
    pattern = model.config.build_pattern()
    generators = row_generators(seed, codes.shape[0])
    plan = pattern.interleave(codes, model.config.special_id)
    num_steps, num_frames = plan.shape[2], codes.shape[2]
    steps = step_conditions(conditions, pattern, num_steps)
    decoder = StepDecoder(model, sampler, batch=codes.shape[0], guidance=guidance)
    for index in range(num_steps):
        plan[:, :, index] = decoder.step(plan[:, :, index], steps.at(slice(index, index + 1)), generators)
        report((index + 1) * num_frames // num_steps, num_frames)
    return pattern.deinterleave(plan)
