"""What a slot has heard of its mix: the newest tap of `gigmate.model.conditions`, kept up frame by frame."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from gigmate.codec.features import NUM_FEATURES, MixFeatures
from gigmate.model.conditions import SLOW_FRAMES


class Hearing:
    """One slot's ears.

    Live there is one tap to hear, the newest: the power of the newest frame and the mean power of the last
    `SLOW_FRAMES`, summed as `step_conditions` sums them, so that a song that is played live is heard as offline.

    Args:
        features: of the codec's rate and hop.
    """

    def __init__(self, features: MixFeatures) -> None:
        self._features = features.stream()
        self._powers = torch.zeros(1, NUM_FEATURES, SLOW_FRAMES)
        self._num_frames = 0

    def push(self, mix: NDArray[np.float32]) -> None:
        """Hear [n * hop] samples more."""
        power = self._features.push(torch.from_numpy(mix)[None, None])
        self._powers = torch.cat((self._powers, power), dim=2)[:, :, -SLOW_FRAMES:]
        self._num_frames += power.shape[2]

    @property
    def tap(self) -> Tensor | None:
        """[2 * D], None while nothing was heard."""
        if self._num_frames == 0:
            return None
        mean = F.avg_pool1d(self._powers, SLOW_FRAMES) * (
            SLOW_FRAMES / torch.tensor(min(self._num_frames, SLOW_FRAMES))
        )
        return torch.cat((self._powers[0, :, -1], mean[0, :, 0]))
