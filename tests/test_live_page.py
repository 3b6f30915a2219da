"""The page in a real browser, against the real server with the weights that ship."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from page_fakes import INSECURE, NO_DEVICE, REFUSE, Network, opened, said_by, saved
from reporting import Report

from experiments.live_browser import CHROMIUM, FADE_SAMPLES, browsing, compare, play, until
from experiments.live_server import free_port, serving
from gigmate.music.band import compose, render_song

PLAY_S = 12
LISTEN = """() => {
  window.said = [];
  const status = document.getElementById("status");
  new MutationObserver(() => window.said.push(status.textContent)).observe(status, { childList: true });
}"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: the page can't be opened"),
]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    own_port = free_port()
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, capacity=1, other_port=own_port) as server, Network(server.port, own_port) as network:
        yield network


@pytest.fixture(scope="module")
def address(network: Network) -> str:
    return f"http://127.0.0.1:{network.port}/"


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stems = render_song(compose(7_000_013, 30), 48_000)
    mix = np.sum([wave for name, wave in stems.items() if name != "drums"], axis=0)
    path = tmp_path_factory.mktemp("song") / "song.wav"
    soundfile.write(path, mix, 48_000, subtype="PCM_16")
    return path


@pytest.fixture
def browser(song: Path) -> Iterator[Any]:
    with browsing(song) as chromium:
        yield chromium


def test_what_the_page_plays_is_what_the_server_sent(browser: Any, address: str, report: Report) -> None:
    page, faults = opened(browser, address)
    taken = play(page, PLAY_S)
    report("page_underruns", taken.underruns)
    report("page_missing_share", 1 - taken.in_time)
    report("page_lookahead_ms", taken.lookahead_ms)
    assert faults == []
    assert len(taken.stem) == len(taken.mix) >= PLAY_S * taken.rate
    assert taken.num_compared > 0  # on a busy machine much may come late
    assert taken.num_differing == 0
    assert np.abs(taken.stem).max() > 1e-3
    assert np.square(taken.mix).mean() > 1e-6  # the fake microphone was heard
    assert page.is_enabled("#save-both")


def test_what_differs_is_found_and_what_was_late_is_left_out() -> None:
    stem = np.arange(1000, dtype=np.int16)
    sent = [(0, stem[:400]), (400, stem[400:])]
    assert compare(stem, sent, [], 40) == (960 - FADE_SAMPLES, 0)
    stem = stem.copy()
    stem[500] += 1
    assert compare(stem, sent, [], 40) == (960 - FADE_SAMPLES, 1)
    assert compare(stem, sent, [(480, 40)], 40) == (960 - 40 - 2 * FADE_SAMPLES, 0)
    assert compare(stem, sent[:1], [], 0) == (400 - FADE_SAMPLES, 0)


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
    page.select_option("#source", "practice")  # the way on
    page.click("#start")
    until(page, "gigmate.band.state === 'playing'")
    assert page.is_hidden("#message")
    assert faults == []


def test_who_has_no_input_is_told(browser: Any, address: str) -> None:
    page, faults = opened(browser, address, NO_DEVICE)
    page.select_option("#source", "microphone")
    page.click("#start")
    page.wait_for_selector("#message:not([hidden])")
    assert "Plug in" in page.inner_text("#message-text")
    page.keyboard.press("Escape")
    assert page.is_hidden("#message")
    assert faults == []


def test_a_laptop_that_slept_ends_the_session_with_a_sentence(browser: Any, address: str) -> None:
    page, faults = opened(browser, address)
    page.select_option("#source", "microphone")
    page.click("#start")
    until(page, "gigmate.band.state === 'playing'")
    page.evaluate("gigmate.band.context.suspend()")  # as a browser does it when the lid closes
    page.wait_for_selector("#message:not([hidden])")
    assert "slept" in page.inner_text("#message-text")
    page.click("#start")
    until(page, "gigmate.band.state === 'playing'")
    assert page.is_hidden("#message")
    assert faults == []


def test_a_page_at_an_address_that_browsers_distrust_says_so(browser: Any, address: str) -> None:
    page, faults = opened(browser, address, INSECURE)
    assert "http://127.0.0.1" in page.inner_text("#message-text")
    page.click("#message-close")
    page.click("#start")
    page.wait_for_selector("#message:not([hidden])")
    assert page.inner_text("#start") == "Start"
    assert faults == []


def test_who_stops_while_it_starts_has_stopped(browser: Any, address: str) -> None:
    page, faults = opened(browser, address)
    page.select_option("#beats", "tempo")
    page.select_option("#source", "microphone")
    page.click("#start")
    until(page, "gigmate.band.welcome !== null")
    page.click("#start")
    page.wait_for_timeout(3000)  # the bar that was counted in would be over
    assert page.evaluate("gigmate.band.state") == "stopped"
    assert page.is_hidden("#message")
    assert faults == []


def test_a_session_outlives_a_cut(browser: Any, network: Network, report: Report) -> None:
    page, faults = opened(browser, f"http://127.0.0.1:{network.proxy.port}/")
    page.select_option("#source", "microphone")
    page.click("#start")
    until(page, "gigmate.band.block.index > 3 * gigmate.band.sampleRate")
    session = page.evaluate("gigmate.band.welcome.session")
    page.evaluate(LISTEN)
    network.cut()
    until(page, "window.said.some((text) => text.startsWith('The connection was lost'))")
    cut_s = time.monotonic()
    until(page, "gigmate.band.connection.isWelcome")
    report("page_back_after_s", time.monotonic() - cut_s)
    due = page.evaluate("gigmate.band.block.numDue - gigmate.band.block.numMissing")
    until(page, f"gigmate.band.block.numDue - gigmate.band.block.numMissing > {due} + gigmate.band.sampleRate")
    assert page.evaluate("gigmate.band.welcome.session") == session
    page.click("#start")
    mix, stem = page.evaluate("gigmate.recorded().map((track) => track.length)")
    assert mix == stem > 0
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


def test_a_screen_reader_has_a_name_for_everything(browser: Any, address: str) -> None:
    page, _ = opened(browser, address)
    for kind in ("button", "combobox", "spinbutton", "slider", "meter", "region", "img"):
        every = page.get_by_role(kind, include_hidden=True).count()
        assert page.get_by_role(kind, name=re.compile(r"\w"), include_hidden=True).count() == every > 0, kind
    assert page.get_by_role("button", name="Mute", exact=True, pressed=False).count() == 1
    assert page.get_by_role("status").count() == 1


def test_it_is_used_by_keyboard_and_fits_a_phone(browser: Any, address: str) -> None:
    page, faults = opened(browser, address, viewport={"width": 360, "height": 740})
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360
    page.keyboard.press("m")
    assert page.get_attribute("#mute", "aria-pressed") == "true"
    page.fill("#bpm", "1000")
    page.focus("#start")
    page.keyboard.press("Space")
    assert "Tempo" in page.inner_text("#message-text")
    assert page.evaluate("document.activeElement.id") == "bpm"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")  # away from fields, where letters are typed
    for _ in range(4):
        page.keyboard.press("t")
        page.wait_for_timeout(500)
    assert 30 <= int(page.input_value("#bpm")) <= 125  # half a second or more apart
    assert faults == []


def test_every_knob_reaches_the_server_and_what_was_played_is_saved(browser: Any, address: str) -> None:
    page, faults = opened(browser, address)
    texts = said_by(page)
    page.select_option("#source", "microphone")
    page.select_option("#instrument", "bass")
    page.click("#start")
    until(page, "gigmate.band.state === 'playing'")
    page.select_option("#instrument", "keys")
    for field, value in (("density", 0.5), ("temperature", 0.8), ("guidance", 3)):
        page.evaluate("([id, value]) => { const e = document.getElementById(id); e.value = value; "
                      "e.dispatchEvent(new Event('change')); }", [field, value])  # fmt: skip
    page.fill("#buffer", "80")
    page.fill("#lookahead", "500")
    page.fill("#device-delay", "30")
    for button in ("lay-out", "solo", "lay-out", "tap", "earlier", "later"):
        page.click(f"#{button}")
    until(page, "gigmate.band.block.index > 3 * gigmate.band.sampleRate")
    page.click("#mute")  # it isn't heard, and recorded all the same
    until(page, "gigmate.band.block.index > 5 * gigmate.band.sampleRate")
    page.click("#start")
    assert (texts[0]["type"], texts[0]["instrument"], texts[0]["sample_rate"]) == (
        "hello", "bass", page.evaluate("gigmate.band.recording.sampleRate")
    )  # fmt: skip
    turned = {key: value for text in texts if text["type"] == "control" for key, value in text.items() if key != "type"}
    assert turned == {
        **{"instrument": "keys", "density": 0.5, "temperature": 0.8, "guidance": 3, "buffer_ms": 80},
        **{"lookahead_ms": -500, "device_delay_ms": 30, "lay_out": False, "solo": True},
    }
    assert [text["beats"] for text in texts if text["type"] == "nudge"] == [-0.05, 0.05]
    assert sum(text["type"] == "tap" for text in texts) == 1
    assert texts[-1]["type"] == "goodbye"
    waves = [saved(page, name)[0] for name in ("mix", "stem", "both")]
    assert len({wave.shape for wave in waves}) == 1
    assert waves[0].shape[0] >= 5 * 44_100
    mix, stem, both = waves
    assert np.abs(np.clip(mix + stem, -1, 1) - both).max() < 2e-4
    assert np.square(mix).mean() > 1e-6
    assert faults == []


def test_it_can_be_installed_and_opens_without_its_server(browser: Any, network: Network) -> None:
    address = f"http://127.0.0.1:{network.proxy.port}/"
    context = browser.new_context()
    page = context.new_page()
    page.goto(address)
    page.evaluate("() => navigator.serviceWorker.ready.then(() => true)")
    told = context.new_cdp_session(page).send("Page.getAppManifest")
    assert told["errors"] == []
    assert {"name", "start_url", "display", "icons"} <= set(json.loads(told["data"]))
    context.set_offline(True)
    page.reload()
    assert page.inner_text("h1") == "GigMate"
    page.click("#start")
    page.wait_for_selector("#message:not([hidden])")
    assert "no connection to the server" in page.inner_text("#message-text")
    context.close()
