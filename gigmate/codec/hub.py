"""EnCodec 32 kHz (MusicGen's) and DAC 44.1 kHz through `transformers` (extra `codecs`).

Sources: EnCodec (arXiv 2210.13438), MusicGen (arXiv 2306.05284), DAC (arXiv 2306.06546).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from gigmate.codec.hub_weights import pretrained
from gigmate.codec.module_codec import ModuleCodec
from gigmate.errors import UsageError
from gigmate.shapes import Codes, Wave

if TYPE_CHECKING:
    from transformers import DacModel, EncodecModel

CODEBOOKS = {"encodec_32khz": 4, "dac_44khz": 9, "mimi": 32}
"""How many codebooks there are by name; a codec may use the first few of them."""

_LOOKS_AHEAD = "its filters look ahead; use compact, encodec_24khz or mimi"


class Encodec32(ModuleCodec):
    """EnCodec 32 kHz as MusicGen uses it: mono, 50 frames/s, codebooks of 2,048.

    Args:
        model: of `transformers`, without chunks and normalisation.
        num_codebooks: K.
    """

    why_no_stream = _LOOKS_AHEAD

    def __init__(self, model: "EncodecModel", num_codebooks: int) -> None:
        config = model.config
        super().__init__(
            model,
            name="encodec_32khz",
            sample_rate=config.sampling_rate,
            channels=config.audio_channels,
            hop=config.hop_length,
            num_codebooks=num_codebooks,
            codebook_size=config.codebook_size,
        )
        self._model: Any = model  # the package annotates optional results that are always there

    def _encode(self, wave: Wave) -> Codes:
        widest = self._model.config.target_bandwidths[-1]
        return self._model.encode(wave, bandwidth=widest).audio_codes[0, :, : self.spec.num_codebooks]

    def _decode(self, codes: Codes) -> Wave:
        return self._model.decode(codes[None], [None]).audio_values


class Dac44(ModuleCodec):
    """DAC 44.1 kHz: mono, 86 frames/s, codebooks of 1,024.

    Args:
        model: of `transformers`.
        num_codebooks: K.
    """

    why_no_stream = _LOOKS_AHEAD

    def __init__(self, model: "DacModel", num_codebooks: int) -> None:
        config = model.config
        super().__init__(
            model,
            name="dac_44khz",
            sample_rate=config.sampling_rate,
            channels=1,
            hop=config.hop_length,
            num_codebooks=num_codebooks,
            codebook_size=config.codebook_size,
        )
        self._model: Any = model  # the package annotates optional results that are always there

    def _encode(self, wave: Wave) -> Codes:
        return self._model.encode(wave, n_quantizers=self.spec.num_codebooks).audio_codes

    def _decode(self, codes: Codes) -> Wave:
        return self._model.decode(audio_codes=codes).audio_values[:, None]


def load_hub_codec(
    name: str,
    *,
    num_codebooks: int | None = None,
    weights_dir: Path | str | None = None,
    device: torch.device | str = "cpu",
) -> ModuleCodec:
    """A pretrained codec from `transformers`.

    Args:
        name: `encodec_32khz`, `dac_44khz` or `mimi`.
        num_codebooks: K; `None` takes all of them, but for Mimi 8, as its makers do.
        weights_dir: folder with `config.json` and `model.safetensors`; `None` takes the hub's cache, or fetches once.
        device: where to put it.

    Raises:
        UsageError: more codebooks than it has, or none.
        CheckpointError: nothing usable in `weights_dir`.
        MachineError: `transformers` isn't installed, or the weights have to be fetched and the machine is offline.
    """
    usual = 8 if name == "mimi" else CODEBOOKS[name]
    wanted = usual if num_codebooks is None else num_codebooks
    if not 1 <= wanted <= CODEBOOKS[name]:
        what = f"num_codebooks is {wanted}, {name} has 1 to {CODEBOOKS[name]}"
        raise UsageError("value", what, "codec.num_codebooks")
    model = pretrained(name, weights_dir)
    if name == "mimi":
        from gigmate.codec.mimi import Mimi

        return Mimi(model, wanted).to(device)
    return (Encodec32 if name == "encodec_32khz" else Dac44)(model, wanted).to(device)
