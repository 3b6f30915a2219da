"""Every setting has a type and a range; what makes no sense is named before anything is read or created."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from machine import within
from omegaconf import DictConfig, OmegaConf

from gigmate.config import conf_files, settings
from gigmate.config.rules import Absent, Bool, Choice, Either, Float, Int, Many, Rule, Target, Text
from gigmate.config.schema import ROOTS
from gigmate.errors import UsageError
from gigmate.music.instruments import INSTRUMENTS

Compose = Callable[..., DictConfig]


@pytest.fixture(scope="module")
def composed() -> Any:
    with initialize_config_dir(str(conf_files.CONF), version_base="1.3"):
        yield lambda root, *overrides: compose(root, list(overrides))


def refusal(config: Any, root: str) -> str:
    with pytest.raises(UsageError, match=r"error\[GM-") as caught:
        settings.check(config, root)
    line = str(caught.value)
    assert "\n" not in line
    return line


RULES: list[tuple[Rule, list[Any], list[Any]]] = [
    (Int(0, 9), [0, 9], [-1, 10, 1.0, 1.5, True, "1", None, math.nan, [1]]),
    (Float(-1, 1), [-1, 1, 0, 0.5], [1.0001, math.nan, math.inf, -math.inf, True, "0", None, {}]),
    (Bool(), [True, False], [0, 1, "true", None]),
    (Choice(("a", "b")), ["a", "b"], ["c", "", "A", 1, None, True, ["a"]]),
    (Text(), ["x", " ", "a\nb", "ü"], ["", "a\0b", "x" * 5000, 3, None, ["x"]]),
    (Many(Int(0, 1), 1, 2), [[0], [0, 1], (1, 1)], [[], [0, 0, 0], [2], 0, "0", None]),
    (Either((Int(1, 2), Choice(("auto",)))), [1, "auto"], [3, "none", None]),
    (Target("sampler"), ["gigmate.generation.sampler.Greedy"], ["torch.optim.AdamW", "os.system", 1, None]),
    (Absent(), [], [1, "x", {}, None]),
]


@pytest.mark.parametrize(("rule", "good", "bad"), RULES, ids=lambda value: type(value).__name__)
def test_rules_accept_what_they_say(rule: Rule, good: list[Any], bad: list[Any]) -> None:
    assert [value for value in good if rule.fault(value)] == []
    assert [value for value in bad if not rule.fault(value)] == []
    assert rule.expected()


def test_null_is_a_value_of_optional_settings_only() -> None:
    assert Int(0, 1, optional=True).fault(None) is None
    assert Int(0, 1, optional=True).fault(2) == "a whole number in 0..1 or null"


def test_every_range_has_two_finite_ends() -> None:
    def ends(rule: Rule) -> list[float]:
        if isinstance(rule, Int | Float):
            return [rule.low, rule.high]
        if isinstance(rule, Many):
            return [rule.low, rule.high, *ends(rule.item)]
        return [end for each in rule.rules for end in ends(each)] if isinstance(rule, Either) else []

    for root, rules in ROOTS.items():
        for key, rule in rules.items():
            assert all(math.isfinite(end) for end in ends(rule)), f"{root}: {key}"


def test_seeds_are_those_of_every_generator() -> None:
    for rules in (rules for name, rules in ROOTS.items() if name != "serve"):  # there each session brings its own
        seed = rules["seed"]
        assert [seed.fault(value) is None for value in (0, 2**32 - 1, -1, 2**32)] == [True, True, False, False]


def test_the_instruments_are_those_of_the_model() -> None:
    rule = ROOTS["generate"]["instrument"]
    assert isinstance(rule, Choice)
    assert rule.options == INSTRUMENTS


def test_the_codecs_are_those_of_the_catalog() -> None:
    from gigmate.codec.catalog import CODEC_NAMES

    rule = ROOTS["prepare"]["codec.name"]
    assert isinstance(rule, Choice)
    assert set(rule.options) == set(CODEC_NAMES)


BAD: list[tuple[str, list[str], str]] = [
    ("train", ["optimizer.lr=nan"], "nan isn't allowed; optimizer.lr; it must be a number in 1e-09..10"),
    ("train", ["optimizer.lr=abc"], "'abc' isn't allowed; optimizer.lr; it must be a number"),
    ("train", ["optimizer.lr=1e999"], "inf isn't allowed; optimizer.lr"),
    ("train", ["optimizer.lr=true"], "True isn't allowed; optimizer.lr"),
    ("train", ["trainer.max_steps=-5"], "-5 isn't allowed; trainer.max_steps; it must be a whole number in 1"),
    ("train", ["trainer.max_steps=1.5"], "1.5 isn't allowed; trainer.max_steps"),
    ("train", ["trainer.max_steps=null"], "None isn't allowed; trainer.max_steps"),
    ("train", ["trainer={max_steps: 0}"], "0 isn't allowed; trainer.max_steps"),
    ("train", ["seed=-1"], "seed; it must be a whole number in 0..4294967295"),
    ("train", ["seed=4294967296"], "seed; it must be a whole number in 0..4294967295"),
    ("train", ["seed=[1]"], "[1] isn't allowed; seed"),
    ("train", ["seed={a: 1}"], "isn't allowed; seed"),
    ("train", ["optimizer.betas=[0.9]"], "optimizer.betas; it must be a list of 2 values"),
    ("train", ["optimizer.betas=[0.9, 1.0]"], "optimizer.betas"),
    ("train", ["loader.folders=[]"], "loader.folders; it must be a list of 1..64"),
    ("train", ["data.source=null"], "None isn't a group of settings; data.source"),
    ("train", ["model.num_heads=7"], "384 is no multiple of twice the 7 heads; model.dim"),
    ("train", ["loader.min_lookahead_s=2"], "loader.min_lookahead_s; exchange them"),
    ("train", ["loader.windows_per_epoch=3"], "above windows_per_epoch, 3; loader.batch_size"),
    ("train", ["resume=auto", "init_from=x.safetensors"], "init_from; give one of resume and init_from"),
    ("train", ["paths.run_dir=/"], "holds other things; paths.run_dir"),
    ("train", ["paths.run_dir=."], "holds other things; paths.run_dir"),
    ("train", ["+seeed=1"], "seeed; did you mean seed?"),
    ("train", ["+optimizer.lrr=1"], "optimizer.lrr; did you mean optimizer.lr?"),
    ("train", ["+lr=1"], "lr; did you mean module.lr or optimizer.lr?"),
    ("train", ["prepare=3"], "3 isn't allowed; prepare"),
    ("train", ["experiment=smoke", "prepare.workers=0"], "0 isn't allowed; prepare.workers"),
    ("train", ["optimizer._target_=os.system"], "'os.system' isn't a registered object; optimizer._target_"),
    ("train", ["optimizer._target_=[os.system]"], "optimizer._target_"),
    ("train", ["optimizer._target_=torch.optim.Optimizer"], "optimizer._target_"),
    ("train", ["callbacks.finite._target_=torch.optim.AdamW"], "callbacks.finite._target_"),
    ("train", ["+optimizer._partial_=true"], "optimizer._partial_"),
    ("train", ["+evil._target_=os.system"], "evil"),
    ("train", ["+loader.folders=[{_target_: os.system}]"], "loader.folders[0]._target_"),
    ("prepare", ["data=midi"], "a value is missing; data.source.folder; for instance data.source.folder="),
    ("prepare", ["data=stems", "data.source.folder=x", "out=x"], "among its sources; out"),
    ("prepare", ["max_bad_fraction=1.1"], "max_bad_fraction"),
    ("generate", ["instrument=drums"], "a value is missing; input; for instance input=song.wav"),
    (
        "generate",
        ["input=x", "task=continue", "stem=y"],
        "a value is missing; instrument; for instance instrument=drums",
    ),
    ("generate", ["input=x", "instrument=drumz"], "'drumz' isn't allowed; instrument; it must be one of drums, bass"),
    ("generate", ["input=x", "instrument=bass", "sampler.temperature=-1"], "-1 isn't allowed; sampler.temperature"),
    ("generate", ["input=x", "instrument=bass", "sampler.temperature=nan"], "nan isn't allowed; sampler.temp"),
    ("generate", ["input=x", "instrument=bass", "sampler.k=0"], "0 isn't allowed; sampler.k"),
    ("generate", ["input=x", "instrument=bass", "seconds=0"], "0 isn't allowed; seconds"),
    ("generate", ["input=x", "instrument=bass", "seconds=-1"], "-1 isn't allowed; seconds"),
    ("generate", ["input=x", "instrument=bass", "seconds=1e9"], "seconds; it must be a number in 0.1..3600"),
    ("generate", ["input=x", "instrument=bass", "seconds=30", "max_seconds=20"], "30 is above max_seconds, 20"),
    ("generate", ["input=x", "instrument=bass", "stem=y.wav"], "stem; add task=continue"),
    ("generate", ["input=x", "task=continue", "instrument=bass"], "bass needs a stem to go on with"),
    ("generate", ["input=x", "task=continue", "stem=y.wav"], "a value is missing; instrument"),
    ("generate", ["input=x", "instrument=bass", "out=/"], "'/' holds other things; out"),
    ("generate", ["input=7", "instrument=bass"], "7 isn't allowed; input; it must be an audio file or a folder"),
    ("evaluate", ["what=nonsense"], "what; it must be one of codec, training, continuation"),
]


@pytest.mark.parametrize(("root", "overrides", "line"), BAD, ids=str)
def test_what_makes_no_sense_is_refused_in_one_line(
    composed: Compose, root: str, overrides: list[str], line: str
) -> None:
    assert line in refusal(composed(root, *overrides), root)


GOOD = [
    ("generate", ["input=x", "instrument=bass", "sampler.temperature=0"]),
    ("generate", ["input=x", "task=continue", "seconds=20"]),
    ("generate", ["input=x", "task=continue", "instrument=bass", "stem=y.wav"]),
    ("generate", ["input=x", "instrument=bass", "codec=encodec_24khz", "codec.bandwidth_kbps=3"]),
    ("train", ["trainer.gradient_clip_val=null", "trainer.devices=auto", "loader.folders=[a, b]"]),
    ("train", ["logger=none", "callbacks=none"]),
]


@pytest.mark.parametrize(("root", "overrides"), GOOD, ids=str)
def test_what_makes_sense_is_taken(composed: Compose, root: str, overrides: list[str]) -> None:
    resolved = settings.check(composed(root, *overrides), root)
    assert OmegaConf.create(resolved) is not None
    assert "${" not in str(resolved)


@pytest.mark.parametrize(
    "value",
    [
        "${oc.env:AWS_SECRET}",
        "${oc.env:AWS_SECRET,x}",
        "${ oc.env:AWS_SECRET}",
        "${oc.env:GIGMATE_RUNS,${oc.env:AWS_SECRET}}",
        "${oc.env:${seed}}",
        "${oc.decode:'${oc.env:AWS_SECRET}'}",
        "${oc.create:{a:1}}",
        "${hydra:runtime.cwd}",
        "a${${oc.env:AWS_SECRET}}",
    ],
)
def test_the_environment_is_closed_but_for_named_variables(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET", "hunter2")
    line = refusal(OmegaConf.create({"seed": 1, "input": value}), "generate")
    assert "reads what a setting may not read; input" in line
    assert "hunter2" not in line


def test_named_variables_move_the_folders(composed: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIGMATE_DATA", "elsewhere/data")
    assert settings.check(composed("prepare"), "prepare")["out"] == "elsewhere/data/practice"


def test_a_cycle_is_named(composed: Compose) -> None:
    assert "seed" in refusal(composed("train", "seed=${seed}"), "train")


def test_a_deep_config_is_refused_at_once() -> None:
    deep: Any = 1
    for _ in range(60):
        deep = [deep]
    with within(2.0):
        line = refusal(OmegaConf.create({"seed": deep}), "train")
    assert "nested over" in line


def test_long_and_odd_values_stay_on_one_short_line(composed: Compose) -> None:
    line = refusal(composed("generate", "input=x", f"instrument='a\n\x1b[31m{'x' * 3000}'"), "generate")
    assert len(line) < 400
    assert "\x1b" not in line


def test_home_and_the_current_folder_are_no_run_folders(composed: Compose, tmp_path: Path) -> None:
    assert "holds other things" in refusal(composed("train", f"paths.run_dir={Path.home()}"), "train")
    settings.check(composed("train", f"paths.run_dir={tmp_path}/new"), "train")
