"""The README's row of figures: each of its commands, as it stands but for its size, writes its report."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gigmate.audio import write_wav
from gigmate.music.band import compose, render_song

REPO = Path(__file__).parent.parent
ROW = re.search(r"^\| figures \| (.*) \|$", (REPO / "README.md").read_text(encoding="utf-8"), re.M)
COMMANDS = re.findall(r"`(?:python evaluate\.py )?(.*?)`", ROW[1]) if ROW else []

PLAYS_A_LITTLE = "limit=1 seconds=6 instruments=[drums] lookahead_s=[-0.5] num_candidates=1 data.source.seconds=8"
IN_SMALL = {
    "experiment=codec": ("limit=1 data.source.seconds=8", "| practice | drums |"),
    "what=training input=RUN_FOLDER": ("", "| lookahead -50 frames |"),
    "what=continuation": ("limit=1 data.source.seconds=24", "| true song |"),
    "what=listening folders=[DATA]": ("limit=2", "| mix swapped | given |"),
    "what=adherence": (PLAYS_A_LITTLE, "| model, -0.5 s |"),
    "what=adherence input=FOLDER": ("", "| stem |"),
}
"""Of each command: what makes it small, and what its report must have a row of."""


def run(script: str, arguments: list[str], place: Path) -> str:
    command = [sys.executable, str(REPO / script), *arguments]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, the songs that it was trained on, two of four kept from it, and somebody's drums."""
    folder = tmp_path_factory.mktemp("evaluate")
    songs = ["data.folder=DATA", "data.source.seconds=11", "prepare.valid_fraction=0.7"]
    few = ["trainer.max_steps=2", "trainer.limit_val_batches=1", "paths.run_dir=RUN_FOLDER"]
    run("train.py", ["experiment=smoke", *songs, *few], folder)
    stems = render_song(compose(11, 8.0), 24_000)
    mix = np.sum([wave for name, wave in stems.items() if name != "drums"], axis=0, dtype=np.float32)
    write_wav(folder / "FOLDER" / "song" / "drums" / "mix.wav", mix[None], 24_000)
    write_wav(folder / "FOLDER" / "song" / "drums" / "stem.wav", stems["drums"][None], 24_000)
    return folder


def test_every_command_is_known() -> None:
    assert sorted(COMMANDS) == sorted(IN_SMALL)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.xdist_group("evaluate")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_writes_its_report(place: Path, command: str) -> None:
    small, row = IN_SMALL[command]
    out = "out=" + re.sub(r"\W+", "_", command)
    said = run("evaluate.py", [*shlex.split(command), *small.split(), out], place)
    report = place / said.splitlines()[-1]
    assert report.name == "report.md"
    content = report.read_text(encoding="utf-8")
    assert row in content
    assert not re.search(r"\b(nan|inf)\b", content)
