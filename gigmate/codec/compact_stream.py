"""The compact codec frame by frame: the offline code, with its past handed from call to call."""

import torch

from gigmate.codec.base import check_codes, check_wave, on_device
from gigmate.codec.compact import CompactCodec
from gigmate.shapes import Codes, NoteCodes, Wave


class CompactStream:
    """See `CodecStream`. Codes come at once; waves lag by `latency_samples`, until the overlap is complete.

    Args:
        codec: the codec to stream.
        batch: B, rows that are streamed side by side.
    """

    def __init__(self, codec: CompactCodec, batch: int) -> None:
        self.codec, self.batch = codec, batch
        self.reset()

    def reset(self) -> None:
        """Forget everything heard."""
        codec = self.codec
        device = codec.device
        self._heard = torch.zeros(self.batch, codec.analysis.past_samples, device=device)
        self._encoder_past = codec.encoder.silence(self.batch, device)
        self._decoder_past = codec.silence(self.batch)
        synthesis = codec.synthesis
        self._tail = torch.zeros(self.batch, synthesis.overlaps - 1, synthesis.half_hop, device=device)

    @torch.no_grad()
    def encode(self, wave: Wave) -> Codes:
        """[B, 1, n * hop] -> [B, K, n].

        Raises:
            ValueError: wrong channels or rows, or a part of a frame.
        """
        check_wave(wave, self.codec.spec)
        hop = self.codec.config.hop
        if wave.shape[0] != self.batch or wave.shape[2] % hop:
            raise ValueError(
                f"chunk has {wave.shape[0]} rows of {wave.shape[2]} samples, but this stream takes {self.batch} "
                f"rows of whole frames of {hop} samples: collect them first"
            )
        seen = torch.cat([self._heard, wave[:, 0].to(self._heard)], dim=1)
        latents, self._encoder_past = self.codec.latents(seen, self._encoder_past)
        self._heard = seen[:, seen.shape[1] - self.codec.analysis.past_samples :]
        return self.codec.quantizer(latents).codes

    def flush(self) -> Codes:
        """Nothing is held back: [B, K, 0]."""
        return torch.zeros(self.batch, self.codec.spec.num_codebooks, 0, dtype=torch.long, device=self.codec.device)

    @torch.no_grad()
    def decode(self, codes: Codes, notes: NoteCodes | None = None) -> Wave:
        """[B, K, n], note codes [B, n] -> [B, 1, n * hop], `latency_samples` behind the offline decode."""
        check_codes(codes, self.codec.spec)
        codes, notes = codes.to(self.codec.device), on_device(notes, self.codec.device)
        wave, self._decoder_past, self._tail = self.codec.sound(codes, self._decoder_past, self._tail, notes)
        return wave
