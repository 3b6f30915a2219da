"""Obvious and slow versions of what the package does fast: loops that can be checked by eye."""

import math

import torch
from torch import Tensor

from gigmate.generation.sampler import Sampler, row_generators
from gigmate.model.conditions import AHEAD_FRAMES, SLOW_FRAMES, FrameConditions, StepConditions, step_conditions
from gigmate.model.lm import AccompanimentLM


def delayed_layout(delays: list[int], num_frames: int) -> list[list[tuple[int, int]]]:
    """Coordinates (t, k) that each step writes when codebook k comes `delays[k]` steps late."""
    layout = [[] for _ in range(num_frames + max(delays))]
    for t in range(num_frames):
        for k, delay in enumerate(delays):
            layout[t + delay].append((t, k))
    return layout


def flat_layout(num_codebooks: int, num_frames: int) -> list[list[tuple[int, int]]]:
    """One coordinate a step, codebook by codebook, frame by frame."""
    return [[(t, k)] for t in range(num_frames) for k in range(num_codebooks)]


def coarse_first_layout(num_codebooks: int, num_frames: int) -> list[list[tuple[int, int]]]:
    """The first codebook of all frames, then the others of all frames."""
    first = [[(t, 0)] for t in range(num_frames)]
    return first + [[(t, k) for k in range(1, num_codebooks)] for t in range(num_frames)]


def lay_out(codes: Tensor, layout: list[list[tuple[int, int]]], special_id: int) -> Tensor:
    """Codes [B, K, T] at the places that the layout names: [B, K, S]."""
    steps = torch.full((*codes.shape[:2], len(layout)), special_id)
    for s, coordinates in enumerate(layout):
        for t, k in coordinates:
            steps[:, k, s] = codes[:, k, t]
    return steps


def attend(query: Tensor, key: Tensor, value: Tensor, window: int) -> Tensor:
    """Attention [S, E] of one head, in float64, position by position: rotary angles, scores, softmax, sum."""
    num_steps, width = query.shape

    def turned(vector: Tensor, position: int) -> Tensor:
        out = torch.empty(width, dtype=torch.float64)
        for i in range(width // 2):
            angle = position * 10_000 ** (-2 * i / width)
            a, b = float(vector[i]), float(vector[i + width // 2])
            out[i] = a * math.cos(angle) - b * math.sin(angle)
            out[i + width // 2] = b * math.cos(angle) + a * math.sin(angle)
        return out

    mixed = torch.empty(num_steps, width, dtype=torch.float64)
    for s in range(num_steps):
        seen = range(max(0, s - window + 1), s + 1)
        scores = [float(turned(query[s], s) @ turned(key[j], j)) / math.sqrt(width) for j in seen]
        top = max(scores)
        weights = [math.exp(score - top) for score in scores]
        mixed[s] = sum(w * value[j].double() for w, j in zip(weights, seen, strict=True)) / sum(weights)
    return mixed


def heard(frames: FrameConditions, row: int, frame: int) -> tuple[Tensor, bool]:
    """A frame of a row's mix with the mean of the frames up to it, and whether there is one to hear."""
    power = frames.mix_power[row]
    if not bool(frames.mix_present[row]) or not 0 <= frame < power.shape[1]:
        return torch.zeros(2 * power.shape[0]), False
    recent = power[:, max(0, frame - SLOW_FRAMES + 1) : frame + 1]
    return torch.cat((power[:, frame], sum(recent.unbind(dim=1)) / recent.shape[1])), True  # pyright: ignore[reportArgumentType]


def delayed_step_conditions(frames: FrameConditions, max_delay: int, num_steps: int) -> StepConditions:
    """What the steps of a delay pattern get, step by step, in the words of the definition."""
    rows = []
    for b in range(frames.batch):
        lookahead, steps = int(frames.lookahead[b]), []
        for s in range(num_steps):
            newest = s - max_delay + lookahead
            wanted = (newest, min(s, newest), min(s + AHEAD_FRAMES, newest)) if lookahead >= 0 else (newest, -1, -1)
            taps = [heard(frames, b, frame) for frame in wanted]
            has_beats = s < frames.beats.shape[2]
            beats = frames.beats[b, :, s] if has_beats else torch.zeros(frames.beats.shape[1])
            steps.append(
                (torch.stack([tap for tap, _ in taps]), torch.tensor([is_there for _, is_there in taps]), beats)
            )
        rows.append([torch.stack(column) for column in zip(*steps, strict=True)])
    mix, is_heard, beats = (torch.stack(column) for column in zip(*rows, strict=True))
    return StepConditions(mix, is_heard, beats, frames.instrument, frames.lookahead)


@torch.no_grad()
def generate_without_cache(
    model: AccompanimentLM, frames: FrameConditions, num_frames: int, sampler: Sampler, seed: int = 0
) -> Tensor:
    """A stem, each step from a full pass over everything before it; codes beyond the end are drawn as well."""
    pattern, special_id = model.config.build_pattern(), model.config.special_id
    num_steps = pattern.num_steps(num_frames)
    steps = torch.full((frames.batch, pattern.num_codebooks, num_steps), special_id)
    conditions = step_conditions(frames, pattern, num_steps)
    generators = row_generators(seed, frames.batch)
    for s in range(num_steps):
        before = torch.cat((torch.full_like(steps[:, :, :1], special_id), steps[:, :, :s]), dim=2)
        logits = model(before, conditions.at(slice(0, s + 1)))[:, :, -1]
        uniform = torch.stack([torch.rand(pattern.num_codebooks, generator=g) for g in generators])
        drawn = sampler(logits, uniform)
        for k, offset in enumerate(pattern.offsets):
            if s >= offset and (s - offset) % pattern.period == 0:
                steps[:, k, s] = drawn[:, k]
    return pattern.deinterleave(steps)
