"""The numbers that make a model: frozen, checked when made, and primitives when they travel with a checkpoint."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import Any

from gigmate.model import pattern as patterns
from gigmate.model.pattern import Pattern
from gigmate.pitch import NUM_NOTE_CODES

PATTERNS: Mapping[str, Callable[[int], Pattern]] = MappingProxyType(
    {
        "delay": patterns.delay,
        "parallel": patterns.parallel,
        "partial_delay": patterns.partial_delay,
        "flatten": patterns.flatten,
        "coarse_first": patterns.coarse_first,
    }
)


@dataclass(frozen=True)
class PatternConfig:
    """Which codebook pattern, by name.

    Args:
        name: one of `PATTERNS`.
        delays: for `delay` only: the delay of each codebook in steps, None for 0, 1, 2, ...

    Raises:
        ValueError: unknown name, or delays for another pattern.
    """

    name: str = "delay"
    delays: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.name not in PATTERNS:
            raise ValueError(f"pattern {self.name!r} is unknown: choose one of {', '.join(PATTERNS)}")
        if self.delays is not None:
            if self.name != "delay":
                raise ValueError(f"pattern {self.name!r} takes no delays: leave them out or choose pattern 'delay'")
            object.__setattr__(self, "delays", tuple(self.delays))

    def build(self, num_codebooks: int) -> Pattern:
        """The pattern for K codebooks.

        Raises:
            ValueError: the delays are for another K, or make no pattern.
        """
        if self.delays is not None and len(self.delays) != num_codebooks:
            raise ValueError(f"pattern has delays for {len(self.delays)} codebooks, but the codec has {num_codebooks}")
        if self.delays is not None:
            return patterns.delay(num_codebooks, self.delays)
        return PATTERNS[self.name](num_codebooks)


@dataclass(frozen=True)
class ModelConfig:
    """Shape of an `AccompanimentLM`.

    Args:
        dim: width of the trunk.
        num_layers: L.
        num_heads: H; dim is a multiple of 2 * H.
        mlp_ratio: size of the MLP: it has the parameters of a plain one of `mlp_ratio * dim` hidden units.
        window: frames that attention reaches back, the present one included.
        dropout: probability, in training.
        num_codebooks: K of the codec.
        codebook_size: V of the codec; V itself is the special id.
        mix_features: D, power features that describe a frame of the mix.
        semitone_bands: how many of the D, the last, are bands a semitone apart.
        beat_features: G, features of the beat grid at a frame.
        num_instruments: how many instruments can be asked for.
        min_lookahead_frames: the least lookahead that training draws.
        max_lookahead_frames: the largest one.
        pattern: the codebook pattern.
        writes_notes: whether the model writes the note code of the next frame before it sounds it: one more codebook,
            the first of all.

    Raises:
        ValueError: numbers that make no model.
    """

    dim: int
    num_layers: int
    num_heads: int
    mlp_ratio: float = 4.0
    window: int = 512
    dropout: float = 0.0
    num_codebooks: int = 4
    codebook_size: int = 1024
    mix_features: int = 108
    semitone_bands: int = 60
    beat_features: int = 10
    num_instruments: int = 7
    min_lookahead_frames: int = -50
    max_lookahead_frames: int = 50
    pattern: PatternConfig = PatternConfig()
    writes_notes: bool = False

    def __post_init__(self) -> None:
        positive = ("dim", "num_layers", "num_heads", "window", "num_codebooks", "codebook_size", "mlp_ratio")
        for name in (*positive, "mix_features", "semitone_bands", "beat_features", "num_instruments"):
            if not getattr(self, name) > 0:
                raise ValueError(f"model.{name} is {getattr(self, name)}, but must be positive")
        if self.dim % (2 * self.num_heads):
            raise ValueError(
                f"model.dim is {self.dim}, but must be a multiple of twice the {self.num_heads} heads "
                "(rotary positions turn pairs of features)"
            )
        if self.semitone_bands > self.mix_features:
            raise ValueError(
                f"model.semitone_bands is {self.semitone_bands}, but there are {self.mix_features} features in all"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"model.dropout is {self.dropout}, but must lie in [0, 1)")
        if self.min_lookahead_frames > self.max_lookahead_frames:
            raise ValueError(
                f"model.min_lookahead_frames is {self.min_lookahead_frames}, "
                f"but must not exceed max_lookahead_frames {self.max_lookahead_frames}"
            )
        if self.writes_notes and self.codebook_size < NUM_NOTE_CODES:
            raise ValueError(
                f"model.writes_notes needs {NUM_NOTE_CODES} codes, but the codec's codebooks have "
                f"{self.codebook_size}: set it to false"
            )
        self.build_pattern()

    @property
    def num_streams(self) -> int:
        """How many codes the model writes a frame: the codec's, after the note code if there is one."""
        return self.num_codebooks + self.writes_notes

    @property
    def stream_names(self) -> tuple[str, ...]:
        """`notes` if it writes them, then `k0`, `k1`, ..."""
        return ("notes",) * self.writes_notes + tuple(f"k{k}" for k in range(self.num_codebooks))

    @property
    def special_id(self) -> int:
        """The id that means "no code here": V, outside the codec's codes."""
        return self.codebook_size

    @property
    def window_steps(self) -> int:
        """Steps that attention reaches back, the present one included."""
        return self.window * self.build_pattern().period

    def build_pattern(self) -> Pattern:
        """The codebook pattern as a value."""
        pattern = self.pattern.build(self.num_codebooks)
        return pattern.with_notes() if self.writes_notes else pattern

    def to_dict(self) -> dict[str, Any]:
        """The config as primitives; `from_dict` takes them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ModelConfig":
        """A config from primitives, for instance of a checkpoint.

        Raises:
            ValueError: unknown or missing keys, or numbers that make no model.
        """
        known = {field.name for field in fields(cls)}
        unknown, missing = sorted(set(values) - known), {"dim", "num_layers", "num_heads"} - set(values)
        if unknown or missing:
            raise ValueError(
                f"model config has unknown keys {unknown} and lacks {sorted(missing)}: it takes {sorted(known)}"
            )
        pattern = values.get("pattern", PatternConfig())
        return cls(**{**values, "pattern": PatternConfig(**pattern) if isinstance(pattern, Mapping) else pattern})
