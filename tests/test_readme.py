"""Every command of the README runs as it stands, in order, in one folder."""

import contextlib
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gigmate.audio import write_wav
from gigmate.music.band import compose, render_song

REPO = Path(__file__).parent.parent
README = (REPO / "README.md").read_text(encoding="utf-8")
BLOCKS = [
    [line for line in block.splitlines() if line.strip()] for block in re.findall(r"```bash\n(.*?)```", README, re.S)
]
LIVE = next(block for block in BLOCKS if any("serve.py" in line for line in block))
BASH = [line for block in BLOCKS if block is not LIVE for line in block]
PYTHON = re.findall(r"```python\n(.*?)```", README, re.S)


def words(line: str) -> list[str]:
    """A README line as an argument list, with this interpreter and this checkout's scripts."""
    python, script, *rest = shlex.split(line, comments=True)
    assert python == "python"
    return [sys.executable, script if script == "-m" else str(REPO / script), *rest]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the README speaks of."""
    folder = tmp_path_factory.mktemp("readme")
    stems = render_song(compose(11, 8.0), 24_000)
    song = np.sum(list(stems.values()), axis=0, dtype=np.float32)[None]
    write_wav(folder / "song.wav", song, 24_000)
    write_wav(folder / "songs" / "one.wav", song[:, :48_000], 24_000)
    write_wav(folder / "drums.wav", stems["drums"][None, :96_000], 24_000)
    (folder / "beats.txt").write_text("".join(f"{0.5 * beat}{' d' * (beat % 4 == 0)}\n" for beat in range(16)))
    return folder


def test_the_readme_has_commands():
    assert len(BASH) >= 10
    assert len(PYTHON) == 1


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.xdist_group("readme")
def test_every_command_runs(place: Path):
    for line in BASH:
        done = subprocess.run(words(line), cwd=place, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, f"{line}\n{done.stderr[-2_000:]}"


@pytest.fixture
def server(place: Path) -> Iterator[None]:
    """The README's server, ready."""
    line = next(line for line in LIVE if "serve.py" in line)
    with subprocess.Popen(
        words(line), cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            for _ in range(600):
                with contextlib.suppress(OSError), urllib.request.urlopen("http://127.0.0.1:8765/ready", timeout=5):
                    break
                assert process.poll() is None, process.stderr.read() if process.stderr else ""
                time.sleep(0.2)
            yield
        finally:
            process.terminate()
            process.communicate(timeout=60)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("readme")
def test_the_live_commands_run(place: Path, server: None):
    shutil.copy(place / "song.wav", place / "in.wav")
    others = [line for line in LIVE if "serve.py" not in line]
    assert [line.split()[0] for line in others] == ["curl", "python", "python"]
    for line in others:
        command = shlex.split(line, comments=True) if line.startswith("curl") else words(line)
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=300, check=False)
        no_card = "gigmate.play" in line and done.returncode == 5 and "device" in done.stderr
        assert done.returncode == 0 or no_card, f"{line}\n{done.stderr[-2_000:]}"
    assert (place / "out.wav").read_bytes()[:4] == b"RIFF"
    assert (place / "runs" / "live" / "stem.wav").is_file()


@pytest.mark.slow
def test_the_python_example_runs(place: Path):
    done = subprocess.run([sys.executable, "-c", PYTHON[0]], cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]


def test_make_help_lists_what_the_readme_names():
    listed = subprocess.run(["make", "help"], cwd=REPO, capture_output=True, text=True, check=True).stdout
    for target in ("demo", "serve", "test", "test-all", "check", "format", "bench", "train-smoke"):
        assert re.search(rf"^{target}\s", listed, re.M), target
