"""The page in headless Chromium, for experiments and tests: a song at its microphone, and what it played."""

import base64
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigmate.errors import UsageError
from gigmate.evaluation.metrics import Mono

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
INSTRUMENT = "drums"
FADE_SAMPLES = 128
"""After a gap the stem fades in for so long (`gigmate/live/web/stem-ring.js`)."""

_WAIT_S = 180.0
_FLAGS = (
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
_WATCH = """() => {
  [window.sent, window.late] = [[], []];
  gigmate.band.on.stem = (stem) => window.sent.push(stem);
  gigmate.band.on.late = (late) => window.late.push(late);
}"""
# What comes from now on isn't compared: if it is late, the page may not hear of it before the end.
_CLOSE = "() => { gigmate.band.on.stem = null; }"
_TAKE = """() => {
  const packed = (samples) => {
    const bytes = new Uint8Array(Int16Array.from(samples, (sample) => Math.round(sample * 32768)).buffer);
    const pieces = [];
    for (let i = 0; i < bytes.length; i += 4096) pieces.push(String.fromCharCode(...bytes.subarray(i, i + 4096)));
    return btoa(pieces.join(""));
  };
  const { sampleRate, delaySamples, block, inTime, plan } = gigmate.band;
  return {
    rate: sampleRate, first: delaySamples, tracks: gigmate.recorded().map(packed),
    sent: window.sent.map(({ sampleIndex, samples }) => [sampleIndex, packed(samples)]),
    late: window.late.map(({ index, samples }) => [index, samples]),
    underruns: block.numUnderruns, in_time: inTime, lookahead_ms: plan.lookahead_ms, mode: plan.mode,
  };
}"""


@dataclass(frozen=True, eq=False)
class Taken:
    """What a session left in the page.

    Args:
        rate: of the page's sound, Hz.
        mix: [N] what the microphone heard.
        stem: [N] what the worklet put out, at the samples of the mix to which it belongs.
        num_compared: samples that were there when they were due, away from gaps.
        num_differing: of them those that aren't what the server sent.
        underruns: gaps in the stem.
        in_time: share of the stem that was there when it was due.
        lookahead_ms: of the last plan; negative: it plays ahead of what it heard.
        mode: `ahead` or `bars`.
    """

    rate: int
    mix: Mono
    stem: Mono
    num_compared: int
    num_differing: int
    underruns: int
    in_time: float
    lookahead_ms: float
    mode: str


@contextmanager
def browsing(song: Path) -> Iterator[Any]:
    """Headless Chromium with a WAV file at its microphone.

    Raises:
        UsageError: Chromium or playwright is missing.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise UsageError("no_playwright", "the page needs playwright", remedy="make setup-dev") from error
    if CHROMIUM is None:
        raise UsageError("no_chromium", "neither chromium nor google-chrome is on the PATH", remedy="install one")
    with sync_playwright() as driver:
        flags = [*_FLAGS, f"--use-file-for-fake-audio-capture={song}"]
        with driver.chromium.launch(executable_path=CHROMIUM, args=flags) as chromium:
            yield chromium


def until(page: Any, condition: str, limit_s: float = _WAIT_S) -> None:
    """Wait for a JavaScript condition (Playwright's own way evaluates strings in the page, which its policy forbids).

    Raises:
        TimeoutError: it doesn't come true.
    """
    stop_s = time.monotonic() + limit_s
    while not page.evaluate(condition):
        if time.monotonic() > stop_s:
            said = f"{page.inner_text('#status')} {page.inner_text('#message')}"
            raise TimeoutError(f"not within {limit_s} s: {condition}; the page says: {said}")
        page.wait_for_timeout(100)


def play(page: Any, seconds: float) -> Taken:
    """Play to the microphone on a page that is open, and bring back what came of it.

    Raises:
        TimeoutError: it doesn't get on.
    """
    page.evaluate(_WATCH)
    page.select_option("#instrument", INSTRUMENT)
    page.select_option("#source", "microphone")
    page.click("#start")
    until(page, "gigmate.band.state === 'playing'")
    until(page, f"gigmate.band.block.index > {seconds} * gigmate.band.sampleRate", seconds + _WAIT_S)
    page.evaluate(_CLOSE)
    page.wait_for_timeout(1000)
    page.click("#start")
    return _unpacked(page.evaluate(_TAKE))


def _unpacked(told: dict[str, Any]) -> Taken:
    mix, stem = (np.frombuffer(base64.b64decode(track), "<i2") for track in told.pop("tracks"))
    sent = [(index, np.frombuffer(base64.b64decode(samples), "<i2")) for index, samples in told.pop("sent")]
    compared, differing = compare(stem, sent, told.pop("late"), told.pop("first"))
    return Taken(mix=_floats(mix), stem=_floats(stem), num_compared=compared, num_differing=differing, **told)


def _floats(samples: NDArray[np.int16]) -> Mono:
    return samples.astype(np.float32) / np.float32(32768)


def compare(
    stem: NDArray[np.int16],
    sent: Sequence[tuple[int, NDArray[np.int16]]],
    late: Sequence[tuple[int, int]],
    first: int,
) -> tuple[int, int]:
    """How many samples can be compared, and how many of them aren't what was sent.

    Args:
        stem: [N] what was put out.
        sent: messages as (first sample's index, samples).
        late: spans that came too late, as (first index, length).
        first: index of the first sample that was put out.
    """
    want, is_there = np.zeros_like(stem), np.zeros(len(stem), np.bool_)
    for index, samples in sent:
        stop = min(len(stem), index + len(samples))
        want[index:stop] = samples[: max(0, stop - index)]
        is_there[index:stop] = True
    for index, length in late:
        is_there[index : index + length] = False
    is_there[:first] = False
    breaks = np.flatnonzero(~is_there)
    since = (
        np.arange(len(stem)) - np.concatenate([[-1], breaks])[np.searchsorted(breaks, np.arange(len(stem)), "right")]
    )
    is_compared = is_there & (since > FADE_SAMPLES)
    return int(is_compared.sum()), int((stem != want)[is_compared].sum())
