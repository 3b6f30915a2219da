"""The page's parts, tested where they run: in JavaScript."""

import shutil
import subprocess
from pathlib import Path

import pytest

from experiments.live_page import PAGE, RANDOM, Result, verdict

REPO = Path(__file__).parent.parent
WEB = REPO / "gigmate" / "live" / "web"


@pytest.mark.skipif(shutil.which("node") is None, reason="node isn't installed: the page's parts can't run")
def test_parts_of_the_page() -> None:
    tests = [str(path) for path in sorted((REPO / "tests" / "js").glob("*.test.js"))]
    assert tests
    done = subprocess.run(["node", "--test", *tests], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "# skipped 0" in done.stdout


def test_the_service_worker_keeps_every_script_of_the_page() -> None:
    kept = (WEB / "sw.js").read_text(encoding="utf-8")
    for path in sorted(WEB.rglob("*.js")):
        name = path.relative_to(WEB).as_posix()
        assert name == "sw.js" or f'"/static/{name}"' in kept, name


def test_every_field_of_the_page_has_a_label() -> None:
    html = (WEB / "index.html").read_text(encoding="utf-8")
    for tag in ("<input", "<select", "<meter"):
        for at in [i for i in range(len(html)) if html.startswith(tag, i)]:
            before = html[:at]
            assert before.rfind("<label") > before.rfind("</label>"), html[at : at + 60]


def taken(underruns: int, page: float, random: float | None) -> Result:
    f1s = {PAGE: page} | ({} if random is None else {RANDOM: random})
    scores = {name: {"beat_f1": f1} for name, f1 in f1s.items()}
    return Result("song", 60.0, underruns, 1.0, 1, 0, -200.0, "ahead", 0.0, scores)


@pytest.mark.parametrize(
    ("underruns", "page", "random", "held"),
    [(0, 0.6, 0.5, True), (0, 0.5, 0.5, False), (1, 0.6, 0.5, False), (0, 0.1, None, True), (1, 0.9, None, False)],
)
def test_gaps_and_beats_of_any_song_are_a_failure(
    underruns: int, page: float, random: float | None, held: bool
) -> None:
    said = verdict([taken(0, page, random), taken(underruns, page, random)])
    assert said.startswith("Held: " if held else "Failed: ")
    assert f"{underruns} underruns" in said
    assert ("beat F1" in said) == (random is not None)
