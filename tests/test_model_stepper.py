import pytest
import torch
from recorder import record
from tiny_models import V, as_inputs, from_inputs, random_frames, random_steps, tiny_model
from torch import Tensor

from gigmate.generation.frame_generator import FrameGenerator
from gigmate.generation.guidance import Guidance
from gigmate.generation.offline import generate
from gigmate.generation.sampler import Greedy, TopK, row_generators
from gigmate.model.conditions import StepConditions, step_conditions
from gigmate.model.graph_stepper import Capture, GraphStepper
from gigmate.model.lm import AccompanimentLM, shift_steps
from gigmate.model.products import FloatProduct, Int8Product, MixedProduct
from gigmate.model.step_function import Weights
from gigmate.model.stepper import Stepper, equip
from gigmate.model.stepping import SingleSteps

FLOAT_ERROR, INT8_ERROR = 2e-6, 0.03
"""Of the logits, as a share of their size: what the stepper may differ by from the plain model."""

needs_int8 = pytest.mark.skipif(not Int8Product.is_available(), reason="torch has no int8 products on this machine")


def rows_of(conditions: StepConditions, num_rows: int) -> StepConditions:
    return from_inputs(tuple(part[:num_rows] for part in as_inputs(conditions)))


@torch.inference_mode()
def step_through(model: AccompanimentLM, stepper: SingleSteps | None, guidance: Guidance, *, chunk: int = 1) -> Tensor:
    """Logits of 40 steps of 3 rows with everything that may happen on the way: a row that waits, one that is reset,
    then all, steps of the first two rows alone; the ring wraps four times.
    """
    steps, conditions = random_steps(model, 3, 40)
    previous, views = shift_steps(steps, V), len(guidance.views)
    cache, out = model.new_cache(3 * views, chunk), []
    dice = torch.Generator().manual_seed(0)
    if chunk > 1:
        model(guidance.repeat(previous[:, :, :chunk]), guidance.expand(conditions.at(slice(0, chunk))), cache)
    for s in range(chunk if chunk > 1 else 0, 40):
        num_rows = 2 if 20 <= s < 25 else 3
        active = torch.rand(num_rows, generator=dice) < 0.8
        if s == 30:
            cache.reset(guidance.repeat(torch.tensor([False, True, False])))
        if s == 35:
            cache.reset()
        now = rows_of(conditions.at(slice(s, s + 1)), num_rows)
        before, rows = previous[:num_rows, :, s], guidance.repeat(active)
        if stepper is not None:
            logits = stepper.logits(guidance.repeat(before), now, guidance, cache, rows)
        else:
            logits = model(guidance.repeat(before)[:, :, None], guidance.expand(now), cache, rows)[:, :, 0]
        out.append(logits[rows])
    return torch.cat(out)


@pytest.fixture(params=[True, False], ids=["small", "large"])
def _size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both int8 products, whatever the size of the weights."""
    if not request.param:
        monkeypatch.setattr(MixedProduct, "fits", lambda _: False)


@pytest.mark.usefixtures("_size")
@pytest.mark.parametrize("chunk", [1, 5])
@pytest.mark.parametrize("guidance", [Guidance(), Guidance(3.0, 3.0), Guidance(2.0, 3.0)])
@pytest.mark.parametrize("weights", ["float32", pytest.param("int8", marks=needs_int8)])
def test_its_steps_are_the_models(weights: Weights, guidance: Guidance, chunk: int) -> None:
    model = tiny_model(window=9, dim=64)
    expected = step_through(model, None, guidance, chunk=chunk)
    got = step_through(model, Stepper(model, weights), guidance, chunk=chunk)
    error = float((got - expected).norm() / expected.norm())
    assert error < (INT8_ERROR if weights == "int8" else FLOAT_ERROR)
    assert weights == "float32" or error > 1e-4  # or it isn't int8 that was measured


@needs_int8
@torch.inference_mode()
def test_what_was_traced_with_one_row_and_a_short_past_holds_for_all() -> None:
    model = tiny_model(window=300, dim=64)
    ways = [Stepper(model, "int8", is_traced=is_traced) for is_traced in (True, False)]
    for guidance in (Guidance(), Guidance(2.0, 3.0), Guidance(3.0, 3.0)):
        caches = [model.new_cache(3 * len(guidance.views)) for _ in ways]
        steps, conditions = random_steps(model, 3, 400)
        for s in range(330):  # three blocks of the past, and once around the ring
            now, num_rows = conditions.at(slice(s, s + 1)), 1 if s < 5 else 1 + s % 3
            before, some = guidance.repeat(steps[:num_rows, :, s]), rows_of(now, num_rows)
            one, same = (
                way.logits(before, some, guidance, cache, None) for way, cache in zip(ways, caches, strict=True)
            )
            assert torch.equal(one, same), s


@pytest.mark.parametrize("chunk", [1, 5])
@pytest.mark.parametrize("guidance", [Guidance(), Guidance(2.0, 3.0)])
@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float32, FLOAT_ERROR), (torch.bfloat16, 0.03)])
@pytest.mark.parametrize("capture", [None, record], ids=["computed", "recorded"])
def test_steps_in_places_that_stay_are_the_models(
    capture: Capture | None, dtype: torch.dtype, allowed: float, guidance: Guidance, chunk: int
) -> None:
    """What a CUDA graph would replay, operator by operator, and as a recorder of operations plays it back."""
    model = tiny_model(window=9, dim=64)
    expected = step_through(model, None, guidance, chunk=chunk)
    model.stepper = GraphStepper(model, dtype, capture)
    assert model.new_cache(1).keys.dtype == dtype
    got = step_through(model, model.stepper, guidance, chunk=chunk)
    error = float((got - expected).norm() / expected.norm())
    assert error < allowed
    assert dtype == torch.float32 or error > 1e-4
    assert model.trunk.norm.weight.dtype == torch.float32  # the model itself is left as it was


@pytest.mark.parametrize("name", ["delay", "flatten"])
@pytest.mark.parametrize("is_graph", [False, True])
def test_generation_through_it_is_the_same_in_float32(name: str, is_graph: bool) -> None:
    model, frames = tiny_model(name), random_frames(2, 40)
    expected = generate(model, frames, 40, TopK(5), seed=1, guidance_scale=3.0)
    model.stepper = GraphStepper(model, torch.float32, record) if is_graph else Stepper(model, "float32")
    assert torch.equal(generate(model, frames, 40, TopK(5), seed=1, guidance_scale=3.0), expected)


def test_recorded_steps_of_forks_go_their_own_way() -> None:
    model = tiny_model()
    model.stepper = GraphStepper(model, torch.float32, record)
    steps = step_conditions(random_frames(2, 30), model.config.build_pattern(), 30)
    one, alone = FrameGenerator(model, TopK(5), batch=2), FrameGenerator(model, TopK(5), batch=2)
    draws, same, others = row_generators(0, 2), row_generators(0, 2), row_generators(9, 2)
    fork = None
    for call in range(30):
        now = steps.at(slice(call, call + 1))
        fork = one.fork() if call == 10 else fork
        if fork is not None:
            fork.step(now, others)
        got, expected = one.step(now, draws), alone.step(now, same)
        assert got is expected is None or (got is not None and expected is not None and torch.equal(got, expected))


@needs_int8
@pytest.mark.usefixtures("_size")
def test_int8_rows_do_not_depend_on_their_batch_to_the_last_bit() -> None:
    model = tiny_model(dim=64)
    stepper, (steps, conditions) = Stepper(model, "int8"), random_steps(model, 3, 30)
    conditions.mix[2] *= 1e4  # a loud neighbour
    previous = shift_steps(steps, V)
    with torch.inference_mode():
        together, alone = model.new_cache(3), model.new_cache(1)
        for s in range(30):
            now, before = conditions.at(slice(s, s + 1)), previous[:, :, s]
            batched = stepper.logits(before, now, Guidance(), together, None)
            single = stepper.logits(before[:1], rows_of(now, 1), Guidance(), alone, None)
            assert torch.equal(batched[:1], single)


needs_vnni = pytest.mark.skipif(not torch.cpu._is_vnni_supported(), reason="127 levels overflow without VNNI")


@needs_int8
@pytest.mark.parametrize("has_vnni", [pytest.param(True, marks=needs_vnni), False])
def test_int8_product_is_the_rounded_one(has_vnni: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against float64: without VNNI pairs of products are added in 16 bits, which 63 levels of weights don't exceed."""
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: has_vnni)
    levels = 127 if has_vnni else 63
    weight, values = torch.randn(48, 64) * torch.rand(48, 1), torch.randn(3, 64) * torch.tensor([[1.0], [1e4], [1e-4]])
    scale, peak = weight.abs().amax(1, keepdim=True) / levels, values.abs().amax(1, keepdim=True)
    whole = (weight / scale).round().double() * scale.double()
    rounded = (values / peak / (1 / 127)).round().double() * peak.double() / 127
    expected, product = rounded @ whole.T, Int8Product(weight)
    size = expected.abs().amax(1, keepdim=True)
    assert ((product.of(values) - expected) / size).abs().max() < 1e-5
    total = torch.ones(3, 48)
    product.add_to(total, values)
    assert ((total - 1 - expected) / size.clamp(min=1.0)).abs().max() < 1e-5


def test_mixed_product_is_the_rounded_one() -> None:
    """Against float64; sums come in bfloat16, which has 8 bits, and are rounded to them again when they are scaled."""
    weight, values, bias = torch.randn(128, 64) * torch.rand(128, 1), torch.randn(3, 64).bfloat16(), torch.randn(128)
    scale = weight.abs().amax(1, keepdim=True) / 127
    whole = (weight / scale).round().double() * scale.bfloat16().double()
    expected, product = values.double() @ whole.T, MixedProduct(weight, bias)
    allowed = expected.abs() * 2**-8 * 1.01 + 1e-6
    assert ((product.of(values.float()) - bias - expected).abs() < allowed).all()
    total = torch.ones(3, 128)
    product.add_to(total, values.half())
    assert ((total - 1 - expected).abs() < allowed).all()


@pytest.mark.parametrize("shape", [(64, 48), (48, 64), (640, 640)])
def test_weights_that_torchs_kernel_cannot_take_or_takes_slowly_do_not_fit(shape: tuple[int, int]) -> None:
    assert MixedProduct.fits(torch.zeros(64, 128))
    assert not MixedProduct.fits(torch.zeros(shape))


@pytest.mark.parametrize("kind", [FloatProduct, MixedProduct, pytest.param(Int8Product, marks=needs_int8)])
def test_zeros_stay_zeros(kind: type) -> None:
    assert torch.equal(kind(torch.randn(64, 128)).of(torch.zeros(2, 128)), torch.zeros(2, 64))
    assert torch.equal(kind(torch.zeros(64, 128)).of(torch.randn(2, 128)), torch.zeros(2, 64))


def test_machines_without_int8_step_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Int8Product, "is_available", staticmethod(lambda: False))
    model = tiny_model()
    equip(model, "int8")
    assert isinstance(model.stepper, Stepper)
    assert model.stepper.weights == "float32"
    with pytest.raises(ValueError, match="fbgemm"):
        Int8Product(torch.zeros(4, 4))


@needs_int8
def test_a_row_of_an_int8_generator_begins_anew_after_a_reset() -> None:
    model = tiny_model(dim=64)
    equip(model, "int8")
    calls = step_conditions(random_frames(1, 20), model.config.build_pattern(), 20)
    generator = FrameGenerator(model, Greedy())
    played: list[list[Tensor | None]] = []
    for _ in range(2):
        draws = row_generators(0, 1)
        played.append([generator.step(calls.at(slice(call, call + 1)), draws) for call in range(20)])
        generator.reset(torch.tensor([True]))
    for first, second in zip(*played, strict=True):
        assert (first is None) == (second is None)
        assert first is None or second is None or torch.equal(first, second)
