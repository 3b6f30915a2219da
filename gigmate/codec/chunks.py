"""Songs of any length through a codec in bounded memory: the offline result, made chunk by chunk."""

import torch

from gigmate.codec.base import Codec
from gigmate.shapes import Codes, NoteCodes, Wave

_CHUNK_S = 30


def _chunk_frames(codec: Codec) -> int:
    return max(1, int(_CHUNK_S * codec.spec.frame_rate))


def encode_song(codec: Codec, wave: Wave) -> Codes:
    """[B, C, N] -> [B, K, ceil(N / hop)], equal to `codec.encode`."""
    chunk = _chunk_frames(codec) * codec.spec.hop
    if not codec.spec.is_causal or wave.shape[2] <= chunk:
        return codec.encode(wave)
    wave = torch.nn.functional.pad(wave, (0, -wave.shape[2] % codec.spec.hop))
    stream = codec.stream(len(wave))
    parts = [stream.encode(part) for part in wave.split(chunk, dim=2)]
    return torch.cat([*parts, stream.flush()], dim=2)


def decode_song(codec: Codec, codes: Codes, notes: NoteCodes | None = None) -> Wave:
    """[B, K, T], notes [B, T] if known -> [B, C, T * hop], as `codec.decode` up to rounding."""
    if not codec.spec.is_causal or codes.shape[2] <= _chunk_frames(codec):
        return codec.decode(codes, notes)
    spec = codec.spec
    held = -(-spec.latency_samples // spec.hop)
    index = torch.arange(codes.shape[2] + held, device=codes.device).clamp(max=codes.shape[2] - 1)
    stream = codec.stream(len(codes))
    wave = torch.cat(
        [
            stream.decode(codes[..., part], None if notes is None else notes[:, part])
            for part in index.split(_chunk_frames(codec))
        ],
        dim=2,
    )
    return wave[..., spec.latency_samples :][..., : codes.shape[2] * spec.hop]
