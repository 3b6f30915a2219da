import pytest
import torch
from contracts import ERRORS, Inputs, in_every_precision, verify_stream_contract
from references import attend
from reporting import Report
from torch import Tensor

from gigmate.model.attention import Attention, View, band
from gigmate.model.cache import KVCache
from gigmate.model.config import ModelConfig
from gigmate.model.positions import RotaryPositions, rotate
from gigmate.model.trunk import Trunk

H, E, WINDOW, CHUNK = 2, 8, 7, 5
RELATIVE = ERRORS[torch.float32]


class AttentionStream:
    """Attention alone, on a ring."""

    def __init__(self, attention: Attention, batch: int, max_chunk: int = CHUNK) -> None:
        self.attention, self.rotary = attention, RotaryPositions(E)
        dtype = attention.out.weight.dtype
        self.cache = KVCache(1, batch, H, E, window=WINDOW, max_chunk=max_chunk, dtype=dtype)

    @torch.no_grad()
    def push(self, inputs: Inputs) -> Tensor:
        claim = self.cache.claim(inputs[0].shape[1])
        view = View(*self.rotary(claim.positions), mask=claim.mask, cache=self.cache, claim=claim)
        return self.attention(inputs[0], 0, view)

    def fork(self) -> "AttentionStream":
        other = AttentionStream(self.attention, self.cache.batch)
        other.cache = self.cache.fork()
        return other

    def reset(self) -> None:
        self.cache.reset()


@pytest.fixture
def attention() -> Attention:
    torch.manual_seed(0)
    return Attention(H * E, H)


def offline(attention: Attention, hidden: Tensor) -> Tensor:
    num_steps = hidden.shape[1]
    cos, sin = RotaryPositions(E)(torch.arange(num_steps)[None])
    with torch.no_grad():
        return attention(hidden, 0, View(cos, sin, band(num_steps, WINDOW, hidden.device)))


@pytest.mark.parametrize("num_steps", [1, WINDOW, WINDOW + 1, 30])
def test_attention_is_the_loop(attention: Attention, num_steps: int) -> None:
    hidden = torch.randn(2, num_steps, H * E)
    weights = attention.query_key_value.weight.detach().double()
    query, key, value = (hidden.double() @ weights.T).chunk(3, dim=-1)
    heads = [slice(h * E, (h + 1) * E) for h in range(H)]
    mixed = torch.stack(
        [torch.cat([attend(query[b, :, h], key[b, :, h], value[b, :, h], WINDOW) for h in heads], 1) for b in range(2)]
    )
    expected = mixed @ attention.out.weight.detach().double().T
    assert torch.allclose(
        offline(attention, hidden).double(), expected, rtol=0, atol=float(expected.abs().max()) * RELATIVE
    )


@in_every_precision
def test_attention_streams(attention: Attention, dtype: torch.dtype, report: Report) -> None:
    attention.to(dtype)
    error = verify_stream_contract(
        lambda inputs: offline(attention, inputs[0]),
        lambda batch: AttentionStream(attention, batch),
        (torch.randn(3, 60, H * E, dtype=dtype),),
        max_chunk=CHUNK,
        relative=ERRORS[dtype],
    )
    report(f"p16_cached_error_attention_{str(dtype)[6:]}", error)


@in_every_precision
def test_trunk_streams(dtype: torch.dtype, report: Report) -> None:
    torch.manual_seed(0)
    config = ModelConfig(dim=16, num_layers=3, num_heads=2, window=WINDOW)
    trunk = Trunk(config).eval().to(dtype)

    class TrunkStream:
        def __init__(self, batch: int) -> None:
            self.cache = KVCache(3, batch, 2, 8, window=WINDOW, max_chunk=CHUNK, dtype=dtype)

        @torch.no_grad()
        def push(self, inputs: Inputs) -> Tensor:
            return trunk(inputs[0], self.cache)

        def fork(self) -> "TrunkStream":
            other = TrunkStream(self.cache.batch)
            other.cache = self.cache.fork()
            return other

        def reset(self) -> None:
            self.cache.reset()

    def whole(inputs: Inputs) -> Tensor:
        with torch.no_grad():
            return trunk(inputs[0])

    hidden = torch.randn(3, 60, 16, dtype=dtype)
    error = verify_stream_contract(whole, TrunkStream, (hidden,), max_chunk=CHUNK, relative=ERRORS[dtype])
    report(f"p16_cached_error_trunk_{str(dtype)[6:]}", error)


def test_a_ring_of_the_size_of_the_window_would_be_wrong_for_chunks(attention: Attention) -> None:
    """Why the capacity is window + chunk - 1: with the window alone, chunks after the wrap lose keys they need."""
    hidden = torch.randn(1, 40, H * E)
    stream = AttentionStream(attention, 1, max_chunk=1)
    stream.cache.max_chunk = CHUNK  # as if capacity == window were enough
    outputs = torch.cat([stream.push((part,)) for part in hidden.split(CHUNK, dim=1)], dim=1)
    assert (outputs - offline(attention, hidden)).abs().max() > 0.01


def test_more_steps_than_the_ring_is_exact_for_are_refused() -> None:
    with pytest.raises(ValueError, match="6 steps at once, but this cache is exact for at most 5"):
        KVCache(1, 1, H, E, window=WINDOW, max_chunk=CHUNK).claim(CHUNK + 1)


def test_a_cache_for_another_window_is_refused() -> None:
    trunk = Trunk(ModelConfig(dim=16, num_layers=1, num_heads=2, window=WINDOW))
    with pytest.raises(ValueError, match="window of 8 steps, the model has 7"):
        trunk(torch.zeros(1, 1, 16), KVCache(1, 1, 2, 8, window=WINDOW + 1))


def test_rows_keep_their_own_pace(attention: Attention) -> None:
    hidden = torch.randn(3, 40, H * E)
    expected = offline(attention, hidden)
    stream, position = AttentionStream(attention, 3), torch.zeros(3, dtype=torch.int64)
    generator = torch.Generator().manual_seed(2)
    while int(position.min()) < 40:
        active = (torch.rand(3, generator=generator) < torch.tensor([1.0, 0.7, 0.3])) & (position < 40)
        chunk = 1 if int(position.max()) > 33 else int(torch.randint(1, 4, (), generator=generator))
        active &= position + chunk <= 40
        index = (position[:, None] + torch.arange(chunk)).clamp(max=39)
        claim = stream.cache.claim(chunk, active)
        view = View(*stream.rotary(claim.positions), mask=claim.mask, cache=stream.cache, claim=claim)
        with torch.no_grad():
            out = stream.attention(hidden[torch.arange(3)[:, None], index], 0, view)
        for row in active.nonzero().flatten().tolist():
            wanted = expected[row, index[row]]
            assert (out[row] - wanted).abs().max() <= RELATIVE * expected.abs().max()
        position += chunk * active
        assert torch.equal(stream.cache.next_position, position)


def test_one_row_can_be_reset(attention: Attention) -> None:
    hidden = torch.randn(2, 20, H * E)
    stream = AttentionStream(attention, 2)
    for part in hidden[:, :10].split(CHUNK, dim=1):
        stream.push((part,))
    stream.cache.reset(torch.tensor([True, False]))
    assert (stream.cache.positions[0] == -1).all()
    assert stream.cache.next_position.tolist() == [0, 10]
    out = torch.cat([stream.push((part,)) for part in hidden[:, 10:].split(CHUNK, dim=1)], dim=1)
    assert torch.allclose(out[:1], offline(attention, hidden[:1, 10:]), rtol=0, atol=1e-6)
    assert torch.allclose(out[1:], offline(attention, hidden[1:])[:, 10:], rtol=0, atol=1e-6)


def test_rotary_scores_depend_on_distance_alone_after_a_year() -> None:
    rotary = RotaryPositions(64)
    query, key = torch.randn(1, 1, 1, 64), torch.randn(1, 1, 1, 64)

    def score(position: int) -> Tensor:
        angles = [rotary(torch.tensor([[p]])) for p in (position, position - 100)]
        return (rotate(query, *angles[0]) * rotate(key, *angles[1])).sum()

    year = 50 * 3600 * 24 * 365
    assert abs(score(year) - score(100)) < 2e-5


def test_rotary_is_computed_in_float32_and_keeps_the_type() -> None:
    values = torch.randn(1, 1, 5, 8)
    angles = RotaryPositions(8)(torch.arange(5)[None])
    got = rotate(values.bfloat16(), *angles)
    assert got.dtype == torch.bfloat16
    assert torch.equal(got, rotate(values.bfloat16().float(), *angles).bfloat16())


def test_short_sequences_need_no_mask() -> None:
    assert band(WINDOW, WINDOW, torch.device("cpu")) is None
    mask = band(WINDOW + 1, WINDOW, torch.device("cpu"))
    assert mask is not None
    assert int((~mask).sum()) == WINDOW * (WINDOW + 1) // 2 + 1
