"""The encoder on waves: how well a stem fits a mix, and the embeddings that sets of pairs are compared by."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gigmate.codec.features import MixFeatures
from gigmate.evaluation.fit.encoder import FRAME_RATE, WINDOW_FRAMES, FitEncoder
from gigmate.evaluation.metrics import Mono


@dataclass(frozen=True, eq=False)
class Verdict:
    """What the encoder makes of a pair, window by window.

    Args:
        fit: the mean over the windows; higher: they belong together.
        pairs: [W, E] embeddings of the pair.
        stems: [W, E] embeddings of the stem alone.
    """

    fit: float
    pairs: NDArray[np.float64]
    stems: NDArray[np.float64]


class Judge:
    """Judges pairs of waves.

    Args:
        encoder: in evaluation mode.
        sample_rate: Hz of the waves, a multiple of the encoder's frame rate.
    """

    def __init__(self, encoder: FitEncoder, sample_rate: int) -> None:
        self._encoder = encoder
        self._features = MixFeatures(sample_rate, sample_rate // FRAME_RATE)

    @torch.no_grad()
    def judge(self, mix: Mono, stem: Mono) -> Verdict:
        """Of waves [N] each; windows that begin every 3 s, one at least."""
        mixes, stems = (self._windows(wave) for wave in (mix, stem))
        heard, played = self._encoder.mix_tower(mixes), self._encoder.stem_tower(stems)
        pairs = (heard * played).mean(dim=-1).double().numpy()
        return Verdict(float(pairs.sum(axis=1).mean()), pairs, played.mean(dim=-1).double().numpy())

    def _windows(self, wave: Mono) -> torch.Tensor:
        power = self._features.analyse(torch.from_numpy(np.ascontiguousarray(wave))[None, None])[0]
        power = torch.nn.functional.pad(power, (0, max(0, WINDOW_FRAMES - power.shape[1])))
        return power.unfold(1, WINDOW_FRAMES, WINDOW_FRAMES // 2).transpose(0, 1).contiguous()
