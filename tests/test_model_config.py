import json

import pytest

from gigmate.model import pattern as patterns
from gigmate.model.config import PATTERNS, ModelConfig, PatternConfig


def config(**changes: object) -> ModelConfig:
    return ModelConfig(**{"dim": 16, "num_layers": 2, "num_heads": 2, **changes})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("pattern", [*(PatternConfig(name) for name in PATTERNS), PatternConfig("delay", (0, 2, 2, 4))])
def test_a_config_survives_json(pattern: PatternConfig) -> None:
    there = config(pattern=pattern, window=7)
    back = ModelConfig.from_dict(json.loads(json.dumps(there.to_dict())))
    assert back == there
    assert back.build_pattern() == there.build_pattern()


def test_defaults_may_be_left_out() -> None:
    assert ModelConfig.from_dict({"dim": 16, "num_layers": 2, "num_heads": 2}) == config()
    assert config().build_pattern() == patterns.delay(4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": 0}, "model.dim is 0, but must be positive"),
        ({"dim": 18}, "dim is 18, but must be a multiple of twice the 2 heads"),
        ({"num_layers": -1}, "num_layers is -1"),
        ({"window": 0}, "window is 0"),
        ({"mlp_ratio": float("nan")}, "mlp_ratio is nan"),
        ({"dropout": 1.0}, r"dropout is 1.0, but must lie in \[0, 1\)"),
        ({"min_lookahead_frames": 3, "max_lookahead_frames": 2}, "must not exceed max_lookahead_frames 2"),
        ({"pattern": PatternConfig("delay", (0, 1))}, "delays for 2 codebooks, but the codec has 4"),
        ({"pattern": PatternConfig("delay", (1, 2, 3, 4))}, "offsets >= 0 with a 0"),
    ],
)
def test_numbers_that_make_no_model_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(**changes)


def test_unknown_and_missing_keys_are_named() -> None:
    with pytest.raises(ValueError, match=r"unknown keys \['hats'\] and lacks \['num_heads', 'num_layers'\]"):
        ModelConfig.from_dict({"dim": 16, "hats": 3})
    with pytest.raises(ValueError, match="pattern 'dealy' is unknown: choose one of delay, parallel"):
        ModelConfig.from_dict({"dim": 16, "num_layers": 2, "num_heads": 2, "pattern": {"name": "dealy"}})
    with pytest.raises(ValueError, match="takes no delays"):
        PatternConfig("flatten", (0, 1))


def test_the_window_is_in_frames() -> None:
    assert config(window=5).window_steps == 5
    assert config(window=5, pattern=PatternConfig("flatten")).window_steps == 20
