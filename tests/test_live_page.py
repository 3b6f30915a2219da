"""The page in a real browser, against the real server with the weights that ship."""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from reporting import Report

from gigmate.music.band import compose, render_song

REPO = Path(__file__).parent.parent
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PLAY_S = 12
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: the page can't be opened"),
]

REFUSE = "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError'); };"

WATCH = """() => {
  window.sent = [];
  window.late = [];
  gigmate.band.on.stem = (stem) => window.sent.push(stem);
  gigmate.band.on.late = (late) => window.late.push(late);
}"""

COMPARE = """() => {
  const stem = gigmate.recorded()[1];
  const want = new Float32Array(stem.length), there = new Uint8Array(stem.length);
  for (const { sampleIndex, samples } of window.sent) {
    for (let i = 0; i < samples.length && sampleIndex + i < stem.length; i += 1) {
      want[sampleIndex + i] = samples[i];
      there[sampleIndex + i] = 1;
    }
  }
  for (const { index, samples } of window.late) there.fill(0, index, index + samples);
  let compared = 0, worst = 0, silent = 0, loudest = 0;
  for (let i = 256; i < stem.length; i += 1) {
    if (stem[i] === 0) silent += 1;
    let whole = there[i];
    for (let k = 1; k <= 256 && whole; k *= 2) whole = there[i - k]; // away from gaps and their fades
    if (!whole || stem[i] === 0) continue;
    compared += 1;
    loudest = Math.max(loudest, Math.abs(want[i]));
    worst = Math.max(worst, Math.abs(stem[i] - want[i]));
  }
  return { length: stem.length, compared, worst, silent, loudest, rate: gigmate.band.sampleRate };
}"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "serve.py", f"port={port}", "capacity=1", "device=cpu"]
    with subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            yield _ready(f"http://127.0.0.1:{port}/", server)
        finally:
            server.terminate()
            server.communicate(timeout=60)


def _ready(address: str, server: "subprocess.Popen[str]") -> str:
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"{address}ready", timeout=5) as answer:
                if json.load(answer)["status"] == "ready":
                    return address
        except OSError:
            assert server.poll() is None, server.stdout.read() if server.stdout else ""
        time.sleep(0.2)
    pytest.fail("the server isn't ready within two minutes")


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stems = render_song(compose(7_000_013, 30), 48_000)
    mix = np.sum([wave for name, wave in stems.items() if name != "drums"], axis=0)
    path = tmp_path_factory.mktemp("song") / "song.wav"
    soundfile.write(path, mix, 48_000, subtype="PCM_16")
    return path


@pytest.fixture
def browser(song: Path) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        flags = [*FLAGS, f"--use-file-for-fake-audio-capture={song}"]
        with driver.chromium.launch(executable_path=CHROMIUM, args=flags) as chromium:
            yield chromium


def opened(browser: Any, address: str, script: str = "", **options: Any) -> tuple[Any, list[str]]:
    page = browser.new_page(**options)
    page.add_init_script(script)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(address)
    return page, faults


def until(page: Any, condition: str, limit_s: float = 60) -> None:
    """Wait for a JavaScript condition; Playwright's own way evaluates strings in the page, which its policy forbids."""
    stop_s = time.monotonic() + limit_s
    while not page.evaluate(condition):
        assert time.monotonic() < stop_s, f"not within {limit_s} s: {condition}"
        page.wait_for_timeout(100)


def test_what_the_page_plays_is_what_the_server_sent(browser: Any, address: str, report: Report) -> None:
    page, faults = opened(browser, address)
    page.evaluate(WATCH)
    page.select_option("#source", "microphone")
    page.click("#start")
    until(page, "gigmate.band.state === 'playing'")
    until(page, f"gigmate.band.block.index > {PLAY_S} * gigmate.band.sampleRate", 120)
    state = page.evaluate("({ block: gigmate.band.block.numUnderruns, plan: gigmate.band.plan.lookahead_ms })")
    page.click("#start")
    until(page, "gigmate.band.state === 'stopped'")
    found = page.evaluate(COMPARE)
    mix_level = page.evaluate("Math.hypot(...gigmate.recorded()[0].slice(0, 48000)) / Math.sqrt(48000)")
    report("page_underruns", state["block"])
    report("page_lookahead_ms", state["plan"])
    assert faults == []
    assert found["length"] >= PLAY_S * found["rate"]
    assert found["compared"] > 0.2 * found["length"]  # the rest is silence, or came late on a busy machine
    assert found["worst"] <= 1e-6
    assert mix_level > 1e-3  # the fake microphone was heard
    assert page.is_enabled("#save-both")


def test_the_page_says_what_is_wrong_and_how_to_go_on(browser: Any, address: str) -> None:
    page, faults = opened(browser, address, REFUSE)
    page.select_option("#source", "file")
    page.click("#start")
    page.wait_for_selector("#message:not([hidden])")
    assert "Choose a file" in page.inner_text("#message-text")
    page.click("#message-close")
    page.select_option("#source", "microphone")
    page.click("#start")
    page.wait_for_selector("#message:not([hidden])")
    assert "microphone was refused" in page.inner_text("#message-text")
    assert page.inner_text("#start") == "Start"
    assert faults == []


def test_a_full_server_is_told_in_a_sentence(browser: Any, address: str) -> None:
    first, _ = opened(browser, address)
    first.select_option("#source", "microphone")
    first.click("#start")
    until(first, "gigmate.band.state === 'playing'")
    second, _ = opened(browser, address)
    second.select_option("#source", "microphone")
    second.click("#start")
    second.wait_for_selector("#message:not([hidden])", timeout=60_000)
    assert "All places are taken" in second.inner_text("#message-text")
    first.click("#start")


def test_it_is_used_by_keyboard_and_fits_a_phone(browser: Any, address: str) -> None:
    page, faults = opened(browser, address, viewport={"width": 360, "height": 740})
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360
    page.keyboard.press("m")
    assert page.get_attribute("#mute", "aria-pressed") == "true"
    for _ in range(4):
        page.keyboard.press("t")
        page.wait_for_timeout(500)
    assert 60 < int(page.input_value("#bpm")) < 200
    assert faults == []
