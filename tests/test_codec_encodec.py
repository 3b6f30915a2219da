"""EnCodec of the `encodec` package with random weights and filled codebooks; its weights can't be had offline."""

import hashlib
import urllib.error
from pathlib import Path
from typing import Any

import pytest
import torch
from codec_contract import noise, verify_codec_contract, verify_stream_contract
from encodec.model import EncodecModel
from reporting import Report

from gigmate.codec.encodec import (
    BANDWIDTHS_KBPS,
    Encodec24,
    Encodec48,
    code_to_loudness,
    load_encodec,
    loudness_to_code,
    new_model,
)
from gigmate.errors import CheckpointError, MachineError, UsageError


@torch.no_grad()
def filled(name: str) -> Any:
    """Random weights; codebooks spread over what the encoder makes of noise, or every frame would get the same code."""
    torch.manual_seed(0)
    model: Any = new_model(name)
    latents = model.encoder(0.3 * torch.randn(1, model.channels, 100 * 320))[0]
    mean, spread = latents.mean(dim=1), latents.std(dim=1)
    for depth, layer in enumerate(model.quantizer.vq.layers):
        layer._codebook.embed.normal_().mul_(spread * 0.8**depth).add_(mean if depth == 0 else 0)
    return model


@pytest.fixture(scope="module")
def codec24() -> Encodec24:
    return Encodec24(filled("encodec_24khz"), 3.0)


@pytest.fixture(scope="module")
def codec48() -> Encodec48:
    return Encodec48(filled("encodec_48khz"), 6.0)


def saved(model: EncodecModel, folder: Path, name: str) -> Path:
    """As the package names its files: the name ends with the beginning of the SHA-256."""
    path = folder / "weights.th"
    torch.save(model.state_dict(), path)
    return path.rename(folder / f"{name}-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.th")


def test_24khz_keeps_the_codec_contract(codec24: Encodec24) -> None:
    verify_codec_contract(codec24)


def test_24khz_streams_exactly(codec24: Encodec24, report: Report) -> None:
    report("p16_codec_stream_error_encodec", verify_stream_contract(codec24))


def test_24khz_makes_the_codes_and_waves_of_the_package(codec24: Encodec24) -> None:
    model = filled("encodec_24khz")
    model.set_target_bandwidth(3.0)
    wave = noise(codec24, 2, 11)
    with torch.no_grad():
        frames = model.encode(wave)
        assert torch.equal(codec24.encode(wave), frames[0][0])
        assert torch.equal(codec24.decode(frames[0][0]), model.decode(frames))


@pytest.mark.parametrize("frames", [1, 6, 7, 8])
def test_24khz_stream_of_a_wave_around_its_priming(codec24: Encodec24, frames: int) -> None:
    wave = noise(codec24, 1, frames)
    stream = codec24.stream()
    heard = [stream.encode(frame).shape[2] for frame in wave.split(320, dim=2)]
    assert heard == [0, 0, 0, 0, 0, 0, 7, 1][:frames]
    rest = stream.flush()
    assert rest.shape[2] == (frames if frames < 7 else 0)
    if frames < 7:
        assert torch.equal(rest, codec24.encode(wave))


def test_24khz_declares_the_latency_of_its_priming(codec24: Encodec24) -> None:
    codes = codec24.encode(noise(codec24, 1, 10))
    stream = codec24.stream()
    played = torch.cat([stream.decode(frame) for frame in codes.split(1, dim=2)], dim=2)
    assert codec24.spec.latency_samples == 6 * 320
    assert not played[:, :, : 6 * 320].any()
    offline = codec24.decode(codes)[:, :, : 4 * 320]
    torch.testing.assert_close(played[:, :, 6 * 320 :], offline, rtol=0, atol=1e-5 * float(offline.abs().max()))


def test_stream_refuses_another_batch(codec24: Encodec24) -> None:
    with pytest.raises(ValueError, match=r"takes \[1, 1"):
        codec24.stream().encode(noise(codec24, 2, 1))
    with pytest.raises(ValueError, match="has 1 rows"):
        codec24.stream().decode(torch.zeros(2, 4, 1, dtype=torch.int64))


def test_48khz_keeps_the_codec_contract(codec48: Encodec48) -> None:
    verify_codec_contract(codec48)


def test_48khz_is_the_package_without_overlap_and_with_its_scales_as_a_codebook(codec48: Encodec48) -> None:
    model = filled("encodec_48khz")
    model.set_target_bandwidth(6.0)
    model.overlap = 0.0
    wave = noise(codec48, 2, 153) * torch.tensor([1.0, 0.03])[:, None, None]
    with torch.no_grad():
        seconds = model.encode(wave)
        theirs = model.decode(seconds)
    codes = codec48.encode(wave)
    assert [second.shape[2] for second, _ in seconds] == [150, 3]
    assert torch.equal(codes[:, :-1], torch.cat([second for second, _ in seconds], dim=2))
    assert torch.equal(codes[:, -1, 0], loudness_to_code(seconds[0][1])[:, 0])
    ours = codec48.decode(codes)
    assert ours.shape == theirs.shape
    worst = (ours - theirs).abs().amax(dim=(1, 2)) / theirs.abs().amax(dim=(1, 2))
    assert float(worst.max()) < 0.006  # half a step of 0.1 dB


def test_48khz_loudness_survives_and_silence_stays_silent(codec48: Encodec48) -> None:
    assert not codec48.decode(codec48.encode(torch.zeros(1, 2, 3200))).any()
    wave = noise(codec48, 1, 20)
    loud, soft = codec48.encode(wave), codec48.encode(0.1 * wave)
    assert ((loud[:, -1] - soft[:, -1]) == 200).all()  # 20 dB


def test_loudness_codes() -> None:
    rms = torch.tensor([0.0, 1e-7, 1.6e-5, 1e-2, 1.0, 2.0, 100.0])
    assert loudness_to_code(rms).tolist() == [0, 0, 2, 561, 961, 1021, 1023]
    codes = torch.arange(1024)
    assert torch.equal(loudness_to_code(code_to_loudness(codes)), codes)


def test_48khz_says_why_it_does_not_stream(codec48: Encodec48) -> None:
    assert not codec48.spec.is_causal
    with pytest.raises(NotImplementedError, match="one second at a time"):
        codec48.stream()


@pytest.mark.parametrize(("name", "expected"), [("encodec_24khz", [2, 4, 8, 16, 32]), ("encodec_48khz", [3, 5, 9, 17])])
def test_bandwidths(name: str, expected: list[int]) -> None:
    codec = {"encodec_24khz": Encodec24, "encodec_48khz": Encodec48}[name]
    specs = [codec(filled(name), kbps).spec for kbps in BANDWIDTHS_KBPS[name]]
    assert [spec.num_codebooks for spec in specs] == expected
    assert len({spec.fingerprint for spec in specs}) == len(specs)


def test_weights_come_from_a_folder(tmp_path: Path, codec24: Encodec24) -> None:
    saved(filled("encodec_24khz"), tmp_path, "encodec_24khz")
    loaded = load_encodec("encodec_24khz", bandwidth_kbps=3.0, weights_dir=tmp_path)
    assert loaded.spec == codec24.spec


def test_another_bandwidth_is_refused_before_any_weights_are_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"bandwidth_kbps is 5\.0, encodec_48khz has 3\.0, 6\.0, 12\.0, 24\.0"):
        load_encodec("encodec_48khz", bandwidth_kbps=5.0, weights_dir=tmp_path / "nowhere")


def test_a_folder_without_weights_says_what_to_put_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"put encodec_24khz-\w+\.th there"):
        load_encodec("encodec_24khz", weights_dir=tmp_path)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    path = saved(filled("encodec_24khz"), tmp_path, "encodec_24khz")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="not as in its name"):
        load_encodec("encodec_24khz", weights_dir=tmp_path)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    saved(filled("encodec_48khz"), tmp_path, "encodec_24khz")
    with pytest.raises(CheckpointError, match="don't fit the model"):
        load_encodec("encodec_24khz", weights_dir=tmp_path)


class Hostile:
    def __reduce__(self):
        return Path.touch, (Path("was_here"),)


@pytest.mark.parametrize("content", [{"weight": Hostile()}, {"weight": 1}, [1, 2]])
def test_weights_that_are_no_tensors_are_refused_and_run_nothing(
    content: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: Report
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.th"
    torch.save(content, path)
    path.rename(tmp_path / f"encodec_24khz-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.th")
    with pytest.raises(CheckpointError, match=r"holds values only|not tensors by name"):
        load_encodec("encodec_24khz", weights_dir=tmp_path)
    report("p01_canaries_run", int(Path("was_here").exists()))
    assert not Path("was_here").exists()


def test_offline_says_where_to_put_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    with pytest.raises(MachineError, match=r"put the file into a folder and pass codec\.weights_dir") as caught:
        load_encodec("encodec_24khz")
    assert caught.value.exit_code == 5
    assert "http" not in str(caught.value)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_fetched_once_then_taken_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []

    def fetch(url: str, target: str, hash_prefix: str, progress: bool) -> None:
        fetched.append(url)
        Path(target).write_bytes(b"not what it should be")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    for _ in range(2):  # the checksum is looked at every time
        with pytest.raises(CheckpointError, match="not as in its name"):
            load_encodec("encodec_24khz")
    assert len(fetched) == 1
