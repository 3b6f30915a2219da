"""A whole piece at once: the loop around `FrameGenerator`, and the one for patterns that can't be streamed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from gigmate.generation.audition import Audition
from gigmate.generation.frame_generator import FrameGenerator
from gigmate.generation.guidance import Guidance
from gigmate.generation.note_taste import NO_TASTE, NoteTaste
from gigmate.generation.sampler import Sampler, row_generators
from gigmate.generation.step_decoder import FREE, StepDecoder
from gigmate.generation.warm_up import WarmUp
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
    taste: NoteTaste = NO_TASTE,
    prompt: Codes | None = None,
    audition: Audition | None = None,
    warm_ups: Sequence[WarmUp | None] = (),
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
        taste: which notes are favoured, if the model writes notes.
        prompt: [B, K, T_past] the stem's own past to go on from, T_past <= num_frames; unknown notes: the special id.
        audition: search for a stem that fits better; None: take the first.
        warm_ups: of each row, or of none; without effect on patterns that can't be streamed.
        progress: called with frames done and `num_frames`, now and then at the least at the end.

    Returns:
        What the model writes (`gigmate.model.streams`), [B, K, num_frames] on its device, the prompt first.

    Raises:
        ValueError: the prompt doesn't fit, there are warm-ups besides, or an audition for a pattern that can't be
            streamed.
    """
    config, device = model.config, model.heads.weight.device
    shape = (conditions.batch, config.num_streams, num_frames)
    past = torch.empty(*shape[:2], 0, dtype=torch.int64) if prompt is None else prompt
    if past.shape[:2] != shape[:2] or past.shape[2] > num_frames:
        raise ValueError(f"the prompt is {tuple(past.shape)}, but codes of {shape} are to be made")
    if warm_ups and (past.shape[2] or len(warm_ups) != conditions.batch):
        raise ValueError(f"{len(warm_ups)} warm-ups for {conditions.batch} rows and a prompt of {past.shape[2]} frames")
    is_streamable = config.build_pattern().is_streamable
    if audition is not None and not is_streamable:
        raise ValueError("this pattern makes no frames one by one that could be judged: no audition")
    codes = torch.full(shape, FREE, device=device)
    codes[:, :, : past.shape[2]] = past.to(device)
    guidance = Guidance(guidance_scale, guidance_scale if beats_guidance_scale is None else beats_guidance_scale)
    piece = _Piece(model, conditions.to(device), past.shape[2], sampler, guidance, taste, seed, progress or _unwatched)
    return piece.stream(codes, audition, warm_ups) if is_streamable else piece.make_in_passes(codes)


def _unwatched(done: int, total: int) -> None:
    pass


@dataclass(frozen=True)
class _Piece:
    model: AccompanimentLM
    conditions: FrameConditions
    num_past: int
    sampler: Sampler
    guidance: Guidance
    taste: NoteTaste
    seed: int
    report: Progress

    def stream(self, codes: Codes, audition: Audition | None, warm_ups: Sequence[WarmUp | None]) -> Codes:
        """Fill `codes` frame by frame, as if live; what is written of frames beyond the end is dropped."""
        num_frames, num_candidates = codes.shape[2], 1 if audition is None else audition.num_candidates
        codes = codes.repeat_interleave(num_candidates, dim=0)
        batch = len(codes)
        conditions = self.conditions.rows(torch.arange(batch, device=codes.device) // num_candidates)
        generators = row_generators(self.seed, batch)
        generator = FrameGenerator(self.model, self.sampler, batch=batch, guidance=self.guidance, taste=self.taste)
        players = {id(warm_up): generator.warmed(warm_up) for warm_up in warm_ups if warm_up is not None}
        for row in range(batch if players else 0):
            if (warm_up := warm_ups[row // num_candidates]) is not None:
                generator.begin(row, players[id(warm_up)])
        period, num_calls = generator.pattern.period, num_frames + generator.max_delay
        steps = step_conditions(conditions, generator.pattern, num_calls * period).at(slice(None, None, period))
        if self.num_past:
            generator.prefill(codes[:, :, : self.num_past], steps)
        judged = self.num_past
        for call in range(self.num_past, num_calls):
            frame = generator.step(steps.at(slice(call, call + 1)), generators)
            num_done = call - generator.max_delay + 1
            if frame is not None:
                codes[:, :, num_done - 1] = frame
            if audition is not None and (num_done - judged >= audition.every_frames or judged < num_done == num_frames):
                rows = audition.chosen(codes[:, :, :num_done], judged)
                generator.select(rows)
                codes, judged = codes[rows], num_done
            self.report(min(call + 1, num_frames), num_frames)
        return codes[::num_candidates]

    def make_in_passes(self, codes: Codes) -> Codes:
        """Fill `codes` step by step over several passes, all at the end."""
        pattern = self.model.config.build_pattern()
        generators = row_generators(self.seed, codes.shape[0])
        plan = pattern.interleave(codes, self.model.config.special_id)
        num_steps, num_frames = plan.shape[2], codes.shape[2]
        steps = step_conditions(self.conditions, pattern, num_steps)
        decoder = StepDecoder(
            self.model,
            self.sampler,
            batch=codes.shape[0],
            guidance=self.guidance,
            taste=self.taste,
        )
        for index in range(num_steps):
            plan[:, :, index] = decoder.step(plan[:, :, index], steps.at(slice(index, index + 1)), generators)
            self.report((index + 1) * num_frames // num_steps, num_frames)
        return pattern.deinterleave(plan)
