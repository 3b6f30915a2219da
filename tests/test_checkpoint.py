"""Bundles and training checkpoints: what is saved comes back, what isn't ours is refused, and nothing is ever run."""

import ast
import collections
import json
import os
import pickle
import struct
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from machine import within
from reporting import Report
from training_fakes import SHAPE, SPEC

from gigmate.checkpoint import ABOUT_KEY, AVERAGE_KEY, about_text, check_codec, describe, lm_bundle, load_any, load_lm
from gigmate.codec.base import CodecSpec
from gigmate.errors import CheckpointError
from gigmate.files.bundle import Bundle, describe_bundle, fingerprint, load_state, read_bundle
from gigmate.model.lm import AccompanimentLM


def make_model(seed: int = 0) -> AccompanimentLM:
    torch.manual_seed(seed)
    return AccompanimentLM(SHAPE).eval()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    lm_bundle(make_model(), SPEC, {"seed": 1}, {"valid/loss": 2.5}).save(path)
    return path


def refused(path: Path, code: str, **options: Any) -> str:
    """That `path` is refused with `code` within a second; returns the line that is shown."""
    with within(1.0), pytest.raises(CheckpointError, match=f"GM-{code}") as caught:
        load_lm(path, **options)
    assert caught.value.exit_code == 4
    return str(caught.value)


def rewrite(path: Path, change: Any) -> None:
    """Change the `gigmate` entry of a bundle's header, in place."""
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    about = json.loads(header["__metadata__"]["gigmate"])
    change(about)
    header["__metadata__"]["gigmate"] = json.dumps(about)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])


# ------------------------------------------------------------------------------------------------ bundles


def test_what_is_saved_comes_back(saved: Path) -> None:
    loaded = load_lm(saved)
    assert loaded.codec == SPEC
    assert loaded.model.config == SHAPE
    assert loaded.bundle.provenance == {"seed": 1}
    assert loaded.bundle.metrics == {"valid/loss": 2.5}
    expected = make_model().state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.model.state_dict().items())
    assert not loaded.model.training


def test_half_is_half_the_size_and_near(tmp_path: Path) -> None:
    bundle = lm_bundle(make_model(), SPEC, {}, {})
    bundle.save(tmp_path / "full.safetensors")
    bundle.save(tmp_path / "half.safetensors", half=True)
    sizes = [describe(tmp_path / f"{name}.safetensors")["bytes"] for name in ("full", "half")]
    assert sizes[1] < 0.7 * sizes[0]
    half = load_lm(tmp_path / "half.safetensors").model.state_dict()
    for name, tensor in make_model().state_dict().items():
        assert half[name].dtype == tensor.dtype
        # float16 has 11 bits, and steps of 2**-24 near zero
        torch.testing.assert_close(half[name], tensor, rtol=2**-11, atol=2**-25)


def test_describe_reads_the_header_alone(saved: Path) -> None:
    about = describe(saved)
    assert about["kind"] == "lm"
    assert about["num_parameters"] == sum(t.numel() for t in make_model().state_dict().values())
    assert len(about["sha256"]) == 64
    assert "state" not in about


def test_fingerprint_is_of_content_not_of_order_or_place() -> None:
    state = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(1)}
    known = fingerprint(state, {"x": 1, "y": [1, 2]})
    assert known == fingerprint(dict(reversed(state.items())), {"y": (1, 2), "x": 1})
    assert known == fingerprint({**state, "a": state["a"].t().contiguous().t()}, {"x": 1, "y": [1, 2]})
    others = [
        ({**state, "a": state["a"].reshape(3, 2)}, {"x": 1, "y": [1, 2]}),
        ({**state, "a": state["a"].double()}, {"x": 1, "y": [1, 2]}),
        ({**state, "a": state["a"] + 1e-6}, {"x": 1, "y": [1, 2]}),
        ({"a": state["a"], "c": state["b"]}, {"x": 1, "y": [1, 2]}),
        (state, {"x": 2, "y": [1, 2]}),
    ]
    assert known not in {fingerprint(*other) for other in others}


def test_every_flipped_bit_and_cut_is_noticed(saved: Path) -> None:
    content = saved.read_bytes()
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        place = int(torch.randint(len(content), (), generator=generator))
        bit = int(torch.randint(8, (), generator=generator))
        saved.write_bytes(content[:place] + bytes([content[place] ^ (1 << bit)]) + content[place + 1 :])
        if is_padding(content, place):
            continue
        with pytest.raises(CheckpointError, match="GM-"):
            load_lm(saved)
    for place in range(0, len(content), len(content) // 20):
        saved.write_bytes(content[:place])
        with pytest.raises(CheckpointError, match=r"GM-(empty|truncated|not_checkpoint)"):
            load_lm(saved)


def is_padding(content: bytes, place: int) -> bool:
    """Blanks after the header say nothing."""
    end = 8 + struct.unpack("<Q", content[:8])[0]
    return place < end and not content[place:end].strip()


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"", "empty", "empty"),
        (b"<!DOCTYPE html><html></html>" * 9, "not_checkpoint", "<!DOCTYP"),
        (b"PK\x03\x04" + bytes(100), "truncated", "not a checkpoint"),
        (struct.pack("<Q", 1 << 62) + b"{}", "not_checkpoint", "not a checkpoint"),
        (struct.pack("<Q", 10**6) + b"{}", "truncated", "1000008"),
        (struct.pack("<Q", 2) + b"{}", "not_checkpoint", "no GigMate bundle"),
        (struct.pack("<Q", 100_000) + b"[" * 100_000, "not_checkpoint", "header"),
        (pickle.dumps({"state_dict": {}}), "not_checkpoint", "not a checkpoint"),
    ],
    ids=["empty", "html", "zip", "huge header", "header past the end", "bare", "deep", "pickle"],
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes, code: str, said: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    assert said in refused(path, code)


def test_a_header_that_claims_more_than_the_file_takes_no_memory(tmp_path: Path) -> None:
    claim = {"w": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}
    text = json.dumps(claim).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    assert str((1 << 42) + 8 + len(text)) in refused(path, "truncated")


def test_missing_folder_and_fifo_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "none.safetensors", "missing")
    refused(tmp_path, "not_regular")
    os.mkfifo(tmp_path / "fifo")
    refused(tmp_path / "fifo", "not_regular")


def test_newer_format_names_both(saved: Path) -> None:
    rewrite(saved, lambda about: about.update(format=9))
    line = refused(saved, "newer_format")
    assert "format 9" in line
    assert "up to 1" in line


def test_changed_config_is_noticed(saved: Path) -> None:
    rewrite(saved, lambda about: about["config"].update(dropout=0.9))
    refused(saved, "corrupt")


def test_wrong_kind_is_refused(tmp_path: Path) -> None:
    Bundle("codec", {}, {"w": torch.zeros(2)}).save(tmp_path / "codec.safetensors")
    assert "a lm is needed" in refused(tmp_path / "codec.safetensors", "wrong_kind")
    with pytest.raises(ValueError, match="one of"):
        Bundle("song", {}, {})


def test_weights_that_are_not_finite_are_refused_unless_allowed(tmp_path: Path) -> None:
    bundle = lm_bundle(make_model(), SPEC, {}, {})
    state = {**bundle.state, "heads.weight": torch.full_like(bundle.state["heads.weight"], torch.nan)}
    bad = Bundle("lm", bundle.config, state, bundle.codec)
    path = tmp_path / "bad.ckpt"
    with pytest.raises(CheckpointError, match=r"heads\.weight isn't finite"):
        bad.save(tmp_path / "bad.safetensors")
    assert not list(tmp_path.iterdir())
    save_ckpt(path, bad)
    assert "allow_nan" in refused(path, "non_finite")
    assert load_lm(path, allow_nan=True).model.heads.weight.isnan().all()


def test_too_large_for_half_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="float16"):
        Bundle("codec", {}, {"w": torch.tensor([1e6])}).save(tmp_path / "x.safetensors", half=True)


def test_config_that_makes_no_model_is_refused(tmp_path: Path) -> None:
    bundle = lm_bundle(make_model(), SPEC, {}, {})
    path = tmp_path / "x.safetensors"
    Bundle("lm", {**bundle.config, "num_heads": 3}, bundle.state, bundle.codec).save(path)
    assert "num_heads" in refused(path, "config") or "heads" in refused(path, "config")
    Bundle("lm", {**bundle.config, "_target_": "os.system"}, bundle.state, bundle.codec).save(path)
    assert "_target_" in refused(path, "config")


def test_another_codec_is_refused_by_fingerprint() -> None:
    check_codec(SPEC, SPEC)
    other = CodecSpec(**{**vars(SPEC), "fingerprint": "0" * 64})
    with pytest.raises(CheckpointError, match=r"toy \(ffffffffffff\).*toy \(000000000000\)"):
        check_codec(SPEC, other)


def test_keys_that_do_not_fit_are_named() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    state = module.state_dict()
    renamed = {name.replace("0.weight", "0.wait"): tensor for name, tensor in state.items()}
    with pytest.raises(CheckpointError, match=r"missing 0\.weight, extra 0\.wait"):
        load_state(module, renamed)
    with pytest.raises(CheckpointError, match=r"1\.weight is \[1, 4\], not \[1, 3\]"):
        load_state(module, {**state, "1.weight": torch.zeros(1, 4)})
    with pytest.raises(CheckpointError, match="and 11 more"):
        load_state(module, {**state, **{f"x{i}": torch.zeros(1) for i in range(21)}})


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_prefixes_of_wrappers_are_stripped_once_and_in_front_only(prefix: str) -> None:
    module = torch.nn.Linear(2, 2)
    expected = {"weight": torch.ones(2, 2), "bias": torch.ones(2)}
    load_state(module, {prefix + name: tensor for name, tensor in expected.items()})
    assert torch.equal(module.weight, expected["weight"])
    with pytest.raises(CheckpointError, match="missing weight"):
        load_state(
            module, {f"module.{prefix}{name}": tensor for name, tensor in expected.items()} | {"x": expected["bias"]}
        )
    inner = torch.nn.ModuleDict({"module": torch.nn.Linear(1, 1), "x": torch.nn.Linear(1, 1)})
    load_state(inner, inner.state_dict())


def test_a_save_that_fails_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = saved.read_bytes()
    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail_with_full_disk)
            with pytest.raises(Exception, match=r"GM-disk.*free some space"):
                lm_bundle(make_model(1), SPEC, {}, {}).save(saved)
        assert saved.read_bytes() == old
        assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def fail_with_full_disk(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


# ------------------------------------------------------------------------------------------------ .ckpt


def save_ckpt(path: Path, bundle: Bundle, **more: Any) -> None:
    content = {
        "state_dict": {f"net.{name}": tensor for name, tensor in bundle.state.items()},
        ABOUT_KEY: about_text(bundle),
        "optimizer_states": [{"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"betas": (0.9, 0.98)}]}],
        **more,
    }
    torch.save(content, path)


def test_a_training_checkpoint_feeds_a_model_too(tmp_path: Path) -> None:
    path = tmp_path / "step.ckpt"
    save_ckpt(path, lm_bundle(make_model(), SPEC, {"seed": 4}, {}))
    loaded = load_lm(path)
    assert loaded.codec == SPEC
    assert loaded.bundle.provenance == {"seed": 4}
    assert torch.equal(loaded.model.heads.weight, make_model().heads.weight)
    assert describe(path)["config"] == SHAPE.to_dict() | {"pattern": {"name": "delay", "delays": None}}


def test_averaged_weights_are_preferred(tmp_path: Path) -> None:
    path = tmp_path / "step.ckpt"
    average = {f"net.{name}": tensor for name, tensor in make_model(1).state_dict().items()}
    save_ckpt(path, lm_bundle(make_model(0), SPEC, {}, {}), **{AVERAGE_KEY: average})
    assert torch.equal(load_lm(path).model.heads.weight, make_model(1).heads.weight)


class Canary:
    """Pickles to a call that would leave a file behind."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


def hostile(tmp_path: Path) -> dict[str, Any]:
    canary = tmp_path / "canary"
    return {
        "os.system": Canary(os.system, f"touch {canary}"),
        "subprocess": Canary(subprocess.getoutput, f"touch {canary}"),
        "open": Canary(open, str(canary), "w"),
        "eval": Canary(eval, f"open({str(canary)!r}, 'w')"),
        "getattr": Canary(getattr, "text", "upper"),
        "torch.load": Canary(torch.load, str(canary)),
        "counter": collections.Counter("aab"),
        "bytearray": Canary(bytearray, 1 << 40),
        "set": {1, 2},
        "path": canary,
    }


@pytest.mark.parametrize("name", list(hostile(Path("x"))))
def test_a_checkpoint_runs_nothing(tmp_path: Path, name: str, report: Report) -> None:
    path = tmp_path / "step.ckpt"
    save_ckpt(path, lm_bundle(make_model(), SPEC, {}, {}), hyper_parameters={"x": hostile(tmp_path)[name]})
    assert "holds values only" in refused(path, "runs_code")
    report("p01_canaries_run", int((tmp_path / "canary").exists()))
    assert not (tmp_path / "canary").exists()


def test_names_in_a_config_are_data(tmp_path: Path, report: Report) -> None:
    path, canary = tmp_path / "step.ckpt", tmp_path / "canary"
    trap = {"_target_": "os.system", "_args_": [f"touch {canary}"], "_instantiator": "subprocess.getoutput"}
    save_ckpt(path, lm_bundle(make_model(), SPEC, {}, {}), hyper_parameters=trap)
    load_lm(path)
    report("p01_canaries_run", int(canary.exists()))
    assert not canary.exists()


def test_a_checkpoint_that_inflates_is_refused_before_it_does(tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain.ckpt", tmp_path / "packed.ckpt"
    save_ckpt(plain, lm_bundle(make_model(), SPEC, {}, {}), zeros=torch.zeros(1 << 22))
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    assert packed.stat().st_size < plain.stat().st_size / 20
    assert "isn't compressed" in refused(packed, "inflates")


def test_entries_over_the_same_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "step.ckpt"
    save_ckpt(path, lm_bundle(make_model(), SPEC, {}, {}), zeros=torch.zeros(1 << 16))
    with zipfile.ZipFile(path, "a") as archive:
        big = max(archive.infolist(), key=lambda entry: entry.file_size)
        for i in range(8):
            twin = zipfile.ZipInfo(f"archive/data/9{i}")
            twin.file_size = twin.compress_size = big.file_size
            twin.header_offset, twin.CRC = big.header_offset, big.CRC
            archive.filelist.append(twin)
        archive._didModify = True  # pyright: ignore[reportAttributeAccessIssue]
    refused(path, "inflates")


def test_a_second_directory_in_the_comment_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "step.ckpt"
    save_ckpt(path, lm_bundle(make_model(), SPEC, {}, {}))
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"PK\x05\x06" + bytes(18)
    with pytest.raises(CheckpointError, match=r"GM-(not_checkpoint|truncated)"):
        load_any(path)


def test_torch_files_that_are_no_training_checkpoint_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    for content in ([1, 2], {"state_dict": 3}, {"model": {}}):
        torch.save(content, path)
        assert "no training checkpoint" in refused(path, "not_checkpoint")
    torch.save({"state_dict": {}}, path)
    refused(path, "not_checkpoint")
    torch.save({"state_dict": {}}, path, _use_new_zipfile_serialization=False)
    refused(path, "not_checkpoint")


def test_torch_load_stands_in_one_module_and_is_weights_only(repo: Path) -> None:
    found = []
    for path in [*repo.glob("gigmate/**/*.py"), *repo.glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in {"torch.load", "pickle.load", "pickle.loads"}:
                found.append((path.name, ast.unparse(node)))
            if isinstance(node, ast.keyword) and node.arg == "weights_only":
                assert isinstance(node.value, ast.Constant), path
                assert node.value.value is True, path
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant), path
                assert node.value.value is False, path
    assert found == [("ckpt_file.py", "torch.load")]


def test_bundle_without_our_entry_is_refused(tmp_path: Path) -> None:
    import safetensors.torch

    path = tmp_path / "other.safetensors"
    path.write_bytes(safetensors.torch.save({"w": torch.zeros(3)}))
    with pytest.raises(CheckpointError, match="no GigMate bundle"):
        read_bundle(path)
    with pytest.raises(CheckpointError, match="no GigMate bundle"):
        describe_bundle(path)


def test_memory_stays_flat_while_a_bundle_is_judged(saved: Path) -> None:
    # a file of one hole, 8 GiB long: refused from its header, not read
    with open(saved, "r+b") as file:
        file.truncate(8 << 30)
    refused(saved, "truncated")
