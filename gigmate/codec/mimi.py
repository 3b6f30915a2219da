"""Mimi with an exact stream: 24 kHz, 12.5 frames/s, up to 32 codebooks of 2,048.

`transformers` streams Mimi's encoder, but its frame-by-frame decoder forgets the past of every convolution (off by 0.77
of the peak); here both directions are made of `streaming.py`'s layers and agree with the offline pass.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from transformers import DynamicCache, MimiModel
from transformers.models.mimi.modeling_mimi import (
    MimiConv1d,
    MimiConvTranspose1d,
    MimiEuclideanCodebook,
    MimiResnetBlock,
    MimiTransformerModel,
)

from gigmate.codec.layer_stream import LayeredCodec
from gigmate.codec.streaming import (
    CausalConv,
    CausalTransposedConv,
    Chain,
    Padding,
    Residual,
    State,
    Stateless,
    StreamLayer,
)
from gigmate.shapes import Codes, Features, Wave


class Mimi(LayeredCodec):
    """Mimi behind the `Codec` protocol.

    Args:
        model: of `transformers`.
        num_codebooks: K, at least 1; the first of the codebooks is the semantic one.
    """

    def __init__(self, model: MimiModel, num_codebooks: int) -> None:
        config = model.config
        super().__init__(
            model,
            name="mimi",
            sample_rate=config.sampling_rate,
            channels=config.audio_channels,
            hop=config.frame_size,
            num_codebooks=num_codebooks,
            codebook_size=config.codebook_size,
            is_causal=True,
        )
        self._model: Any = model  # the package's types allow for halves of a model, this one is whole

    def to(self, device: torch.device | str) -> Self:
        """Itself, on `device`."""
        for module in self._model.quantizer.modules():
            if isinstance(module, MimiEuclideanCodebook):
                module._embed = None  # derived once and kept, it would stay behind on the old device
        return super().to(device)

    def layers(self) -> tuple[StreamLayer, StreamLayer]:
        """See `LayeredCodec.layers`."""
        encoder, decoder = self._model.encoder, self._model.decoder
        return (
            Chain(
                [
                    *_twins(encoder.encoder_seanet.layers),
                    _Attention(encoder.encoder_transformer),
                    _twin(encoder.downsample),
                ]
            ),
            Chain(
                [
                    _twin(decoder.upsample),
                    _Attention(decoder.decoder_transformer),
                    *_twins(decoder.decoder_seanet.layers),
                ]
            ),
        )

    def quantize(self, latents: Features) -> Codes:
        """See `LayeredCodec.quantize`."""
        return self._model.quantizer.encode(latents, self.spec.num_codebooks).transpose(0, 1)

    def dequantize(self, codes: Codes) -> Features:
        """See `LayeredCodec.dequantize`."""
        return self._model.quantizer.decode(codes)

    def _encode(self, wave: Wave) -> Codes:
        return self._model.encode(wave, num_quantizers=self.spec.num_codebooks).audio_codes

    def _decode(self, codes: Codes) -> Wave:
        return self._model.decode(codes).audio_values


@dataclass(frozen=True)
class _Attention:
    """A windowed transformer; its state is the package's own cache, which it changes in place."""

    transformer: MimiTransformerModel

    def __call__(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """See `StreamLayer`."""
        cache = DynamicCache(config=self.transformer.config) if state is None else state
        output = self.transformer(x.transpose(1, 2), past_key_values=cache, use_cache=True)
        return output.last_hidden_state.transpose(1, 2), cache


def _twins(modules: Iterable[nn.Module]) -> list[StreamLayer]:
    return [_twin(module) for module in modules]


def _twin(module: nn.Module) -> StreamLayer:
    """The streaming twin of a module of the package; activations are the only ones without memory."""
    if isinstance(module, MimiConv1d):
        paddings: dict[str, Padding] = {"constant": "zeros", "replicate": "replicate"}
        return CausalConv(module.conv, paddings[module.pad_mode])
    if isinstance(module, MimiConvTranspose1d):
        return CausalTransposedConv(module.conv)
    if isinstance(module, MimiResnetBlock):
        return Residual(Chain(_twins(module.block)), _twin(cast(nn.Module, module.shortcut)))
    if isinstance(module, nn.ELU | nn.Identity):
        return Stateless(module)
    raise TypeError(f"no streaming twin for {type(module).__name__}")
