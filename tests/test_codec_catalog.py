"""Codecs by name."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from codec_contract import verify_codec_contract, verify_stream_contract
from reporting import Report

from gigmate.codec.base import CodecSpec
from gigmate.codec.catalog import CODEC_NAMES, config_of, load_codec
from gigmate.errors import CheckpointError, UsageError

UNTRAINED = {"name": "compact", "weights": "random"}
SPEC = CodecSpec("compact", 24_000, 1, 480, num_codebooks=4, codebook_size=1024, fingerprint="")


def test_the_names_that_configs_and_checkpoints_use() -> None:
    assert CODEC_NAMES == ("compact", "encodec_24khz", "encodec_48khz", "encodec_32khz", "dac_44khz", "mimi")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("encodec_24hz", "did you mean encodec_24khz?"),
        ("", "allowed: compact, encodec_24khz"),
        ({}, "None isn't known"),
        ({"name": "mimi", "num_codebook": 8}, "did you mean num_codebooks?"),
        ({"name": "compact", "bandwidth_kbps": 6.0}, "allowed: weights"),
    ],
)
def test_what_it_does_not_know_is_refused_with_what_it_does(config: dict | str, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        load_codec(config)


@pytest.mark.parametrize("name", [name for name in CODEC_NAMES if name != "compact"])
def test_each_name_reaches_its_loader(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=name):
        load_codec({"name": name, "weights_dir": str(tmp_path)})


def test_compact_takes_the_path_of_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nothing\.safetensors"):
        load_codec({"name": "compact", "weights": str(tmp_path / "nothing.safetensors")})


def test_untrained_compact_is_the_same_every_time_and_keeps_both_contracts(report: Report) -> None:
    before = torch.random.get_rng_state()
    codec = load_codec(UNTRAINED)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(5)
    assert load_codec(UNTRAINED).spec == codec.spec
    verify_codec_contract(codec)
    report("p16_codec_stream_error_compact", verify_stream_contract(codec))


@pytest.mark.parametrize(
    ("name", "num_codebooks", "config"),
    [
        ("compact", 4, {"name": "compact"}),
        ("encodec_24khz", 8, {"name": "encodec_24khz", "bandwidth_kbps": 6.0}),
        ("encodec_48khz", 5, {"name": "encodec_48khz", "bandwidth_kbps": 6.0}),
        ("mimi", 8, {"name": "mimi", "num_codebooks": 8}),
    ],
)
def test_config_that_loads_a_checkpoints_codec(name: str, num_codebooks: int, config: dict) -> None:
    assert config_of(replace(SPEC, name=name, num_codebooks=num_codebooks)) == config


def test_a_checkpoint_of_a_codec_that_is_gone() -> None:
    with pytest.raises(UsageError, match="did you mean encodec_24khz"):
        config_of(replace(SPEC, name="encodec_24khx"))
