"""`AccompanimentLM`: from the stem's past and what is heard, the distribution of its next codes."""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gigmate.model.cache import KVCache
from gigmate.model.conditions import NUM_TAPS, StepConditions
from gigmate.model.config import ModelConfig
from gigmate.model.harmony import HARMONY_FEATURES, HarmonyEar
from gigmate.model.trunk import Trunk
from gigmate.shapes import Logits, Mask, Steps

if TYPE_CHECKING:
    from gigmate.model.stepping import SingleSteps

HARMONY_GAIN = 4.0
"""So that 24 numbers of harmony aren't lost beside 217 levels."""

POWER_FLOOR = 1e-5
"""Power below which features count as silence: -50 dB against a full-scale sine."""


class ConditionEncoder(nn.Module):
    """All conditions of a step as one vector to be added to the embedded codes."""

    LOOKAHEAD_FEATURES = 10
    octaves: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.lookahead_scale = max(abs(config.min_lookahead_frames), abs(config.max_lookahead_frames), 1)
        self.harmony = HarmonyEar(config.mix_features, config.semitone_bands)
        self.per_step = nn.Linear(NUM_TAPS * self.tap_features(config) + config.beat_features, config.dim)
        self.instrument = nn.Embedding(config.num_instruments, config.dim)
        self.lookahead = nn.Linear(self.LOOKAHEAD_FEATURES, config.dim, bias=False)
        self.register_buffer("octaves", math.pi * torch.tensor([0.5, 1.0, 2.0, 4.0]), persistent=False)
        self.out = nn.Linear(config.dim, config.dim)

    def forward(self, conditions: StepConditions) -> Tensor:
        """[B, S, dim]. Instrument and lookahead meet mix and beats before the nonlinearity: what is heard means
        something else to a bass player than to a drummer.
        """
        heard = torch.cat((self.listen(conditions.mix, conditions.heard), conditions.beats.float()), dim=-1)
        instrument = self.instrument(conditions.instrument)
        lookahead = self.lookahead_features(conditions.lookahead).to(instrument.dtype)
        whole = instrument + self.lookahead(lookahead)
        hidden = self.per_step(heard.to(whole.dtype)) + whole[:, None]
        return self.out(F.silu(hidden))

    @staticmethod
    def tap_features(config: ModelConfig) -> int:
        """How many numbers describe one tap."""
        return 2 * config.mix_features + 1 + HARMONY_FEATURES

    def listen(self, mix: Tensor, heard: Mask) -> Tensor:
        """What is heard [B, S, P, 2 * D] and whether [B, S, P] -> [B, S, P * tap_features]; 0 where unheard."""
        levels = compress(mix, heard)
        return told(levels, self.harmony.read(levels[..., :-1], heard))

    def lookahead_features(self, lookahead: Tensor) -> Tensor:
        """[B] frames -> [B, 10]: its share of the scale, whether it hears what it plays to, four octaves of waves."""
        share = (lookahead.float() / self.lookahead_scale)[:, None]
        waves = share * self.octaves
        return torch.cat((share, (share >= 0).float(), waves.sin(), waves.cos()), dim=-1)


def told(levels: Tensor, chord: Tensor) -> Tensor:
    """All that is known of the taps, [B, S, P * tap_features], from [B, S, P, 2 * D + 1] and [B, S, P, H]."""
    return torch.cat((levels, HARMONY_GAIN * chord), dim=-1).flatten(2)


def compress(power: Tensor, heard: Mask) -> Tensor:
    """Power features [..., D] on a logarithmic scale with a flag that they are heard [...]: [..., D + 1] float32.

    Silence is -1, full scale +1, unheard 0. In float32 whatever autocast says: bfloat16 has 1/30 of a dB at best.
    """
    scale = -2 / math.log(POWER_FLOOR)
    level = 1 + scale * torch.log(power.float() + POWER_FLOOR)
    return torch.cat((level.masked_fill(~heard[..., None], 0.0), heard[..., None].float()), dim=-1)


def levels_of(power: Tensor) -> Tensor:
    """Power features [..., D] that are all heard, on the scale of `compress` without its flag: [..., D] float32."""
    return compress(power, torch.ones_like(power[..., 0], dtype=torch.bool))[..., :-1]


class AccompanimentLM(nn.Module):
    """An autoregressive transformer over pattern steps; every codebook has its own head on one trunk.

    Args:
        config: its shape.
    """

    code_offsets: Tensor
    stepper: "SingleSteps | None" = None
    """What makes single steps in its place; None: the model itself."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        ids = config.codebook_size + 1  # the special id has an embedding, but no logit
        self.codes = nn.Embedding(config.num_streams * ids, config.dim)
        self.conditions = ConditionEncoder(config)
        self.dropout = nn.Dropout(config.dropout)
        self.trunk = Trunk(config)
        self.heads = nn.Linear(config.dim, config.num_streams * config.codebook_size, bias=False)
        offsets = torch.arange(config.num_streams)[:, None] * ids
        self.register_buffer("code_offsets", offsets, persistent=False)
        self._initialise()

    def forward(
        self,
        previous_steps: Steps,
        conditions: StepConditions,
        cache: KVCache | None = None,
        active: Mask | None = None,
    ) -> Logits:
        """The distribution of each step's codes.

        Args:
            previous_steps: [B, K, S] int64; place s holds step s - 1, the special id at the very first step.
            conditions: those of the steps that are predicted.
            cache: the past, if these steps follow others; its first B rows are changed in place.
            active: [B] bool with a cache: rows that take part, None for all; the others' logits mean nothing.

        Returns:
            [B, K, S, V], bfloat16 under autocast.

        Raises:
            ValueError: shapes that don't fit together.
        """
        batch, num_streams, num_steps = previous_steps.shape
        if num_streams != self.config.num_streams or conditions.beats.shape[:2] != (batch, num_steps):
            raise ValueError(
                f"previous_steps are {tuple(previous_steps.shape)} and conditions for {conditions.batch} rows of "
                f"{conditions.num_steps} steps, but [B, {self.config.num_streams}, S] and B rows of S are needed"
            )
        hidden = self.trunk(self.dropout(self.embed(previous_steps, conditions)), cache, active)
        return self.heads(hidden).view(batch, num_steps, num_streams, -1).transpose(1, 2)

    def embed(self, previous_steps: Steps, conditions: StepConditions) -> Tensor:
        """[B, S, dim], what goes into the trunk."""
        return self.codes(previous_steps + self.code_offsets).sum(dim=1) + self.conditions(conditions)

    def new_cache(self, batch: int, max_chunk: int = 1) -> KVCache:
        """An empty cache for `batch` rows and up to `max_chunk` steps at once, as the model's single steps want it."""
        config, weight = self.config, self.heads.weight
        return KVCache(
            config.num_layers,
            batch,
            config.num_heads,
            config.dim // config.num_heads,
            window=config.window_steps,
            max_chunk=max_chunk,
            device=weight.device,
            dtype=weight.dtype if self.stepper is None else self.stepper.dtype,
        )

    def _initialise(self) -> None:
        """Unit-sized streams everywhere, branches that shrink with depth, and flat predictions at the start."""
        branch_gain = (2 * self.config.num_layers) ** -0.5
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                gain = branch_gain if name.startswith("trunk") and name.endswith("out") else 1.0
                nn.init.normal_(module.weight, std=gain * module.in_features**-0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.codes.weight, std=self.config.num_streams**-0.5)
        nn.init.normal_(self.conditions.instrument.weight, std=0.5)
        nn.init.normal_(self.heads.weight, std=0.1 * self.config.dim**-0.5)


def shift_steps(steps: Steps, special_id: int) -> Steps:
    """Steps [B, K, S] shifted by one, as the model is given them when it is trained on them."""
    return F.pad(steps[:, :, :-1], (1, 0), value=special_id)
