"""What every codec promises: a `CodecSpec` that can be compared, and encode, decode and stream over it."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import torch
from torch import Tensor

from gigmate.shapes import Codes, NoteCodes, Wave


@dataclass(frozen=True)
class CodecSpec:
    """The facts about a codec that others depend on; plain values, comparable and storable.

    Args:
        name: config name, for instance `compact` or `encodec_24khz`.
        sample_rate: Hz of the waves that go in and come out.
        channels: C of those waves.
        hop: samples per frame.
        num_codebooks: K.
        codebook_size: V; codes are 0..V-1.
        fingerprint: hex digest over the weights and settings: two codecs with equal fingerprints make the same codes.
        latency_samples: by how many samples a streamed output lags its input beyond the frame itself.
        is_causal: whether `stream()` works and equals the offline pass.
    """

    name: str
    sample_rate: int
    channels: int
    hop: int
    num_codebooks: int
    codebook_size: int
    fingerprint: str
    latency_samples: int = 0
    is_causal: bool = True

    @property
    def frame_rate(self) -> Fraction:
        """Frames per second, exactly."""
        return Fraction(self.sample_rate, self.hop)

    def num_frames(self, num_samples: int) -> int:
        """Frames that hold `num_samples` samples: the last one may be part silence."""
        return -(-num_samples // self.hop)


class CodecStream(Protocol):
    """The codec frame by frame, with the state that makes it equal to the offline pass.

    Both directions take whole frames only and keep separate state; `latency_samples` of the spec says by how much the
    decoded wave lags. A stream that needs to see ahead before its first frame holds the first codes back until it is
    primed; if the input ends before that, `flush` returns them.
    """

    def encode(self, wave: Wave) -> Codes:
        """[B, C, n * hop] -> [B, K, m]: m is 0 while the stream is being primed, then all that was held back, then n.

        Raises:
            ValueError: the wave is no whole number of frames.
        """
        ...

    def flush(self) -> Codes:
        """Codes [B, K, m] of the frames still held back when the input has ended; m may be 0."""
        ...

    def decode(self, codes: Codes, notes: NoteCodes | None = None) -> Wave:
        """[B, K, n], notes [B, n] -> [B, C, n * hop], delayed by `latency_samples` against the offline decode."""
        ...

    def reset(self) -> None:
        """Forget everything heard, as if new."""
        ...


class Codec(Protocol):
    """A wave in, codes out, and back."""

    @property
    def spec(self) -> CodecSpec:
        """The facts about this codec."""
        ...

    @property
    def code_db(self) -> Tensor | None:
        """[V] how loud each code of the first codebook sounds alone, in dB of full scale; None: nobody knows."""
        ...

    def encode(self, wave: Wave) -> Codes:
        """[B, C, N] -> [B, K, ceil(N / hop)]; the end is padded with silence.

        Raises:
            ValueError: channels don't match the spec.
        """
        ...

    def decode(self, codes: Codes, notes: NoteCodes | None = None) -> Wave:
        """[B, K, T] -> [B, C, T * hop].

        Args:
            codes: of every frame.
            notes: [B, T] what is played in each frame (`gigmate.pitch`), if known. Codecs that read codes alone don't
                look.

        Raises:
            ValueError: number of codebooks or codes outside 0..V-1.
        """
        ...

    def stream(self, batch: int = 1) -> CodecStream:
        """A fresh stream.

        Raises:
            NotImplementedError: the codec isn't causal; the message says why.
        """
        ...

    def to(self, device: torch.device | str) -> "Codec":
        """Itself, on `device`."""
        ...


def on_device(notes: NoteCodes | None, device: torch.device) -> NoteCodes | None:
    """Notes, if there are any, where a codec's weights are."""
    return None if notes is None else notes.to(device)


def check_wave(wave: Wave, spec: CodecSpec) -> None:
    """Refuse a wave that the codec can't take.

    Raises:
        ValueError: not [B, C, N] with the spec's channels, or no samples.
    """
    if wave.ndim != 3 or wave.shape[1] != spec.channels or wave.shape[2] == 0:
        raise ValueError(
            f"wave has shape {tuple(wave.shape)}, but codec {spec.name} takes [batch, {spec.channels}, samples > 0]: "
            f"downmix with gigmate.audio.to_channels"
        )


def check_codes(codes: Codes, spec: CodecSpec) -> None:
    """Refuse codes that the codec can't decode.

    Raises:
        ValueError: not [B, K, T] with the spec's K, or a value outside 0..V-1.
    """
    if codes.ndim != 3 or codes.shape[1] != spec.num_codebooks:
        raise ValueError(
            f"codes have shape {tuple(codes.shape)}, but codec {spec.name} has {spec.num_codebooks} codebooks: "
            f"[batch, {spec.num_codebooks}, frames] is needed"
        )
    if codes.numel() and not (int(codes.min()) >= 0 and int(codes.max()) < spec.codebook_size):
        raise ValueError(
            f"codes span {int(codes.min())}..{int(codes.max())}, but codec {spec.name} has "
            f"0..{spec.codebook_size - 1}: deinterleave and drop special ids first"
        )
