"""What the codecs of other packages have in common: a torch module behind the `Codec` protocol, whole waves only."""

from abc import ABC, abstractmethod
from typing import Self

import torch
import torch.nn.functional as F
from torch import nn

from gigmate.codec.base import CodecSpec, CodecStream, check_codes, check_wave
from gigmate.files.bundle import fingerprint
from gigmate.shapes import Codes, NoteCodes, Wave


class ModuleCodec(ABC):
    """A `Codec` around a pretrained module; a subclass says how to call the module.

    Args:
        model: the module, in evaluation mode from here on.
        name: config name.
        sample_rate: Hz.
        channels: C.
        hop: samples per frame.
        num_codebooks: K.
        codebook_size: V.
        latency_samples: see `CodecSpec`.
        is_causal: see `CodecSpec`.
    """

    why_no_stream: str = ""
    """Why `stream()` is refused; for the user."""

    def __init__(
        self,
        model: nn.Module,
        *,
        name: str,
        sample_rate: int,
        channels: int,
        hop: int,
        num_codebooks: int,
        codebook_size: int,
        latency_samples: int = 0,
        is_causal: bool = False,
    ) -> None:
        self._module = model.eval().requires_grad_(False)
        self._spec = CodecSpec(
            name=name,
            sample_rate=sample_rate,
            channels=channels,
            hop=hop,
            num_codebooks=num_codebooks,
            codebook_size=codebook_size,
            fingerprint=fingerprint(model.state_dict(), {"name": name, "num_codebooks": num_codebooks}),
            latency_samples=latency_samples,
            is_causal=is_causal,
        )

    @property
    def spec(self) -> CodecSpec:
        """The facts about this codec."""
        return self._spec

    @property
    def code_db(self) -> None:
        """See `Codec.code_db`: not measured."""
        return None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self._module.parameters()).device

    def to(self, device: torch.device | str) -> Self:
        """Itself, on `device`."""
        self._module.to(device)
        return self

    @torch.no_grad()
    def encode(self, wave: Wave) -> Codes:
        """[B, C, N] -> [B, K, ceil(N / hop)]; see `Codec.encode`."""
        check_wave(wave, self.spec)
        return self._encode(F.pad(wave.to(self.device), (0, -wave.shape[2] % self.spec.hop)))

    @torch.no_grad()
    def decode(self, codes: Codes, notes: NoteCodes | None = None) -> Wave:
        """[B, K, T] -> [B, C, T * hop]; see `Codec.decode`."""
        check_codes(codes, self.spec)
        if codes.shape[2] == 0:
            return torch.zeros(codes.shape[0], self.spec.channels, 0, device=self.device)
        return self._decode(codes.to(self.device))

    def stream(self, batch: int = 1) -> CodecStream:
        """Refused; see `Codec.stream`.

        Raises:
            NotImplementedError: always, with the reason.
        """
        raise NotImplementedError(f"codec {self.spec.name} can't stream: {self.why_no_stream}")

    @abstractmethod
    def _encode(self, wave: Wave) -> Codes:
        """[B, C, T * hop] -> [B, K, T]."""

    @abstractmethod
    def _decode(self, codes: Codes) -> Wave:
        """[B, K, T > 0] -> [B, C, T * hop]."""
