import math

import pytest
import torch
from references import delayed_step_conditions

from gigmate.model import pattern as patterns
from gigmate.model.conditions import (
    AHEAD_FRAMES,
    SLOW_FRAMES,
    FrameConditions,
    StepConditions,
    drop_conditions,
    step_conditions,
)
from gigmate.model.lm import POWER_FLOOR, compress


def random_conditions(batch: int = 6, num_mix: int = 9, num_beats: int = 9, seed: int = 0) -> FrameConditions:
    g = torch.Generator().manual_seed(seed)
    return FrameConditions(
        mix_power=torch.rand(batch, 5, num_mix, generator=g) + 0.1,
        mix_present=torch.arange(batch) != 4,
        beats=torch.randn(batch, 3, num_beats, generator=g),
        instrument=torch.randint(0, 7, (batch,), generator=g),
        lookahead=torch.tensor([-4, -1, 0, 1, 2, 30])[:batch],
    )


def assert_same(got: StepConditions, want: StepConditions) -> None:
    for name in StepConditions.__dataclass_fields__:
        torch.testing.assert_close(getattr(got, name), getattr(want, name), rtol=1e-6, atol=0, msg=name)


@pytest.mark.parametrize("num_codebooks", [1, 2, 4])
@pytest.mark.parametrize(("num_mix", "num_beats"), [(9, 9), (4, 20), (15, 3), (0, 0)])
def test_steps_get_what_the_definition_says(num_codebooks: int, num_mix: int, num_beats: int) -> None:
    frames = random_conditions(num_mix=num_mix, num_beats=num_beats)
    pattern = patterns.delay(num_codebooks)
    num_steps = pattern.num_steps(9)
    assert_same(
        step_conditions(frames, pattern, num_steps), delayed_step_conditions(frames, num_codebooks - 1, num_steps)
    )


def test_the_drawing_holds() -> None:
    frames = FrameConditions(
        mix_power=torch.arange(8.0)[None, None].expand(2, 1, 8),
        mix_present=torch.ones(2, dtype=torch.bool),
        beats=torch.arange(8.0)[None, None].expand(2, 1, 8),
        instrument=torch.zeros(2, dtype=torch.int64),
        lookahead=torch.tensor([2, -2]),
    )
    step = step_conditions(frames, patterns.delay(4), 8).at(slice(5, 6))
    assert step.mix[..., 0].flatten().tolist() == [4, 4, 4, 0, 0, 0]
    assert step.mix[..., 1].flatten().tolist() == [2, 2, 2, 0, 0, 0]  # the mean of the frames 0 to 4
    assert step.heard.flatten().tolist() == [True, True, True, True, False, False]
    assert step.beats.flatten().tolist() == [5, 5]


def test_flatten_repeats_a_frames_conditions() -> None:
    frames = random_conditions()
    parallel = step_conditions(frames, patterns.parallel(4), 9)
    flat = step_conditions(frames, patterns.flatten(4), 36)
    assert_same(flat, parallel.at(torch.arange(9).repeat_interleave(4)))


def test_coarse_first_repeats_the_piece() -> None:
    frames = random_conditions()
    parallel = step_conditions(frames, patterns.parallel(4), 9)
    assert_same(step_conditions(frames, patterns.coarse_first(4), 18), parallel.at(torch.arange(9).repeat(2)))


def test_nan_in_unheard_frames_stays_there() -> None:
    frames = random_conditions()
    frames.mix_power[4] = float("nan")  # mix_present is False
    frames.mix_power[0, :, 2:] = float("nan")  # lookahead -4 and 9 steps: frames up to 8 - 3 - 4 = 1 are heard
    steps = step_conditions(frames, patterns.delay(4), 9)
    assert not steps.mix.isnan().any()


def test_taps_are_newest_now_and_ahead() -> None:
    num_frames = AHEAD_FRAMES + 60
    frames = FrameConditions(
        mix_power=torch.arange(float(num_frames)).expand(1, 1, -1),
        mix_present=torch.ones(1, dtype=torch.bool),
        beats=torch.zeros(1, 1, num_frames),
        instrument=torch.zeros(1, dtype=torch.int64),
        lookahead=torch.tensor([AHEAD_FRAMES + 10]),
    )
    step = step_conditions(frames, patterns.delay(4), 41).at(slice(40, 41))
    newest = 40 - 3 + AHEAD_FRAMES + 10
    assert step.mix[0, 0, :, 0].tolist() == [newest, 40, 40 + AHEAD_FRAMES]
    means = [frame - (SLOW_FRAMES - 1) / 2 for frame in (newest, 40, 40 + AHEAD_FRAMES)]
    assert step.mix[0, 0, :, 1].tolist() == pytest.approx(means)


def test_dropping_is_per_row_and_per_source() -> None:
    frames = random_conditions(batch=4)
    uniform = torch.tensor([[0.0, 0.0], [0.0, 0.9], [0.9, 0.0], [0.9, 0.9]])
    dropped = drop_conditions(frames, uniform, p_mix=0.5, p_beats=0.5)
    assert dropped.mix_present.tolist() == [False, False, True, True]
    assert dropped.beats.abs().sum(dim=(1, 2)).gt(0).tolist() == [False, True, False, True]
    assert torch.equal(dropped.beats[1::2], frames.beats[1::2])
    assert torch.equal(dropped.mix_power, frames.mix_power)


def test_nothing_and_everything_can_be_dropped() -> None:
    frames, uniform = random_conditions(), torch.rand(6, 2, generator=torch.Generator().manual_seed(0))
    kept = drop_conditions(frames, uniform, p_mix=0.0, p_beats=0.0)
    assert torch.equal(kept.mix_present, frames.mix_present)
    assert torch.equal(kept.beats, frames.beats)
    gone = drop_conditions(frames, uniform, p_mix=1.0, p_beats=1.0)
    assert not gone.mix_present.any()
    assert not gone.beats.any()


def test_rows_are_rows() -> None:
    frames = random_conditions()
    some = frames.rows(torch.tensor([3, 1]))
    assert some.batch == 2
    assert torch.equal(some.mix_power[1], frames.mix_power[1])
    assert some.lookahead.tolist() == [1, -1]


def test_compression_spans_the_unit_range_and_tells_silence_from_unheard() -> None:
    power = torch.tensor([[[0.0], [POWER_FLOOR], [1.0], [float("nan")]]])
    level = compress(power, torch.tensor([[True, True, True, False]]))[0]
    assert level[:, 0].tolist() == pytest.approx([-1, -1 - 2 * math.log(2) / math.log(POWER_FLOOR), 1, 0], abs=1e-5)
    assert level[:, 1].tolist() == [1, 1, 1, 0]


def test_compression_is_float32_under_autocast() -> None:
    power = torch.rand(1, 4, 3)
    heard = torch.ones(1, 4, dtype=torch.bool)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(compress(power, heard), compress(power, heard).float())
        assert compress(power, heard).dtype == torch.float32
