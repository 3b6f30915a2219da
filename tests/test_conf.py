"""Every config file composes, passes the settings' rules and names only registered objects."""

import functools
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from gigmate.config import conf_files, registry, settings
from gigmate.config.rules import Absent
from gigmate.config.schema import ROOTS
from gigmate.errors import UsageError

Compose = Callable[..., DictConfig]

ISSUE_GROUPS = {
    "model": ("nano", "tiny", "small", "medium", "large"),
    "pattern": ("delay", "parallel", "partial_delay", "flatten", "coarse_first"),
    "sampler": ("greedy", "topk", "topp"),
    "trainer": ("default", "cpu", "mps", "cuda", "ddp"),
    "logger": ("none", "csv", "wandb", "tensorboard"),
    "codec": ("compact",),
    "data": ("practice", "midi", "stems"),
    "device": ("cpu", "mps", "cuda"),
    "optimizer": ("adamw",),
    "scheduler": ("warmup_cosine",),
    "callbacks": ("default",),
    "experiment": ("smoke", "compact_codec", "codec"),
    "hparams_search": ("optuna",),
    "debug": ("default",),
    "paths": ("default",),
}
NEEDED = {
    "train": [],
    "prepare": [],
    "generate": ["input=song.wav", "instrument=drums"],
    "evaluate": [],
    "serve": [],
}
"""What each command can't do without."""

CHOICES = [
    (root, group, option)
    for root in conf_files.roots()
    for group in conf_files.groups(root)
    for option in conf_files.options(group, root)
    if group != "hparams_search"
]


@pytest.fixture(scope="module")
def composed() -> Any:
    with initialize_config_dir(str(conf_files.CONF), version_base="1.3"):
        yield functools.cache(lambda root, *overrides: compose(root, [*NEEDED[root], *overrides]))


def test_the_commands_are_those_with_rules() -> None:
    assert set(conf_files.roots()) == set(ROOTS) == set(NEEDED)


def test_the_groups_are_there() -> None:
    for group, options in ISSUE_GROUPS.items():
        assert set(options) <= set(conf_files.options(group)), group


def test_every_file_is_an_option_of_a_command() -> None:
    """No config is left that nobody can choose (parents of others, which are options too, included)."""
    reachable = {(group, option) for _, group, option in CHOICES} | {("hparams_search", "optuna")}
    files = {(path.parent.name, path.stem) for path in conf_files.CONF.glob("*/*.yaml")}
    assert files == reachable


@pytest.mark.parametrize("root", conf_files.roots())
def test_roots_pass_as_they_stand(composed: Compose, root: str) -> None:
    settings.check(composed(root), root)


@pytest.mark.parametrize(("root", "group", "option"), CHOICES, ids=str)
def test_every_option_passes(composed: Compose, root: str, group: str, option: str) -> None:
    overrides = [f"{group}={option}"]
    if group == "data" and option in ("midi", "stems"):
        overrides += ["data.source.folder=music"]
        overrides += ["data.source.soundfont=band.sf2"] if option == "midi" else []
    settings.check(composed(root, *overrides), root)


def test_every_rule_belongs_to_a_setting_that_exists(composed: Compose) -> None:
    """A rule that no config uses is a leftover, or a setting that was forgotten."""

    def paths(tree: Any, prefix: str = "") -> set[str]:
        if not isinstance(tree, dict):
            return {prefix[:-1]}
        return {prefix[:-1]}.union(*(paths(value, f"{prefix}{key}.") for key, value in tree.items()))

    for root, rules in ROOTS.items():
        used: set[str] = set()
        for group, options in ((g, conf_files.options(g, root)) for g in conf_files.groups(root)):
            for option in options:
                if group == "hparams_search":
                    continue
                used |= paths(OmegaConf.to_container(composed(root, f"{group}={option}"), resolve=False))
        missing = {key for key in set(rules) - used if not key.startswith("prepare.")}
        assert missing <= {"paths.run_dir"}, root


def test_interpolations_of_shipped_configs_obey_their_own_rule() -> None:
    for path in conf_files.CONF.rglob("*.yaml"):
        for line in path.read_text().splitlines():
            settings.check_interpolations(line, str(path))


def test_model_sizes_have_few_keys_and_true_parameter_counts(composed: Compose) -> None:
    from gigmate.model.config import ModelConfig
    from gigmate.model.lm import AccompanimentLM

    counts = []
    for size in ISSUE_GROUPS["model"]:
        text = (conf_files.CONF / "model" / f"{size}.yaml").read_text()
        values = yaml.safe_load(text)
        assert len(values) <= 6
        with torch.device("meta"):
            model = AccompanimentLM(ModelConfig(**values))
        count = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        said = re.search(r"^# ([\d.]+) M parameters", text)
        assert said is not None, size
        assert float(said[1]) == pytest.approx(count, rel=0.01), size
        counts.append(count)
    assert counts == sorted(counts)


def test_large_is_musicgens_shape(composed: Compose) -> None:
    large = composed("train", "model=large").model
    assert (large.num_layers, large.dim, large.num_heads) == (48, 1536, 24)


def test_an_experiment_is_a_diff(composed: Compose) -> None:
    """`smoke` may shrink what it likes, but a choice on the command line wins over it."""
    smoke = composed("train", "experiment=smoke", "model=small", "pattern=parallel", "codec=mimi", "seed=5")
    assert (smoke.model.dim, smoke.pattern.name, smoke.codec.name) == (1024, "parallel", "mimi")
    assert smoke.prepare.codec == smoke.codec
    assert smoke.prepare.data == smoke.data
    assert smoke.prepare.out == smoke.data.folder == smoke.loader.folders[0]
    settings.check(smoke, "train")


def test_a_sweep_refers_to_settings_that_exist(composed: Compose) -> None:
    search = yaml.safe_load((conf_files.CONF / "hparams_search" / "optuna.yaml").read_text())
    assert set(search["hydra"]["sweeper"]["params"]) <= set(ROOTS["train"])


def test_shipped_parts_build() -> None:
    """The objects that need nothing but their settings; trainers and data are built in their own tests."""
    for group in ("sampler",):
        for option in conf_files.options(group):
            config = yaml.safe_load((conf_files.CONF / group / f"{option}.yaml").read_text())
            assert callable(registry.build(config, group))
    weight = torch.nn.Parameter(torch.zeros(2))
    for option in conf_files.options("optimizer"):
        config = yaml.safe_load((conf_files.CONF / "optimizer" / f"{option}.yaml").read_text())
        assert isinstance(registry.build(config, "optimizer", params=[weight]), torch.optim.Optimizer)
    for option in conf_files.options("scheduler"):
        config = yaml.safe_load((conf_files.CONF / "scheduler" / f"{option}.yaml").read_text())
        assert registry.bind(config, "scheduler", max_steps=1000)(500) <= 1


def test_shipped_callbacks_loggers_and_sources_build(composed: Compose, tmp_path: Any) -> None:
    overrides = [f"paths.run_dir={tmp_path}/run", "callbacks=early_stopping"]
    for logger in ("csv", "tensorboard"):
        config = composed("train", *overrides, f"logger={logger}")
        assert len([registry.build(entry, name) for name, entry in config.logger.items()]) == 1
    assert len([registry.build(entry, name) for name, entry in config.callbacks.items()]) == 6
    for option in ("practice", "smoke", "midi", "stems"):
        needed = {"midi": ["data.source.folder=a", "data.source.soundfont=b"], "stems": ["data.source.folder=a"]}
        source = composed("prepare", f"data={option}", *needed.get(option, [])).data.source
        assert hasattr(registry.build(source, "data.source"), "entries")
    for loader in ("tokens", "audio"):
        # bound, not built: a data module opens its folders when it is made
        assert registry.bind(composed("train", f"loader={loader}").loader, "loader", seed=0).keywords["seed"] == 0


def test_large_or_looping_config_files_are_refused(tmp_path: Any) -> None:
    (tmp_path / "bomb.yaml").write_text("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n")
    with pytest.raises(UsageError, match=r"anchors aren't read; .*bomb.yaml:1"):
        conf_files.guard(tmp_path)
    (tmp_path / "bomb.yaml").write_text("a: [1, 2\nb: 3\n")
    conf_files.guard(tmp_path)  # Hydra reads it if it is asked for, and says the line
    (tmp_path / "bomb.yaml").write_text("a: 1 & 2 * 3\n")
    conf_files.guard(tmp_path)
    (tmp_path / "bomb.yaml").write_text("#" * 300_000)
    with pytest.raises(UsageError, match="300000 bytes, a config has up to"):
        conf_files.guard(tmp_path)


def test_null_groups_are_rules_too() -> None:
    assert isinstance(ROOTS["generate"]["codec"], Absent)
