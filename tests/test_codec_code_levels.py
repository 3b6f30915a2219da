"""How loud codes are: a table that comes with a codec, follows its decoder, and is worked out where there is none."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_codec_compact import SMALL
from torch import Tensor

from gigmate.audio import loudness_db
from gigmate.checkpoint import load_any
from gigmate.codec import compact
from gigmate.codec.code_levels import CODE_DB, code_levels
from gigmate.codec.compact import SHIPPED, CompactCodec, load_compact
from gigmate.errors import CheckpointError
from gigmate.files.bundle import Bundle, read_bundle
from gigmate.training.averaging import WeightAverage
from gigmate.training.codec_module import CodecModule
from gigmate.training.export import Exporter, bundle_of


def module(seed: int = 0) -> CodecModule:
    torch.manual_seed(seed)
    made = CodecModule(json.loads(json.dumps(asdict(SMALL)))).eval()
    made.net.quantizer.vectors.copy_(torch.randn_like(made.net.quantizer.vectors) * 0.3)
    return made


def exported(made: CodecModule, folder: Path, average: dict[str, Tensor] | None = None) -> Path:
    """The bundle that a training leaves."""
    callback = WeightAverage()
    callback.average = average or {}
    trainer: Any = SimpleNamespace(callbacks=[callback], global_step=1, callback_metrics={})
    return Exporter(folder, {}).export(trainer, made, {})


@pytest.fixture
def never_worked_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(codec: CompactCodec) -> Tensor:
        raise AssertionError("it came with the weights")

    monkeypatch.setattr(compact, "code_levels", refuse)


def test_the_table_that_ships_is_that_of_the_decoder_that_ships() -> None:
    shipped = read_bundle(SHIPPED).tables[CODE_DB]
    torch.testing.assert_close(shipped, code_levels(load_compact()), rtol=0, atol=0.1)


@pytest.mark.usefixtures("never_worked_out")
def test_nobody_waits_for_the_table_that_ships() -> None:
    assert load_compact().code_db.shape == (1024,)


def test_a_level_is_that_of_the_code_alone_and_held() -> None:
    codec = module().net
    levels = codec.code_db
    for code in (0, 17, 63):
        held = codec.quantizer.vectors[0][code].expand(1, 16, -1)
        with torch.no_grad():
            wave = codec.reconstruct(held)[0, 0].numpy()
        assert levels[code].item() == pytest.approx(loudness_db(wave[6 * 480 : 14 * 480]), abs=0.01)
    assert codec.code_db is levels


def test_a_codec_without_the_table_works_it_out(tmp_path: Path) -> None:
    made = module()
    bundle_of(made).save(tmp_path / "old.safetensors")
    codec = load_compact(tmp_path / "old.safetensors")
    assert torch.equal(codec.code_db, code_levels(made.net))


@pytest.mark.usefixtures("never_worked_out")
def test_a_training_leaves_the_table_of_the_weights_that_it_leaves(tmp_path: Path) -> None:
    made, other = module(0), module(1)
    average = {f"net.{name}": tensor for name, tensor in other.net.state_dict().items()}
    path = exported(made, tmp_path, average)
    assert torch.equal(load_compact(path).code_db, code_levels(other.net))
    load_any(path).save(tmp_path / "half.safetensors", half=True)
    half = load_compact(tmp_path / "half.safetensors")
    torch.testing.assert_close(half.code_db, code_levels(half), rtol=0, atol=0.1)


def test_trained_on_from_weights_with_a_table_there_is_a_table_of_the_new_ones(tmp_path: Path) -> None:
    path, going_on = exported(module(0), tmp_path / "first"), module(1)
    load_any(path, "codec").load_into(going_on.net)
    going_on.net.from_latent.weight.data.mul_(2.0)
    fingerprint = load_compact(path).spec.fingerprint
    after = load_compact(exported(going_on, tmp_path / "second"))
    assert after.spec.fingerprint == fingerprint
    assert torch.equal(after.code_db, code_levels(going_on.net))
    assert not torch.equal(after.code_db, load_compact(path).code_db)


def test_the_fingerprint_is_that_without_the_table(tmp_path: Path) -> None:
    made = module()
    assert load_compact(exported(made, tmp_path)).spec == made.net.spec


@pytest.mark.parametrize("tables", [{CODE_DB: torch.zeros(5)}, {"other": torch.zeros(64)}])
def test_a_table_that_does_not_fit_is_refused(tmp_path: Path, tables: dict[str, Tensor]) -> None:
    bundle: Bundle = replace(bundle_of(module()), tables=tables)
    bundle.save(tmp_path / "codec.safetensors")
    with pytest.raises(CheckpointError, match="code_db"):
        load_compact(tmp_path / "codec.safetensors")
