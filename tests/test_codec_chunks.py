"""A long song, chunk by chunk, gives what the offline pass gives."""

import pytest
import torch
from reporting import Report
from test_codec_compact import SMALL

from gigmate.codec import chunks
from gigmate.codec.compact import CompactCodec


@pytest.fixture
def codec(monkeypatch: pytest.MonkeyPatch) -> CompactCodec:
    monkeypatch.setattr(chunks, "_CHUNK_S", 1)
    torch.manual_seed(0)
    codec = CompactCodec(SMALL).eval()
    codec.quantizer.vectors.copy_(torch.randn_like(codec.quantizer.vectors) * 0.3)
    return codec


@pytest.mark.parametrize("samples", [24_000, 24_001, 24_000 * 3, 24_000 * 3 + 777])
def test_chunked_equals_offline(codec: CompactCodec, samples: int, report: Report):
    wave = torch.randn(1, 1, samples, generator=torch.Generator().manual_seed(0)) * 0.1
    codes = chunks.encode_song(codec, wave)
    assert torch.equal(codes, codec.encode(wave))
    offline = codec.decode(codes)
    chunked = chunks.decode_song(codec, codes)
    assert chunked.shape == offline.shape
    report("p16_codec_chunk_error_compact", float((chunked - offline).abs().max() / offline.abs().max()))
    assert (chunked - offline).abs().max() <= 1e-5 * offline.abs().max()
