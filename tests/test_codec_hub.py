"""EnCodec 32 kHz, DAC and Mimi through transformers: small random models, since the weights can't be had offline."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
import transformers
from codec_contract import noise, verify_codec_contract, verify_stream_contract
from reporting import Report

from gigmate.codec.base import Codec
from gigmate.codec.hub import CODEBOOKS, Dac44, Encodec32, load_hub_codec
from gigmate.codec.mimi import Mimi
from gigmate.errors import CheckpointError, MachineError, UsageError


@torch.no_grad()
def spread(codebooks: list[torch.Tensor], latents: torch.Tensor) -> None:
    """Spread codebooks [V, D] over latents [1, D, T], or every frame would get the same code."""
    mean, deviation = latents[0].mean(dim=1), latents[0].std(dim=1)
    for depth, vectors in enumerate(codebooks):
        vectors.normal_().mul_(deviation * 0.8**depth).add_(mean if depth == 0 else 0)


@torch.no_grad()
def encodec_model() -> Any:
    torch.manual_seed(0)
    config = transformers.EncodecConfig(
        target_bandwidths=[2.2],
        sampling_rate=32_000,
        num_filters=4,
        hidden_size=16,
        upsampling_ratios=[8, 5, 4, 4],
        codebook_size=2048,
        use_causal_conv=False,
        num_lstm_layers=1,
        use_conv_shortcut=False,
    )
    model: Any = transformers.EncodecModel(config).eval()
    latents = model.encoder(0.3 * torch.randn(1, 1, 100 * 640))
    spread([layer.codebook.embed for layer in model.quantizer.layers], latents)
    return model


@torch.no_grad()
def dac_model() -> Any:
    torch.manual_seed(0)
    config = transformers.DacConfig(encoder_hidden_size=4, decoder_hidden_size=32, sampling_rate=44_100)
    return transformers.DacModel(config).eval()


@torch.no_grad()
def mimi_model() -> Any:
    """Its window of 10 at two steps a frame is passed after 5 frames, its layers are scaled up to be heard."""
    torch.manual_seed(0)
    config = transformers.MimiConfig(
        num_filters=4,
        hidden_size=32,
        codebook_dim=16,
        vector_quantization_hidden_dimension=16,
        codebook_size=64,
        num_hidden_layers=2,
        intermediate_size=64,
        num_attention_heads=4,
        num_key_value_heads=4,
        sliding_window=10,
        upsample_groups=32,
    )
    model: Any = transformers.MimiModel(config).eval()
    for half in (model.encoder.encoder_transformer, model.decoder.decoder_transformer):
        for layer in half.layers:
            layer.self_attn_layer_scale.scale.fill_(1.0)
            layer.mlp_layer_scale.scale.fill_(1.0)
    latents = model.encoder(0.3 * torch.randn(1, 1, 60 * 1920)).latents
    for part in ("semantic", "acoustic"):
        quantizer = getattr(model.quantizer, f"{part}_residual_vector_quantizer")
        spread([layer.codebook.embed_sum for layer in quantizer.layers], quantizer.input_proj(latents))
    return model


@pytest.fixture(scope="module")
def mimi() -> Mimi:
    return Mimi(mimi_model(), 6)


def test_encodec_32khz_keeps_the_codec_contract() -> None:
    codec = Encodec32(encodec_model(), 4)
    assert (codec.spec.hop, codec.spec.frame_rate, codec.spec.codebook_size) == (640, 50, 2048)
    verify_codec_contract(codec)


def test_encodec_32khz_makes_what_transformers_makes() -> None:
    model = encodec_model()
    codec = Encodec32(encodec_model(), 3)
    wave = noise(codec, 2, 9)
    with torch.no_grad():
        theirs = model.encode(wave, bandwidth=2.2).audio_codes
        assert torch.equal(codec.encode(wave), theirs[0, :, :3])
        assert torch.equal(codec.decode(theirs[0, :, :3]), model.decode(theirs[:, :, :3], [None]).audio_values)


def test_dac_keeps_the_codec_contract() -> None:
    codec = Dac44(dac_model(), 9)
    assert (codec.spec.hop, codec.spec.sample_rate, codec.spec.codebook_size) == (512, 44_100, 1024)
    verify_codec_contract(codec)


def test_dac_makes_what_transformers_makes() -> None:
    model, codec = dac_model(), Dac44(dac_model(), 5)
    wave = noise(codec, 2, 9)
    with torch.no_grad():
        theirs = model.encode(wave).audio_codes[:, :5]
        assert torch.equal(codec.encode(wave), theirs)
        assert torch.equal(codec.decode(theirs)[:, 0], model.decode(audio_codes=theirs).audio_values)


@pytest.mark.parametrize("codec", [lambda: Encodec32(encodec_model(), 4), lambda: Dac44(dac_model(), 9)])
def test_those_that_look_ahead_say_so(codec: Callable[[], Codec]) -> None:
    with pytest.raises(NotImplementedError, match="its filters look ahead; use compact"):
        codec().stream()


def test_mimi_keeps_the_codec_contract(mimi: Mimi) -> None:
    assert (mimi.spec.hop, mimi.spec.latency_samples, mimi.spec.is_causal) == (1920, 0, True)
    verify_codec_contract(mimi)


def test_mimi_streams_exactly_past_its_window(mimi: Mimi, report: Report) -> None:
    report("p16_codec_stream_error_mimi", verify_stream_contract(mimi))


def test_mimi_makes_what_transformers_makes(mimi: Mimi) -> None:
    model = mimi_model()
    wave = noise(mimi, 2, 9)
    with torch.no_grad():
        theirs = model.encode(wave, num_quantizers=6).audio_codes
        assert torch.equal(mimi.encode(wave), theirs)
        assert torch.equal(mimi.decode(theirs), model.decode(theirs).audio_values)


def test_mimi_leaves_nothing_behind_when_it_moves() -> None:
    model = mimi_model()
    codec = Mimi(model, 6)
    codes = codec.encode(noise(codec, 1, 3))
    before = codec.decode(codes)
    for module in model.quantizer.modules():
        if hasattr(module, "embed_sum"):
            module.embed_sum.mul_(2)
    assert not torch.equal(codec.to("cpu").decode(codes), before)


@pytest.mark.parametrize(
    ("name", "build", "default"),
    [("encodec_32khz", encodec_model, 4), ("dac_44khz", dac_model, 9), ("mimi", mimi_model, 8)],
)
def test_weights_come_from_a_folder(name: str, build: Callable[[], Any], default: int, tmp_path: Path) -> None:
    model = build()
    model.save_pretrained(tmp_path)
    codec = load_hub_codec(name, weights_dir=tmp_path)
    assert (codec.spec.name, codec.spec.num_codebooks) == (name, default)
    kinds: dict[str, Any] = {"encodec_32khz": Encodec32, "dac_44khz": Dac44, "mimi": Mimi}
    assert codec.spec == kinds[name](model, default).spec
    assert load_hub_codec(name, num_codebooks=2, weights_dir=tmp_path).spec.fingerprint != codec.spec.fingerprint


@pytest.mark.parametrize("name", CODEBOOKS)
def test_more_codebooks_than_there_are(name: str, tmp_path: Path) -> None:
    for wrong in (0, CODEBOOKS[name] + 1):
        with pytest.raises(UsageError, match=f"num_codebooks is {wrong}, {name} has 1 to"):
            load_hub_codec(name, num_codebooks=wrong, weights_dir=tmp_path)


def test_a_folder_without_weights_says_what_to_put_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"put config\.json and model\.safetensors there"):
        load_hub_codec("mimi", weights_dir=tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "mimi"}')
    with pytest.raises(CheckpointError, match="can't be read as mimi"):
        load_hub_codec("mimi", weights_dir=tmp_path)


def test_offline_says_where_to_put_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MachineError, match=r"into a folder and pass codec\.weights_dir=FOLDER") as caught:
        load_hub_codec("mimi")
    assert caught.value.exit_code == 5
    assert "http" not in str(caught.value)


def test_without_transformers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MachineError, match=r"gigmate\[codecs\]") as caught:
        load_hub_codec("dac_44khz")
    assert caught.value.exit_code == 5
