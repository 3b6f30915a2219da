"""Every logger leaves a run's figures in the run's folder, without a network and without an account."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gigmate.training.loggers import build_loggers

LEAVES = {
    "csv": "csv/version_0/metrics.csv",
    "tensorboard": "tensorboard/version_0/events.out.tfevents.*",
    "wandb": "wandb/offline-run-*/run-*.wandb",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all of them run: the first one makes the songs, the others find them."""
    return tmp_path_factory.mktemp("loggers")


def offline(home: Path) -> dict[str, str]:
    """The environment of somebody who is logged in nowhere, behind a proxy that doesn't answer."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    dead = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    return kept | dead | {"HOME": str(home), "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.xdist_group("loggers")
@pytest.mark.parametrize("logger", LEAVES)
def test_a_run_leaves_its_figures_in_its_folder(repo: Path, place: Path, in_small: list[str], logger: str) -> None:
    command = [sys.executable, str(repo / "train.py"), "experiment=smoke", f"logger={logger}", *in_small]
    done = subprocess.run(
        [*command, f"paths.run_dir={logger}"],
        cwd=place,
        env=offline(place / "home"),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (log,) = (place / logger).glob(LEAVES[logger])
    content = log.read_bytes()
    for figure in (b"train/loss", b"valid/loss", b"valid/unigram_entropy_k0"):
        assert figure in content
    assert {path.name for path in place.iterdir()} <= {"home", "data", *LEAVES}


@pytest.mark.slow
def test_a_w_and_b_that_is_not_reached_keeps_its_figures_here_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_MODE", "online")  # Lightning sets another one, which ends with the test
    monkeypatch.chdir(tmp_path)
    target = "lightning.pytorch.loggers.WandbLogger"
    entry = {"_target_": target, "save_dir": str(tmp_path), "project": "gigmate", "name": None, "offline": False}
    (logger,) = build_loggers({"wandb": entry})
    logger.log_metrics({"loss": 1.5}, step=1)
    logger.finalize("success")
    (said,) = [record.getMessage() for record in caplog.records if "W&B" in record.getMessage()]
    assert str(tmp_path) in said
    assert list((tmp_path / "wandb").glob("offline-run-*"))
