"""What every codec must do, and what every stream must do; called by the tests of each codec."""

import pytest
import torch

from gigmate.codec.base import Codec

RAGGED = ([1], [2, 1], [5, 1, 13, 2], [100])


def noise(codec: Codec, batch: int, frames: int, seed: int = 0) -> torch.Tensor:
    """Loud enough, and different from frame to frame, so that codes differ too."""
    spec = codec.spec
    generator = torch.Generator().manual_seed(seed)
    wave = torch.randn(batch, spec.channels, frames * spec.hop, generator=generator)
    loudness = torch.rand(batch, 1, frames, generator=generator).repeat_interleave(spec.hop, dim=2)
    return 0.5 * wave * loudness


def in_pieces(whole: torch.Tensor, sizes: list[int], unit: int = 1) -> list[torch.Tensor]:
    """`whole` cut into pieces of `sizes` units, over and over until it is used up."""
    pieces, at, turn = [], 0, 0
    while at < whole.shape[2]:
        pieces.append(whole[:, :, at : at + sizes[turn % len(sizes)] * unit])
        at, turn = at + pieces[-1].shape[2], turn + 1
    return pieces


def verify_codec_contract(codec: Codec, frames: int = 9) -> None:
    """Shapes, types, ranges, silence at the end, rows that don't hear each other, refusals."""
    spec = codec.spec
    wave = noise(codec, 2, frames)
    codes = codec.encode(wave)
    assert codes.dtype == torch.int64
    assert codes.shape == (2, spec.num_codebooks, frames)
    assert 0 <= int(codes.min()) <= int(codes.max()) < spec.codebook_size
    assert len(codes.unique()) > 4  # codes that hear nothing would make every law below hold
    decoded = codec.decode(codes)
    assert decoded.dtype == torch.float32
    assert decoded.shape == (2, spec.channels, frames * spec.hop)
    assert float(decoded.std()) > 0

    for part in (1, spec.hop - 1):
        short = wave[:, :, : (frames - 1) * spec.hop + part]
        silent_end = torch.nn.functional.pad(short, (0, spec.hop - part))
        assert torch.equal(codec.encode(short), codec.encode(silent_end))
    assert codec.encode(wave[:, :, :1]).shape == (2, spec.num_codebooks, 1)
    assert codec.decode(codes[:, :, :1]).shape == (2, spec.channels, spec.hop)
    assert codec.decode(codes[:, :, :0]).shape == (2, spec.channels, 0)

    for row in range(2):
        assert torch.equal(codec.encode(wave[row : row + 1]), codes[row : row + 1])
        alone = codec.decode(codes[row : row + 1])
        torch.testing.assert_close(alone, decoded[row : row + 1], rtol=0, atol=1e-5 * float(decoded.abs().max()))

    with pytest.raises(ValueError, match="downmix"):
        codec.encode(wave[:, :1].expand(-1, 3 - spec.channels, -1))
    with pytest.raises(ValueError, match="codebooks"):
        codec.decode(codes[:, :-1])
    with pytest.raises(ValueError, match="deinterleave"):
        codec.decode(torch.full_like(codes, spec.codebook_size))


def verify_stream_contract(codec: Codec, frames: int = 24) -> float:
    """Frame by frame and in ragged pieces, the stream makes what the whole wave makes; again after a reset.

    Returns the largest difference of decoded samples, relative to the peak.
    """
    spec = codec.spec
    lag = -(-spec.latency_samples // spec.hop)
    wave = noise(codec, 2, frames)
    codes = codec.encode(wave)
    decoded = codec.decode(codes)
    stream, worst = codec.stream(batch=2), 0.0
    for sizes in RAGGED:
        heard = [stream.encode(piece) for piece in in_pieces(wave, sizes, spec.hop)]
        assert torch.equal(torch.cat([*heard, stream.flush()], dim=2), codes)

        end = codes[:, :, -1:].expand(-1, -1, lag)
        pieces = in_pieces(torch.cat([codes, end], dim=2), sizes)
        played = [stream.decode(piece) for piece in pieces]
        assert [p.shape[2] for p in played] == [c.shape[2] * spec.hop for c in pieces]
        together = torch.cat(played, dim=2)[:, :, spec.latency_samples :]
        error = (together[:, :, : decoded.shape[2] - lag * spec.hop] - decoded[:, :, : -lag * spec.hop or None]).abs()
        assert float(error.max()) <= 1e-5 * float(decoded.abs().max())
        worst = max(worst, float(error.max() / decoded.abs().max()))
        stream.reset()

    alone = codec.stream()
    heard = [alone.encode(piece[1:]) for piece in in_pieces(wave, [1], spec.hop)]
    assert torch.equal(torch.cat([*heard, alone.flush()], dim=2), codes[1:])

    with pytest.raises(ValueError, match=r"frame|hop"):
        codec.stream().encode(wave[:1, :, : spec.hop + 1])
    with pytest.raises(ValueError, match="codebooks"):
        codec.stream().decode(codes[:1, :-1])
    return worst
