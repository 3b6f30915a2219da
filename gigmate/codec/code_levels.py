"""How loud each code of the compact codec's first codebook sounds: a level that can be read off codes undecoded.

Alone and held, the codes that practice drums are made of tell their mean level to half a decibel; held for three frames
instead of sixteen they sound 1 to 5 dB softer than in music (experiments/017_manner).
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from gigmate.codec.compact import CompactCodec

CODE_DB = "code_db"
"""Name of the table in a bundle of a codec."""

_HELD_FRAMES, _FIRST, _LAST = 16, 6, 14  # what is between sounds settled: neither begins nor ends
_FLOOR_POWER = 1e-12
_BATCH = 128


@torch.no_grad()
def code_levels(codec: "CompactCodec") -> Tensor:
    """[V] float32 on the CPU: the level in dB of full scale (RMS) of each code alone. Takes seconds.

    Args:
        codec: whose decoder sounds them; the levels follow its weights.
    """
    hop, codes = codec.config.hop, torch.arange(codec.config.codebook_size, device=codec.device)
    held = codes[:, None, None].expand(-1, 1, _HELD_FRAMES)
    waves = (codec.reconstruct(codec.quantizer.decode(part)) for part in held.split(_BATCH))
    power = [wave[:, 0, _FIRST * hop : _LAST * hop].float().square().mean(dim=1) for wave in waves]
    return 10 * torch.cat(power).clamp(min=_FLOOR_POWER).log10().cpu()
