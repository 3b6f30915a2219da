import math

import pytest
import torch
from contracts import ERRORS, Inputs, in_every_precision, verify_stream_contract
from reporting import Report
from tiny_models import K, V, as_inputs, from_inputs, random_frames, random_steps, tiny_model
from torch import Tensor

from gigmate.model.conditions import AHEAD_FRAMES, SLOW_FRAMES, FrameConditions, step_conditions
from gigmate.model.config import PATTERNS
from gigmate.model.lm import AccompanimentLM, shift_steps
from gigmate.model.losses import token_losses


class LMStream:
    def __init__(self, model: AccompanimentLM, batch: int, max_chunk: int) -> None:
        self.model, self.max_chunk, self.cache = model, max_chunk, model.new_cache(batch, max_chunk)

    @torch.no_grad()
    def push(self, inputs: Inputs) -> Tensor:
        return self.model(inputs[0].transpose(1, 2), from_inputs(inputs[1:]), self.cache).transpose(1, 2)

    def fork(self) -> "LMStream":
        other = LMStream(self.model, self.cache.batch, self.max_chunk)
        other.cache = self.cache.fork()
        return other

    def reset(self) -> None:
        self.cache.reset()


@pytest.mark.parametrize(("name", "max_chunk", "seed"), [("delay", 7, 0), ("flatten", 2, 1), ("delay", 50, 2)])
@in_every_precision
def test_cached_decode_equals_the_full_pass(
    dtype: torch.dtype, name: str, max_chunk: int, seed: int, report: Report
) -> None:
    model = tiny_model(name).to(dtype)
    steps, conditions = random_steps(model, 3, 80 // model.config.build_pattern().period)

    def whole(inputs: Inputs) -> Tensor:
        with torch.no_grad():
            return model(inputs[0].transpose(1, 2), from_inputs(inputs[1:])).transpose(1, 2)

    error = verify_stream_contract(
        whole,
        lambda batch: LMStream(model, batch, max_chunk),
        (shift_steps(steps, V).transpose(1, 2), *as_inputs(conditions)),
        max_chunk=max_chunk,
        relative=ERRORS[dtype],
        seed=seed,
        poison=1e4 if dtype == torch.bfloat16 else math.nan,
    )
    report(f"p16_cached_error_lm_{str(dtype)[6:]}", error)


@pytest.mark.parametrize("lookahead", [-5, -1, 0, 1, 4])
@pytest.mark.parametrize("name", [name for name in PATTERNS if name != "coarse_first"])
def test_no_codebook_hears_beyond_its_frame_plus_lookahead(name: str, lookahead: int) -> None:
    model, num_frames = tiny_model(name, window=40), 14
    pattern = model.config.build_pattern()
    steps = pattern.interleave(torch.zeros(1, K, num_frames, dtype=torch.int64), V)
    frames = random_frames(1, num_frames, lookahead)
    frames.mix_power.requires_grad_()
    logits = model(shift_steps(steps, V), step_conditions(frames, pattern, steps.shape[2]))
    step_of = pattern.steps_of(num_frames)
    for k in range(K):
        for t in range(num_frames):
            step = int(step_of[k, t])
            (gradient,) = torch.autograd.grad(logits[0, k, step].std(), frames.mix_power, retain_graph=True)
            heard = set(gradient[0].abs().sum(0).nonzero().flatten().tolist())
            assert max(heard, default=-9) <= t + lookahead
            given = set()
            for earlier in range(step + 1):
                newest = earlier // pattern.period
                last = newest - pattern.max_delay + lookahead
                taps = (last, min(newest, last), min(newest + AHEAD_FRAMES, last)) if lookahead >= 0 else (last,)
                given |= {frame - back for frame in taps if frame in range(num_frames) for back in range(SLOW_FRAMES)}
            assert heard == given & set(range(num_frames))


def test_attention_reaches_back_exactly_one_window_per_layer() -> None:
    for num_layers, reach in ((1, 9), (2, 17)):
        model = tiny_model(num_layers=num_layers)
        steps, conditions = random_steps(model, 1, 40)
        conditions.beats.requires_grad_()
        logits = model(shift_steps(steps, V), conditions)
        (gradient,) = torch.autograd.grad(logits[0, :, 30].std(), conditions.beats)
        assert gradient[0].abs().sum(1).nonzero().flatten().tolist() == list(range(31 - reach, 31))


def test_the_stems_own_future_is_unknown() -> None:
    model = tiny_model()
    steps, conditions = random_steps(model, 2, 20)
    with torch.no_grad():
        logits = model(shift_steps(steps, V), conditions)
        changed = steps.clone()
        changed[:, :, 10:] = (changed[:, :, 10:] + 1) % V
        other = model(shift_steps(changed, V), conditions)
    assert torch.equal(logits[:, :, :11], other[:, :, :11])
    assert not torch.equal(logits[:, :, 11], other[:, :, 11])


@pytest.mark.parametrize("name", ["mix_power", "mix_present", "beats", "instrument", "lookahead"])
def test_every_condition_is_heard(name: str) -> None:
    model = tiny_model()
    pattern = model.config.build_pattern()
    steps, conditions = random_steps(model, 2, 20)
    frames = random_frames(2, 20)
    value = getattr(frames, name)
    changed = ~value if value.dtype == torch.bool else value * 0.5 if value.is_floating_point() else (value + 1) % 3
    other = FrameConditions(**{**vars(frames), name: changed})
    with torch.no_grad():
        logits = model(shift_steps(steps, V), conditions)
        heard = model(shift_steps(steps, V), step_conditions(other, pattern, steps.shape[2]))
    assert (logits - heard).abs().max() > 1e-3


def test_unheard_nan_changes_nothing() -> None:
    model = tiny_model()
    steps, conditions = random_steps(model, 2, 20)
    with torch.no_grad():
        logits = model(shift_steps(steps, V), conditions)
        conditions.mix[~conditions.heard] = float("nan")
        assert (~conditions.heard).any()
        assert torch.equal(model(shift_steps(steps, V), conditions), logits)


def test_the_special_id_has_no_logit_but_a_meaning() -> None:
    model = tiny_model()
    steps, conditions = random_steps(model, 2, 20)
    with torch.no_grad():
        logits = model(shift_steps(steps, V), conditions)
        assert logits.shape == (2, K, steps.shape[2], V)
        replaced = model(shift_steps(steps.masked_fill(steps == V, 0), V), conditions)
    assert (logits - replaced).abs().max() > 0.1


def test_codebooks_have_embeddings_of_their_own() -> None:
    model = tiny_model()
    steps, conditions = random_steps(model, 1, 20)
    with torch.no_grad():
        swapped = model(steps.flip(1), conditions)
        assert (model(steps, conditions) - swapped).abs().max() > 0.1


def test_steps_are_shifted_by_one() -> None:
    steps = torch.tensor([[[5, 6, 7]]])
    assert shift_steps(steps, V).tolist() == [[[V, 5, 6]]]


def test_an_untrained_model_knows_nothing() -> None:
    torch.manual_seed(0)
    model = AccompanimentLM(tiny_model().config)
    steps, conditions = random_steps(model, 4, 30)
    with torch.no_grad():
        loss, _ = token_losses(model(shift_steps(steps, V), conditions), steps)
    assert float(loss) == pytest.approx(math.log(V), abs=0.05)


def test_bfloat16_autocast_and_weights_are_close() -> None:
    model = tiny_model()
    steps, conditions = random_steps(model, 2, 30)
    with torch.no_grad():
        logits = model(shift_steps(steps, V), conditions)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = model(shift_steps(steps, V), conditions)
        low = model.bfloat16()(shift_steps(steps, V), conditions)
    for other in (mixed, low):
        assert other.dtype == torch.bfloat16
        assert (other.float() - logits).abs().max() < 0.02 * logits.abs().max()


def test_shapes_that_do_not_fit_are_refused() -> None:
    model = tiny_model()
    steps, conditions = random_steps(model, 2, 20)
    for wrong in (steps[:1], steps[:, :2], steps[:, :, 1:]):
        with pytest.raises(ValueError, match=r"\[B, 3, S\] and B rows of S are needed"):
            model(wrong, conditions)


@pytest.mark.parametrize("autocast", [False, True])
def test_toy_data_is_learned_by_heart(autocast: bool) -> None:
    model = tiny_model(window=32, dim=64)
    steps, conditions = random_steps(model, 4, 24)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    logits = torch.empty(0)
    for _ in range(60):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            logits = model(shift_steps(steps, V), conditions)
        loss, _ = token_losses(logits, steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    right = (logits.argmax(-1) == steps)[steps != V]
    assert right.float().mean() >= 0.99
