"""The commands: one line and the right exit code for what a person can act on, and nothing created by a refusal."""

import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from machine import within

from gigmate.config import cli, conf_files, overrides
from gigmate.errors import (
    CheckpointError,
    DivergedError,
    GigmateError,
    InputError,
    MachineError,
    UsageError,
)

SCRIPTS = ("train", "generate", "prepare", "evaluate", "serve")
TARGETS = """
import json, os, pathlib
from omegaconf import OmegaConf

def keep(cfg):
    folder = pathlib.Path(cfg.paths.get("run_dir", "here"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(OmegaConf.to_container(cfg)))
    return cfg.optimizer.lr if "optimizer" in cfg else folder

def write(cfg):
    cfg.seed = 3

def fail(cfg):
    raise RuntimeError("broken")

def chatter(cfg):
    import sys
    for _ in range(100_000):
        sys.stdout.write("line\\n")

def second_fails(cfg):
    from gigmate.errors import DivergedError
    if cfg.seed == 2:
        raise DivergedError("nan", "the loss is nan", "step 5", "lower the learning rate")
    return keep(cfg)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, with targets that can be imported from elsewhere."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "cli_targets.py").write_text(TARGETS)
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def run(root: str, *argv: str, target: str = "cli_targets:keep") -> int:
    try:
        return cli.command(root, target, "About.").run(list(argv))
    finally:
        sys.modules.pop("cli_targets", None)


def script(repo: Path, name: str, *argv: str, **kwargs: Any) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(repo / f"{name}.py"), *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=280, **kwargs)


REFUSED: list[tuple[str, list[str], str]] = [
    ("train", ["optimizer.lrr=1"], "optimizer.lrr; did you mean optimizer.lr?"),
    ("train", ["lr=1"], "optimizer.lr"),
    ("train", ["optimizer.lr=abc"], "it must be a number"),
    ("train", ["trainer.max_steps=-5"], "it must be a whole number"),
    ("train", ["optimizer.lr=nan"], "it must be a number"),
    ("train", ["seed=1", "seed=2"], "given twice; seed"),
    ("train", ["seed=1", "+seed=2"], "given twice; seed"),
    ("train", ["seed=${seed}"], "refers to itself"),
    ("train", ["seed=[1"], "'[1' can't be read; seed; put the value in quotes: \"seed='...'\""),
    ("train", ["seed={"], "can't be read; seed"),
    ("train", ["seed='1"], "can't be read; seed"),
    ("train", ["seed=a=b"], "seed"),
    ("train", ["seed=1\n2"], "seed"),
    ("train", ["seed"], "'seed' isn't KEY=VALUE"),
    ("train", ["=3"], "is no name of a setting"),
    ("train", ["se ed=3"], "is no name of a setting"),
    ("train", ["model@module=tiny"], "is no name of a setting"),
    ("train", ["~optimizer"], "settings can't be removed"),
    ("train", ["model=enormous"], "'enormous' is no option; model; choose one of large, medium, nano, small, tiny"),
    ("train", ["model=smal"], "did you mean small?"),
    ("train", ["model=tiny,small"], "is no option; model"),
    ("train", ["model=../train"], "is no option; model"),
    ("train", ["model=null"], "'null' is no option; model"),
    ("train", ["experiment=codec"], "choose one of band_lm, compact_codec, smoke"),
    ("train", ["sampler.p=0.5"], "the chosen options have no such setting; sampler.p"),
    ("train", ["seed=" + "[" * 500 + "]" * 500], "nested over 16 deep; seed"),
    ("train", ["seed=" + "1" * 10_000], "10005 characters"),
    ("train", [f"loader.folders=[{'a' * 5000}]", *(f"seed={i:08000}" for i in range(9))], "over 65536 characters"),
    ("train", ["-cn", "nope"], "configs: evaluate, generate, prepare, serve, train; choose experiment="),
    ("train", ["--config-dir", "/etc"], "always reads conf/train.yaml"),
    ("train", ["--experimental-rerun", "x.pickle"], "no such flag; --experimental-rerun"),
    ("train", ["--mulitrun"], "did you mean --multirun?"),
    ("train", ["+evil._target_=os.system"], "evil._target_"),
    ("train", ["optimizer._target_=os.system"], "optimizer._target_"),
    ("train", ["optimizer={_target_: os.system}"], "optimizer._target_"),
    ("train", ["optimizer._target_=[os.system]"], "optimizer._target_"),
    ("train", ["optimizer._target_=null"], "optimizer._target_"),
    ("train", ["optimizer._target_=3"], "optimizer._target_"),
    ("train", ["+optimizer._partial_=true"], "optimizer._partial_"),
    ("train", ["+hydra.job_logging.handlers.console.()=os.system"], "hydra.job_logging"),
    ("train", ["hydra.job_logging=null"], "hydra.job_logging"),
    ("train", ["hydra.run.dir=/etc"], "isn't open to change; hydra.run.dir"),
    ("train", ["-m", "hydra.callbacks.x={_target_: os.system}"], "isn't open to change"),
    ("train", ["-m", "hydra.sweeper._target_=os.system"], "isn't open to change"),
    ("train", ["-m", "hydra.sweeper.sampler={_target_: os.system}"], "isn't open to change"),
    ("train", ["-m", "hydra/job_logging=default"], "isn't open to change"),
    ("train", ["+paths.x=${oc.env:AWS_SECRET}"], "reads what a setting may not read"),
    ("train", ["model=${oc.env:AWS_SECRET}"], "reads what a setting may not read; model"),
    ("generate", ["input=${oc.env:AWS_SECRET}", "instrument=bass"], "reads what a setting may not read; input"),
    ("train", ["-m", "model=tiny,smal"], "'smal' is no option; model"),
    ("train", ["-m", "optimizer.lr=1e-3,nan"], "nan isn't allowed; optimizer.lr"),
    ("train", ["-m", "optimizer.lr=interval(1e-4,100)"], "100.0 isn't allowed; optimizer.lr"),
    ("train", ["-m", "model=glob(*)", "seed=range(-1,2)"], "-1 isn't allowed; seed"),
    ("train", ["-m", "seed=choice(1"], "can't be read; seed"),
    ("generate", ["instrument=drums"], "a value is missing; input; for instance input=song.wav"),
    ("generate", ["input=song.wav", "instrument=drums", "seconds=0"], "seconds; it must be a number in 0.1..3600"),
]


@pytest.mark.parametrize(("root", "argv", "line"), REFUSED, ids=lambda value: str(value)[:60])
def test_refusals_are_one_line_with_exit_2_and_create_nothing(
    root: str,
    argv: list[str],
    line: str,
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SECRET", "hunter2")
    with within(2.0):
        assert run(root, *argv) == 2
    out, err = capsys.readouterr()
    assert re.fullmatch(r"error\[GM-\w+\]: [^\n]+\n", err), err
    assert line in err
    assert "hunter2" not in err
    assert out == ""
    assert list(place.iterdir()) == []


CODES: list[tuple[Exception, int, str]] = [
    (UsageError("x", "what", "where", "remedy"), 2, "error[GM-x]: what; where; remedy\n"),
    (InputError("x", "a\nb\x1b[31m", "w", "r"), 3, "error[GM-x]: a\\nb\\x1b[31m; w; r\n"),
    (CheckpointError("x", "what"), 4, "error[GM-x]: what\n"),
    (MachineError("x", "what"), 5, "error[GM-x]: what\n"),
    (DivergedError("x", "what"), 6, "error[GM-x]: what\n"),
    (OSError(28, "No space left on device", "a.ckpt"), 5, "error[GM-os]: No space left on device; a.ckpt; "),
    (PermissionError(13, "Permission denied", "out"), 5, "error[GM-os]: Permission denied; out; "),
    (MemoryError(), 5, "error[GM-memory]"),
]


@pytest.mark.parametrize(("error", "code", "line"), CODES, ids=lambda value: str(value)[:40])
def test_errors_have_their_codes(
    error: Exception, code: int, line: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    def fail(_config: object) -> None:
        raise error

    sys.modules["cli_targets"] = type(sys)("cli_targets")
    monkeypatch.setattr(sys.modules["cli_targets"], "keep", fail, raising=False)
    assert run("prepare") == code
    out, err = capsys.readouterr()
    assert err.startswith(line)
    assert err.count("\n") == 1
    assert out == ""


@pytest.mark.parametrize(
    ("leaving", "code"),
    [(SystemExit(143), 143), (SystemExit(), 0), (SystemExit("x"), 1), (KeyboardInterrupt(), 130)],
    ids=repr,
)
def test_leaving_keeps_its_code(leaving: BaseException, code: int, place: Path, monkeypatch: Any) -> None:
    def leave(_config: object) -> None:
        raise leaving

    sys.modules["cli_targets"] = type(sys)("cli_targets")
    monkeypatch.setattr(sys.modules["cli_targets"], "keep", leave, raising=False)
    assert run("prepare") == code


def test_a_bug_shows_its_traceback_and_asks_for_a_report(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prepare", target="cli_targets:fail") == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("error[GM-bug]: RuntimeError('broken'); please report this\n")


def test_a_users_mistake_shows_a_traceback_only_for_debugging(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIGMATE_DEBUG", "1")
    assert run("train", "seed=-1") == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.splitlines()[-1].startswith("error[GM-setting]: -1 isn't allowed; seed")


def test_the_target_gets_a_resolved_config_that_it_cannot_change(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    assert run("train", "optimizer.lr=0.5", "paths.run_dir=mine/run") == 0
    kept = json.loads((place / "mine/run/config.json").read_text())
    assert kept["optimizer"]["lr"] == 0.5
    assert kept["loader"]["folders"] == ["data/practice"]
    assert "hydra" not in kept
    assert run("train", target="cli_targets:write") == 1
    assert "ReadonlyConfigError" in capsys.readouterr().err


def test_a_returned_path_is_printed_last(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prepare") == 0
    assert capsys.readouterr().out == "here\n"


NAMES = [
    "My Song (live, 2).wav",
    "it's \"quoted\" \\ and \\' more.wav",
    "a=b.wav",
    "2024",
    "1e3",
    "true",
    "nan",
    "[x]{y}.wav",
    "line\nbreak.wav",
    "trailing\\",
    "Ünï-日本 🎸.wav",
    "../up/../and down.wav",
    "x" * 300,
    "'",
    "$HOME;`ls`.wav",
    "comma, colon: and # hash.wav",
]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_names_of_files_are_taken_as_they_stand(name: str) -> None:
    for flags in [[]] if "," in name else [[], ["-m"]]:  # in a multirun a comma separates runs
        request = overrides.parse([*flags, f"input={name}", "instrument=bass"], "generate")
        with cli._composer("generate") as compose:
            assert compose(request.overrides).input == name


def test_quoted_names_and_null_stay_what_they_are_for_hydra() -> None:
    request = overrides.parse(["input='a b'", "stem=null", "out=${input}"], "generate")
    assert request.overrides == ("input='a b'", "stem=null", "out=${input}")


def test_a_null_group_may_be_said(place: Path) -> None:
    assert overrides.parse(["codec=null", "input=x"], "generate").overrides == ("input='x'",)


def test_a_multirun_runs_every_combination_in_its_own_folder(place: Path) -> None:
    import json

    argv = ["-m", "model=tiny,small", "pattern=delay,parallel", "experiment=smoke", "paths.run_dir=sweep"]
    assert run("train", *argv) == 0
    kept = [json.loads((place / f"sweep/{i}/config.json").read_text()) for i in range(4)]
    seen = [(each["model"]["dim"], each["pattern"]["name"]) for each in kept]
    assert seen == [(384, "delay"), (384, "parallel"), (1024, "delay"), (1024, "parallel")]
    assert [each["paths"]["run_dir"] for each in kept] == [str(place / f"sweep/{i}") for i in range(4)]
    assert sorted(path.name for path in (place / "sweep").iterdir()) == ["0", "1", "2", "3", "multirun.yaml"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # optuna 2.10 imports with deprecations of its own
def test_a_multirun_with_optuna_looks_for_the_smallest(place: Path) -> None:
    import yaml

    argv = ["-m", "hparams_search=optuna", "experiment=smoke", "paths.run_dir=search", "hydra.sweeper.n_trials=4"]
    assert run("train", *argv) == 0
    found = yaml.safe_load((place / "search/optimization_results.yaml").read_text())
    assert found["best_value"] == found["best_params"]["optimizer.lr"]
    assert sorted(path.name for path in (place / "search").glob("[0-9]")) == ["0", "1", "2", "3"]


def test_a_failed_job_of_a_multirun_gives_its_code_and_spares_the_others(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train", "-m", "seed=1,2,3", "paths.run_dir=sweep", target="cli_targets:second_fails") == 6
    assert (place / "sweep/2/config.json").exists()
    err = capsys.readouterr().err.splitlines()
    assert err[-1] == "error[GM-nan]: the loss is nan; step 5; lower the learning rate"
    assert "seed=2" in err[-2]


def test_the_config_is_shown_and_nothing_done(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("generate", "input=x.wav", "instrument=bass", "--cfg") == 0
    assert "input: x.wav\n" in capsys.readouterr().out
    assert run("generate", "--cfg", "job", "input=x.wav", "instrument=bass") == 0
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_is_quick_and_complete(name: str, repo: Path, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = script(repo, name, "--help", cwd=tmp_path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (done.returncode, done.stderr) == (0, "")
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5
    for key in conf_files.root_config(name):
        assert f"  {key}=" in done.stdout or key in ("defaults", *conf_files.groups(name))
    for group in conf_files.groups(name):
        for option in conf_files.options(group, name):
            assert re.search(rf"^  {group}=.*\b{option}\b", done.stdout, re.MULTILINE), (group, option)
    assert f"python {name}.py " in done.stdout
    assert "hydra" not in done.stdout.lower().replace("hydra/", "")
    assert list(tmp_path.iterdir()) == []


def test_help_examples_are_accepted(repo: Path) -> None:
    """What the help shows parses and composes."""
    import shlex

    from gigmate.config import settings
    from gigmate.config.sweep import combinations

    for name in SCRIPTS:
        about = (repo / f"{name}.py").read_text().split('"""')[1]
        examples = re.findall(rf"^ *python {name}\.py (.*)$", about, re.MULTILINE)
        assert examples
        for example in examples:
            request = overrides.parse(shlex.split(example), name)
            jobs = list(combinations(request.overrides)) if request.is_multirun else [list(request.overrides)]
            with cli._composer(name) as compose:
                for job in jobs:
                    settings.check(compose(job), name)


def test_a_refusal_imports_neither_torch_nor_hydra(repo: Path, tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(repo)!r})\n"
        "from gigmate.config.cli import command\n"
        "code = command('train', 'x:y').run(['model=smal'])\n"
        "sys.exit(code + 10 * any(name in sys.modules for name in ('torch', 'hydra', 'lightning')))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr


def test_a_closed_pipe_is_quiet(repo: Path, place: Path) -> None:
    program = (
        f"import sys; sys.path[:0] = [{str(repo)!r}, {str(place.parent / 'lib')!r}]\n"
        "from gigmate.config.cli import command\n"
        "command('prepare', 'cli_targets:chatter')([])"
    )
    shell = f'{sys.executable} -c "$PROGRAM" | head -1; exit ${{PIPESTATUS[0]}}'
    environment = {**os.environ, "PROGRAM": program}
    done = subprocess.run(["bash", "-c", shell], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (141, "line\n", "")


def test_a_closed_stdout_is_no_fault(repo: Path, place: Path) -> None:
    program = (
        f"import sys; sys.path[:0] = [{str(repo)!r}, {str(place.parent / 'lib')!r}]\n"
        "from gigmate.config.cli import command\n"
        "command('prepare', 'cli_targets:keep')([])"
    )
    environment = {**os.environ, "PROGRAM": program}
    shell = f'{sys.executable} -c "$PROGRAM" >&-'
    done = subprocess.run(["bash", "-c", shell], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_runs_from_any_folder_without_a_home(repo: Path, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key in ("PATH", "PYTHONPATH")}
    done = script(repo, "train", "--cfg", "experiment=smoke", cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert "num_songs: 4" in done.stdout


@pytest.mark.slow
def test_absent_devices_are_one_line_with_exit_5(repo: Path, tmp_path: Path) -> None:
    import torch

    if torch.backends.mps.is_available():
        pytest.skip("this machine has MPS")
    done = script(repo, "train", "model=small", "trainer=mps", cwd=tmp_path)
    assert done.returncode == 5, done.stderr
    assert re.fullmatch(r"error\[GM-no_device\]: mps isn't available[^\n]*\n", done.stderr)
    assert list(tmp_path.iterdir()) == []


def test_our_errors_are_all_mapped() -> None:
    codes = {kind.exit_code for kind in GigmateError.__subclasses__()}
    assert codes == {2, 3, 4, 5, 6}


@pytest.mark.slow
def test_smoke_trains_on_a_bare_machine(repo: Path, tmp_path: Path, in_small: list[str]) -> None:
    done = script(repo, "train", "experiment=smoke", *in_small, "paths.run_dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "run").rglob("*.safetensors"))
    again = script(repo, "train", "experiment=smoke", *in_small, "paths.run_dir=run", cwd=tmp_path)
    assert again.returncode == 2
    assert again.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argv", "jobs"), [(["model=nano,tiny"], 2), (["hparams_search=optuna", "hydra.sweeper.n_trials=2"], 2)], ids=str
)
def test_a_real_multirun_trains(repo: Path, tmp_path: Path, in_small: list[str], argv: list[str], jobs: int) -> None:
    done = script(repo, "train", "-m", *argv, "experiment=smoke", *in_small, "paths.run_dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "run").glob("[0-9]"))) == jobs
