import pytest
import torch
from contracts import Inputs, verify_stream_contract
from references import generate_without_cache
from tiny_models import K, V, as_inputs, from_inputs, random_codes, random_frames, tiny_model
from torch import Tensor

from gigmate.generation.frame_generator import FrameGenerator
from gigmate.generation.guidance import Guidance
from gigmate.generation.offline import generate
from gigmate.generation.sampler import Greedy, Sampler, TopK, TopP, row_generators
from gigmate.model.conditions import FrameConditions, StepConditions, step_conditions
from gigmate.model.config import PATTERNS
from gigmate.model.lm import AccompanimentLM

STREAMABLE = [name for name in PATTERNS if name != "coarse_first"]
NUM_FRAMES = 40
"""More than four windows: the ring has wrapped several times, as far as a chunk's length makes it."""


def call_conditions(model: AccompanimentLM, frames: FrameConditions, num_frames: int) -> StepConditions:
    """The conditions of the calls that complete `num_frames` frames."""
    pattern = model.config.build_pattern()
    return step_conditions(frames, pattern, pattern.num_steps(num_frames)).at(slice(None, None, pattern.period))


def at_own_place(calls: StepConditions, index: Tensor) -> StepConditions:
    """The conditions of one call, another one [B] for each row."""
    return from_inputs(tuple(part[torch.arange(len(index)), index][:, None] for part in as_inputs(calls)))


def play(generator: FrameGenerator, calls: StepConditions, generators: list[torch.Generator], start: int = 0) -> Tensor:
    frames = [generator.step(calls.at(slice(i, i + 1)), generators) for i in range(start, calls.num_steps)]
    return torch.stack([frame for frame in frames if frame is not None], dim=2)


@pytest.mark.parametrize("sampler", [Greedy(), TopK(5, 0.9), TopP(0.9)])
@pytest.mark.parametrize("name", STREAMABLE)
def test_frames_are_those_of_full_passes_without_a_cache(name: str, sampler: Sampler) -> None:
    model, frames = tiny_model(name), random_frames(2, NUM_FRAMES)
    expected = generate_without_cache(model, frames, NUM_FRAMES, sampler, seed=5)
    assert torch.equal(generate(model, frames, NUM_FRAMES, sampler, seed=5), expected)
    assert len(expected.unique()) > 5  # or equality would say little


def test_the_generator_streams() -> None:
    """Its frames against those of full passes; a chunk is a run of calls."""
    model = tiny_model()
    delay = model.config.build_pattern().max_delay

    class FrameStream:
        def __init__(self, batch: int) -> None:
            self.generator, self.draws = FrameGenerator(model, Greedy(), batch=batch), row_generators(0, batch)

        def push(self, inputs: Inputs) -> Tensor:
            calls, frames = from_inputs(inputs), []
            for i in range(calls.num_steps):
                frame = self.generator.step(calls.at(slice(i, i + 1)), self.draws)
                frames += [] if frame is None else [frame]
            return torch.stack(frames, 1) if frames else torch.zeros(calls.batch, 0, K, dtype=torch.int64)

        def fork(self) -> "FrameStream":
            other = FrameStream(len(self.draws))
            other.generator = self.generator.fork()
            return other

        def reset(self) -> None:
            self.generator.reset()

    def offline(inputs: Inputs) -> Tensor:
        """Full passes over these very steps; the last max_delay frames stay incomplete and stand as special ids."""
        conditions = from_inputs(inputs)
        steps = torch.full((conditions.batch, K, conditions.num_steps + 1), V)
        for s in range(conditions.num_steps):
            with torch.no_grad():
                logits = model(steps[:, :, : s + 1], conditions.at(slice(0, s + 1)))[:, :, -1]
            steps[:, : s + 1, s + 1] = logits.argmax(-1)[:, : s + 1]
        columns = [steps[:, k, 1 + k : conditions.num_steps + 1 - delay + k] for k in range(K)]
        frames = torch.stack(columns, dim=2)
        return torch.cat((frames, torch.full_like(frames[:, :delay], V)), dim=1)

    calls = call_conditions(model, random_frames(3, NUM_FRAMES), NUM_FRAMES)
    verify_stream_contract(offline, FrameStream, as_inputs(calls), max_chunk=7, relative=0, latency=delay)


@pytest.mark.parametrize("num_past", [1, 2, 25])
@pytest.mark.parametrize("name", STREAMABLE)
def test_prefill_equals_stepping(name: str, num_past: int) -> None:
    """A past that the model would have chosen itself changes nothing, whether it is given or made."""
    model, frames = tiny_model(name), random_frames(2, NUM_FRAMES)
    calls = call_conditions(model, frames, NUM_FRAMES)
    stepped = play(FrameGenerator(model, Greedy(), batch=2), calls, row_generators(0, 2))
    for chunk in (1, 4, 64):
        filled = FrameGenerator(model, Greedy(), batch=2, max_chunk=chunk)
        filled.prefill(stepped[:, :, :num_past], calls)
        rest = play(filled, calls, row_generators(0, 2), start=num_past)
        assert torch.equal(rest, stepped[:, :, max(0, num_past - filled.max_delay) :])


@pytest.mark.parametrize("name", PATTERNS)
def test_a_prompt_is_kept_and_heard(name: str) -> None:
    model, frames = tiny_model(name, window=50), random_frames(2, NUM_FRAMES)
    prompt = random_codes(2, 10)
    codes = generate(model, frames, NUM_FRAMES, Greedy(), prompt=prompt)
    assert torch.equal(codes[:, :, :10], prompt)
    assert not torch.equal(codes[:, :, 10:], generate(model, frames, NUM_FRAMES, Greedy())[:, :, 10:])
    assert torch.equal(generate(model, frames, 10, Greedy(), prompt=prompt), prompt)


@pytest.mark.parametrize("name", PATTERNS)
def test_same_seed_same_codes_and_no_special_id_among_them(name: str) -> None:
    model, frames = tiny_model(name), random_frames(3, NUM_FRAMES)
    codes = generate(model, frames, NUM_FRAMES, TopK(V), seed=1)
    assert codes.shape == (3, K, NUM_FRAMES)
    assert 0 <= int(codes.min()) <= int(codes.max()) < V
    assert torch.equal(generate(model, frames, NUM_FRAMES, TopK(V), seed=1), codes)
    assert not torch.equal(generate(model, frames, NUM_FRAMES, TopK(V), seed=2), codes)


def test_a_row_does_not_depend_on_its_batch() -> None:
    model, frames = tiny_model(), random_frames(3, NUM_FRAMES)
    codes = generate(model, frames, NUM_FRAMES, TopK(5), seed=1)
    assert torch.equal(generate(model, frames.rows(slice(0, 1)), NUM_FRAMES, TopK(5), seed=1), codes[:1])


@pytest.mark.parametrize("guidance", [Guidance(), Guidance(2.0, 3.0)])
@pytest.mark.parametrize("name", ["delay", "flatten"])
def test_rows_keep_their_own_pace(name: str, guidance: Guidance) -> None:
    model, frames = tiny_model(name), random_frames(3, NUM_FRAMES)
    calls = call_conditions(model, frames, NUM_FRAMES)
    expected = play(FrameGenerator(model, TopK(5), batch=3, guidance=guidance), calls, row_generators(4, 3))
    generator = FrameGenerator(model, TopK(5), batch=3, guidance=guidance)
    draws, position, got = row_generators(4, 3), torch.zeros(3, dtype=torch.int64), [[], [], []]
    dice = torch.Generator().manual_seed(0)
    while int(position.min()) < calls.num_steps:
        active = (torch.rand(3, generator=dice) < torch.tensor([1.0, 0.7, 0.3])) & (position < calls.num_steps)
        index = position.clamp(max=calls.num_steps - 1)
        frame = generator.step(at_own_place(calls, index), draws, active)
        for row in range(3):
            if frame is not None and (frame[row] != V).all():
                got[row].append(frame[row])
        position += active
    assert torch.equal(torch.stack([torch.stack(row, 1) for row in got]), expected)


def test_one_row_can_begin_anew_while_the_other_goes_on() -> None:
    model, frames = tiny_model(), random_frames(2, NUM_FRAMES)
    calls = call_conditions(model, frames, NUM_FRAMES)
    expected = play(FrameGenerator(model, Greedy(), batch=2), calls, row_generators(0, 2))
    generator, draws = FrameGenerator(model, Greedy(), batch=2), row_generators(0, 2)
    prompt = expected[:, :, :3].clone()
    prompt[0] = (prompt[0] + 1) % V  # nothing of this may be left in the first row
    generator.prefill(prompt, calls)
    generator.reset(torch.tensor([True, False]))
    for i in range(20):
        index = torch.tensor([i, 3 + i])
        frame = generator.step(at_own_place(calls, index), draws)
        assert frame is not None
        assert torch.equal(frame[1], expected[1, :, 3 + i - 2])
        assert torch.equal(frame[0], expected[0, :, i - 2] if i >= 2 else torch.full((K,), V))


def test_a_fork_after_a_prefill_goes_its_own_way() -> None:
    model, frames = tiny_model(), random_frames(1, NUM_FRAMES)
    calls = call_conditions(model, frames, NUM_FRAMES)
    generator = FrameGenerator(model, TopK(5))
    generator.prefill(random_codes(1, 10), calls)
    fork = generator.fork()
    other = play(fork, calls, row_generators(1, 1), start=10)
    first = play(generator, calls, row_generators(0, 1), start=10)
    again = FrameGenerator(model, TopK(5))
    again.prefill(random_codes(1, 10), calls)
    assert torch.equal(play(again, calls, row_generators(0, 1), start=10), first)
    assert not torch.equal(other, first)


def test_progress_reaches_the_end() -> None:
    model, frames = tiny_model(), random_frames(1, 10)
    for name in ("delay", "coarse_first"):
        seen = []
        generate(tiny_model(name), frames, 10, Greedy(), progress=lambda done, total: seen.append((done, total)))  # noqa: B023
        assert seen == sorted(seen)
        assert seen[-1] == (10, 10)
    assert generate(model, frames, 0, Greedy()).shape == (1, K, 0)


def test_coarse_first_writes_the_finer_codebooks_with_the_whole_first_in_sight() -> None:
    model, frames = tiny_model("coarse_first", window=100), random_frames(1, 12)
    assert torch.equal(
        generate(model, frames, 12, TopK(5), seed=2), generate_without_cache_in_passes(model, frames, 12, TopK(5), 2)
    )


@torch.no_grad()
def generate_without_cache_in_passes(
    model: AccompanimentLM, frames: FrameConditions, num_frames: int, sampler: Sampler, seed: int
) -> Tensor:
    conditions = step_conditions(frames, model.config.build_pattern(), 2 * num_frames)
    steps, (generator,) = torch.full((1, K, 2 * num_frames + 1), V), row_generators(seed, 1)
    for s in range(2 * num_frames):
        logits = model(steps[:, :, : s + 1], conditions.at(slice(0, s + 1)))[:, :, -1]
        drawn = sampler(logits, torch.rand(K, generator=generator)[None])
        books = slice(0, 1) if s < num_frames else slice(1, K)
        steps[:, books, s + 1] = drawn[:, books]
    return torch.cat((steps[:, :1, 1 : num_frames + 1], steps[:, 1:, num_frames + 1 :]), dim=1)


def test_misuse_is_refused() -> None:
    model, frames = tiny_model(), random_frames(2, 10)
    with pytest.raises(ValueError, match=r"prompt is \(1, 3, 4\), but codes of \(2, 3, 10\)"):
        generate(model, frames, 10, Greedy(), prompt=random_codes(1, 4))
    with pytest.raises(ValueError, match=r"prompt is \(2, 3, 11\)"):
        generate(model, frames, 10, Greedy(), prompt=random_codes(2, 11))
    generator = FrameGenerator(model, Greedy(), batch=2)
    generator.step(call_conditions(model, frames, 10).at(slice(0, 1)), row_generators(0, 2))
    with pytest.raises(ValueError, match="prefill needs a generator without a past"):
        generator.prefill(random_codes(2, 4), call_conditions(model, frames, 10))
    with pytest.raises(ValueError, match="makes no stream of frames"):
        FrameGenerator(tiny_model("coarse_first"), Greedy())
    with pytest.raises(ValueError, match="in training mode"):
        generate(model.train(), frames, 10, Greedy())
