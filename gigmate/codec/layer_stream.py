"""Codecs made of causal layers, and their stream: exact, with a wait where the first output needs to see ahead."""

from abc import abstractmethod

import torch

from gigmate.codec.base import check_codes, check_wave
from gigmate.codec.module_codec import ModuleCodec
from gigmate.codec.streaming import State, StreamLayer
from gigmate.shapes import Codes, Features, NoteCodes, Wave


class LayeredCodec(ModuleCodec):
    """A causal codec whose halves are known as layers, beside the package's own way of running them whole."""

    prime_frames: int = 1
    """Frames that must be there before the first can be made."""

    @abstractmethod
    def layers(self) -> tuple[StreamLayer, StreamLayer]:
        """Encoder, from wave to latents [B, D, T], and decoder, from latents to wave."""

    @abstractmethod
    def quantize(self, latents: Features) -> Codes:
        """[B, D, T] -> [B, K, T]."""

    @abstractmethod
    def dequantize(self, codes: Codes) -> Features:
        """[B, K, T] -> [B, D, T]."""

    def stream(self, batch: int = 1) -> "LayerStream":
        """A fresh stream."""
        return LayerStream(self, batch)


class LayerStream:
    """See `CodecStream`; it needs `prime_frames` frames before it can begin.

    Frame by frame with prime_frames = 3, so that the latency is 2 frames:

        encode in   0 1 2     3 4 5         decode in   0 1 2 3 4 5
               out  . . 0,1,2 3 4 5                out  . . 0 1 2 3

    Codes are only read, so they come as soon as they can; a wave is played, so it lags evenly, `.` being silence.
    A wave of fewer frames than that can't be decoded exactly: it is made with the frames pushed after it.

    Args:
        codec: the codec to stream.
        batch: B, rows streamed side by side.
    """

    def __init__(self, codec: LayeredCodec, batch: int = 1) -> None:
        self._codec, self._batch = codec, batch
        self._encoder, self._decoder = codec.layers()
        self.reset()

    def reset(self) -> None:
        """Forget everything heard, as if new."""
        spec, device = self._codec.spec, self._codec.device
        self._encoder_state: State = None
        self._decoder_state: State = None
        self._held_wave = torch.zeros(self._batch, spec.channels, 0, device=device)
        self._held_codes = torch.zeros(self._batch, spec.num_codebooks, 0, dtype=torch.int64, device=device)
        self._made = torch.zeros(self._batch, spec.channels, spec.latency_samples, device=device)

    @torch.no_grad()
    def encode(self, wave: Wave) -> Codes:
        """[B, C, n * hop] -> [B, K, m]; see `CodecStream.encode`."""
        spec = self._codec.spec
        check_wave(wave, spec)
        if wave.shape[0] != self._batch or wave.shape[2] % spec.hop:
            raise ValueError(
                f"wave has shape {tuple(wave.shape)}, but this stream takes [{self._batch}, {spec.channels}, "
                f"n * {spec.hop}]: buffer until a frame is full"
            )
        heard = torch.cat([self._held_wave, wave.to(self._held_wave)], dim=2)
        if self._encoder_state is None and heard.shape[2] < self._codec.prime_frames * spec.hop:
            self._held_wave = heard
            return self._no_codes()
        self._held_wave = heard[:, :, :0]
        latents, self._encoder_state = self._encoder(heard, self._encoder_state)
        return self._codec.quantize(latents)

    def flush(self) -> Codes:
        """Codes of a wave that ended before the stream was primed; see `CodecStream.flush`."""
        held, self._held_wave = self._held_wave, self._held_wave[:, :, :0]
        return self._codec.encode(held) if held.shape[2] else self._no_codes()

    @torch.no_grad()
    def decode(self, codes: Codes, notes: NoteCodes | None = None) -> Wave:
        """[B, K, n] -> [B, C, n * hop], `latency_samples` late; see `CodecStream.decode`."""
        check_codes(codes, self._codec.spec)
        if codes.shape[0] != self._batch:
            raise ValueError(f"codes have shape {tuple(codes.shape)}, but this stream has {self._batch} rows")
        heard = torch.cat([self._held_codes, codes.to(self._held_codes)], dim=2)
        if self._decoder_state is None and heard.shape[2] < self._codec.prime_frames:
            self._held_codes = heard
        else:
            self._held_codes = heard[:, :, :0]
            wave, self._decoder_state = self._decoder(self._codec.dequantize(heard), self._decoder_state)
            self._made = torch.cat([self._made, wave], dim=2)
        due = codes.shape[2] * self._codec.spec.hop
        ready, self._made = self._made[:, :, :due], self._made[:, :, due:]
        return ready

    def _no_codes(self) -> Codes:
        return self._held_codes[:, :, :0]
