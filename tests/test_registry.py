"""Objects are built from exact registered names only (RELIABILITY P0 2)."""

import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from reporting import Report

from gigmate.config import registry
from gigmate.errors import UsageError

ADAMW = "torch.optim.AdamW"

HOSTILE_NAMES: list[Any] = [
    "os.system",
    "subprocess.getoutput",
    "subprocess.Popen",
    "shutil.copy",
    "shutil.rmtree",
    "builtins.eval",
    "builtins.exec",
    "builtins.__import__",
    "eval",
    "pickle.loads",
    "torch.load",
    "torch.hub.load",
    "importlib.import_module",
    # re-exports under trusted roofs
    "lightning.pytorch.callbacks.model_checkpoint.torch.load",
    "lightning.pytorch.loggers.csv_logs.os.system",
    "gigmate.config.cli.os.system",
    "gigmate.config.registry.importlib.import_module",
    "gigmate.config.registry.build",
    "gigmate.training.run.train",
    "torch.optim.adamw.AdamW",
    "torch.optim.Optimizer",
    "hydra.utils.instantiate",
    "omegaconf.OmegaConf.load",
    # dunders and tricks of spelling
    "torch.optim.AdamW.__init__",
    "torch.optim.AdamW.__class__",
    "torch.optim.AdamW.__subclasses__",
    "torch.optim.AdamW ",
    " torch.optim.AdamW",
    "torch.optim.adamw",
    "Torch.optim.AdamW",
    "torch.optim.AdamW\n",
    "torch.optim.AdamW\0",
    "",
    ".",
    # no names at all
    None,
    7,
    True,
    ["os.system"],
    {"_target_": "os.system"},
    b"torch.optim.AdamW",
]


class _Canary:
    """Counts the starts of programs, and opens for writing, that anything tries meanwhile."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.is_on = False
        sys.addaudithook(self._hear)

    def _hear(self, event: str, _args: tuple[Any, ...]) -> None:
        if self.is_on and event in ("os.system", "subprocess.Popen", "exec", "shutil.copyfile", "os.exec"):
            self.events.append(event)


@pytest.fixture(scope="module")
def canary() -> _Canary:
    return _Canary()


def test_there_are_forty_hostile_names() -> None:
    assert len(HOSTILE_NAMES) == 40


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=repr)
def test_hostile_names_run_nothing_and_are_named_by_their_path(name: Any, canary: _Canary, report: Report) -> None:
    tree = {"_target_": ADAMW, "lr": 0.1, "nested": [{"deeper": {"_target_": name, "command": "touch canary"}}]}
    canary.events.clear()
    canary.is_on = True
    try:
        with pytest.raises(UsageError, match=r"thing\.nested\[0\]\.deeper"):
            registry.build(tree, "thing")
        with pytest.raises(UsageError, match="thing"):
            registry.build({"_target_": name}, "thing")
        with pytest.raises(UsageError, match=r"nested\[0\]\.deeper"):
            registry.check(tree)
    finally:
        canary.is_on = False
    report("p02_hostile_targets_executed", len(canary.events))
    assert canary.events == []


@pytest.mark.parametrize("key", ["_partial_", "_args_", "_recursive_", "_convert_", "__class__", "()", "_self_", 3])
def test_private_keys_are_refused(key: Any) -> None:
    with pytest.raises(UsageError, match="isn't allowed"):
        registry.build({"_target_": ADAMW, key: 1}, "optimizer")


def test_values_that_are_no_primitives_are_refused() -> None:
    with pytest.raises(UsageError, match=r"optimizer\.lr.*|builtin_function"):
        registry.build({"_target_": ADAMW, "lr": eval}, "optimizer")


def test_nothing_is_made_when_a_sibling_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    monkeypatch.setattr("gigmate.generation.sampler.TopK.__post_init__", lambda _sampler: made.append(1))
    good = {"_target_": "gigmate.generation.sampler.TopK", "k": 5}
    with pytest.raises(UsageError, match=r"os\.system"):
        registry.build({"_target_": ADAMW, "a": good, "b": {"_target_": "os.system"}})
    assert made == []
    registry.build(good)
    assert len(made) == 1


def test_a_config_that_changes_meanwhile_is_judged_and_built_as_it_was() -> None:
    class Shifty(dict[str, Any]):
        reads = 0

        def items(self) -> Any:
            self.reads += 1
            name = "gigmate.generation.sampler.Greedy" if self.reads == 1 else "os.system"
            return {"_target_": name}.items()

    shifty = Shifty(_target_="gigmate.generation.sampler.Greedy")
    assert type(registry.build(shifty)).__name__ == "Greedy"
    assert shifty.reads == 1


@pytest.mark.parametrize(
    "imposter",
    [os.system, subprocess.getoutput, subprocess.Popen, registry.Entry],
    ids=lambda imposter: imposter.__name__,
)
def test_an_imposter_at_a_registered_place_is_refused(imposter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from gigmate.generation import sampler

    monkeypatch.setattr(sampler, "Greedy", imposter)
    with pytest.raises(UsageError, match="isn't what was registered"):
        registry.build({"_target_": "gigmate.generation.sampler.Greedy"})


def test_an_object_of_the_wrong_kind_is_refused() -> None:
    entry = registry.Entry("optimizer", "gigmate.generation.sampler", "Greedy", "torch.optim.optimizer:Optimizer")
    with pytest.raises(UsageError, match="is no Optimizer"):
        registry.load(entry)


def test_a_name_of_another_role_is_refused() -> None:
    with pytest.raises(UsageError, match="isn't a registered object"):
        registry.find(ADAMW, "callbacks.checkpoint._target_", "callback")


def test_arguments_that_do_not_fit_are_named() -> None:
    with pytest.raises(UsageError, match="unexpected keyword argument 'momentun'"):
        registry.build({"_target_": "torch.optim.SGD", "momentun": 0.9}, "optimizer", params=[])


def test_builds_with_settings_and_extras() -> None:
    weight = torch.nn.Parameter(torch.zeros(3))
    config = OmegaConf.create({"rate": 0.25, "optimizer": {"_target_": ADAMW, "lr": "${rate}", "betas": [0.5, 0.6]}})
    optimizer = registry.build(config.optimizer, params=[weight])
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.param_groups[0]["lr"] == 0.25
    assert optimizer.param_groups[0]["params"] == [weight]


def test_extras_are_handed_on_as_they_are() -> None:
    """A partial or a mapping given by the caller is an argument, not something to build."""
    config = {"_target_": "gigmate.training.schedules.warmup_cosine", "warmup_steps": 2}
    factor = registry.bind(config, max_steps=10)
    assert factor(0) == pytest.approx(1 / 3)
    assert factor(10) == 0
    extra = {"_target_": "os.system"}
    assert registry.bind(config, max_steps=extra).keywords["max_steps"] is extra


@pytest.mark.parametrize("entry", registry.ENTRIES, ids=lambda entry: entry.public_name)
def test_every_registered_name_leads_to_its_object(entry: registry.Entry) -> None:
    assert registry.find(entry.public_name, role=entry.role) is entry
    assert registry.load(entry).__name__ == entry.qualname


def test_names_are_unique() -> None:
    assert len(set(registry.names())) == len(registry.ENTRIES)
