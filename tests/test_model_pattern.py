import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references import coarse_first_layout, delayed_layout, flat_layout, lay_out

from gigmate.model import pattern as patterns
from gigmate.model.config import PATTERNS
from gigmate.model.delay_line import DelayLine
from gigmate.model.pattern import Pattern

V = 1024


def random_codes(batch: int, num_codebooks: int, num_frames: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(num_frames)
    return torch.randint(0, V, (batch, num_codebooks, num_frames), generator=generator)


# Figure 1 of MusicGen (arXiv 2306.05284): which frame (from 1) of each codebook stands at each step; 0 for none.
MUSICGEN_FIGURE = {
    "parallel": [[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]],
    "delay": [
        [1, 2, 3, 4, 0, 0, 0],
        [0, 1, 2, 3, 4, 0, 0],
        [0, 0, 1, 2, 3, 4, 0],
        [0, 0, 0, 1, 2, 3, 4],
    ],
    "partial_delay": [[1, 2, 3, 4, 0], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]],
    "flatten": [
        [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0],
        [0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0],
        [0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0],
        [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4],
    ],
    "coarse_first": [
        [1, 2, 3, 4, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 2, 3, 4],
        [0, 0, 0, 0, 1, 2, 3, 4],
        [0, 0, 0, 0, 1, 2, 3, 4],
    ],
}


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_are_those_of_musicgens_figure(name: str) -> None:
    frames_from_one = torch.arange(1, 5).expand(1, 4, -1)
    assert PATTERNS[name](4).interleave(frames_from_one, 0)[0].tolist() == MUSICGEN_FIGURE[name]


@pytest.mark.parametrize("num_frames", [0, 1, 2, 7])
@pytest.mark.parametrize("num_codebooks", [1, 2, 4])
def test_each_pattern_is_its_loop(num_codebooks: int, num_frames: int) -> None:
    loops = {
        "delay": delayed_layout(list(range(num_codebooks)), num_frames),
        "parallel": delayed_layout([0] * num_codebooks, num_frames),
        "partial_delay": delayed_layout([0] + [1] * (num_codebooks - 1), num_frames),
        "flatten": flat_layout(num_codebooks, num_frames),
        "coarse_first": coarse_first_layout(num_codebooks, num_frames),
    }
    codes = random_codes(3, num_codebooks, num_frames)
    if num_codebooks == 1:
        loops["coarse_first"] = flat_layout(1, num_frames)  # there are no finer codebooks to come back for
    for name, layout in loops.items():
        pattern = PATTERNS[name](num_codebooks)
        expected = lay_out(codes, layout, V)
        assert torch.equal(pattern.interleave(codes, V), expected), name
        assert torch.equal(pattern.valid(num_frames), expected[0] != V), name


@settings(max_examples=60, deadline=None)
@given(
    delays=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    num_frames=st.integers(0, 12),
    period=st.integers(1, 4),
)
def test_deinterleave_undoes_interleave_for_any_delays(delays: list[int], num_frames: int, period: int) -> None:
    pattern = Pattern(tuple(d - min(delays) for d in delays), period)
    codes = random_codes(2, len(delays), num_frames)
    steps = pattern.interleave(codes, V)
    assert torch.equal(pattern.deinterleave(steps), codes)
    assert int((steps == V).sum()) == steps.numel() - codes.numel()


@pytest.mark.parametrize("name", PATTERNS)
def test_oldest_and_newest_frame_bound_what_a_step_writes(name: str) -> None:
    pattern, num_frames = PATTERNS[name](4), 6
    oldest, newest = pattern.frames_at(pattern.num_steps(num_frames))
    step_of = pattern.steps_of(num_frames)
    for k in range(4):
        for t in range(num_frames):
            step = int(step_of[k, t])
            assert int(oldest[step]) <= t <= int(newest[step])
    assert int((newest - oldest).max()) == pattern.max_delay


def test_a_delay_of_ones_own() -> None:
    assert patterns.delay(3, (0, 2, 2)).interleave(torch.arange(1, 3).expand(1, 3, -1), 0)[0].tolist() == [
        [1, 2, 0, 0],
        [0, 0, 1, 2],
        [0, 0, 1, 2],
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"offsets": ()}, "offsets >= 0 with a 0"),
        ({"offsets": (1, 2)}, "offsets >= 0 with a 0"),
        ({"offsets": (0, -1)}, "offsets >= 0 with a 0"),
        ({"offsets": (0, 0), "period": 0}, "period >= 1"),
        ({"offsets": (0, 1), "passes": (0, 1)}, "offsets 0"),
        ({"offsets": (0, 0), "passes": (0,)}, "one pass >= 0 for each of 2"),
    ],
)
def test_nonsense_is_no_pattern(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pattern(**arguments)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="got 3 codebooks, but the pattern is for 4"):
        patterns.delay(4).interleave(random_codes(1, 3, 5), V)
    with pytest.raises(ValueError, match="7 steps don't hold whole frames"):
        patterns.flatten(4).deinterleave(random_codes(1, 4, 7))


STREAMABLE = [name for name in PATTERNS if name != "coarse_first"]


@pytest.mark.parametrize("name", STREAMABLE)
def test_delay_line_returns_the_frames_of_the_pattern(name: str) -> None:
    pattern, codes = PATTERNS[name](4), random_codes(2, 4, 25)
    line, frames = DelayLine(pattern, V, batch=2), []
    for index, step in enumerate(pattern.interleave(codes, V).unbind(2)):
        frame = line.push(step)
        is_due = (index + 1) % pattern.period == 0 and index + 1 > pattern.period * pattern.max_delay
        assert (frame is not None) == is_due
        frames += [] if frame is None else [frame]
    assert torch.equal(torch.stack(frames, 2), codes)


@pytest.mark.parametrize("name", STREAMABLE)
def test_delay_line_rows_keep_their_own_pace(name: str) -> None:
    pattern, codes = PATTERNS[name](3), random_codes(3, 3, 20)
    steps = pattern.interleave(codes, V)
    line, position, frames = DelayLine(pattern, V, batch=3), [0, 0, 0], [[], [], []]
    generator = torch.Generator().manual_seed(1)
    while min(position) < steps.shape[2]:
        active = torch.rand(3, generator=generator) < torch.tensor([1.0, 0.6, 0.2])
        active &= torch.tensor([p < steps.shape[2] for p in position])
        step = torch.stack([steps[b, :, min(p, steps.shape[2] - 1)] for b, p in enumerate(position)])
        frame = line.push(step, active)
        for b in range(3):
            position[b] += int(active[b])
            if frame is not None and (frame[b] != V).all():
                assert active[b]
                frames[b].append(frame[b])
    assert torch.equal(torch.stack([torch.stack(row, 1) for row in frames]), codes)


def test_delay_line_forks_and_resets() -> None:
    pattern, codes = patterns.delay(4), random_codes(2, 4, 12)
    steps = pattern.interleave(codes, V)
    line = DelayLine(pattern, V, batch=2)
    for s in range(6):
        line.push(steps[:, :, s])
    fork = line.fork()
    line.reset(torch.tensor([True, False]))
    for s in range(6):
        forked = fork.push(steps[:, :, 6 + s])
        assert forked is not None
        assert torch.equal(forked, codes[:, :, 3 + s])
        frame = line.push(torch.stack((steps[0, :, s], steps[1, :, 6 + s])))
        assert frame is not None
        assert torch.equal(frame[1], codes[1, :, 3 + s])
        assert torch.equal(frame[0], codes[0, :, s - 3] if s >= 3 else torch.full((4,), V))


def test_coarse_first_makes_no_stream() -> None:
    assert not patterns.coarse_first(4).is_streamable
    with pytest.raises(ValueError, match="makes no stream of frames"):
        DelayLine(patterns.coarse_first(4), V)
