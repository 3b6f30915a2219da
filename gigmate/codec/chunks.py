"""Songs of any length through a codec in bounded memory: the offline result, made chunk by chunk."""

import torch

from gigmate.codec.base import Codec
from gigmate.shapes import Codes, Wave

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


def decode_song(codec: Codec, codes: Codes) -> Wave:
    """[B, K, T] -> [B, C, T * hop], equal to `codec.decode` but for the rounding of the last frames."""
    if not codec.spec.is_causal or codes.shape[2] <= _chunk_frames(codec):
        return codec.decode(codes)
    spec = codec.spec
    held = -(-spec.latency_samples // spec.hop)
    padded = torch.cat([codes, codes[..., -1:].expand(-1, -1, held)], dim=2)
    stream = codec.stream(len(codes))
    wave = torch.cat([stream.decode(part) for part in padded.split(_chunk_frames(codec), dim=2)], dim=2)
    return wave[..., spec.latency_samples :][..., : codes.shape[2] * spec.hop]
