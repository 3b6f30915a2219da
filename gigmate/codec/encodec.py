"""EnCodec 24 kHz (causal, mono) and 48 kHz (stereo, one second at a time) from the `encodec` package.

The package's newest release carries a non-commercial licence (its repository is MIT); nothing on GigMate's default path
imports it. Source: EnCodec (arXiv 2210.13438).
"""

import warnings
from pathlib import Path
from typing import cast

import torch
from encodec.model import ROOT_URL, EncodecModel
from encodec.modules.conv import SConv1d, SConvTranspose1d
from encodec.modules.lstm import SLSTM
from encodec.modules.seanet import SEANetResnetBlock
from torch import nn

from gigmate.codec.encodec_weights import find_weights, read_weights
from gigmate.codec.layer_stream import LayeredCodec
from gigmate.codec.module_codec import ModuleCodec
from gigmate.codec.streaming import (
    CausalConv,
    CausalTransposedConv,
    Chain,
    Padding,
    Recurrent,
    Residual,
    Stateless,
    StreamLayer,
)
from gigmate.errors import UsageError
from gigmate.files.bundle import load_state
from gigmate.shapes import Codes, Features, Wave

BANDWIDTHS_KBPS = {"encodec_24khz": (1.5, 3.0, 6.0, 12.0, 24.0), "encodec_48khz": (3.0, 6.0, 12.0, 24.0)}
"""Bandwidths by name; every codebook takes 0.75 kbit/s at 24 kHz and 1.5 kbit/s at 48 kHz."""


class Encodec24(LayeredCodec):
    """EnCodec 24 kHz. Its convolutions mirror the first 6 frames, so that a stream starts 6 frames late.

    Args:
        model: the package's model.
        bandwidth_kbps: one of its bandwidths; K is that over 0.75.
    """

    prime_frames = 7  # the widest kernel at frame rate: it mirrors what follows the first frame

    def __init__(self, model: EncodecModel, bandwidth_kbps: float) -> None:
        model.set_target_bandwidth(bandwidth_kbps)
        hop = int(model.encoder.hop_length)
        super().__init__(
            model,
            name="encodec_24khz",
            sample_rate=model.sample_rate,
            channels=model.channels,
            hop=hop,
            num_codebooks=_num_codebooks(model),
            codebook_size=model.quantizer.bins,
            latency_samples=(self.prime_frames - 1) * hop,
            is_causal=True,
        )
        self._model = model

    def layers(self) -> tuple[StreamLayer, StreamLayer]:
        """See `LayeredCodec.layers`."""
        return _chain(self._model.encoder.model), _chain(self._model.decoder.model)

    def quantize(self, latents: Features) -> Codes:
        """See `LayeredCodec.quantize`."""
        return self._model.quantizer.encode(latents, self._model.frame_rate, self._model.bandwidth).transpose(0, 1)

    def dequantize(self, codes: Codes) -> Features:
        """See `LayeredCodec.dequantize`."""
        return self._model.quantizer.decode(codes.transpose(0, 1))

    def _encode(self, wave: Wave) -> Codes:
        return self._model.encode(wave)[0][0]

    def _decode(self, codes: Codes) -> Wave:
        return self._model.decode([(codes, None)])


class Encodec48(ModuleCodec):
    """EnCodec 48 kHz: one second after the other, each brought to unit loudness before it is encoded.

    Two things differ from how the package stores a file, so that codes alone are enough and keep the frame clock:

    * The loudness (RMS) of each second, which the package keeps beside the codes, is one more codebook, the last, in
      steps of 0.1 dB: code 0 is silence, code i is (i - 961) / 10 dBFS. Decoding is exact up to 0.05 dB.
    * Seconds don't overlap. The package lets them overlap by 10 ms, which makes 150 frames for 148.5 frames' time: no
      frame after the first second would be where `t * hop` says.

    Args:
        model: the package's model; its overlap is set to 0.
        bandwidth_kbps: one of its bandwidths; K is that over 1.5, plus 1.
    """

    why_no_stream = (
        "it normalises and encodes one second at a time with filters that look ahead; "
        "use compact, encodec_24khz or mimi"
    )

    def __init__(self, model: EncodecModel, bandwidth_kbps: float) -> None:
        model.set_target_bandwidth(bandwidth_kbps)
        model.overlap = 0.0
        super().__init__(
            model,
            name="encodec_48khz",
            sample_rate=model.sample_rate,
            channels=model.channels,
            hop=int(model.encoder.hop_length),
            num_codebooks=_num_codebooks(model) + 1,
            codebook_size=model.quantizer.bins,
        )
        self._model = model

    def _encode(self, wave: Wave) -> Codes:
        seconds = []
        for codes, loudness in self._model.encode(wave):
            assert loudness is not None  # this model always normalises
            level = loudness_to_code(loudness)[:, :, None].expand(-1, -1, codes.shape[2])
            seconds.append(torch.cat([codes, level], dim=1))
        return torch.cat(seconds, dim=2)

    def _decode(self, codes: Codes) -> Wave:
        loudness = code_to_loudness(codes[:, -1:]).repeat_interleave(self.spec.hop, dim=2)
        frames = self.spec.sample_rate // self.spec.hop
        return self._model.decode([(second, None) for second in codes[:, :-1].split(frames, dim=2)]) * loudness


def loudness_to_code(loudness: torch.Tensor) -> torch.Tensor:
    """RMS -> code 0..1023: 0.1 dB a step, 0 for anything below -96 dBFS, 1023 for 6.2 dBFS and above."""
    return (200 * loudness.clamp(min=1e-8).log10() + 961).round().clamp(0, 1023).long()


def code_to_loudness(code: torch.Tensor) -> torch.Tensor:
    """Code 0..1023 -> RMS; 0 is silence."""
    return torch.where(code > 0, 10 ** ((code - 961) / 200), 0.0)


def load_encodec(
    name: str,
    *,
    bandwidth_kbps: float = 6.0,
    weights_dir: Path | str | None = None,
    device: torch.device | str = "cpu",
) -> Encodec24 | Encodec48:
    """A pretrained EnCodec.

    Args:
        name: `encodec_24khz` or `encodec_48khz`.
        bandwidth_kbps: one of `BANDWIDTHS_KBPS[name]`.
        weights_dir: folder with the package's weights file; `None` fetches it once, from where the package says.
        device: where to put it.

    Raises:
        UsageError: no such bandwidth.
        CheckpointError: the weights are missing in `weights_dir`, damaged, or another model's.
        MachineError: they have to be fetched and the machine is offline.
    """
    if bandwidth_kbps not in BANDWIDTHS_KBPS[name]:
        allowed = ", ".join(map(str, BANDWIDTHS_KBPS[name]))
        raise UsageError("value", f"bandwidth_kbps is {bandwidth_kbps}, {name} has {allowed}", "codec.bandwidth_kbps")
    path = find_weights(name, weights_dir, ROOT_URL)
    model = new_model(name)
    load_state(model, read_weights(path), path)
    codec = Encodec24 if name == "encodec_24khz" else Encodec48
    return codec(model, float(bandwidth_kbps)).to(device)


def new_model(name: str) -> EncodecModel:
    """The package's model without its weights; its codebooks are empty (all zeros)."""
    build = {
        "encodec_24khz": EncodecModel.encodec_model_24khz,
        "encodec_48khz": EncodecModel.encodec_model_48khz,
    }
    with warnings.catch_warnings():
        # the package uses torch's old weight_norm; its weights are named after it
        warnings.filterwarnings("ignore", message=".*weight_norm.*", category=FutureWarning)
        return build[name](pretrained=False)


def _num_codebooks(model: EncodecModel) -> int:
    return model.quantizer.get_num_quantizers_for_bandwidth(model.frame_rate, model.bandwidth)


def _chain(modules: nn.Module) -> Chain:
    return Chain([_layer(module) for module in modules.children()])


def _layer(module: nn.Module) -> StreamLayer:
    """The streaming twin of a module of the package; activations are the only ones without memory."""
    if isinstance(module, SConv1d):
        return CausalConv(cast(nn.Conv1d, module.conv.conv), cast(Padding, module.pad_mode))
    if isinstance(module, SConvTranspose1d):
        return CausalTransposedConv(cast(nn.ConvTranspose1d, module.convtr.convtr))
    if isinstance(module, SLSTM):
        return Recurrent(module.lstm, module.skip)
    if isinstance(module, SEANetResnetBlock):
        return Residual(_chain(module.get_submodule("block")), _layer(module.get_submodule("shortcut")))
    if isinstance(module, nn.ELU | nn.Identity):
        return Stateless(module)
    raise TypeError(f"no streaming twin for {type(module).__name__}")
