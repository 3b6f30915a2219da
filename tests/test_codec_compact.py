"""The compact codec: shapes, streaming equals offline, causality, and the quantizer against an obvious search."""

import copy

import numpy as np
import pytest
import torch
from reporting import Report

from gigmate.codec.compact import CompactCodec, CompactConfig
from gigmate.codec.quantizer import ResidualQuantizer

SMALL = CompactConfig(
    dim=32,
    latent_dim=8,
    codebook_size=64,
    encoder_dilations=(1, 2),
    decoder_dilations=(1, 3),
    synthesis_blocks=1,
)


@pytest.fixture(scope="module")
def codec() -> CompactCodec:
    torch.manual_seed(0)
    codec = CompactCodec(SMALL).eval()
    codec.quantizer.vectors.copy_(torch.randn_like(codec.quantizer.vectors) * 0.3)
    for parameter in codec.parameters():  # a fresh layer scale would hide the blocks
        parameter.data.mul_(1.5)
    return codec


@pytest.fixture(scope="module")
def wave() -> torch.Tensor:
    return torch.randn(3, 1, 480 * 40, generator=torch.Generator().manual_seed(1)) * 0.1


def chunked(frames: int, seed: int) -> list[int]:
    sizes, rng = [], np.random.default_rng(seed)
    while sum(sizes) < frames:
        sizes.append(min(int(rng.choice([1, 1, 2, 7, 13])), frames - sum(sizes)))
    return sizes


def test_shipped_shape_is_what_the_project_promises():
    codec = CompactCodec(CompactConfig())
    parameters = sum(p.numel() for p in codec.parameters()) + codec.quantizer.vectors.numel()
    assert 5e6 <= parameters <= 8e6
    spec = codec.spec
    assert (spec.sample_rate, spec.channels, spec.frame_rate) == (24_000, 1, 50)
    assert (spec.num_codebooks, spec.codebook_size, spec.is_causal) == (4, 1024, True)


@pytest.mark.parametrize("samples", [1, 479, 480, 481, 5000])
def test_every_sample_gets_a_frame_and_every_frame_a_hop(codec, samples):
    codes = codec.encode(torch.randn(2, 1, samples))
    assert codes.shape == (2, 4, -(-samples // 480))
    assert codec.decode(codes).shape == (2, 1, codes.shape[2] * 480)


@pytest.mark.parametrize("seed", range(3))
def test_streamed_codes_equal_offline_codes(codec, wave, seed):
    stream, start, parts = codec.stream(3), 0, []
    for frames in chunked(40, seed):
        parts.append(stream.encode(wave[..., start * 480 : (start + frames) * 480]))
        start += frames
    assert stream.flush().shape == (3, 4, 0)
    assert torch.equal(torch.cat(parts, dim=2), codec.encode(wave))


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("seed", range(3))
def test_streamed_wave_equals_offline_wave_after_the_latency(codec, wave, seed, dtype, allowed, report: Report):
    """In 16 bits the codec doesn't run: it has no FFT there, and devices hold it in float32."""
    codes = codec.encode(wave)
    codec = copy.deepcopy(codec).to(dtype)
    stream, start, parts = codec.stream(3), 0, []
    for frames in chunked(40, seed):
        parts.append(stream.decode(codes[..., start : start + frames]))
        start += frames
    lag, offline = codec.spec.latency_samples, codec.decode(codes)
    streamed = torch.cat(parts, dim=2)
    assert lag == 720
    assert streamed.dtype == offline.dtype == dtype
    error = float((streamed[..., lag:] - offline[..., :-lag]).abs().max() / offline.abs().max())
    report(f"p16_codec_stream_error_compact_{str(dtype)[6:]}", error)
    assert error <= allowed


def test_a_reset_stream_is_a_fresh_one_and_rows_are_apart(codec, wave):
    stream = codec.stream(3)
    first = stream.encode(wave[..., : 480 * 9])
    stream.reset()
    assert torch.equal(stream.encode(wave[..., : 480 * 9]), first)
    assert torch.equal(codec.stream(1).encode(wave[1:2, :, : 480 * 9]), first[1:2])


def test_no_code_depends_on_later_samples(codec, wave):
    changed = wave.clone()
    changed[..., 480 * 20 :] = 0.5
    assert torch.equal(codec.encode(changed)[..., :20], codec.encode(wave)[..., :20])
    assert not torch.equal(codec.encode(changed), codec.encode(wave))


def test_no_sample_depends_on_codes_beyond_the_latency(codec, wave):
    codes = codec.encode(wave)
    changed = codes.clone()
    changed[..., 20:] = (changed[..., 20:] + 1) % 64
    before, after = codec.decode(codes), codec.decode(changed)
    heard = 20 * 480 - codec.spec.latency_samples
    assert torch.equal(before[..., :heard], after[..., :heard])
    assert not torch.equal(before[..., : 20 * 480], after[..., : 20 * 480])


def test_what_the_codec_cannot_take_is_refused(codec):
    with pytest.raises(ValueError, match=r"takes \[batch, 1, samples"):
        codec.encode(torch.zeros(1, 2, 960))
    with pytest.raises(ValueError, match="has 4 codebooks"):
        codec.decode(torch.zeros(1, 3, 5, dtype=torch.long))
    with pytest.raises(ValueError, match=r"0\.\.63"):
        codec.decode(torch.full((1, 4, 5), 64))
    with pytest.raises(ValueError, match="whole frames"):
        codec.stream(1).encode(torch.zeros(1, 1, 481))


def test_fingerprint_follows_the_weights():
    torch.manual_seed(0)
    one = CompactCodec(SMALL)
    two = CompactCodec(SMALL)
    assert one.spec.fingerprint != two.spec.fingerprint
    two.load_state_dict(one.state_dict())
    two._spec = None
    assert one.spec.fingerprint == two.spec.fingerprint


def test_quantizer_equals_a_search_vector_by_vector():
    torch.manual_seed(0)
    quantizer = ResidualQuantizer(3, 16, 4)
    quantizer.vectors.copy_(torch.randn(3, 16, 4))
    latents = torch.randn(2, 5, 4)
    made = quantizer(latents)
    for b in range(2):
        for t in range(5):
            rest = latents[b, t]
            for k in range(3):
                distances = [float((rest - v).square().sum()) for v in quantizer.vectors[k]]
                assert int(made.codes[b, k, t]) == int(np.argmin(distances))
                rest = rest - quantizer.vectors[k][made.codes[b, k, t]]
    assert torch.allclose(quantizer.decode(made.codes), made.latents, atol=1e-6)


def test_gradients_pass_straight_through_the_quantizer():
    quantizer = ResidualQuantizer(2, 8, 4)
    quantizer.vectors.copy_(torch.randn(2, 8, 4))
    latents = torch.randn(1, 3, 4, requires_grad=True)
    quantizer(latents).latents.sum().backward()
    assert latents.grad is not None
    assert torch.equal(latents.grad, torch.ones_like(latents))


def test_codebooks_follow_the_data_and_leave_no_code_dead():
    torch.manual_seed(0)
    quantizer = ResidualQuantizer(2, 32, 4)
    centres = torch.randn(32, 4) * 3
    errors = []
    for _ in range(60):
        latents = (centres[torch.randint(32, (256,))] + 0.05 * torch.randn(256, 4))[None]
        made = quantizer(latents)
        errors.append(float(made.commitment))
        in_use = quantizer.follow(made)
    assert errors[-1] < 0.02 * errors[0]
    assert in_use > 0.9
